"""`python -m pipelines weights`: facexlib's official face parser and face detector, and the network of FID, where
there is a way to them."""

import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from sofgan.files import sha256_file
from sofgan.photos import detection
from sofgan.scores.inception_weights import INCEPTION_SHA256, INCEPTION_URL
from stages.paths import WEIGHTS

RELEASES = "https://github.com/xinntao/facexlib/releases/download"
FILES = {  # What it is to address, sha256.
    "bisenet": (
        f"{RELEASES}/v0.2.0/parsing_bisenet.pth",
        "468e13ca13a9b43cc0881a9f99083a430e9c0a38abd935431d1c28ee94b26567",
    ),
    "parsenet": (
        f"{RELEASES}/v0.2.2/parsing_parsenet.pth",
        "3d558d8d0e42c20224f13cf5a29c79eba2d59913419f945545d8cf7b72920de2",
    ),
    "detector": detection.DETECTOR[1:],
    "landmarks": detection.LANDMARKS[1:],
    "inception": (INCEPTION_URL, INCEPTION_SHA256),
}
DEFAULT = ("bisenet", "detector", "landmarks", "inception")


def run(*names: str) -> int:
    """Fetch what isn't there of the named files. Returns 1, and says why, where one can't be had."""
    return max(_get(name) for name in names)


def _get(name: str) -> int:
    url, sha256 = FILES[name]
    path = WEIGHTS / Path(url).name
    if path.is_file() and sha256_file(path) == sha256:
        print(f"{path} is there and right")
    else:
        try:
            fetch(url, path, sha256)
        except (OSError, ValueError) as error:
            print(
                f"{url} could not be fetched: {error}\n"
                f"Where this machine has no way out, put the file at {path} by hand.",
                file=sys.stderr,
            )
            return 1
        print(f"{path} fetched")
    if name == "inception":
        print(f"In params.yaml, under evaluate: inception_weights: {path}")
    elif name in ("detector", "landmarks"):
        print(
            f"In params.yaml, under import_photos: weights: {WEIGHTS}, and align: ffhq at a source to align"
        )
    else:
        print(f"In params.yaml, under train_parser: pretrained: {{path: {path}, sha256: {sha256}}}")
    return 0


def fetch(url: str, path: Path, sha256: str) -> None:
    """Download a file whole or not at all.

    Raises:
        OSError: the network or the disk failed.
        ValueError: what came is not the file with that digest.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file, urllib.request.urlopen(url, timeout=30) as response:
            shutil.copyfileobj(response, file)
        found = sha256_file(temporary)
        if found != sha256:
            raise ValueError(f"its sha256 is {found}, not {sha256}")
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
