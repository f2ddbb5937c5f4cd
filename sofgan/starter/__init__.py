"""The starter model: a field and a painter in the package, so that heads can be seen before anything is trained.

Both learned from the embedded avatars alone. `quantize.py` makes them small, `files.py` reads them, and
`python -m sofgan.starter.make` writes them anew from trained models.
"""
