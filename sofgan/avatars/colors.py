"""Albedo: skin, hair, irises, fabrics. Colours are sRGB 0..255 floats until a part is made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sofgan.avatars.shape import Person
from sofgan.avatars.template import Template

# From the lightest to the darkest skin.
_SKIN_RAMP = np.array(
    [
        (236, 202, 184),
        (228, 188, 164),
        (222, 174, 143),
        (196, 144, 110),
        (163, 110, 80),
        (122, 79, 57),
        (82, 52, 40),
    ],
    dtype=np.float64,
)
HAIR_COLORS: dict[str, tuple[int, int, int]] = {
    "black": (28, 24, 23),
    "dark brown": (56, 39, 30),
    "brown": (92, 62, 42),
    "light brown": (132, 94, 62),
    "blond": (196, 158, 104),
    "platinum": (226, 204, 164),
    "red": (142, 66, 34),
    "auburn": (98, 46, 30),
    "grey": (150, 148, 145),
    "white": (214, 212, 208),
}
_EYE_COLORS: dict[str, tuple[int, int, int]] = {
    "dark brown": (80, 50, 30),
    "brown": (112, 72, 40),
    "hazel": (128, 98, 52),
    "green": (98, 122, 78),
    "blue": (88, 130, 172),
    "grey": (124, 138, 148),
}
FABRIC_COLORS: dict[str, tuple[int, int, int]] = {
    "white": (232, 230, 226),
    "black": (34, 34, 38),
    "navy": (36, 46, 84),
    "grey": (122, 126, 132),
    "red": (168, 44, 48),
    "green": (54, 106, 74),
    "blue": (66, 110, 176),
    "yellow": (222, 182, 76),
    "pink": (222, 152, 164),
    "purple": (104, 70, 132),
    "beige": (206, 186, 154),
    "teal": (44, 124, 130),
    "orange": (214, 118, 52),
}


@dataclass(frozen=True)
class Looks:
    """Drawn colours: skin, hair, brow, iris, lip as (3,) sRGB floats, and their names where they have one."""

    skin: np.ndarray
    melanin: float
    hair: np.ndarray
    hair_name: str
    brow: np.ndarray
    iris: np.ndarray
    iris_name: str
    lip: np.ndarray
    freckles: float
    stubble: float


def draw_looks(person: Person, generator: np.random.Generator) -> Looks:
    """Draw colours that go with the person's ethnicity, sex and age."""
    african, asian, caucasian = person.ethnicity
    melanin = african * generator.uniform(0.55, 1.0) + asian * generator.uniform(0.12, 0.5)
    melanin = float(
        np.clip(melanin + caucasian * generator.uniform(0.0, 0.38) + generator.normal(0, 0.03), 0, 1)
    )
    at = melanin * (len(_SKIN_RAMP) - 1)
    low = min(int(at), len(_SKIN_RAMP) - 2)
    skin = _SKIN_RAMP[low] + (at - low) * (_SKIN_RAMP[low + 1] - _SKIN_RAMP[low])
    skin = skin * generator.normal(1, [0.02, 0.015, 0.025])

    light = max(caucasian - 0.35, 0) / 0.65
    chances = np.array(
        [
            1.2 - light,
            1.0,
            0.9 * light + 0.1,
            0.8 * light,
            0.9 * light,
            0.3 * light,
            0.25 * light,
            0.3 * light + 0.05,
            0,
            0,
        ]
    )
    chances[8:] = np.array([2.2, 1.2]) * max(person.age - 0.3, 0) * 3
    hair_name = list(HAIR_COLORS)[generator.choice(len(chances), p=chances / chances.sum())]
    hair = np.array(HAIR_COLORS[hair_name]) * generator.uniform(0.85, 1.15) * generator.normal(1, 0.012, 3)
    chances = np.array([1.2 - light, 0.8, 0.5 * light + 0.05, 0.5 * light, 0.9 * light, 0.3 * light])
    iris_name = list(_EYE_COLORS)[generator.choice(len(chances), p=chances / chances.sum())]
    iris = np.array(_EYE_COLORS[iris_name]) * generator.uniform(0.85, 1.2)
    rosy = generator.uniform(0.66, 0.8)
    lip = skin * np.array([0.91, rosy, rosy - 0.01])
    if person.male < 0.5 and generator.random() < 0.45:
        paint = np.array([(176, 40, 56), (198, 84, 96), (150, 44, 70), (206, 96, 84)])[generator.integers(4)]
        lip = lip + generator.uniform(0.35, 0.8) * (paint - lip)
    brow = hair * (0.62 if hair.mean() > 110 else 0.85)
    stubble = 0.0
    if person.male > 0.5:  # Shaven, stubble, or a beard.
        ranges = ((0.0, 0.05), (0.1, 0.6), (1.0, 1.5))
        stubble = float(generator.uniform(*ranges[generator.choice(3, p=[0.35, 0.4, 0.25])]))
    freckles = float(generator.uniform(0.3, 1.0)) if light > 0.3 and generator.random() < 0.3 else 0.0
    return Looks(skin, melanin, hair, hair_name, brow, iris, iris_name, lip, freckles, stubble)


def mix(first: np.ndarray, second: np.ndarray, share: np.ndarray | float) -> np.ndarray:
    """`first` moved towards `second` by `share` (broadcast over the colour axis)."""
    share = np.asarray(share)[..., None] if np.ndim(share) else share
    return first + share * (second - first)


def as_bytes(colors: np.ndarray) -> np.ndarray:
    """sRGB floats as uint8."""
    return np.clip(np.rint(colors), 0, 255).astype(np.uint8)


def waves(
    points: np.ndarray, generator: np.random.Generator, wavelength: float, count: int = 8
) -> np.ndarray:
    """Smooth noise of about unit variance at (V, 3) points: a sum of plane waves."""
    directions = generator.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    scale = 2 * np.pi / wavelength * generator.uniform(0.6, 1.6, count)
    phase = generator.uniform(0, 2 * np.pi, count)
    return np.sin(points @ (directions * scale[:, None]).T + phase).sum(1) * np.sqrt(2 / count)


def _blob(
    rest: np.ndarray, center: tuple[float, float, float], size: tuple[float, float, float]
) -> np.ndarray:
    """A soft spot (V,) on both sides of the face."""
    offset = np.stack([np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]], 1) - center
    return np.exp(-((offset / size) ** 2).sum(1))


def skin_albedo(
    template: Template,
    vertices: np.ndarray,
    normals: np.ndarray,
    beard: np.ndarray,
    looks: Looks,
    person: Person,
    generator: np.random.Generator,
) -> np.ndarray:
    """(V, 3) skin colours of the bust: redness, lips, lids, creases, freckles, stubble, a little noise."""
    rest = template.rest
    light = 1 - 0.6 * looks.melanin
    color = np.broadcast_to(looks.skin, rest.shape).copy()
    color *= (1 + 0.010 * waves(rest, generator, 0.9) + 0.007 * waves(rest, generator, 0.25))[:, None]
    color *= 1 + generator.normal(0, 0.012, (len(rest), 1))
    blush = generator.uniform(0.35, 0.9)
    red = (
        0.55 * blush * _blob(rest, (0.42, 7.17, 1.2), (0.24, 0.2, 0.6))
        + 0.5 * blush * _blob(rest, (0.0, 7.16, 1.65), (0.13, 0.12, 0.25))
        + 0.25 * _blob(rest, (0.0, 6.55, 1.4), (0.2, 0.12, 0.4))
        + 0.45 * template.masks["ears"]
    )
    color *= 1 - red[:, None] * np.array([0.015, 0.17, 0.16]) * light
    color *= 1 + 0.03 * _blob(rest, (0.0, 8.0, 1.4), (0.5, 0.35, 0.6))[:, None] * np.array([1, 1, 0.6])
    shade = 0.5 * template.masks["eyelids"] + 0.55 * _blob(rest, (0.28, 7.36, 1.35), (0.14, 0.055, 0.4))
    color *= 1 - (0.12 + 0.10 * person.age) * shade[:, None] * np.array([0.8, 1.0, 0.9])

    color = mix(
        color, looks.lip * (1 + 0.03 * waves(rest * [6, 1, 1], generator, 0.3)[:, None]), _lips(template)
    )
    if looks.freckles:
        spots = np.clip(waves(rest, generator, 0.075, 14) - 1.1, 0, 1) * looks.freckles
        where = _blob(rest, (0.3, 7.25, 1.3), (0.4, 0.25, 0.6)) + 0.3 * _blob(
            rest, (0.2, 7.9, 1.4), (0.5, 0.3, 0.5)
        )
        color *= 1 - (0.5 * spots * where)[:, None] * np.array([0.55, 0.9, 1.0])
    if looks.stubble:
        color = mix(color, looks.brow * 0.9 + 12, 0.55 * looks.stubble * beard)

    # Creases (nostrils, lids, lips, ears) are darker: a concave vertex lies below the mean of its neighbours.
    bump = ((template.neighbours @ vertices - vertices) * normals).sum(1)
    size = np.linalg.norm(template.neighbours @ vertices - vertices, axis=1).mean() + 1e-9
    crease = template.neighbours @ np.clip(bump / size, 0, 6)
    color *= 1 - (0.045 * crease.clip(0, 6))[:, None] * np.array([0.8, 1.0, 1.0])
    return color


def _lips(template: Template) -> np.ndarray:
    return np.clip((template.masks["lips"] - 0.3) / 0.3, 0, 1)


def beard_mask(template: Template, generator) -> np.ndarray:
    """(V,) 0..1 where a beard grows: jaw, chin, upper lip, not the lips."""
    rest = template.rest
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    edge = 0.06
    top = np.interp(x, [0.0, 0.16, 0.25, 0.36, 0.5, 0.62, 0.75], [7.03, 7.02, 6.93, 6.86, 6.93, 7.2, 7.4])
    below_top = 1 / (1 + np.exp(-(top - y) / edge * 1.5))
    above_neck = 1 / (1 + np.exp(-(y - 6.28) / edge))
    in_front = 1 / (1 + np.exp(-(z - 0.62) / edge))
    grain = 0.8 + 0.2 * waves(rest, generator, 0.12) + generator.normal(0, 0.08, len(rest))
    return np.clip(below_top * above_neck * in_front * grain, 0, 1) * (1 - _lips(template))
