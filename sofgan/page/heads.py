"""A baked head as a page carries it: what a ray's walk needs, in a byte a number, packed.

A node of the grid has one byte of log odds, and one of its most probable class. Where classes meet, its other classes'
log probabilities follow, so that the line between them is as sharp as in the engine's quick views.
"""

import zlib

import numpy as np
from scipy import ndimage

from sofgan.apps.quick_view import STEP, QuickHead
from sofgan.cameras import Camera
from sofgan.labels import CLOTH
from sofgan.siw.shoulders import CENTER, RADII, USUAL
from sofgan.sof.occupancy import CLOSED
from sofgan.sof.render import CLASS_DEPTH
from sofgan.sof.volume_marcher import LOG_FLOOR

ODDS_LIMIT = 8.0  # log odds beyond are as good as sure
ODDS_STEP = ODDS_LIMIT / 127
SCORE_STEP = 0.25  # of log probabilities below the most probable class'
HAS_ROW = 0x80  # beside the class: a node whose other classes' probabilities are there too


def pack(head: QuickHead) -> bytes:
    """A head's arrays, one after another, by zlib.

    These are log odds (N, N, N) int8 in steps, classes (N, N, N) uint8, free cells (G, G, G) uint8, and rows
    (R, K - 1) uint8 of steps below the best class; N and G are those of the head.
    """
    odds = np.clip(np.round(head.log_odds / ODDS_STEP), -127, 127).astype(np.int8)
    known = head.index > 0
    best = np.where(known, head.best[head.index], 0).astype(np.uint8)
    highest = ndimage.maximum_filter(best, 3)
    lowest = ndimage.minimum_filter(np.where(known, best, 255), 3)
    meets = known & (highest != lowest)
    rows = head.rows[head.index[meets]]
    below = np.clip(np.round((rows.max(1, keepdims=True) - rows) / SCORE_STEP), 0, 255).astype(np.uint8)
    best[meets] |= HAS_ROW
    return zlib.compress(b"".join(part.tobytes() for part in (odds, best, head.free, below)), 9)


def scene(head: QuickHead, front: Camera, shoulders=USUAL) -> dict:
    """What `Head` of head.js needs beside a head's bytes, the same for all heads of an engine.

    Args:
        front: the camera at yaw and pitch 0; others orbit the point of the head's axis that it is level with.
        shoulders: their shape (3,), see `sofgan.siw.shoulders`.
    """
    _, height_of_target, distance = (float(value) for value in front.cam2world[:3, 3])
    drop, width, height = (float(value) for value in shoulders)
    return {
        "side": len(head.log_odds),
        "freeSide": len(head.free),
        "classes": head.rows.shape[1],
        "oddsStep": ODDS_STEP,
        "scoreStep": SCORE_STEP,
        "leastScore": LOG_FLOOR,
        "step": STEP,
        "closed": CLOSED,
        "classDepth": CLASS_DEPTH,
        "cloth": CLOTH,
        "bodyCenter": (CENTER - (0.0, drop, 0.0)).tolist(),
        "bodyRadii": (RADII * (width, height, 1.0)).tolist(),
        "focal": [float(front.intrinsics[axis, axis]) for axis in (0, 1)],
        "center": [float(front.intrinsics[axis, 2]) for axis in (0, 1)],
        "targetHeight": height_of_target,
        "distance": distance,
    }
