"""Pairs of embedded avatars that differ by their hair alone: label views of both, made once and kept."""

import hashlib
import json
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.harness import CACHE, block, tell
from sofgan.avatars import hair
from sofgan.avatars.model import AvatarModel
from sofgan.avatars.parts import Avatar
from sofgan.cameras import Camera
from sofgan.config import to_mapping
from sofgan.errors import InputError
from sofgan.files import atomic_path, write_npz
from sofgan.rendering.process_renderer import process_renderer
from sofgan.rendering.renderer import label_map
from sofgan.scans.head_space import to_head_space
from sofgan.scans.mesh_ops import clip_to_ball
from sofgan.seeds import numpy_generator

SEED = 0  # of the avatars, as in params.yaml
SHORT, LONG = ("bald", "cropped", "short"), ("bob", "long")
WORN = ("hat", "earrings", "necklace")  # what hair hides, or is drawn after it


@dataclass(frozen=True)
class HairPair:
    """Label views of an avatar, and of the same one with longer hair, from the same cameras.

    Attributes:
        name: of the avatar, as the field has it ("avatars-000/avatar_0001").
        style: of the longer hair.
        short, long: (V, S, S) uint8.
    """

    name: str
    style: str
    short: np.ndarray
    long: np.ndarray


def hair_pairs(names: Sequence[str], cameras: Camera, count: int) -> list[HairPair]:
    """Pairs of the first avatars of those names that can be lengthened: short hair, neither hat nor jewelry.

    Every other one gets a bob, the others long hair.

    Args:
        names: "batch/avatar_0001", as `make_avatars` makes them.
        cameras: (V,) of arrays, in the head space of the short-haired one.
        count: pairs at most.
    """
    text = json.dumps([SEED, list(names), count, to_mapping(block("ingest_scans")), cameras.size])
    key = hashlib.sha256(text.encode() + cameras.cam2world.tobytes() + cameras.intrinsics.tobytes())
    folder = CACHE / f"hair-{key.hexdigest()[:12]}"
    if not folder.is_dir():
        tell(f"making {count} pairs of avatars and their views, once")
        # In a process of its own: torch's optimisers crash where Mesa's OpenGL was loaded before.
        maker = multiprocessing.get_context("spawn").Process(
            target=_make, args=(folder, list(names), cameras, count)
        )
        maker.start()
        maker.join()
        if maker.exitcode:
            raise InputError("making the pairs failed; its traceback is above")
    found = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            found.append(HairPair(str(arrays["name"]), str(arrays["style"]), arrays["short"], arrays["long"]))
    return found


def _make(folder: Path, names: Sequence[str], cameras: Camera, count: int) -> None:
    model, made = AvatarModel.load(), 0
    with atomic_path(folder) as work:
        work.mkdir(parents=True)
        for name in names:
            if made == count:
                break
            short = _build(model, name)
            if short.parameters["hair"] not in SHORT or any(one in short.parameters for one in WORN):
                continue
            style = LONG[made % len(LONG)]
            long = _build(model, name, style)
            if any(one in long.parameters for one in WORN):  # Draws after the hair are others.
                continue
            views = _views(short, long, cameras)
            write_npz(work / f"{made:03d}.npz", name=name, style=style, short=views[0], long=views[1])
            made += 1


def _build(model: AvatarModel, name: str, style: str = "") -> Avatar:
    """The avatar of a name, with hair of another style where one is given."""
    batch, _, scan = name.rpartition("/")
    generator = numpy_generator(SEED, batch, scan)
    if not style:
        return model.build(scan, generator)
    plain = hair.grow

    def grow(drawn, head, male, age, draws):
        plain(drawn, head, male, age, draws)  # Draws what it draws, so that those that follow stay the same.
        return plain(style, head, male, age, numpy_generator(SEED, batch, scan, style))

    with mock.patch.object(hair, "grow", grow):
        return model.build(scan, generator)


def _views(short: Avatar, long: Avatar, cameras: Camera) -> list[np.ndarray]:
    """Label views (V, S, S) of both in the head space of the first."""
    renderer, radius = process_renderer(), block("ingest_scans").head_radius
    vertices, faces, classes, raw_to_head = to_head_space(*_joined(short), np.eye(3), None, radius)
    other, other_faces, other_classes = _joined(long)
    moved = other @ raw_to_head[:3, :3].T + raw_to_head[:3, 3]
    moved, other_faces, origin = clip_to_ball(moved, other_faces, 1.0)
    made = []
    for mesh in ((vertices, faces, classes), (moved, other_faces, other_classes[origin])):
        renderer.load(*mesh[:2])
        made.append(np.stack([label_map(renderer.render(camera), mesh[2]) for camera in cameras]))
    return made


def _joined(avatar: Avatar) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3), faces (F, 3) and classes (F,) of all parts."""
    offsets = np.cumsum([0, *(len(part.vertices) for part in avatar.parts)])
    vertices = np.concatenate([part.vertices for part in avatar.parts]).astype(np.float64)
    faces = np.concatenate([part.faces + offset for part, offset in zip(avatar.parts, offsets)])
    return vertices, faces, np.concatenate([part.face_labels for part in avatar.parts]).astype(np.uint8)
