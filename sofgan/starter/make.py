"""`python -m sofgan.starter.make`: the starter's files, written anew from trained models, with what they lost by it."""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from sofgan.errors import InputError, in_a_sentence
from sofgan.files import read_json, sha256_file, write_bytes, write_json
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.seeds import torch_generator
from sofgan.siw.condition_views import draw_view
from sofgan.siw.model import Siw, load_siw, to_uint8
from sofgan.siw.portrait_camera import training_views
from sofgan.sof.sampling import sample_codes
from sofgan.sof.sof import Sof, load_sof
from sofgan.starter.files import CARD, FIELD, FOLDER, PAINTER, SCANS, load_starter, shrink

LIMIT = 5_000_000  # bytes of the files together
HEADS, YAWS, SIZE = 12, (-0.5, 0.0, 0.5), 128  # radians, pixels
RECIPE = "make starter"


def figures(before: tuple[Sof, Siw], after: tuple[Sof, Siw]) -> dict[str, float]:
    """What 8 bits cost, of random heads and styles seen from three sides.

    Args:
        before, after: fields and painters, as trained and as the starter has them.

    Returns:
        `map_agreement`, share of pixels of label maps; `map_miou`; `painter_psnr_db`, of pictures of the same maps;
        `picture_psnr_db`, of pictures each of its own map.
    """
    (sof, siw), (small_sof, small_siw) = before, after
    framing = siw.framing or training_views(sof.intrinsics.cpu().numpy(), sof.radius)
    codes = sample_codes(sof, HEADS, torch_generator(0, "starter", "heads"))
    styles = siw.sample_z(HEADS, torch_generator(0, "starter", "styles"))
    confusion, painter, whole = ConfusionMatrix(), [], []
    for head, (code, z) in enumerate(zip(codes, styles)):
        camera = framing.camera(YAWS[head % len(YAWS)], 0.0, SIZE)
        maps = [draw_view(field, code.numpy(), camera)[0] for field in (sof, small_sof)]
        confusion.update(maps[1], maps[0])
        true = _paint(siw, maps[0], z)
        painter.append(_squared_error(true, _paint(small_siw, maps[0], z)))
        whole.append(_squared_error(true, _paint(small_siw, maps[1], z)))
    return {
        "map_agreement": round(confusion.accuracy(), 4),
        "map_miou": round(confusion.miou(), 4),
        "painter_psnr_db": _psnr(painter),
        "picture_psnr_db": _psnr(whole),
    }


def _paint(siw: Siw, labels: np.ndarray, z: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return to_uint8(siw.paint(labels[None], siw.map_styles(z[None], 0.7)))[0].astype(np.float64)


def _squared_error(first: np.ndarray, second: np.ndarray) -> float:
    return float(((first - second) ** 2).mean())


def _psnr(errors: list[float]) -> float:
    """Decibels of the mean squared error; 99 where there is none."""
    return round(min(99.0, 10 * np.log10(255**2 / max(float(np.mean(errors)), 1e-12))), 2)


def make(models: Path, folder: Path = FOLDER, limit: int = LIMIT) -> dict:
    """Write the starter's files into a folder, and the card that goes with them: all of them, or, where it fails, none.

    Args:
        models: folder with sof_inverted.pt and siw.pt.

    Returns:
        The card: recipe, figures, sha256 and bytes of the files, and sha256 of the models that they were made of.

    Raises:
        MissingInput: a model is not there.
        InputError: the files are larger than the limit.
    """
    with tempfile.TemporaryDirectory() as made:
        card = _make(models, Path(made), limit)
        folder.mkdir(parents=True, exist_ok=True)
        for name in (FIELD, PAINTER, CARD):
            write_bytes(folder / name, Path(made, name).read_bytes())
        for path in Path(made).glob(f"{SCANS.name}/*/*"):
            write_bytes(folder / path.relative_to(made), path.read_bytes())
    return card


def _make(models: Path, folder: Path, limit: int) -> dict:
    sources = {FIELD: models / "sof_inverted.pt", PAINTER: models / "siw.pt"}
    for name, source in sources.items():
        shrink(source, folder / name)
    sizes = {name: (folder / name).stat().st_size for name in sources}
    if sum(sizes.values()) > limit:
        raise InputError(f"the starter has {sum(sizes.values())} bytes, but it has {limit} at most")
    card = {
        "recipe": RECIPE,
        "learned_from": "the embedded avatars (CC0) alone: label views of them, and their own shaded portraits",
        "bytes": sizes,
        "sha256": {name: sha256_file(folder / name) for name in sources},
        "made_of_sha256": {source.name: sha256_file(source) for source in sources.values()},
    }
    write_json(folder / CARD, card)
    starter = load_starter(folder=folder)
    for batch in {name.rpartition("/")[0] for name in starter.sof.training_names}:
        known = models.parent / "data/raw/scans" / batch / "avatars.json"
        if known.is_file():  # Other scans than avatars have none: nothing is known of them.
            write_bytes(folder / SCANS.name / batch / known.name, known.read_bytes())
    before = load_sof(sources[FIELD]), load_siw(sources[PAINTER])
    card["figures"] = figures(before, (starter.sof, starter.siw))
    write_json(folder / CARD, card)
    return card


def main(words: list[str] | None = None) -> int:
    """Write the starter, and show its card."""
    parser = argparse.ArgumentParser(prog="python -m sofgan.starter.make", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the trained models")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write (the package's own)")
    arguments = parser.parse_args(words)

    def run() -> None:
        make(arguments.models, arguments.out)
        for name, value in read_json(arguments.out / CARD).items():
            print(f"{name}: {value}")

    return in_a_sentence(run)


if __name__ == "__main__":
    sys.exit(main())
