"""Photos and label maps for the benchmarks of generator and inversion; what is parsed is kept in .work/benchmarks."""

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import CACHE, parser, tell
from sofgan.files import atomic_path, sha256_file
from sofgan.images import to_network_range
from sofgan.labels import NUM_CLASSES, resize
from sofgan.parsing.fast.inference import InferenceParser
from sofgan.parsing.parser import load_parser
from sofgan.photos.decoding import decode_square
from sofgan.photos.layouts import find_source, read_labels
from sofgan.progress import Throughput
from sofgan.siw.config import TrainSiw
from sofgan.siw.data import Batch
from sofgan.siw.mixing import class_to_group
from sofgan.siw.view_pairs import ViewPairs
from sofgan.warping import Warp
from stages import paths

PARSED_AT_ONCE = 16


@dataclass(frozen=True)
class Portraits:
    """Photos (N, S, S, 3) and their maps (N, S, S), uint8; `masked` tells which maps were drawn by hand."""

    photos: np.ndarray
    labels: np.ndarray
    masked: np.ndarray


def portrait_arguments(doc: str, **heeded) -> argparse.ArgumentParser:
    """`harness.parser` of a training, with the arguments that name photos."""
    found = parser(doc, threads=2, device=True, **heeded)
    found.add_argument("--photos", type=Path, nargs="+", required=True)
    found.add_argument("--masks", type=Path, required=True, help="root of a set in a layout of CelebAMask-HQ")
    found.add_argument("--parser", type=Path, default=paths.PHOTO_PARSER)
    found.add_argument(
        "--images", type=int, default=2000, help="painted, and photos that they are compared with"
    )
    return found


def load_portraits(folders: list[Path], parser_file: Path, size: int) -> Portraits:
    """All photos of some sets at one size, with their masks or, where they have none, as the parser sees them."""
    sources = [find_source(folder) for folder in folders]
    entries = [entry for source in sources for entry in source.entries if not entry.problem]
    key = [[entry.name for entry in entries], sha256_file(parser_file), size]
    file = CACHE / f"portraits-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]}.npz"
    if not file.is_file():
        clock = Throughput(len(entries), 0)
        network = InferenceParser(load_parser(parser_file))
        photos = np.empty((len(entries), size, size, 3), np.uint8)
        labels = np.empty(photos.shape[:3], np.uint8)
        masked = np.array([bool(entry.masks) for entry in entries])
        for start in range(0, len(entries), PARSED_AT_ONCE):
            rows = range(start, min(start + PARSED_AT_ONCE, len(entries)))
            full = [decode_square(entries[i].file.read_bytes(), max(size, network.config.size)) for i in rows]
            with torch.inference_mode():
                labels[rows] = network.parse(to_network_range(np.stack(full)), size)
            for i in rows:
                photos[i] = decode_square(entries[i].file.read_bytes(), size)
                if masked[i]:
                    labels[i] = resize(read_labels(entries[i]), size)
            clock.update(rows.stop)
            tell(f"parsing: {clock.line('photos')}", end="")
        tell("")
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as work, open(work, "wb") as out:
            np.savez(out, photos=photos, labels=labels, masked=masked)
    with np.load(file) as loaded:
        return Portraits(loaded["photos"], loaded["labels"], loaded["masked"])


def mask_maps(folder: Path, count: int, size: int) -> torch.Tensor:
    """(M, size, size) uint8 label maps of a CelebAMask-HQ set, spread over it."""
    entries = [entry for entry in find_source(folder).entries if not entry.problem]
    chosen = np.linspace(0, len(entries) - 1, min(count, len(entries))).round().astype(int)
    maps = [resize(read_labels(entries[index]), size) for index in np.unique(chosen)]
    return torch.from_numpy(np.stack(maps))


def random_batch(config: TrainSiw, device: str = "cpu", pixels: int | None = None) -> Batch:
    """Noise for photos, maps of blocks: as much as a step of the generator's training takes, at its full size or, while
    it grows, at fewer pixels."""
    draws, pixels = torch.Generator().manual_seed(0), pixels or config.generator.resolution
    size, rounds = config.generator.label_size, 1 if config.share_fakes else 2
    photos = torch.rand((config.batch, 3, pixels, pixels), generator=draws)
    blocks = torch.randint(0, NUM_CLASSES, (rounds, config.batch, 8, 8), generator=draws)
    labels = blocks.repeat_interleave(size // 8, 2).repeat_interleave(size // 8, 3)
    return Batch(
        (photos * 2 - 1).to(device),
        labels.to(device),
        labels[0].to(device),
        random_pairs(config, draws, device, pixels),
    )


def random_pairs(config: TrainSiw, draws: torch.Generator, device: str, size: int) -> ViewPairs:
    """Maps of blocks for two views of heads, which show the same a little moved, in pictures of so many pixels."""
    heads = (config.batch + 1) // 2
    times = config.generator.label_size // 8
    blocks = torch.randint(0, NUM_CLASSES, (heads, 2, 8, 8), generator=draws)
    labels = blocks.repeat_interleave(times, 2).repeat_interleave(times, 3)
    places = (torch.arange(size) + 0.5) * (2 / size) - 1
    grid = 0.9 * torch.stack(torch.meshgrid(places, places, indexing="xy"), -1).expand(heads, -1, -1, -1)
    seen = torch.ones((heads, size, size), dtype=torch.bool)
    groups = class_to_group()[resize(labels[:, 0], size)]
    return ViewPairs(
        labels.to(device), groups.to(device), Warp(grid.contiguous().to(device), seen.to(device))
    )
