"""Features of sets of pictures, kept in a folder by what they are of."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sofgan.errors import InputError
from sofgan.evaluation.picture_sets import BATCH, PictureSet, resized
from sofgan.files import atomic_path
from sofgan.images import resize, to_network_range
from sofgan.progress import SILENT, Progress
from sofgan.runtime import map_pieces
from sofgan.scores.features import LiteFeatures


@dataclass(frozen=True)
class SetFeatures:
    """Features by extractor's name, (N, d) float32 each, and why pictures have none."""

    features: dict[str, np.ndarray]
    damaged: list[str]


def resize_in_words(extractor: LiteFeatures, size: int | None) -> str:
    """How a picture is brought to what an extractor sees."""
    first = f"centred square to {size} px (PIL, bilinear)" if size else "centred square"
    return f"{first}, antialiased bilinear to {extractor.size} px"


def take_features(
    pictures: PictureSet,
    extractors: Sequence[LiteFeatures],
    size: int | None,
    device: str = "cpu",
    cache: Path | None = None,
    progress: Progress = SILENT,
) -> SetFeatures:
    """Features of all pictures, by threads of `sofgan.runtime.use_cpu`.

    Args:
        extractors: on the device.
        size: to which all are resized first, pixels; None: they come as they are.
        cache: folder where features are kept by the set's digest, the extractor, the resize and the number of pictures.
        progress: listener, which gets the count of pictures.

    Raises:
        InputError: a file of the cache is damaged.
    """
    files = {one.name: cache and _cache_file(cache, pictures, one, size) for one in extractors}
    found = {name: _read(path) for name, path in files.items() if path and path.is_file()}
    missing = [one for one in extractors if one.name not in found]
    if missing:
        made = _extract(pictures, missing, size, device, progress)
        for name, features in made.features.items():
            found[name] = SetFeatures({name: features}, made.damaged)
            if files[name]:
                with atomic_path(files[name]) as path:
                    np.savez(path, features=features, damaged=np.array(made.damaged, str))
    parts = [found[one.name] for one in extractors]
    features = {one.name: next(iter(part.features.values())) for one, part in zip(extractors, parts)}
    return SetFeatures(features, parts[0].damaged)


def _extract(
    pictures: PictureSet,
    extractors: Sequence[LiteFeatures],
    size: int | None,
    device: str,
    progress: Progress,
) -> SetFeatures:
    def seen(picture: np.ndarray) -> list[Tensor]:
        pixels = resized(picture, size) if size else picture
        image = to_network_range(pixels[None], device)
        return [resize(image, one.size) for one in extractors]

    def work(rows: range) -> tuple[dict[str, np.ndarray], list[str]]:
        with torch.inference_mode():
            images, damaged = pictures.read(rows, seen)
            features = {
                one.name: one(torch.cat(batch)).float().cpu().numpy()
                for one, batch in zip(extractors, zip(*images))
            }
        return features, damaged

    shards = [range(start, min(start + BATCH, len(pictures))) for start in range(0, len(pictures), BATCH)]
    parts, damaged = [], []
    for rows, (part, problems) in zip(shards, map_pieces(work, shards, device)):
        parts += [part] if part else []
        damaged += problems
        progress.items(rows.stop, len(pictures), f"pictures of {pictures.name}")
    features = {
        one.name: np.concatenate([np.zeros((0, one.dim), np.float32)] + [part[one.name] for part in parts])
        for one in extractors
    }
    return SetFeatures(features, damaged)


def _cache_file(cache: Path, pictures: PictureSet, extractor: LiteFeatures, size: int | None) -> Path:
    key = "\n".join((pictures.digest, extractor.name, resize_in_words(extractor, size), str(len(pictures))))
    return cache / f"{extractor.name}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"


def _read(path: Path) -> SetFeatures:
    try:
        with np.load(path, allow_pickle=False) as file:
            return SetFeatures({"": file["features"]}, file["damaged"].tolist())
    except Exception as error:  # zipfile and NumPy raise anything at damaged input.
        raise InputError(f"{path} is damaged: remove it, and it is made again") from error
