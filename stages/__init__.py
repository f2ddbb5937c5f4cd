"""One short script a DVC stage: its block of params in, files out (`python -m stages.NAME`)."""
