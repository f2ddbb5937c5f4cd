"""`python -m sofgan.starter.make`: the starter's files, written anew from trained models, with what they lost by it."""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from sofgan.errors import InputError, MissingInput, in_a_sentence
from sofgan.files import read_json, sha256_file, write_bytes, write_json
from sofgan.images import to_network_range
from sofgan.parsing.parser import FaceParser, load_parser
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.seeds import torch_generator
from sofgan.siw.condition_views import draw_view
from sofgan.siw.model import Siw, load_siw, to_uint8
from sofgan.siw.portrait_camera import training_views
from sofgan.sof.sampling import sample_codes
from sofgan.sof.sof import Sof, load_sof
from sofgan.starter.files import (
    CARD,
    FIELD,
    FOLDER,
    PAINTER,
    PARSER,
    SCANS,
    load_starter,
    load_starter_parser,
    shrink,
)

LIMIT = 5_000_000  # bytes of the files together
HEADS, YAWS, SIZE = 12, (-0.5, 0.0, 0.5), 128  # radians, pixels
RECIPE = "make starter"
LEARNED_FROM = "the embedded avatars (CC0) alone: label views of them, and their own shaded portraits"


def figures(before: tuple[Sof, Siw], after: tuple[Sof, Siw]) -> dict[str, float]:
    """What 8 bits cost, of random heads and styles seen from three sides.

    Args:
        before, after: fields and painters, as trained and as the starter has them.

    Returns:
        `map_agreement`, share of pixels of label maps; `map_miou`; `painter_psnr_db`, of pictures of the same maps;
        `picture_psnr_db`, of pictures each of its own map.
    """
    (sof, siw), (small_sof, small_siw) = before, after
    styles = siw.sample_z(HEADS, torch_generator(0, "starter", "styles"))
    codes = sample_codes(sof, HEADS, torch_generator(0, "starter", "heads"))
    confusion, painter, whole = ConfusionMatrix(), [], []
    for own, small, z in zip(_maps(sof, siw, codes), _maps(small_sof, siw, codes), styles):
        confusion.update(small, own)
        true = _paint(siw, own, z)
        painter.append(_squared_error(true, _paint(small_siw, own, z)))
        whole.append(_squared_error(true, _paint(small_siw, small, z)))
    return {
        "map_agreement": round(confusion.accuracy(), 4),
        "map_miou": round(confusion.miou(), 4),
        "painter_psnr_db": _psnr(painter),
        "picture_psnr_db": _psnr(whole),
    }


def parser_agreement(siw: Siw, before: FaceParser, after: FaceParser, maps: list[np.ndarray]) -> float:
    """Share of pixels of painted pictures that a parser names as before it was made small.

    Args:
        maps: (S, S) label maps, to be painted.
    """
    styles = siw.sample_z(len(maps), torch_generator(0, "starter", "styles"))
    pictures = np.stack([_paint(siw, one, z) for one, z in zip(maps, styles)]).astype(np.uint8)
    first, second = (one.parse(to_network_range(pictures), SIZE) for one in (before, after))
    return round(float((first == second).mean()), 4)


def _maps(sof: Sof, siw: Siw, codes: torch.Tensor | None = None) -> list[np.ndarray]:
    """Label maps of heads, random ones unless they are given, each from one of three sides."""
    if codes is None:
        codes = sample_codes(sof, HEADS, torch_generator(0, "starter", "heads"))
    framing = siw.framing or training_views(sof.intrinsics.cpu().numpy(), sof.radius)
    cameras = [framing.camera(YAWS[head % len(YAWS)], 0.0, SIZE) for head in range(len(codes))]
    return [draw_view(sof, code.numpy(), camera)[0] for code, camera in zip(codes, cameras)]


def _paint(siw: Siw, labels: np.ndarray, z: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return to_uint8(siw.paint(labels[None], siw.map_styles(z[None], 0.7)))[0].astype(np.float64)


def _squared_error(first: np.ndarray, second: np.ndarray) -> float:
    return float(((first - second) ** 2).mean())


def _psnr(errors: list[float]) -> float:
    """Decibels of the mean squared error; 99 where there is none."""
    return round(min(99.0, 10 * np.log10(255**2 / max(float(np.mean(errors)), 1e-12))), 2)


def make(
    folder: Path = FOLDER, models: Path | None = None, parser: Path | None = None, limit: int = LIMIT
) -> dict:
    """Write the starter's files into a folder, and the card that goes with them: all that is asked for or, where it
    fails, none. What is not asked for stays as it is.

    Args:
        models: folder with sof_inverted.pt and siw.pt, for field and painter.
        parser: file of the parser, with its figures in a JSON file of its name beside it.

    Returns:
        The card: recipe, figures, sha256 and bytes of the files, and sha256 of the models that they were made of.

    Raises:
        MissingInput: a model is not there, or a file of the starter that is to stay.
        InputError: the files are larger than the limit.
    """
    sources = {FIELD: models / "sof_inverted.pt", PAINTER: models / "siw.pt"} if models else {}
    if parser:
        parser_figures(parser)
        sources |= {PARSER: parser}
    with tempfile.TemporaryDirectory() as made:
        card = _make(folder, sources, Path(made), limit)
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*sources, CARD):
            write_bytes(folder / name, Path(made, name).read_bytes())
        for path in Path(made).glob(f"{SCANS.name}/*/*"):
            write_bytes(folder / path.relative_to(made), path.read_bytes())
    return card


def parser_figures(parser: Path) -> dict[str, float]:
    """How good a parser is, which `sofgan.starter.train_parser` has written beside it.

    Raises:
        MissingInput: it is not there.
        InputError: the file has something else.
    """
    path = parser.with_suffix(".json")
    if not path.is_file():
        raise MissingInput(f"no {path}: the parser's figures are wanted beside it")
    found = read_json(path)
    if not all(isinstance(value, (int, float)) for value in found.values()):
        raise InputError(
            f"{path} has no figures: a parser of `python -m sofgan.starter.train_parser` is wanted"
        )
    return found


def _make(folder: Path, sources: dict[str, Path], made: Path, limit: int) -> dict:
    names = (FIELD, PAINTER, PARSER)
    for name in names:
        if name in sources:
            shrink(sources[name], made / name)
        elif (folder / name).is_file():
            write_bytes(made / name, (folder / name).read_bytes())
        else:
            raise MissingInput(
                f"{folder} has no {name}, which is to stay as it is: say of which model to make it"
            )
    sizes = {name: (made / name).stat().st_size for name in names}
    if sum(sizes.values()) > limit:
        raise InputError(f"the starter has {sum(sizes.values())} bytes, but it has {limit} at most")
    old = read_json(folder / CARD) if (folder / CARD).is_file() else {}
    card = {
        "recipe": RECIPE,
        "learned_from": LEARNED_FROM,
        "bytes": sizes,
        "sha256": {name: sha256_file(made / name) for name in names},
        "made_of_sha256": old.get("made_of_sha256", {})
        | {source.name: sha256_file(source) for source in sources.values()},
        "figures": old.get("figures", {}),
    }
    write_json(made / CARD, card)
    starter = load_starter(folder=made)
    if FIELD in sources:
        for batch in {name.rpartition("/")[0] for name in starter.sof.training_names}:
            known = sources[FIELD].parent.parent / "data/raw/scans" / batch / "avatars.json"
            if known.is_file():  # Other scans than avatars have none: nothing is known of them.
                write_bytes(made / SCANS.name / batch / known.name, known.read_bytes())
        before = load_sof(sources[FIELD]), load_siw(sources[PAINTER])
        card["figures"] |= figures(before, (starter.sof, starter.siw))
    if PARSER in sources:
        before, maps = load_parser(sources[PARSER]), _maps(starter.sof, starter.siw)
        agreement = parser_agreement(starter.siw, before, load_starter_parser(folder=made), maps)
        learned = parser_figures(sources[PARSER])
        card["figures"] |= {"parser_agreement": agreement}
        card["figures"] |= {f"parser_{name}": round(value, 4) for name, value in learned.items()}
    write_json(made / CARD, card)
    return card


def main(words: list[str] | None = None) -> int:
    """Write the starter, and show its card."""
    parser = argparse.ArgumentParser(prog="python -m sofgan.starter.make", description=__doc__)
    parser.add_argument("--models", type=Path, help="folder of field and painter (the starter's stay)")
    parser.add_argument(
        "--parser", type=Path, help="parser.pt of sofgan.starter.train_parser (the starter's stays)"
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write (the package's own)")
    arguments = parser.parse_args(words)

    def run() -> None:
        make(arguments.out, arguments.models, arguments.parser)
        for name, value in read_json(arguments.out / CARD).items():
            print(f"{name}: {value}")

    return in_a_sentence(run)


if __name__ == "__main__":
    sys.exit(main())
