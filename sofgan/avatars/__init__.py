"""The embedded default data: scans and portraits of invented people, from the CC0 MakeHuman data.

Start at `batch.py` (raw scans of a batch), `portraits.py` (photos with and without masks) and `model.py` (one person).
"""
