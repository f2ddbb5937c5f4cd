"""`sofgan mesh`: a head as a GLB file."""

import argparse
from functools import partial

from sofgan.apps.engine import Engine
from sofgan.apps.mesh import HeadMesh, extract_mesh
from sofgan.apps.painted_mesh import painted_mesh
from sofgan.apps.results import MESHES
from sofgan.commands import common, kinds
from sofgan.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    common.add_head(parser)
    parser.add_argument("--textured", action="store_true", help="vertices have the colors of painted views")
    parser.add_argument("--look", type=kinds.whole, default=0, help="seed of the look, where it is textured")
    parser.add_argument(
        "--cells", type=kinds.cells, default=128, help="along a side, where it is not textured"
    )
    common.add_psi(parser)
    common.add_models(parser, "head.glb")


def make(engine: Engine, arguments: argparse.Namespace, progress: Progress) -> HeadMesh:
    """The mesh."""
    code = engine.head(arguments.head, arguments.head_psi)
    if arguments.textured:
        return painted_mesh(engine, code, engine.look(arguments.look, arguments.psi), progress)
    return extract_mesh(engine.sof, engine.prepared(code), arguments.cells)


run = partial(common.finish, make, MESHES)
