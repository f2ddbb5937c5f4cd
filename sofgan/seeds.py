"""Independent random streams from one seed, by name.

A stream that is named after what it decides ("view 3 of scan x") does not change when other streams are
added, so the data of one scan never depends on which others exist.
"""

import hashlib

import numpy as np


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on `seed` and every name, the same on every machine."""
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def numpy_generator(seed: int, *names: str | int) -> np.random.Generator:
    """NumPy's default generator on the stream of that name."""
    return np.random.default_rng(derive_seed(seed, *names))


def torch_generator(seed: int, *names: str | int):
    """A torch generator on the stream of that name, on the CPU: a GPU's would give other numbers.

    `sofgan.distributed.rand` and `randn` bring what it gives to where it is needed.
    """
    import torch  # Here, so that rendering and ingestion can be seeded without loading torch.

    generator = torch.Generator()
    generator.manual_seed(derive_seed(seed, *names))
    return generator
