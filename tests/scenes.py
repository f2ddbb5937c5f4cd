"""Synthetic multi-view heads made of labelled ellipsoids, ray cast exactly, and a field that is a sphere: truth that
needs no mesh or GL."""

from pathlib import Path

import numpy as np
import torch

from sofgan import cameras, labels
from sofgan.cameras import Camera
from sofgan.files import write_npz
from sofgan.seeds import numpy_generator
from sofgan.sof.field import Field
from sofgan.sof.rays import Rays

RADIUS = 4.0
FOV_DEGREES = 29.0


def head_parts(seed: int) -> list[tuple]:
    """(class name, centre (3,), radii (3,), keep(points)->bool mask or None) for each ellipsoid of a head."""
    rng = numpy_generator(seed, "ellipsoid head")
    wide, tall = rng.uniform(0.40, 0.50), rng.uniform(0.50, 0.60)
    deep = rng.uniform(0.46, 0.54)
    parts = [
        ("skin", np.array([0, 0.08, 0]), np.array([wide, tall, deep]), None),
        ("neck", np.array([0, -0.6, -0.08]), np.array([0.22, 0.45, 0.22]), None),
        ("cloth", np.array([0, -0.98, -0.1]), np.array([0.8, 0.3, 0.4]), None),
    ]
    line = rng.uniform(0.25, 0.4)
    long = rng.uniform() < 0.5
    back = -0.1 + 0.15 * rng.uniform()
    parts.append(
        (
            "hair",
            np.array([0, 0.1, -0.05]),
            np.array([wide + 0.08, tall + (0.1 if not long else 0.25), deep + 0.06]),
            lambda p, line=line, back=back: (p[:, 1] > line + 0.3 * p[:, 2] - 0.1) | (p[:, 2] < back),
        )
    )

    def on_face(x, y, lift):
        """The face's surface at (x, y), pushed out by `lift`."""
        inside = 1 - (x / wide) ** 2 - ((y - 0.08) / tall) ** 2
        return np.array([x, y, deep * np.sqrt(max(inside, 0.05)) + lift])

    eye_x, eye_y = rng.uniform(0.15, 0.2), rng.uniform(0.1, 0.16)
    lip_y, nose = rng.uniform(-0.28, -0.2), rng.uniform(0.1, 0.16)
    lips = rng.uniform(0.025, 0.05)
    for side in (-1, 1):
        x = side * eye_x
        parts.append(("eye", on_face(x, eye_y, -0.03), np.array([0.075, 0.04, 0.05]), None))
        parts.append(("brow", on_face(x, eye_y + 0.12, -0.015), np.array([0.11, 0.028, 0.04]), None))
        parts.append(
            ("ear", np.array([side * (wide + 0.02), 0.05, -0.03]), np.array([0.06, 0.13, 0.09]), None)
        )
        name, keep = ("r_nose", lambda p: p[:, 0] < 0) if side < 0 else ("l_nose", lambda p: p[:, 0] >= 0)
        parts.append((name, on_face(0.0, -0.05, 0.0), np.array([0.08, 0.13, nose]), keep))
    parts.append(("u_lip", on_face(0, lip_y + lips, -0.01), np.array([0.13, lips, 0.05]), None))
    parts.append(("l_lip", on_face(0, lip_y - lips, -0.01), np.array([0.12, lips, 0.05]), None))
    if rng.uniform() < 0.5:
        parts.append(("mouth", on_face(0, lip_y, 0.01), np.array([0.09, 0.02, 0.05]), None))
    if rng.uniform() < 0.5:
        for side in (-1, 1):
            centre = on_face(side * eye_x, eye_y, 0.06)
            ring = lambda p, c=centre: ((p[:, :2] - c[:2]) ** 2).sum(1) > 0.085**2  # noqa: E731
            parts.append(("eyeglass", centre, np.array([0.11, 0.11, 0.02]), ring))
    if rng.uniform() < 0.4:
        for side in (-1, 1):
            parts.append(("earring", np.array([side * (wide + 0.04), -0.12, 0.0]), np.full(3, 0.05), None))
    if rng.uniform() < 0.3:
        parts.append(
            (
                "hat",
                np.array([0, 0.3, -0.02]),
                np.array([wide + 0.15, 0.5, deep + 0.15]),
                lambda p: p[:, 1] > 0.4,
            )
        )
    return parts


def cast(parts, origin, directions):
    """(labels (N,) uint8, depth (N,), 0 = nothing) of the ellipsoids along rays, clipped to the unit ball."""
    best = np.full(len(directions), np.inf)
    label = np.zeros(len(directions), np.uint8)
    for name, centre, radii, keep in parts:
        o, d = (origin - centre) / radii, directions / radii
        a, b, c = (d * d).sum(1), d @ o, o @ o - 1
        disc = b * b - a * c
        root = np.sqrt(np.maximum(disc, 0))
        for t in ((-b - root) / a, (-b + root) / a):
            points = origin + t[:, None] * directions
            ok = (disc > 0) & (t > 0) & (t < best) & ((points**2).sum(1) <= 1)
            if keep is not None:
                ok &= keep(points)
            best[ok], label[ok] = t[ok], labels.NAMES.index(name)
    return label, np.where(np.isfinite(best), best, 0)


def cast_ray(parts, origin, direction) -> int:
    """The class that one ray sees."""
    return int(cast(parts, origin, direction[None])[0][0])


def picture(parts, camera: Camera):
    """(labels (size, size) uint8, depth (size, size) float16) of one view."""
    size = camera.size
    origin, directions = cameras.rays(camera)
    label, depth = cast(parts, origin, directions.reshape(-1, 3))
    return label.reshape(size, size), depth.reshape(size, size).astype(np.float16)


def make_views(folder: Path, heads: int, views: int, held_out: int, size: int) -> Path:
    """Write `heads` view files of `views` training and `held_out` held-out views each; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    intrinsics = cameras.intrinsics_from_fov(FOV_DEGREES)
    for head in range(heads):
        rng = numpy_generator(head, "ellipsoid cameras")
        total = views + held_out
        poses = cameras.orbit(rng.uniform(-1.0, 1.0, total), rng.uniform(-0.35, 0.35, total), RADIUS)
        parts = head_parts(head)
        pictures = [picture(parts, camera) for camera in Camera(poses, intrinsics, size)]
        write_npz(
            folder / f"head-{head:03d}.npz",
            labels=np.stack([p[0] for p in pictures]),
            depth=np.stack([p[1] for p in pictures]),
            cam2world=poses.astype(np.float32),
            intrinsics=intrinsics.astype(np.float32),
            split=(np.arange(total) >= views).astype(np.uint8),
        )
    return folder


class SphereField(Field):
    """Skin inside a sphere, background outside, sure everywhere; `hair_above` makes its upper half hair."""

    feature_size = 3
    CENTRE, RADIUS, SHARPNESS = (0.1, 0.0, 0.2), 0.5, 300.0
    hair_above = False

    def generate(self, codes):
        return {"codes": codes}

    def features(self, representation, points):
        return points

    def classify(self, features):
        inside = self.RADIUS - (features - torch.tensor(self.CENTRE)).norm(dim=-1)
        odds = self.SHARPNESS * inside
        logits = torch.full((*features.shape[:-1], 17), -30.0)
        above = (features[..., 1] > 0) & self.hair_above
        logits[..., labels.BACKGROUND] = -odds
        logits[..., labels.SKIN] = torch.where(above, -30.0, odds)
        logits[..., labels.HAIR] = torch.where(above, odds, -30.0)
        return logits


def sphere_truth(rays: Rays):
    """(hit, depth) of each ray of an instance against the sphere."""
    origins = rays.origins[0] - torch.tensor(SphereField.CENTRE)
    directions = rays.directions[0]
    a, b = (directions**2).sum(-1), (origins * directions).sum(-1)
    discriminant = b * b - a * ((origins**2).sum(-1) - SphereField.RADIUS**2)
    return discriminant > 0, (-b - discriminant.clamp_min(0).sqrt()) / a
