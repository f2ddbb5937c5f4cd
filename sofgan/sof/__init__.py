"""The semantic occupancy field: heads as label maps from any camera.

Start at `sof.py` (a trained field: load, render), `model.py` (its modules), `train.py` (round 1: views of scans),
`inversion/` (round 2: single label maps) and `sampling.py` (new heads).
"""
