"""A dry run of stages: each stage's own script with few of everything, and what it would need with all of it."""
