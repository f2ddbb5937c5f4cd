"""Photo sets: what they hold, which photos are usable, and the store that they are read from.

Start at `importing.py` (a source to a store), `layouts.py` (FFHQ, CelebAMask-HQ and others), `store.py` (reading),
`people.py` (who is held out) and `alignment.py` (FFHQ's crop).
"""
