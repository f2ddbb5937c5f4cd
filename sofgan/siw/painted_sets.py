"""Pictures of many label maps, each in a style of its own: what a painter is scored by."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sofgan.seeds import torch_generator
from sofgan.siw.model import Siw


def paint_all(
    siw: Siw, labels: np.ndarray, seed: int, name: str, batch: int, first: int = 0
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Each map painted once, each with a style and noise of its own.

    Args:
        labels: (N, S, S) uint8.
        name: of the set; with a picture's number in it, it seeds the picture's style and noise.
        first: number of the first map; painted as among all of them if it is a multiple of `batch`.

    Returns:
        Batches of maps (B, S, S) and pictures (B, 3, R, R) in [-1, 1].
    """
    for start in range(0, len(labels), batch):
        maps = labels[start : start + batch]
        numbers = range(first + start, first + start + len(maps))
        streams = [torch_generator(seed, "evaluate", "styles", name, number) for number in numbers]
        z = torch.cat([siw.sample_z(1, stream) for stream in streams])
        yield maps, siw.paint(maps, siw.map_styles(z), noise_seed=numbers)
