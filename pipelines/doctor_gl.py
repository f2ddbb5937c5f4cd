"""Does this machine draw labels exactly? A cube with a number on each side, seen from six sides.

Run as a process of its own (`python -m pipelines.doctor_gl`): a broken GL driver may end it without a word.
"""

import numpy as np

from sofgan import cameras
from sofgan.rendering.gl_platform import GLFailure
from sofgan.rendering.renderer import MeshRenderer

FIX = " -> "  # between what is wrong and what mends it
HALF, RADIUS, FOV_DEGREES, SIZE = 0.5, 4.0, 28.0, 101
# Corner numbers are x + 2 y + 4 z; a side is two triangles. Each is seen from the (yaw, pitch) beside it.
SIDES = [
    ((4, 5, 7, 6), (0, 0)),
    ((1, 0, 2, 3), (180, 0)),
    ((5, 1, 3, 7), (90, 0)),
    ((0, 4, 6, 2), (-90, 0)),
    ((6, 7, 3, 2), (0, 90)),
    ((0, 1, 5, 4), (0, -90)),
]


def main() -> None:
    """Compare each view with the square that geometry tells, pixel for pixel."""
    corners = np.array([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)], np.float32) * HALF
    triangles = np.array([t for (a, b, c, d), _ in SIDES for t in ((a, b, c), (a, c, d))], np.int32)
    intrinsics = cameras.intrinsics_from_fov(FOV_DEGREES)
    half_px = intrinsics[0, 0] * HALF / (RADIUS - HALF) * SIZE
    centres = np.abs(np.arange(SIZE) + 0.5 - SIZE / 2) < half_px
    inside = centres[:, None] & centres[None, :]
    renderer = MeshRenderer(SIZE)
    renderer.load(corners, triangles)
    wrong = 0
    for number, (_, (yaw, pitch)) in enumerate(SIDES):
        # A hair off the pole, where "up" would have no direction.
        pitch = np.clip(pitch, -89.999, 89.999)
        cam2world = cameras.orbit(np.radians(yaw), np.radians(pitch), RADIUS)
        camera = cameras.Camera(cam2world, intrinsics, SIZE)
        seen = renderer.render(camera) // 2  # Two triangles a side; -1 // 2 is -1.
        wrong += int((seen != np.where(inside, number, -1)).sum())
    if wrong:
        raise SystemExit(f"{wrong} pixels of the label cube are wrong")
    from OpenGL import GL  # Which by now is loaded.

    print(f"exact: {GL.glGetString(GL.GL_RENDERER).decode()}, {GL.glGetString(GL.GL_VERSION).decode()}")


if __name__ == "__main__":
    try:
        main()
    except GLFailure as failure:
        raise SystemExit(f"{failure.what}{FIX}{failure.fix}") from None
