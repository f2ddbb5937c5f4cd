"""The tiny training of ours, from which baselines have their sizes."""

from tests.sofgan.siw.conftest import tiny_training

__all__ = ["tiny_training"]
