"""Label views a second: our renderer against stock pyrender's segmentation render of the same scans.

Both draw the same heads from the same cameras in one process with one thread, in turns, a head each. Stock pyrender
gets one node a class and a kept renderer, its fastest use. Run from the project's root:

    python -m benchmarks.render_views [--check]

Limits: ours is 1.3 times as fast, in CPU seconds of all heads, and the two disagree in 1 of 200 pixels at most (edges:
stock pyrender blends four samples a pixel there).
"""

import argparse
import os
import sys
import time

import numpy as np

from benchmarks import harness
from sofgan import cameras, labels
from sofgan.avatars.model import AvatarModel
from sofgan.cameras import Camera
from sofgan.rendering.process_renderer import process_renderer
from sofgan.rendering.renderer import label_map
from sofgan.seeds import numpy_generator

LEAST_RATIO, MOST_DIFFERENT = 1.3, 1 / 200


def _heads(count: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    model = AvatarModel.load()
    heads = []
    for index in range(count):
        parts = model.build(f"benchmark-{index}", numpy_generator(0, "benchmark", index)).parts
        offsets = np.cumsum([0] + [len(part.vertices) for part in parts])
        vertices = np.concatenate([part.vertices for part in parts])
        vertices = (vertices - (vertices.min(0) + vertices.max(0)) / 2) / np.ptp(vertices, axis=0).max() * 1.8
        faces = np.concatenate([part.faces + offset for part, offset in zip(parts, offsets)])
        heads.append((vertices, faces, np.concatenate([part.face_labels for part in parts])))
    return heads


def _ours(renderer, head, around: Camera) -> list[np.ndarray]:
    vertices, faces, face_labels = head
    renderer.load(vertices, faces)
    maps = []
    for camera in around:
        visible = renderer.render(camera)
        renderer.last_depth()
        maps.append(label_map(visible, face_labels))
    return maps


def _stock(renderer, head, around: Camera) -> list[np.ndarray]:
    import pyrender

    vertices, faces, face_labels = head
    intrinsics, size = around.intrinsics, around.size
    camera = pyrender.IntrinsicsCamera(
        intrinsics[0, 0] * size, intrinsics[1, 1] * size, size / 2, size / 2, znear=0.05, zfar=100.0
    )
    flags = pyrender.RenderFlags.SEG | pyrender.RenderFlags.SKIP_CULL_FACES
    scene, colors = pyrender.Scene(), {}
    # Both windings, as its segmentation pass culls back faces whatever the flags say.
    both, both_labels = np.concatenate([faces, faces[:, ::-1]]), np.tile(face_labels, 2)
    for label in np.unique(face_labels):
        chosen = both[both_labels == label]
        primitive = pyrender.Primitive(positions=vertices, indices=chosen)
        colors[scene.add(pyrender.Mesh([primitive]))] = int(label)
    node, maps = scene.add(camera), []
    for pose in around.cam2world:
        scene.set_pose(node, cameras.to_opengl(pose))
        color, _ = renderer.render(scene, flags, colors)
        maps.append(color[..., 0])
    return maps


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__)
    found.add_argument("--heads", type=int, default=4)
    found.add_argument("--views", type=int, default=20)
    found.add_argument("--size", type=int, default=512, help="pixels")
    return found


def main(arguments) -> list[bool]:
    os.environ.setdefault("LP_NUM_THREADS", "1")  # of Mesa, read when it first draws
    generator = numpy_generator(0, "benchmark cameras")
    yaw, pitch = generator.uniform(-0.8, 0.8, arguments.views), generator.uniform(-0.3, 0.4, arguments.views)
    size = arguments.size
    around = Camera(cameras.orbit(yaw, pitch, 4.0), cameras.intrinsics_from_fov(29.0), size)
    heads, ours, stock = _heads(arguments.heads), [], []
    renderer = process_renderer()
    import pyrender  # only now is it known which OpenGL it shall load

    kept = pyrender.OffscreenRenderer(size, size)
    # Shaders are compiled once.
    _ours(renderer, heads[0], around[:2])
    _stock(kept, heads[0], around[:2])
    ways = {
        "ours": lambda number: ours.extend(_ours(renderer, heads[number], around)),
        "stock pyrender": lambda number: stock.extend(_stock(kept, heads[number], around)),
    }
    seconds = harness.turns(ways, len(heads), time.process_time)
    strangers = sum(int((image >= labels.NUM_CLASSES).sum()) for image in stock)
    print(f"{len(ours)} views of {size}x{size}, {len(heads[0][1])} faces; CPU seconds, with depth")
    for name, values in seconds.items():
        print(f"{name:15}{len(ours) / sum(values):7.1f} views/s")
    print(f"{strangers} pixels of stock pyrender's that are no class id")
    different = np.mean([np.mean(a != b) for a, b in zip(ours, stock)])
    ratio = sum(seconds["stock pyrender"]) / sum(seconds["ours"])
    return [
        harness.verdict("share of pixels that differ", different, at_most=MOST_DIFFERENT),
        harness.verdict("ours by stock pyrender", ratio, at_least=LEAST_RATIO),
    ]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
