"""Portrait photos of generated people: one set stands for FFHQ, the other, with masks, for CelebAMask-HQ."""

import os
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from sofgan import cameras, labels
from sofgan.avatars.config import MakePortraits
from sofgan.avatars.parts import Part
from sofgan.cameras import Camera
from sofgan.files import atomic_path
from sofgan.images import sheet, to_srgb
from sofgan.parallel import Mapper, map_in_processes
from sofgan.progress import SILENT, Progress
from sofgan.rendering.process_renderer import process_renderer
from sofgan.rendering.renderer import label_map
from sofgan.seeds import numpy_generator

SETS = ("ffhq", "celebamask")
PEOPLE = "identities.txt"  # who is on which photo, as `import_photos` reads it
_LIGHT_DIRECTIONS = 20
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])

# The 17 classes as CelebAMask-HQ's parts; brows, eyes and ears are told apart by the side of the head.
_PARTS = {
    labels.SKIN: "skin", labels.R_NOSE: "nose", labels.L_NOSE: "nose", labels.EYEGLASS: "eye_g",
    labels.EARRING: "ear_r", labels.MOUTH: "mouth", labels.U_LIP: "u_lip", labels.L_LIP: "l_lip",
    labels.HAIR: "hair", labels.HAT: "hat", labels.NECKLACE: "neck_l", labels.NECK: "neck",
    labels.CLOTH: "cloth",
}  # fmt: skip
_SIDED_PARTS = {labels.BROW: "brow", labels.EYE: "eye", labels.EAR: "ear"}


@dataclass(frozen=True)
class Portrait:
    """One photo and what it shows.

    Attributes:
        photo: (H, W, 3) uint8 sRGB.
        labels: (H, W) uint8 class ids, exact at pixel centres.
        subject_left: (H, W) bool, where the surface lies on the subject's left half (image right, frontally).
        coverage: (H, W) share of each pixel that the subject covers.
    """

    photo: np.ndarray
    labels: np.ndarray
    subject_left: np.ndarray
    coverage: np.ndarray


def make_portraits(
    folder: Path,
    config: MakePortraits,
    seed: int,
    workers: int | Mapper,
    progress: Progress = SILENT,
) -> dict[str, float]:
    """Render both sets of portraits, of people who are in no scan batch and in no more than one set.

    Args:
        folder: receives `ffhq/00000.png ...` and `celebamask/` in CelebAMask-HQ's official layout, each with
            `identities.txt` and whole or not at all; what else lies there stays.
        config: how many and how.
        seed: of the run; the same seed writes the same bytes.
        workers: processes; a result does not depend on how many.
        progress: listener, which gets the count of photos.

    Returns:
        photos and identities of each set, and the share of photos with masks that show each class
        (`has_<class>`).
    """
    counts = {"ffhq": config.ffhq_photos, "celebamask": config.celebamask_photos}
    tasks = [
        (name, first, min(config.photos_per_identity, counts[name] - first))
        for name in SETS
        for first in range(0, counts[name], config.photos_per_identity)
    ]
    present = np.zeros(labels.NUM_CLASSES)
    done = 0
    with atomic_path(folder / SETS[0]) as first, atomic_path(folder / SETS[1]) as second:
        folders = dict(zip(SETS, (first, second)))
        for name, made in folders.items():
            made.mkdir()
            (made / PEOPLE).write_text(_people(tasks, name))
        work = partial(_make_identity, folders=folders, config=config, seed=seed)
        for (name, _, count), shown in zip(tasks, map_in_processes(work, tasks, workers)):
            present += shown if name == "celebamask" else 0
            done += count
            progress.items(done, sum(counts.values()), "photos")
    figures = {}
    for name in SETS:
        figures[f"{name}_photos"] = float(counts[name])
        figures[f"{name}_identities"] = float(sum(task[0] == name for task in tasks))
    masks = max(config.celebamask_photos, 1)
    return figures | {f"has_{name}": float(n / masks) for name, n in zip(labels.NAMES, present)}


def _people(tasks: list[tuple[str, int, int]], name: str) -> str:
    """Lines of a set's photos and the people on them."""
    return "".join(
        f"{photo_name(name, number)} {_identity(name, first)}\n"
        for of, first, count in tasks
        if of == name
        for number in range(first, first + count)
    )


def photo_name(name: str, number: int) -> str:
    """The file name of a photo of a set."""
    return f"{number:05d}.png" if name == "ffhq" else f"{number}.jpg"


def _identity(name: str, first: int) -> str:
    """A person's name, which keeps these people apart from those of the scan batches and of the other set."""
    return f"{name}-{first:05d}"


def _make_identity(
    task: tuple[str, int, int], folders: dict[str, Path], config: MakePortraits, seed: int
) -> np.ndarray:
    """Photos of one person; returns in how many of them each class is seen."""
    from sofgan.avatars.shading import make_head, sphere_directions

    name, first, count = task
    avatar = _avatar_model().build(_identity(name, first), numpy_generator(seed, "portraits", name, first))
    solid = tuple(part for part in avatar.parts if part.opacity >= 0.5)
    panes = tuple(part for part in avatar.parts if part.opacity < 0.5)
    head = make_head(solid, process_renderer(), sphere_directions(_LIGHT_DIRECTIONS))
    present = np.zeros(labels.NUM_CLASSES)
    for number in range(first, first + count):
        portrait = take_portrait(
            head, config, numpy_generator(seed, "portraits", name, "photo", number), panes
        )
        if name == "ffhq":
            Image.fromarray(portrait.photo).save(folders[name] / photo_name(name, number))
        else:
            write_celebamask(folders[name], number, portrait, config.jpeg_quality)
        present += np.bincount(np.unique(portrait.labels), minlength=labels.NUM_CLASSES)
    return present


@cache
def _avatar_model():
    from sofgan.avatars.model import AvatarModel

    return AvatarModel.load()


def take_portrait(
    head, config: MakePortraits, generator: np.random.Generator, panes: tuple[Part, ...] = ()
) -> Portrait:
    """A photo of a head that is loaded in this process's renderer (see `shading.make_head`).

    Args:
        head: a `sofgan.avatars.shading.Head`.
        config: size, camera and supersampling.
        generator: draws camera, light, background and grain.
        panes: clear parts, such as spectacle lenses: seen through in the photo, there in the labels.
    """
    from sofgan.avatars.lighting import draw_background, draw_lighting
    from sofgan.avatars.shading import shade

    size, times = config.size_px, config.supersampling
    camera = draw_camera(head, config, generator)
    lighting = draw_lighting(generator)
    background = draw_background(generator, size)
    fine = process_renderer().render(replace(camera, size=size * times))
    subject = shade(head, fine, camera, lighting)
    coverage = _average((fine >= 0).astype(float)[..., None], times)
    linear = _average(subject, times) + (1 - coverage) * background
    photo = develop(linear, coverage[..., 0], generator)
    if panes:
        seen, face_labels, corner_x = _render_with(panes, head, camera)
    else:
        seen = fine if times == 1 else process_renderer().render(camera)
        face_labels, corner_x = head.face_labels, head.vertices[head.faces][..., 0]
    left = np.append(corner_x.mean(1) > 0, False)[seen]
    return Portrait(photo, label_map(seen, face_labels), left, coverage[..., 0])


def _render_with(panes: tuple[Part, ...], head, camera: Camera):
    """Triangles seen of the head and the panes together, their labels (F,) and corners' x (F, 3).

    Leaves the head alone loaded in this process's renderer, as it was.
    """
    parts = [(head.vertices, head.faces, head.face_labels)]
    parts += [(pane.vertices, pane.faces, pane.face_labels) for pane in panes]
    offsets = np.cumsum([0] + [len(vertices) for vertices, _, _ in parts])
    vertices = np.concatenate([part[0] for part in parts])
    faces = np.concatenate([part[1] + offset for part, offset in zip(parts, offsets)])
    renderer = process_renderer()
    renderer.load(vertices, faces)
    seen = renderer.render(camera)
    renderer.load(head.vertices, head.faces)
    return seen, np.concatenate([part[2] for part in parts]), vertices[faces][..., 0]


def _average(image: np.ndarray, times: int) -> np.ndarray:
    height, width, channels = image.shape
    return image.reshape(height // times, times, width // times, times, channels).mean((1, 3))


def draw_camera(head, config: MakePortraits, generator: np.random.Generator) -> Camera:
    """A camera, of float64 arrays, that frames a face as FFHQ does: a square of four eye distances, or 3.6 eye-mouth
    distances."""
    eyes, lips = (
        head.vertices[np.unique(head.faces[np.isin(head.face_labels, classes)])]
        for classes in ((labels.EYE,), (labels.U_LIP, labels.L_LIP))
    )
    left, right = (eyes[side].mean(0) for side in (eyes[:, 0] > 0, eyes[:, 0] <= 0))
    middle = (left + right) / 2
    to_mouth = (lips.min(0) + lips.max(0)) / 2 - middle
    side = max(4 * np.linalg.norm(left - right), 3.6 * np.linalg.norm(to_mouth))
    side *= generator.normal(1.06, 0.03)
    target = middle + 0.1 * to_mouth + np.append(generator.normal(0, 0.012, 2), 0) * side
    yaw, pitch, roll = (
        np.radians(np.clip(generator.normal(0, std), -3 * std, 3 * std))
        for std in (config.yaw_std_degrees, config.pitch_std_degrees, config.roll_std_degrees)
    )
    radius = side / 2 / np.tan(np.radians(config.fov_degrees) / 2)
    cam2world = cameras.orbit(yaw, pitch, radius, target)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]]
    return Camera(cam2world @ turn, cameras.intrinsics_from_fov(config.fov_degrees), config.size_px)


def develop(linear: np.ndarray, coverage: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A camera's way from light to a picture: exposure, a soft shoulder, lens blur, grain.

    Args:
        linear: (H, W, 3) linear RGB.
        coverage: (H, W) where the subject is: the exposure is set for it, but only half way, so that dark
            skin stays dark.
        generator: draws exposure error, blur and grain.

    Returns:
        (H, W, 3) uint8 sRGB.
    """
    brightness = (linear @ _LUMINANCE * coverage).sum() / max(coverage.sum(), 1)
    gain = (0.22 / max(brightness, 1e-3)) ** 0.45 * np.exp(generator.normal(0, 0.12))
    light = linear * np.clip(gain, 0.5, 2.5)
    light = np.where(light > 0.6, 0.6 + 0.4 * (1 - np.exp(-(light - 0.6) / 0.4)), light)
    light = ndimage.gaussian_filter(light, (generator.uniform(0.2, 0.55),) * 2 + (0,))
    picture = to_srgb(light)
    grain = generator.uniform(0.002, 0.008)
    picture = picture + grain * generator.normal(size=(*picture.shape[:2], 1))
    picture = picture + 0.4 * grain * generator.normal(size=picture.shape)
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)


def celebamask_parts(portrait: Portrait) -> dict[str, np.ndarray]:
    """The portrait's (H, W) bool masks by CelebAMask-HQ's part names; parts that are not seen are left out."""
    parts = {}
    for label, part in _PARTS.items():
        mask = portrait.labels == label
        parts[part] = parts.get(part, False) | mask
    for label, part in _SIDED_PARTS.items():
        mask = portrait.labels == label
        parts[f"l_{part}"] = mask & portrait.subject_left
        parts[f"r_{part}"] = mask & ~portrait.subject_left
    return {part: mask for part, mask in parts.items() if mask.any()}


def write_celebamask(folder: Path, number: int, portrait: Portrait, jpeg_quality: int) -> None:
    """Write a photo and its masks where CelebAMask-HQ has them.

    `CelebA-HQ-img/{number}.jpg`, and one binary PNG (0 or 255) a part that is seen:
    `CelebAMask-HQ-mask-anno/{number // 2000}/{number:05d}_{part}.png`.
    """
    photos, masks = folder / "CelebA-HQ-img", folder / "CelebAMask-HQ-mask-anno" / str(number // 2000)
    for made in (photos, masks):
        os.makedirs(made, exist_ok=True)
    Image.fromarray(portrait.photo).save(
        photos / photo_name("celebamask", number), quality=jpeg_quality, subsampling=0
    )
    for part, mask in celebamask_parts(portrait).items():
        Image.fromarray(mask.astype(np.uint8) * 255).save(masks / f"{number:05d}_{part}.png")


def photo_sheet(folder: Path, rows: int = 6, columns: int = 10) -> np.ndarray:
    """Photos of a set, evenly picked, in one picture (H, W, 3) uint8."""
    paths = sorted([*folder.glob("*.png"), *folder.glob("CelebA-HQ-img/*.jpg")])
    picked = [paths[i * len(paths) // (rows * columns)] for i in range(rows * columns)]
    return sheet(np.stack([np.asarray(Image.open(path)) for path in picked]), columns)
