"""`python -m sofgan.starter.train_parser`: the starter's parser of photos, from portraits of invented people alone.

People's photos are of more than avatars can show. So more portraits are rendered than the demo has, from more sides;
random scenery takes the place of their few backgrounds and clothes; and the convolutions of the encoder stay
ImageNet's, which have seen photographs. That also keeps the file small.
"""

import argparse
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from sofgan import runtime
from sofgan.avatars.config import MakePortraits
from sofgan.avatars.portraits import make_portraits
from sofgan.config import to_mapping
from sofgan.errors import in_a_sentence
from sofgan.files import write_json
from sofgan.parsing.config import Augmentation, ParserConfig, Pretrained, TrainParser
from sofgan.parsing.data import splits_of
from sofgan.parsing.parser import save_parser
from sofgan.parsing.train import train_parser
from sofgan.photos.importing import Selection, import_photos
from sofgan.photos.layouts import find_source
from sofgan.photos.store import PhotoStore
from sofgan.progress import SILENT, Progress
from sofgan.session import Checkpoints, Session

OUT = Path(".work/starter")
SEED = 977  # of people: none of them is in a scan batch or a portrait of the demo's


@dataclass(frozen=True)
class Recipe:
    """Portraits to learn from, and how."""

    portraits: MakePortraits
    selection: Selection
    training: TrainParser


RECIPE = Recipe(
    MakePortraits(
        ffhq_photos=1,  # the least; it is not looked at
        celebamask_photos=1600,
        photos_per_identity=2,
        size_px=128,
        supersampling=2,
        yaw_std_degrees=22.0,
        pitch_std_degrees=9.0,
        roll_std_degrees=4.0,
        fov_degrees=18.0,
        jpeg_quality=95,
    ),
    Selection(min_side_px=64, held_out_share=0.08, validation_share=0.06),
    TrainParser(
        parser=ParserConfig("lite_unet", size=128, width=48, encoder="norms"),
        pretrained=Pretrained(),
        steps=1600,
        batch=8,
        learning_rate=2e-3,
        weight_decay=0.01,
        class_balance=0.35,
        dice_weight=0.5,
        auxiliary_weight=0.4,
        ema_halflife_images=1000,
        score_every_steps=200,
        patience=0,
        checkpoint_every_steps=200,
        augmentation=Augmentation(
            mirror=0.5, zoom=0.2, shift=0.06, rotation_degrees=12.0, colour=0.4, blur=0.4, noise=0.03, scenery=0.8
        ),
    ),
)  # fmt: skip


def train(folder: Path, recipe: Recipe = RECIPE, workers: int = 1, progress: Progress = SILENT) -> Path:
    """Render portraits, learn from them, and write `parser.pt` and, with its figures, `parser.json`.

    Args:
        folder: for these and for the portraits.
        workers: processes that render, threads that read.

    Returns:
        The parser's file.
    """
    make_portraits(folder / "portraits", recipe.portraits, SEED, workers, progress)
    source = find_source(folder / "portraits/celebamask")
    import_photos(source, folder / "photos", recipe.selection, workers=workers, progress=progress)
    photos = splits_of(store := PhotoStore(folder / "photos"), recipe.training.parser.size)
    # Of other code than this one's states would give another parser: delete the folder then.
    states = Checkpoints(
        folder / "states", {"recipe": to_mapping(recipe.training), "photos": store.fingerprint()}
    )
    trained = train_parser(photos, recipe.training, SEED, session=Session(progress, states), workers=workers)
    save_parser(folder / "parser.pt", trained.parser)
    figures = {"held_out_miou": trained.confusion.miou(), "held_out_photos": len(photos.held_out)}
    write_json(folder / "parser.json", figures)
    return folder / "parser.pt"


class Lines(Progress):
    """Listener that writes the count over the last one."""

    def items(self, done: int, total: int, unit: str = "items", note: str = "") -> None:
        print(f"\r{done}/{total} {unit} {note}", end="\n" if done == total else "", flush=True)


def main(words: list[str] | None = None) -> int:
    """Train, and tell the file."""
    parser = argparse.ArgumentParser(prog="python -m sofgan.starter.train_parser", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="folder for portraits and parser")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0: one a core")
    parser.add_argument("--steps", type=int, default=RECIPE.training.steps, help="of the training")
    arguments = parser.parse_args(words)

    def run() -> None:
        threads = arguments.threads or os.cpu_count() or 1
        runtime.use_cpu(threads)
        recipe = replace(RECIPE, training=replace(RECIPE.training, steps=arguments.steps))
        print(train(arguments.out, recipe, threads, Lines()))

    return in_a_sentence(run)


if __name__ == "__main__":
    sys.exit(main())
