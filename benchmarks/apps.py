"""How soon a head follows the camera: frames a second of its map and of its picture along an orbit.

    python -m benchmarks.apps [--models models] [--size 128] [--frames 24] [--check]

`anew` makes each frame out of the head's code and the style's, with nothing kept: planes, where the head is solid,
the view, the style, the picture. `kept` is the engine's exact view, `quick` its view from a baked grid; what they
keep is made before, and its seconds are printed. All take turns; a figure is of the fastest of the rounds. The ratio
that has a limit is that of quick maps, and beside it that of pictures is printed.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks import harness
from sofgan import runtime
from sofgan.apps.camera_paths import orbit
from sofgan.apps.engine import Engine
from sofgan.seeds import torch_generator
from sofgan.siw.condition_views import draw_view
from sofgan.siw.model import to_uint8

ROUNDS = 3
LEAST_MAPS, LEAST_PICTURES, LEAST_RATIO = 10.0, 4.0, 8.0  # frames a second; times as fast as anew


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=2)
    found.add_argument("--models", type=Path, default=Path("models"))
    found.add_argument("--size", type=int, default=128, help="pixels of the maps")
    found.add_argument("--frames", type=int, default=24)
    return found


def main(arguments) -> list[bool]:
    engine = Engine.load(arguments.models)
    angles = orbit(arguments.frames, 40.0, 8.0)
    cameras = [engine.camera(angle.yaw, angle.pitch, arguments.size) for angle in angles]
    code, look = engine.head(0), engine.look(0)
    sof, siw = engine.sof, engine.siw

    def map_anew(camera):
        return draw_view(sof, code, camera)[0]

    def picture_anew(camera):
        w = siw.map_styles(siw.sample_z(1, torch_generator(0, "apps", "look")))
        return to_uint8(siw.paint(map_anew(camera)[None], w))[0]

    frames = {
        "map anew": map_anew,
        "map kept": lambda camera: engine.view(code, camera).labels,
        "map quick": lambda camera: engine.quick_view(code, camera).labels,
        "picture anew": picture_anew,
        "picture kept": lambda camera: engine.picture(code, look, camera),
        "picture quick": lambda camera: engine.paint(engine.quick_view(code, camera).labels, look),
    }
    clock = harness.clock(arguments)
    for name in frames:
        began = clock()
        frames[name](cameras[0])
        print(f"first {name}: {clock() - began:.3f} s")
    alike = np.mean([(frames["map quick"](c) == frames["map kept"](c)).mean() for c in cameras])
    print(f"pixels of quick maps that are as of exact ones: {alike:.4f}")
    works = {
        name: lambda number, one=one: list(runtime.map_pieces(one, cameras)) for name, one in frames.items()
    }
    seconds = harness.turns(works, ROUNDS, clock)
    rate = {name: len(cameras) / min(values) for name, values in seconds.items()}
    for name, value in rate.items():
        print(f"{name}: {value:.1f} frames/s, {value / rate[name.split()[0] + ' anew']:.2f} times anew")
    return [
        harness.verdict("maps a second, quick", rate["map quick"], at_least=LEAST_MAPS),
        harness.verdict("pictures a second, kept", rate["picture kept"], at_least=LEAST_PICTURES),
        harness.verdict(
            "quick maps by maps anew", rate["map quick"] / rate["map anew"], at_least=LEAST_RATIO
        ),
    ]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
