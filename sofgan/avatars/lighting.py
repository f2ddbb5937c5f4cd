"""Lighting and background of a portrait, drawn at random."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class Light:
    """A soft lamp far away.

    Attributes:
        direction: (3,) unit vector towards it.
        color: (3,) linear RGB brightness of a white surface that faces it.
        sharpness: exponent of its lobe; 4 is a window, 40 a small softbox.
    """

    direction: np.ndarray
    color: np.ndarray
    sharpness: float

    def lobe(self, directions: np.ndarray) -> np.ndarray:
        """Share (D,) float32 of its light from each direction; sums to 1."""
        weights = np.exp(self.sharpness * (directions @ self.direction - 1))
        return (weights / weights.sum()).astype(np.float32)


@dataclass(frozen=True)
class Lighting:
    """Lamps, and linear colours of the surroundings above and below."""

    lights: tuple[Light, ...]
    sky: np.ndarray
    ground: np.ndarray

    def irradiance(self, directions: np.ndarray, transfer: np.ndarray) -> np.ndarray:
        """Brightness (V, 3) of white vertices.

        Args:
            directions: (D, 3) spread evenly over the sphere.
            transfer: (V, D) how much of each direction's light a vertex receives: visibility times cosine.
        """
        height = (directions[:, 1:2] + 1) / 2
        # A vertex that sees everything receives a quarter of the directions' number.
        radiance = (height * self.sky + (1 - height) * self.ground) * (4 / len(directions))
        for light in self.lights:
            lobe = light.lobe(directions)
            facing = np.maximum(directions @ light.direction, 0)
            radiance = radiance + np.outer(lobe / (lobe * facing).sum(), light.color)
        return np.einsum("vd,dc->vc", transfer, radiance.astype(np.float32)).astype(np.float64)


def _toward(yaw_degrees: float, pitch_degrees: float) -> np.ndarray:
    yaw, pitch = np.radians(yaw_degrees), np.radians(pitch_degrees)
    return np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])


def _tint(generator: np.random.Generator, amount: float) -> np.ndarray:
    """(3,) a warm or cool white of brightness about 1."""
    warmth = generator.normal(0, amount)
    return np.array([1 + warmth, 1.0, 1 - warmth]) * (1 + generator.normal(0, amount / 4, 3))


def draw_lighting(generator: np.random.Generator) -> Lighting:
    """A plausible light for a portrait: a studio, a window, an overcast day, or low sun."""
    kind = generator.choice(["studio", "window", "overcast", "sun"], p=[0.35, 0.25, 0.25, 0.15])
    side = generator.choice([-1.0, 1.0])
    key_yaw, key_pitch, key, sharpness, ambient = {
        "studio": (generator.uniform(15, 50), generator.uniform(20, 45), 0.85, 14.0, 0.18),
        "window": (generator.uniform(40, 75), generator.uniform(5, 30), 0.90, 6.0, 0.18),
        "overcast": (generator.uniform(0, 40), generator.uniform(35, 65), 0.45, 4.0, 0.42),
        "sun": (generator.uniform(20, 60), generator.uniform(15, 40), 1.1, 35.0, 0.24),
    }[kind]
    lights = [Light(_toward(side * key_yaw, key_pitch), key * _tint(generator, 0.06), sharpness)]
    fill = generator.uniform(0.1, 0.35) * key
    lights.append(
        Light(
            _toward(-side * generator.uniform(20, 60), generator.uniform(-5, 25)),
            fill * _tint(generator, 0.06),
            5.0,
        )
    )
    if generator.random() < 0.6:  # A rim from behind parts the hair from the background.
        rim = generator.uniform(0.2, 0.8)
        lights.append(
            Light(
                _toward(-side * generator.uniform(125, 165), generator.uniform(10, 45)),
                rim * _tint(generator, 0.1),
                18.0,
            )
        )
    sky = ambient * _tint(generator, 0.05)
    return Lighting(tuple(lights), sky, sky * generator.uniform(0.35, 0.7) * _tint(generator, 0.04))


def draw_background(generator: np.random.Generator, size: int) -> np.ndarray:
    """A blurred background, linear RGB (size, size, 3): a wall, a gradient, a scene or lights out of focus."""
    kind = generator.choice(["wall", "scene", "lights", "outdoors"], p=[0.35, 0.3, 0.15, 0.2])
    hue = generator.random()
    base = _color(hue, generator.uniform(0.05, 0.5), generator.uniform(0.08, 0.75))
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    angle = generator.uniform(0, 2 * np.pi)
    ramp = (x * np.cos(angle) + y * np.sin(angle))[..., None]
    image = base * (1 + generator.uniform(0.2, 1.0) * ramp)
    if kind == "wall":
        centre = generator.uniform(-0.3, 0.3, 2)
        glow = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / 0.15)[..., None]
        image = image * (0.7 + generator.uniform(0, 0.8) * glow)
    elif kind == "outdoors":
        ground = _color(generator.uniform(0.2, 0.4), 0.45, generator.uniform(0.08, 0.3))
        sky = _color(generator.uniform(0.5, 0.62), 0.3, generator.uniform(0.4, 0.9))
        horizon = 1 / (1 + np.exp(-(y - generator.uniform(-0.2, 0.3)) * generator.uniform(6, 20)))[..., None]
        image = sky * (1 - horizon) + ground * horizon
        image *= np.exp(0.22 * _smooth_noise(generator, size, 0.07))[..., None]
    elif kind == "scene":
        for _ in range(generator.integers(3, 8)):
            left, top = generator.uniform(-0.7, 0.4, 2)
            width, height = generator.uniform(0.1, 0.7, 2)
            inside = (x > left) & (x < left + width) & (y > top) & (y < top + height)
            patch = _color(
                hue + generator.normal(0, 0.15), generator.uniform(0, 0.6), generator.uniform(0.03, 0.8)
            )
            image = np.where(inside[..., None], patch, image)
        image = ndimage.gaussian_filter(image, (size * generator.uniform(0.02, 0.06),) * 2 + (0,))
        image *= np.exp(0.15 * _smooth_noise(generator, size, 0.1))[..., None]
    else:
        image *= 0.5
        for _ in range(generator.integers(6, 20)):
            cx, cy = generator.uniform(-0.5, 0.5, 2)
            radius = generator.uniform(0.02, 0.06)
            disc = np.clip((radius - np.hypot(x - cx, y - cy)) * size / 2 + 0.5, 0, 1)[..., None]
            image = image + disc * _color(generator.random(), 0.5, generator.uniform(0.1, 0.7))
        image = ndimage.gaussian_filter(image, (size * 0.006,) * 2 + (0,))
    return np.clip(image, 0.003, 1.5)


def _smooth_noise(generator: np.random.Generator, size: int, width: float) -> np.ndarray:
    """(size, size) noise of unit variance, smooth over `width` of the image."""
    noise = ndimage.gaussian_filter(generator.normal(size=(size, size)), width * size, mode="wrap")
    return noise / noise.std()


def _color(hue: float, saturation: float, value: float) -> np.ndarray:
    """(3,) linear RGB of a hue (turns), a saturation and a brightness."""
    wheel = np.clip(np.abs((hue + np.array([0, 2, 1]) / 3) % 1 * 6 - 3) - 1, 0, 1)
    return value * (1 - saturation * (1 - wheel))
