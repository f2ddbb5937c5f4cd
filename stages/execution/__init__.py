"""Execution of stages: entry, errors, Dask, torchrun, rehearsals."""
