"""Files of what was made (pictures, films, meshes, pages), each with a record in its metadata of how it was made."""

import io
import json
import math
import struct
import subprocess
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from sofgan.apps.engine import Engine
from sofgan.apps.mesh import HeadMesh
from sofgan.errors import InputError, MissingInput

KEY = "sofgan"  # of the record, in metadata
PARTS = {"verb": str, "arguments": dict, "models": dict, "version": str, "commit": str}  # of each record
BOX = uuid.uuid5(uuid.NAMESPACE_URL, "https://arxiv.org/abs/2007.03780").bytes  # of the record, in MP4
PICTURES, FILMS, MESHES, PAGES = (".png",), (".gif", ".webp", ".mp4"), (".glb",), (".html",)
PAGE_PLACE = "<!--record-->"  # of the record, in a page
PAGE_RECORD = f'<script type="application/json" id="{KEY}">', "</script>"
EXIF_DESCRIPTION = 0x010E
MOST_SIDE = {".webp": 16_383, ".gif": 65_535, ".mp4": 8192}  # pixels; players have a limit where MP4 has none
MOST_FPS = {".gif": 50}  # frames a second; browsers show what is shorter than 20 ms for 100
GIF_UNIT = 10  # ms in which a GIF counts


@dataclass(frozen=True)
class Film:
    """Frames (N, H, W, 3) uint8 of a loop."""

    frames: np.ndarray
    frames_per_second: int


@dataclass(frozen=True)
class Page:
    """An HTML document that needs nothing beside it, with `PAGE_PLACE` where its record goes."""

    html: str


Result = np.ndarray | Film | HeadMesh | Page


def suffixes(result: Result) -> tuple[str, ...]:
    """Endings of files that a result can be written to."""
    kinds = {Film: FILMS, HeadMesh: MESHES, Page: PAGES}
    return kinds.get(type(result), PICTURES)


def check_ending(suffix: str, endings: Sequence[str]) -> None:
    """See that a file's ending is one of those of a kind of results.

    Raises:
        InputError: it is none.
    """
    if suffix not in endings:
        raise InputError(f"this is written to a file that ends in {' or '.join(endings)}, not {suffix!r}")


def encode(result: Result, suffix: str, record: dict) -> bytes:
    """A file's content; equal results with equal records are equal bytes.

    Raises:
        InputError: a file with that ending can't hold such a result.
    """
    check_ending(suffix, suffixes(result))
    if isinstance(result, Film):
        check_film(suffix, *result.frames.shape[2:0:-1], result.frames_per_second)
    text, out = json.dumps(record, sort_keys=True), io.BytesIO()
    if suffix == ".glb":
        return result.to_glb({KEY: text})
    if suffix == ".html":
        begin, end = PAGE_RECORD
        # "</script>" would end the element that the record lies in, and "<!--<script>" keep it from ending.
        return result.html.replace(PAGE_PLACE, begin + text.replace("<", "\\u003c") + end).encode()
    if suffix == ".png":
        info = PngImagePlugin.PngInfo()
        info.add_text(KEY, text)
        Image.fromarray(result).save(out, "PNG", pnginfo=info)
    elif suffix == ".mp4":
        return _mp4(result) + struct.pack(">I4s", 24 + len(text.encode()), b"uuid") + BOX + text.encode()
    else:
        images = [Image.fromarray(frame) for frame in result.frames]
        how = {"save_all": True, "append_images": images[1:], "loop": 0}
        if suffix == ".gif":
            how |= {"duration": _gif_durations(result), "comment": text.encode()}
        else:
            exif = Image.Exif()
            exif[EXIF_DESCRIPTION] = text
            how |= {"duration": round(1000 / result.frames_per_second), "quality": 90, "exif": exif.tobytes()}
        images[0].save(out, suffix[1:].upper(), **how)
    return out.getvalue()


def check_film(suffix: str, width: int, height: int, frames_per_second: int) -> None:
    """See that a format, that of an ending, holds such a film.

    Args:
        width, height: pixels of a frame.

    Raises:
        InputError: its frames are too large, or too many a second.
    """
    if max(height, width) > (most := MOST_SIDE.get(suffix, math.inf)):
        raise InputError(
            f"frames of {width} x {height} pixels are too large for {suffix}, whose sides have {most:,} "
            "at most: ask for fewer looks"
        )
    if frames_per_second > (most := MOST_FPS.get(suffix, math.inf)):
        raise InputError(
            f"{frames_per_second} frames a second are too many for {suffix}, which holds {most}: ask for fewer, "
            "or name a .webp or .mp4 file"
        )


def _gif_durations(film: Film) -> list[int]:
    """Milliseconds that each frame of a GIF is shown: a film is as long as it should be, to half a unit."""
    units = 1000 / GIF_UNIT / film.frames_per_second
    ends = [round(units * number) for number in range(len(film.frames) + 1)]
    return [GIF_UNIT * (end - begin) for begin, end in zip(ends, ends[1:])]


def _mp4(film: Film) -> bytes:
    """A film as VP9 in MP4, by OpenCV: its library holds no encoder of H.264."""
    import cv2

    height, width = (side + side % 2 for side in film.frames.shape[1:3])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "film.mp4")
        code = cv2.VideoWriter_fourcc(*"vp09")
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, film.frames_per_second, (width, height))
        if not writer.isOpened():
            raise InputError(
                "OpenCV writes no MP4 here: pip install opencv-python, or name a .webp or .gif file"
            )
        for frame in film.frames:
            padded = np.pad(
                frame, ((0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0)), "edge"
            )
            writer.write(np.ascontiguousarray(padded[..., ::-1]))
        writer.release()
        # OpenCV says nothing of a disk that is full.
        if (kept := _count_frames(path)) != len(film.frames):
            raise InputError(
                f"only {kept} of {len(film.frames)} frames could be written below {tempfile.gettempdir()}: is that "
                "disk full? TMPDIR names another folder"
            )
        return path.read_bytes()


def _count_frames(path: Path) -> int:
    import cv2

    reader = cv2.VideoCapture(str(path))
    try:
        return max(0, int(reader.get(cv2.CAP_PROP_FRAME_COUNT))) if reader.isOpened() else 0
    finally:
        reader.release()


def read_record(path: str | Path) -> dict:
    """The record in a file.

    Raises:
        MissingInput: it is not there.
        InputError: it holds none.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInput(f"no file {path}")
    content = path.read_bytes()
    try:
        record = json.loads(_record_text(content, path.suffix.lower()))
    except Exception as error:  # Readers raise anything at what is none of their files.
        raise InputError(
            f"{path} holds no record of how it was made: only files of `sofgan` commands do"
        ) from error
    if not isinstance(record, dict) or not all(
        isinstance(record.get(name), kind) for name, kind in PARTS.items()
    ):
        raise InputError(f"the record in {path} has no {', '.join(PARTS)}: no `sofgan` command made it")
    return record


def _record_text(content: bytes, suffix: str) -> str:
    if suffix == ".mp4":
        return content[content.rindex(b"uuid" + BOX) + 20 :].decode()
    if suffix == ".glb":
        length = struct.unpack("<I", content[12:16])[0]
        return json.loads(content[20 : 20 + length])["scenes"][0]["extras"][KEY]
    if suffix == ".html":
        begin, end = PAGE_RECORD
        text = content.decode()
        start = text.index(begin) + len(begin)
        return text[start : text.index(end, start)]
    with Image.open(io.BytesIO(content)) as image:
        if suffix == ".gif":
            return image.info["comment"].decode()
        return image.getexif()[EXIF_DESCRIPTION] if suffix == ".webp" else image.info[KEY]


def record_of(verb: str, arguments: dict, engine: Engine, digests: Mapping[str, str] | None = None) -> dict:
    """Record of how a result is made: version and commit, the verb and what it was asked for, the sha256 of the models
    (the engine's, where no `digests` are given), the camera."""
    digests = engine.digests if digests is None else digests
    made_by = {"verb": verb, "arguments": arguments, "models": dict(digests)}
    return version() | made_by | {"camera": engine.framing.to_mapping()}


def version() -> dict[str, str]:
    """Version of this package, and the commit where it is a checkout; "-dirty" where the package itself was changed
    since: pictures that are written into the checkout change nothing of what makes them."""
    root, commit = Path(__file__).resolve().parents[2], ""
    # git looks upward: for a package within the folder of a project it would tell of that.
    if (top := _git(root, "rev-parse", "--show-toplevel")) and Path(top).resolve() == root:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        if _git(root, "diff", "--name-only", "HEAD", "--", Path(__file__).parents[1].name):
            commit += "-dirty"
    return {"version": metadata.version("sofgan-pipeline"), "commit": commit or "unknown"}


def _git(folder: Path, *words: str) -> str:
    """What git tells in a folder; nothing where it fails or isn't there."""
    try:
        told = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.strip() if told.returncode == 0 else ""
