"""Photos with label maps for the generator's benchmarks, read and parsed once and kept in .work/benchmarks."""

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sofgan.config import from_mapping, to_mapping
from sofgan.files import atomic_path, sha256_file
from sofgan.images import to_network_range
from sofgan.labels import resize
from sofgan.parsing.config import ParserConfig, TrainParser
from sofgan.parsing.fast.inference import InferenceParser
from sofgan.parsing.parser import FaceParser, load_parser, save_parser
from sofgan.parsing.train import train_parser
from sofgan.photos.decoding import decode_square
from sofgan.photos.layouts import find_source, read_labels
from sofgan.photos.people import split_people
from sofgan.photos.store import PhotoStore, PhotoStoreWriter
from sofgan.progress import Progress, Throughput

CACHE = Path(".work/benchmarks")
JUDGE = ParserConfig(arch="unet", size=64, width=16)
JUDGE_STEPS, JUDGE_BATCH, JUDGE_RATE = 1200, 16, 2e-3
HELD_OUT_SHARE, VALIDATION_SHARE = 0.125, 0.05
PARSED_AT_ONCE = 16


@dataclass(frozen=True)
class Portraits:
    """Photos (N, S, S, 3) and their maps (N, S, S), uint8; `masked` tells which maps were drawn by hand."""

    photos: np.ndarray
    labels: np.ndarray
    masked: np.ndarray


def portrait_arguments(description: str) -> argparse.ArgumentParser:
    """A parser of the arguments that name photos, and of those that every training has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--parser", type=Path, default=Path("models/parsers/photos.pt"))
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    return parser


def load_portraits(folders: list[Path], parser: Path, size: int) -> Portraits:
    """All photos of some sets at one size, with their masks or, where they have none, as the parser sees them."""
    sources = [find_source(folder) for folder in folders]
    entries = [entry for source in sources for entry in source.entries if not entry.problem]
    key = [[entry.name for entry in entries], sha256_file(parser), size]
    file = CACHE / f"portraits-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]}.npz"
    if not file.is_file():
        clock = Throughput(len(entries), 0)
        network = InferenceParser(load_parser(parser))
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
            print(f"\rparsing: {clock.line('photos')}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as work, open(work, "wb") as out:
            np.savez(out, photos=photos, labels=labels, masked=masked)
    with np.load(file) as loaded:
        return Portraits(loaded["photos"], loaded["labels"], loaded["masked"])


class JudgeLine(Progress):
    """A line on the terminal that says how far the judge's training is."""

    def items(self, done, total, unit="items", note="") -> None:
        print(f"\rjudge: {done}/{total} {unit} {note}", end="", file=sys.stderr, flush=True)


def outside_judge(masks: Path, device: str = "cpu") -> FaceParser:
    """A small parser trained from nothing on a set with masks: features outside the family of EfficientNet-lite,
    from which the projected discriminator and the pipeline's parser are made."""
    source = find_source(masks)
    params = from_mapping(
        TrainParser,
        {
            "parser": to_mapping(JUDGE), "pretrained": {}, "steps": JUDGE_STEPS, "batch": JUDGE_BATCH,
            "learning_rate": JUDGE_RATE, "weight_decay": 0.01, "class_balance": 0.4, "dice_weight": 0.5,
            "auxiliary_weight": 0.4, "ema_halflife_images": 2000, "score_every_steps": JUDGE_STEPS // 4, "patience": 0,
            "checkpoint_every_steps": JUDGE_STEPS, "augmentation": {},
        },
        "judge",
    )  # fmt: skip
    key = json.dumps(
        [[entry.name for entry in source.entries], str(params), HELD_OUT_SHARE, VALIDATION_SHARE]
    )
    name = f"judge-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    file = CACHE / f"{name}.pt"
    if not file.is_file():
        store = CACHE / f"{name}-photos"
        people = [source.people.get(entry.key, entry.key) for entry in source.entries]
        splits = split_people(people, HELD_OUT_SHARE, VALIDATION_SHARE)
        if not store.is_dir():
            with PhotoStoreWriter(store) as writer:
                for entry, person in zip(source.entries, people):
                    writer.add(entry.key, entry.file.read_bytes(), read_labels(entry), split=splits[person])
        trained = train_parser(
            PhotoStore(store), params, 0, device=device,
            progress=JudgeLine(),
        )  # fmt: skip
        print(f"\njudge: held-out mIoU {trained.confusion.miou():.3f}", file=sys.stderr)
        save_parser(file, trained.parser)
    return load_parser(file, device)
