"""Label views a second: our renderer against stock pyrender's segmentation render of the same scans.

Both draw the same heads from the same cameras in one process with one thread. Stock pyrender gets one node a
class and a kept renderer, its fastest use. Run from the project's root:

    python -m benchmarks.render_views [--check]

The last line is the ratio; with `--check` the exit status is 1 where it is below 1.3 or where the two disagree
in more than 1 in 200 pixels (edges: stock pyrender blends four samples a pixel there).
"""

import argparse
import os
import sys
import time

os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
os.environ.setdefault("LP_NUM_THREADS", "1")

import numpy as np
import pyrender

from sofgan import cameras, labels
from sofgan.avatars.model import AvatarModel
from sofgan.errors import in_a_sentence
from sofgan.rendering.process_renderer import process_renderer
from sofgan.rendering.renderer import label_map
from sofgan.seeds import numpy_generator

REQUIRED_RATIO, ALLOWED_DIFFERENCE = 1.3, 1 / 200


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


def _ours(heads, around: cameras.Camera) -> tuple[list[np.ndarray], float]:
    renderer = process_renderer()
    maps = []
    start = time.process_time()
    for vertices, faces, face_labels in heads:
        renderer.load(vertices, faces)
        for camera in around:
            visible = renderer.render(camera)
            renderer.last_depth()
            maps.append(label_map(visible, face_labels))
    return maps, time.process_time() - start


def _stock(renderer, heads, around: cameras.Camera) -> tuple[list[np.ndarray], float]:
    intrinsics, size = around.intrinsics, around.size
    camera = pyrender.IntrinsicsCamera(
        intrinsics[0, 0] * size, intrinsics[1, 1] * size, size / 2, size / 2, znear=0.05, zfar=100.0
    )
    flags = pyrender.RenderFlags.SEG | pyrender.RenderFlags.SKIP_CULL_FACES
    maps = []
    start = time.process_time()
    for vertices, faces, face_labels in heads:
        scene, colors = pyrender.Scene(), {}
        # Both windings, as its segmentation pass culls back faces whatever the flags say.
        both, both_labels = np.concatenate([faces, faces[:, ::-1]]), np.tile(face_labels, 2)
        for label in np.unique(face_labels):
            chosen = both[both_labels == label]
            primitive = pyrender.Primitive(positions=vertices, indices=chosen)
            colors[scene.add(pyrender.Mesh([primitive]))] = int(label)
        node = scene.add(camera)
        for pose in around.cam2world:
            scene.set_pose(node, cameras.to_opengl(pose))
            color, _ = renderer.render(scene, flags, colors)
            maps.append(color[..., 0])
    return maps, time.process_time() - start


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="exit 1 where the target is missed")
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--views", type=int, default=20)
    parser.add_argument("--size", type=int, default=512, help="pixels")
    arguments = parser.parse_args()
    generator = numpy_generator(0, "benchmark cameras")
    yaw, pitch = generator.uniform(-0.8, 0.8, arguments.views), generator.uniform(-0.3, 0.4, arguments.views)
    around = cameras.Camera(cameras.orbit(yaw, pitch, 4.0), cameras.intrinsics_from_fov(29.0), arguments.size)
    heads = _heads(arguments.heads)
    _ours(heads[:1], around[:2])  # Shaders are compiled once.
    kept = pyrender.OffscreenRenderer(arguments.size, arguments.size)
    _stock(kept, heads[:1], around[:2])
    ours, our_time = _ours(heads, around)
    stock, stock_time = _stock(kept, heads, around)
    views = len(ours)
    difference = np.mean([np.mean(a != b) for a, b in zip(ours, stock)])
    strangers = sum(int((image >= labels.NUM_CLASSES).sum()) for image in stock)
    print(
        f"{views} views of {arguments.size}x{arguments.size}, {len(heads[0][1])} faces; CPU seconds, with depth"
    )
    print(f"ours           {views / our_time:7.1f} views/s")
    print(f"stock pyrender {views / stock_time:7.1f} views/s, {strangers} pixels that are no class id")
    print(f"differing pixels {difference:.5f}")
    print(f"ratio {stock_time / our_time:.2f}")
    missed = stock_time / our_time < REQUIRED_RATIO or difference > ALLOWED_DIFFERENCE
    return int(arguments.check and missed)


if __name__ == "__main__":
    sys.exit(in_a_sentence(main))
