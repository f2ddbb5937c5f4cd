"""The head seen from inside: directions from its middle to points of the skin, for all that is worn on it.

Directions are given by an azimuth (0 the face, 90 the subject's left, 180 the back) and a polar angle from
straight up, in degrees, on the reference head. The map to the skin is linear in the vertices, so a cap drawn once
sits on every head.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import sparse
from scipy.interpolate import PchipInterpolator
from scipy.spatial import Delaunay

from sofgan import labels
from sofgan.avatars.template import template

SCALP_CENTER = np.array([0.0, 7.55, 0.5])

# The usual hairline: polar angle by azimuth. Forehead, receding corner, temple, sideburn, round the ear, nape.
_HAIRLINE = PchipInterpolator(
    [0, 18, 30, 40, 50, 60, 68, 73, 78, 84, 92, 100, 108, 116, 130, 150, 180],
    [49, 49.5, 52, 57, 65, 77, 91, 98, 97, 84, 79, 82, 95, 107, 119, 124, 125],
)


def hairline(azimuth: np.ndarray, recede: float = 0.0, low: float = 0.0) -> np.ndarray:
    """Polar angle (degrees) at which hair ends; `recede` bares the corners, `low` moves the front down."""
    folded = np.abs((np.asarray(azimuth) + 180) % 360 - 180)
    front = np.exp(-((folded / 45.0) ** 4))
    corner = np.exp(-(((folded - 33) / 16.0) ** 2))
    return _HAIRLINE(folded) + low * front - recede * (corner + 0.35 * front)


def directions(azimuth: np.ndarray, polar: np.ndarray) -> np.ndarray:
    """Unit vectors (..., 3) from angles in degrees."""
    azimuth, polar = np.broadcast_arrays(np.deg2rad(azimuth), np.deg2rad(polar))
    return np.stack(
        [np.sin(polar) * np.sin(azimuth), np.cos(polar), np.sin(polar) * np.cos(azimuth)], axis=-1
    )


def angles(direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth and polar angle in degrees of (..., 3) directions."""
    unit = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    return (
        np.rad2deg(np.arctan2(unit[..., 0], unit[..., 2])),
        np.rad2deg(np.arccos(np.clip(unit[..., 1], -1, 1))),
    )


@functools.cache
def _chart() -> tuple[Delaunay, np.ndarray]:
    """A flat triangulated map of the skin round the head, without ears: the Delaunay chart, its vertices' indices."""
    bust = template()
    kept = np.zeros(len(bust.rest), dtype=bool)
    kept[bust.faces[(bust.face_labels == labels.SKIN) | (bust.face_labels == labels.NECK)]] = True
    kept &= (bust.rest[:, 1] > 6.15) & (bust.masks["ears"] < 0.02)
    index = np.flatnonzero(kept)
    azimuth, polar = angles(bust.rest[index] - SCALP_CENTER)
    return Delaunay(_flat(azimuth, polar)), index


def _flat(azimuth: np.ndarray, polar: np.ndarray) -> np.ndarray:
    turn = np.deg2rad(azimuth)
    return np.stack([polar * np.sin(turn), polar * np.cos(turn)], axis=-1)


def skin_points(direction: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Points (..., 3) of the skin of a head with bust `vertices` (V, 3) in (..., 3) directions."""
    chart, index = _chart()
    flat = _flat(*angles(direction)).reshape(-1, 2)
    simplex = chart.find_simplex(flat)
    transform = chart.transform[simplex]
    partial = np.einsum("nij,nj->ni", transform[:, :2], flat - transform[:, 2])
    weights = np.c_[partial, 1 - partial.sum(1)]
    outside = simplex < 0
    corners = index[chart.simplices[simplex]]
    if outside.any():
        raise ValueError("a direction leaves the mapped part of the head")
    rows = np.arange(len(flat)).repeat(3)
    matrix = sparse.csr_matrix((weights.ravel(), (rows, corners.ravel())), shape=(len(flat), len(vertices)))
    return (matrix @ vertices).reshape(direction.shape)


def outward(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Unit vectors (..., 3) away from the head's middle axis, smooth everywhere: the way hair and hats grow."""
    center = skin_points(directions(np.array([0.0, 90, 180, 270]), np.full(4, 80.0)), vertices).mean(0)
    center = center + np.array([0.0, -0.1, 0.0])
    away = (points - center) * np.array([1.0, 0.9, 1.0])
    return away / np.linalg.norm(away, axis=-1, keepdims=True)
