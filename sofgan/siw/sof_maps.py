"""Label maps of the SOF space, framed as portraits: conditions for training and for pictures of it."""

from collections.abc import Callable

import numpy as np
import torch

from sofgan.seeds import numpy_generator, torch_generator
from sofgan.siw.config import FramingConfig
from sofgan.siw.framing import WHOLE_BALL, Framing, face_anchors, field_anchors, match_framing
from sofgan.sof.model import Sof
from sofgan.sof.space import sample_codes

# Few bases and uneven weights: an even mean of several heads has no eyes left, since theirs lie apart.
BASES, CONCENTRATION = 3, 0.2
ANCHOR_SIZE = 128  # pixels of the views in which eyes and mouth are found


def sample_heads(sof: Sof, count: int, generator: torch.Generator) -> torch.Tensor:
    """(count, Z) codes of new heads that have all their parts: eq. 6, mostly one head and some of two others."""
    return sample_codes(sof, count, generator, "dirichlet", BASES, CONCENTRATION)


def portrait_framing(sof: Sof, photo_labels: np.ndarray, heads: int, seed: int) -> Framing:
    """Cameras under which the field's heads have eyes and mouth where the photos have them.

    Args:
        photo_labels: (N, S, S) uint8 label maps of photos.
        heads: how many sampled heads are measured.

    Raises:
        ValueError: the photos or the heads show no eyes or no mouth.
    """
    codes = sample_heads(sof, heads, torch_generator(seed, "siw", "framing"))
    pose = WHOLE_BALL.cam2world(0.0, 0.0)
    views = [sof.render(code, pose, WHOLE_BALL.intrinsics, ANCHOR_SIZE) for code in codes]
    labels = np.stack([view.labels.cpu().numpy() for view in views])
    depth = np.stack([view.depth.cpu().numpy() for view in views])
    return match_framing(*face_anchors(photo_labels), field_anchors(labels, depth))


def render_sof_maps(
    sof: Sof,
    framing: Framing,
    config: FramingConfig,
    count: int,
    size: int,
    seed: int,
    status: Callable[[int], None] = lambda done: None,
    purpose: str = "training",
) -> np.ndarray:
    """Views of sampled heads from cameras around the portrait's: (count, size, size) uint8.

    Args:
        status: is told how many are done.
        purpose: names the random stream; maps of another purpose are other heads.
    """
    codes = sample_heads(sof, count, torch_generator(seed, "siw", "sof codes", purpose))
    rng = numpy_generator(seed, "siw", "sof cameras", purpose)
    yaw = np.radians(rng.uniform(-config.yaw_degrees, config.yaw_degrees, count))
    pitch = np.radians(rng.uniform(-config.pitch_degrees, config.pitch_degrees, count))
    poses = framing.cam2world(yaw, pitch)
    maps = np.empty((count, size, size), np.uint8)
    for index in range(count):
        view = sof.render(codes[index], poses[index], framing.intrinsics, size)
        maps[index] = view.labels.cpu().numpy()
        status(index + 1)
    return maps
