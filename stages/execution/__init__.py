"""How a stage is entered and where it runs: errors, Dask, torchrun, rehearsals."""
