"""Label maps of a whole photo store: batched, decoded in threads, resumable block by block."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from sofgan.config import to_mapping
from sofgan.faces.config import ParseFaces
from sofgan.faces.images import encode_labels
from sofgan.faces.parallel import ordered_map
from sofgan.faces.parser import FaceParser
from sofgan.faces.store import SHARD_PHOTOS, PhotoStore, PhotoStoreWriter
from sofgan.labels import NAMES, class_areas, colorize
from sofgan.metrics.features import to_network_range
from sofgan.training import Throughput


def parse_store(
    photos: PhotoStore,
    parser: FaceParser,
    path: str | Path,
    config: ParseFaces,
    *,
    parser_sha256: str,
    work: str | Path,
    workers: int = 1,
    status: Callable[[str], None] = lambda text: None,
    block_photos: int = SHARD_PHOTOS,
) -> int:
    """Write a store of label maps with the keys, order and splits of `photos`.

    Finished blocks of photos are kept in `work`, so that a killed run continues at the next one. Blocks of
    other photos, weights or settings are not used.

    Args:
        parser_sha256: digest of the parser's weights file.
        work: folder for resume state; this run's share of it is removed at the end.

    Returns:
        How many photos were parsed in this call.
    """
    fingerprint = json.dumps([photos.fingerprint(), parser_sha256, to_mapping(config), block_photos])
    folder = Path(work) / hashlib.sha256(fingerprint.encode()).hexdigest()[:12]
    starts = range(0, len(photos), block_photos)
    missing = [start for start in starts if not (folder / f"{start:07d}").is_dir()]
    blocks = {start: range(start, min(start + block_photos, len(photos))) for start in missing}
    total = sum(len(block) for block in blocks.values())
    splits = photos.splits()
    clock = Throughput(len(photos), len(photos) - total)
    for block in blocks.values():
        with PhotoStoreWriter(folder / f"{block.start:07d}") as writer:
            for batch, maps in _parse_block(photos, parser, block, config, workers):
                for index, labels in zip(batch, maps):
                    writer.add(photos.key(index), labels=labels, split=int(splits[index]))
                clock.update(clock.done + len(batch))
                status(clock.line("photos"))
    with PhotoStoreWriter(path) as writer:
        for start in starts:
            block = PhotoStore(folder / f"{start:07d}")
            for index in range(len(block)):
                record = block[index]
                writer.add(record.key, labels=record.labels, split=record.split)
    shutil.rmtree(folder, ignore_errors=True)
    return total


def _parse_block(
    photos: PhotoStore, parser: FaceParser, block: range, config: ParseFaces, workers: int
) -> Iterator[tuple[range, list[bytes]]]:
    """Batches of indices with their maps as PNGs. Decoding and encoding run in threads around the network."""
    device = parser.mean.device
    size = round(parser.config.size * max(1.0, *config.scales))
    batches = [block[start : start + config.batch] for start in range(0, len(block), config.batch)]

    def decode(batch: range) -> tuple[range, np.ndarray]:
        return batch, np.stack([photos.image(index, size) for index in batch])

    def parse(batch: range, images: np.ndarray) -> tuple[range, np.ndarray]:
        tensor = to_network_range(images).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.autocast and device.type == "cuda"):
            return batch, parser.parse(tensor, config.label_size, config.mirror, config.scales)

    def encode(parsed: tuple[range, np.ndarray]) -> tuple[range, list[bytes]]:
        return parsed[0], [encode_labels(labels) for labels in parsed[1]]

    parsed = (parse(*decoded) for decoded in ordered_map(decode, batches, workers))
    yield from ordered_map(encode, parsed, workers, ahead=2)


def picture_parsed(photos: PhotoStore, labels: PhotoStore, count: int, size: int = 128) -> np.ndarray:
    """The first photos above their maps: (2 * size, count * size, 3) uint8."""
    columns = [
        np.concatenate([photos.image(i, size), colorize(labels.labels(i, size))])
        for i in range(min(count, len(photos)))
    ]
    return np.concatenate(columns, 1)


def mean_class_areas(labels: PhotoStore) -> dict[str, float]:
    """Share of each class in a store's maps, each map counting alike."""
    areas = sum(class_areas(labels.labels(i)) for i in range(len(labels))) / max(1, len(labels))
    return dict(zip(NAMES, map(float, areas)))
