"""Tests. A package, so that `tests.scenes` is this one's and not the package `tests` that torch-fidelity installs."""
