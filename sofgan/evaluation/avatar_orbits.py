"""The floor of the warp error: orbits of avatars, whose texture is fixed to them because it is painted on.

A style of a portrait painter decides what colours skin, hair and clothes have, and the light. So in place of styles an
avatar gets the colours of other people, class by class, and other light, while its shape, its pattern of light and dark
within a class, and the cameras stay: the difference between two of these stands for that between two styles.

Light is fixed to the head, as it is in the portraits that `make_portraits` takes: there a camera goes around a still
person. So what differs between two warped views is what is left of a perfect painter's error: reflections that move
with the camera (skin and hair have some), and the blur of interpolation. Exposure is that of the frontal view all
around, and there is no grain, which a painter would be free to leave out.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np
import torch

from sofgan import cameras, labels
from sofgan.cameras import Camera
from sofgan.evaluation.view_consistency import Orbit, measure_orbit
from sofgan.images import to_linear, to_srgb
from sofgan.parallel import Mapper, map_in_processes
from sofgan.rendering.process_renderer import process_renderer
from sofgan.seeds import numpy_generator
from sofgan.warping import depth_of_pixels

SUPERSAMPLING = 2  # pictures are shaded so many times finer, as those of `make_portraits`, then averaged
LIGHT_DIRECTIONS = 20
BACKGROUND = 0.2  # linear brightness, which borders of the head are blended with; none of it is compared
FACTORS = (0.02, 50.0)  # by which a class's colour is changed, at least and at most
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def measure_avatars(
    avatars: int,
    styles: int,
    yaws_degrees: Sequence[float],
    fov_degrees: float,
    size: int,
    seed: int,
    workers: int | Mapper = 1,
) -> np.ndarray:
    """Differences (avatars, gaps, 2) along orbits of avatars, as `measure_heads` has them of painted heads.

    Args:
        styles: sets of colours and light that each avatar is seen in.
        fov_degrees: of the cameras, which are as far away as a crop like FFHQ's asks for.
        size: of the pictures, pixels.
        workers: as of `map_in_processes`.

    Raises:
        GLFailure: nothing can be drawn on this machine.
    """
    given = {"styles": styles, "yaws_degrees": tuple(yaws_degrees), "fov_degrees": fov_degrees}
    task = partial(_measure, **given, size=size, seed=seed)
    return np.stack(list(map_in_processes(task, range(avatars), workers)))


def _measure(avatar: int, **given) -> np.ndarray:
    return measure_orbit(*avatar_orbit(avatar, **given))


def avatar_orbit(
    avatar: int, styles: int, yaws_degrees: Sequence[float], fov_degrees: float, size: int, seed: int
) -> tuple[torch.Tensor, Orbit]:
    """Pictures (V, K, 3, R, R) in [-1, 1] of an avatar, and its orbit.

    Args:
        avatar: its number, by which it is drawn; others as of `measure_avatars`.
    """
    head = _head(f"orbit-{avatar}", numpy_generator(seed, "evaluate", "orbit avatar", avatar))
    orbit, triangles, views = draw_orbit(head, yaws_degrees, fov_degrees, size)
    images = []
    for style in range(styles):
        name = f"orbit-{avatar}-{style}"
        generator = numpy_generator(seed, "evaluate", "orbit colors", avatar, style)
        colors = class_colors(_parts(name, generator))
        images.append(photograph(recolored(head, colors), triangles, views, generator))
    return torch.from_numpy(np.stack(images, 1)), orbit


@cache
def _avatar_model():
    from sofgan.avatars.model import AvatarModel

    return AvatarModel.load()


def _parts(name: str, generator: np.random.Generator) -> tuple:
    """Parts of a new person that are not clear."""
    parts = _avatar_model().build(name, generator).parts
    return tuple(part for part in parts if part.opacity >= 0.5)


def _head(name: str, generator: np.random.Generator):
    """A new person's head, ready to be shaded and loaded in this process's renderer."""
    from sofgan.avatars.shading import make_head, sphere_directions

    return make_head(_parts(name, generator), process_renderer(), sphere_directions(LIGHT_DIRECTIONS))


def class_colors(parts: Sequence) -> dict[int, np.ndarray]:
    """Mean colours (3,), linear, of the classes that occur on a person's parts."""
    sums: dict[int, np.ndarray] = {}
    for part in parts:
        albedo = to_linear(part.vertex_colors / 255.0)
        for label, vertices in _vertices_by_class(part.faces, part.face_labels).items():
            total = np.append(albedo[vertices].sum(0), len(vertices))
            sums[label] = sums.get(label, 0) + total
    return {label: total[:3] / total[3] for label, total in sums.items()}


def _vertices_by_class(faces: np.ndarray, face_labels: np.ndarray) -> dict[int, np.ndarray]:
    return {int(label): np.unique(faces[face_labels == label]) for label in np.unique(face_labels)}


def recolored(head, colors: dict[int, np.ndarray]):
    """A head (`sofgan.avatars.shading.Head`) whose classes have these mean colours; what varies within one stays."""
    factors, count = np.zeros_like(head.albedo), np.zeros((len(head.albedo), 1))
    for label, vertices in _vertices_by_class(head.faces, head.face_labels).items():
        own = head.albedo[vertices].mean(0)
        factors[vertices] += np.clip(colors.get(label, own) / np.maximum(own, 1e-4), *FACTORS)
        count[vertices] += 1
    # A vertex at the border of two classes has the mean of their changes.
    albedo = head.albedo * np.where(count > 0, factors / np.maximum(count, 1), 1.0)
    return replace(head, albedo=albedo.clip(0, 1))


def orbit_views(head, yaws_degrees: Sequence[float], fov_degrees: float, size: int) -> Camera:
    """Cameras, of float64 arrays, around a face in the middle of pictures that are cropped as FFHQ's: four eye
    distances wide, or 3.6 eye-mouth distances."""
    eyes, lips = (
        head.vertices[np.unique(head.faces[np.isin(head.face_labels, classes)])]
        for classes in ((labels.EYE,), (labels.U_LIP, labels.L_LIP))
    )
    left, right = (eyes[side].mean(0) for side in (eyes[:, 0] > 0, eyes[:, 0] <= 0))
    middle = (left + right) / 2
    to_mouth = (lips.min(0) + lips.max(0)) / 2 - middle
    width = max(4 * np.linalg.norm(left - right), 3.6 * np.linalg.norm(to_mouth))
    target = middle + 0.1 * to_mouth
    target[[0, 2]] = 0.0  # The axis of the orbit goes through the head, as that of the field's heads.
    distance = middle[2] + width / 2 / np.tan(np.radians(fov_degrees) / 2)
    yaws = np.radians(np.asarray(yaws_degrees, np.float64))
    poses = cameras.orbit(yaws, np.zeros_like(yaws), distance, target)
    return Camera(poses, cameras.intrinsics_from_fov(fov_degrees), size)


def draw_orbit(head, yaws_degrees: Sequence[float], fov_degrees: float, size: int):
    """What an orbit sees of a head that is loaded in this process's renderer.

    Returns:
        orbit: as of a field's head, with label maps of the pictures' pixels times `SUPERSAMPLING`.
        triangles: (V, S, S) int32 numbers of the triangles that these pixels show.
        views: their cameras, of float64 arrays.
    """
    from sofgan.rendering.renderer import label_map

    views = orbit_views(head, yaws_degrees, fov_degrees, size * SUPERSAMPLING)
    triangles, depth = [], []
    for view in views:
        triangles.append(process_renderer().render(view))
        depth.append(process_renderer().last_depth())
    cam2world, intrinsics = (
        torch.from_numpy(np.asarray(array, np.float32)) for array in (views.cam2world, views.intrinsics)
    )
    orbit = Orbit(
        np.stack([label_map(seen, head.face_labels) for seen in triangles]),
        depth_of_pixels(torch.from_numpy(np.stack(depth)), intrinsics, size),
        Camera(cam2world, intrinsics, size),
        tuple(yaws_degrees),
    )
    return orbit, np.stack(triangles), views


def photograph(head, triangles: np.ndarray, views: Camera, generator: np.random.Generator) -> np.ndarray:
    """Pictures (V, 3, R, R) float32 in [-1, 1] of a head in light that stays with it.

    Args:
        head: a `sofgan.avatars.shading.Head`.
        triangles, views: of `draw_orbit`.
        generator: draws the light.
    """
    from sofgan.avatars.lighting import draw_lighting
    from sofgan.avatars.shading import shade

    lighting = draw_lighting(generator)
    shaded = np.stack([shade(head, seen, view, lighting) for seen, view in zip(triangles, views)])
    front = np.abs(views.cam2world[:, 0, 3]).argmin()
    covered = triangles[front] >= 0
    brightness = (shaded[front][covered] @ _LUMINANCE).mean() if covered.any() else 1.0
    gain = np.clip((0.22 / max(brightness, 1e-3)) ** 0.45, 0.5, 2.5)  # as `make_portraits` exposes
    shaded[triangles < 0] = BACKGROUND
    count, size = len(shaded), triangles.shape[1] // SUPERSAMPLING
    fine = shaded.reshape(count, size, SUPERSAMPLING, size, SUPERSAMPLING, 3)
    pictures = to_srgb(fine.mean((2, 4)) * gain) * 2 - 1
    return np.moveaxis(pictures, -1, 1).astype(np.float32)
