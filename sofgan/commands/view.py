"""`sofgan view`: a page on this machine in which heads are turned and restyled."""

import argparse
import os
import sys
import threading
from importlib.util import find_spec
from reprlib import repr as short_repr

from sofgan.apps.engine import Engine
from sofgan.apps.results import Result
from sofgan.commands import common, kinds
from sofgan.errors import InputError
from sofgan.progress import Progress
from sofgan.viewer.exports import LARGEST, MAKERS
from sofgan.viewer.scene import Scene, is_view

# viser wants an older trimesh than the one that reads scans, of which it needs nothing here.
INSTALL = "pip install --constraint constraints.txt --no-deps viser"


RECORDED = {"scene": {}, "kind": "picture", "size": LARGEST, "views": []}  # beside its arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on: this machine alone (127.0.0.1)"
    )
    parser.add_argument("--port", type=kinds.count, default=8080)
    common.add_models(parser)


def make(engine: Engine, arguments: argparse.Namespace, progress: Progress) -> Result:
    """What a visitor saved, for `sofgan replay`: the picture, film or mesh of a scene.

    Raises:
        InputError: it shows a head that was fitted to a photo, or no viewer of this version has made it.
    """
    scene = Scene.of(arguments.scene)
    if arguments.kind not in tuple(MAKERS):
        raise InputError(f"the viewer saves {', '.join(MAKERS)}, not {short_repr(arguments.kind)}")
    size, views = arguments.size, arguments.views
    if type(size) is not int or not 1 <= size <= LARGEST:
        raise InputError(f"maps of the viewer have sides of 1 to {LARGEST} pixels, not {short_repr(size)}")
    if not isinstance(views, list) or not all(map(is_view, views)):
        raise InputError("views for a film are yaw, pitch and zoom of each")
    if scene.photo or scene.photo_look:
        raise InputError(
            "it shows a head that was fitted to a photo, which no file of it holds: `sofgan photo` does that"
        )
    return MAKERS[arguments.kind](engine, scene, size, progress, views)


def run(arguments: argparse.Namespace) -> None:
    """Serve until the process is interrupted.

    Raises:
        InputError: viser is not installed, or the port can't be had.
    """
    if find_spec("viser") is None:
        raise InputError(f"the viewer needs the package viser: {INSTALL}")
    from sofgan.viewer.server import Viewer

    engine = common.engine_of(arguments)
    viewer = None
    try:  # Whoever reads that line may interrupt at once.
        viewer = Viewer(engine, arguments.host, arguments.port)
        print(f"{viewer.url}   (Ctrl+C ends it)", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        if viewer:
            viewer.stop(wait=False)
        sys.stdout.flush()
        # The first quick view may still be compiled, for seconds, which shutting down would wait for.
        os._exit(0)
