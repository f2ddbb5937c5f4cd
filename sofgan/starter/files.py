"""The starter's files, which lie beside this module, and the models in them."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from sofgan.errors import InputError
from sofgan.files import read_json, sha256_file
from sofgan.parsing.parser import FaceParser, load_parser
from sofgan.siw.model import Siw, load_siw
from sofgan.sof.sof import Sof, load_sof
from sofgan.starter.quantize import quantized, restored
from sofgan.training import load_model, save_model

FOLDER = Path(__file__).parent
SCANS = FOLDER / "scans"  # avatars.json of the batches that the field was trained on
FIELD, PAINTER, PARSER, CARD = "field.pt", "painter.pt", "parser.pt", "card.json"


@dataclass(frozen=True)
class Starter:
    """A field and a painter.

    Attributes:
        digests: sha256 of their files, by name.
    """

    sof: Sof
    siw: Siw
    digests: dict[str, str]


def shrink(source: Path, target: Path) -> None:
    """Write a model's file again with its large arrays in 8 bits."""
    state, config = load_model(source)
    save_model(target, quantized(state), config)


def load_starter(device: str | torch.device = "cpu", folder: Path = FOLDER) -> Starter:
    """The starter's field and painter on a device.

    Raises:
        InputError: a file of it is not as the card beside it says.
    """
    digests = check_files((FIELD, PAINTER), folder)
    sof, siw = (_load(folder / name, how, device) for name, how in ((FIELD, load_sof), (PAINTER, load_siw)))
    return Starter(sof, siw, digests)


def load_starter_parser(device: str | torch.device = "cpu", folder: Path = FOLDER) -> FaceParser:
    """The starter's parser of photos on a device.

    Raises:
        InputError: its file is not as the card beside it says.
    """
    check_files((PARSER,), folder)
    return _load(folder / PARSER, load_parser, device)


def check_files(names: tuple[str, ...], folder: Path = FOLDER) -> dict[str, str]:
    """The sha256 of files of the starter, by name.

    Raises:
        InputError: a file is not as the card beside it says.
    """
    card = read_json(folder / CARD)
    digests = {name: sha256_file(folder / name) for name in names}
    if others := [name for name, digest in digests.items() if card["sha256"][name] != digest]:
        raise InputError(
            f"{folder / others[0]} is not the starter's file: install this package anew, or `git checkout` it"
        )
    return digests


def _load(path: Path, load: Callable, device: str | torch.device):
    """The model of a small file, by the reader of large ones."""
    state, config = load_model(path)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, path.name)
        save_model(whole, restored(state), config)
        return load(whole, device)
