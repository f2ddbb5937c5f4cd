"""Scans: raw meshes to labelled meshes in head space.

Start at `ingestion.py` (a whole batch), `reading.py` (files), `labelling.py` (classes), `orientation.py` and
`head_space.py` (where up and front are); `unlabelled/` is for scans that name no part.
"""
