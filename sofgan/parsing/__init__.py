"""Face parsers: photos to label maps.

Start at `parser.py` (a trained parser), `train.py` (its training) and `parse_store.py` (all photos of a store); `fast/`
gives the same answers in less time.
"""
