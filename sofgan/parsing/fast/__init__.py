"""A parser rewritten to give the same answers in less time."""
