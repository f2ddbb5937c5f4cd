"""What the generator's benchmarks score by: distances to photos, control, spread and leakage of styles."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import CACHE, Line, tell
from benchmarks.inputs.portraits import Portraits
from sofgan.config import from_mapping, to_mapping
from sofgan.evaluation.portraits import Control, draw
from sofgan.evaluation.restyling import leakage, region_colors, spread, style_spread
from sofgan.images import to_network_range
from sofgan.parsing.config import ParserConfig, TrainParser
from sofgan.parsing.data import splits_of
from sofgan.parsing.fast.inference import InferenceParser
from sofgan.parsing.parser import FaceParser, load_parser, save_parser
from sofgan.parsing.train import train_parser
from sofgan.photos.layouts import find_source, read_labels
from sofgan.photos.people import split_people
from sofgan.photos.store import PhotoStore, PhotoStoreWriter
from sofgan.scores.features import LiteFeatures, NetworkFeatures, extract
from sofgan.scores.frechet import frechet_distance
from sofgan.session import Session
from sofgan.siw.model import Siw
from sofgan.siw.painted_sets import paint_all
from sofgan.siw.sheets import REGIONS

SEED = 0  # of what is scored; trainings have their own
FREQUENT_SHARE = 0.005
HELD_OUT = 100  # masked maps that are painted in the sample grids, never trained on
SPREAD_MAPS, SPREAD_STYLES, LEAKAGE_MAPS = 8, 32, 64
CONTROLLED = 320  # of the painted maps, the first, which are drawn by hand, are parsed again
GRID = (6, 10)  # maps and styles of a sample grid
JUDGE = ParserConfig(arch="unet", size=64, width=16)
JUDGE_STEPS, JUDGE_BATCH, JUDGE_RATE = 1200, 16, 2e-3
HELD_OUT_SHARE, VALIDATION_SHARE = 0.125, 0.05


class Judges:
    """Everything that a generator is scored by."""

    def __init__(self, data: Portraits, parser: Path, masks: Path, images: int, resolution: int, size: int):
        self.labels = data.labels[:, :: data.labels.shape[1] // size, :: data.labels.shape[1] // size]
        by_hand = np.flatnonzero(data.masked)
        self.shown = by_hand[:HELD_OUT]
        parsed = np.flatnonzero(~data.masked)
        half = images // 2
        rng = np.random.default_rng(SEED)
        # Maps as the training has them, half and half; masked ones recur where they are few.
        self.maps = np.concatenate(
            (
                self.labels[rng.choice(by_hand, half, len(by_hand) < half)],
                self.labels[rng.choice(parsed, images - half, False)],
            )
        )
        outside = outside_judge(masks)
        self.extractors = [
            LiteFeatures("lite0"),
            LiteFeatures("lite2"),
            NetworkFeatures("fd_unet", outside.features, outside.config.size),
        ]
        self.parser = InferenceParser(load_parser(parser))
        chosen = draw(np.arange(len(data.photos)), 2 * images, SEED, "reference")
        photos = torch.cat(
            [self._small(data.photos[i : i + 256], resolution) for i in range(0, len(data.photos), 256)]
        )
        features = extract(photos[chosen].split(64), self.extractors)
        self.real = {name: values[::2] for name, values in features.items()}
        self.floor = {name: frechet_distance(values[::2], values[1::2]) for name, values in features.items()}
        step = size // resolution
        self.real_spread = {
            name: spread(region_colors(photos[chosen], self.labels[chosen][:, ::step, ::step], classes))
            for name, classes in REGIONS.items()
        }

    @staticmethod
    def _small(photos: np.ndarray, resolution: int) -> torch.Tensor:
        images = to_network_range(photos)
        return torch.nn.functional.avg_pool2d(images, images.shape[-1] // resolution)

    def score(self, siw: Siw) -> dict[str, float]:
        """Distances, control, spread and leakage."""
        control = Control(self.parser)

        def images():
            painted_so_far = 0
            for labels, painted in paint_all(siw, self.maps, SEED, "benchmark", 32):
                if painted_so_far < CONTROLLED:
                    control.update(labels, painted)
                painted_so_far += len(painted)
                yield painted

        features = extract(images(), self.extractors)
        row = {name: frechet_distance(features[name], self.real[name]) for name in features}
        row["control"] = control.scores(FREQUENT_SHARE)["control_miou_frequent"]
        maps = self.labels[self.shown]
        spreads = style_spread(siw, maps[:SPREAD_MAPS], SPREAD_STYLES, SEED)
        row |= {f"spread_{name}": value / self.real_spread[name] for name, value in spreads.items()}
        row["leakage_hair"] = leakage(siw, maps[:LEAKAGE_MAPS], SEED)
        return row


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
            "checkpoint_every_steps": JUDGE_STEPS,
            "augmentation": {
                "mirror": 0.5, "zoom": 0.2, "shift": 0.06, "rotation_degrees": 12.0, "colour": 0.3, "blur": 0.2,
                "noise": 0.03,
            },
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
        photos = splits_of(PhotoStore(store), params.parser.size)
        trained = train_parser(photos, params, 0, device, Session(Line("judge")))
        tell(f"\njudge: held-out mIoU {trained.confusion.miou():.3f}")
        save_parser(file, trained.parser)
    return load_parser(file, device)


def line(row: dict) -> str:
    """Figures as text."""

    def text(value) -> str:
        if not isinstance(value, float):
            return str(value)
        return f"{value:.3g}" if value < 10 else f"{value:.0f}"

    return "  ".join(f"{key} {text(value)}" for key, value in row.items())
