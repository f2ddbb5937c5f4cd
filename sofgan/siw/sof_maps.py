"""Label maps of the SOF space, framed as portraits: conditions for training and for pictures of it."""

from collections.abc import Callable

import numpy as np
import torch

from sofgan import cpu
from sofgan.seeds import numpy_generator, torch_generator
from sofgan.siw.config import FramingConfig
from sofgan.siw.framing import WHOLE_BALL, Framing, face_anchors, field_anchors, match_framing
from sofgan.siw.shoulders import add_shoulders
from sofgan.sof.model import Sof
from sofgan.sof.plausibility import FEWEST_HEADS, Reference, fit_reference, render_heads, sample_plausible
from sofgan.sof.space import sample_codes

# Views by which heads are judged, radians and pixels: few and small, as some hundred heads are judged in each run.
JUDGED = {"yaws": (0.0,), "size": 64}
ANCHOR_SIZE = 128  # pixels of the views in which eyes and mouth are found


def training_reference(sof: Sof) -> Reference | None:
    """What sampled heads are judged by: the heads that the field was trained on; None where they are too few.

    Inverted heads, some of which are fitted badly, are bases of samples but no measure of them.
    """
    if len(sof.training_codes) < FEWEST_HEADS:
        return None
    return fit_reference(render_heads(sof, sof.training_codes, **JUDGED))


def sample_heads(
    sof: Sof, reference: Reference | None, count: int, generator: torch.Generator
) -> torch.Tensor:
    """(count, Z) codes of new heads, combined from all of the field's; implausible ones are drawn again.

    Args:
        reference: from `training_reference`; None: as they are drawn.
        generator: on the CPU.
    """
    if reference is None:
        return sample_codes(sof, count, generator)
    return sample_plausible(sof, reference, count, generator, **JUDGED).codes


def portrait_framing(
    sof: Sof, reference: Reference | None, photo_labels: np.ndarray, heads: int, seed: int
) -> Framing:
    """Cameras under which the field's heads have eyes and mouth where the photos have them.

    Args:
        reference: from `training_reference`.
        photo_labels: (N, S, S) uint8 label maps of photos.
        heads: how many sampled heads are measured.

    Raises:
        ValueError: the photos or the heads show no eyes or no mouth.
    """
    codes = sample_heads(sof, reference, heads, torch_generator(seed, "siw", "framing"))
    pose = WHOLE_BALL.cam2world(0.0, 0.0)
    views = list(
        cpu.map_pieces(
            lambda code: sof.render(code, pose, WHOLE_BALL.intrinsics, ANCHOR_SIZE), codes, sof.device
        )
    )
    labels = np.stack([view.labels.cpu().numpy() for view in views])
    depth = np.stack([view.depth.cpu().numpy() for view in views])
    return match_framing(*face_anchors(photo_labels), field_anchors(labels, depth))


def render_sof_maps(
    sof: Sof,
    reference: Reference | None,
    framing: Framing,
    config: FramingConfig,
    count: int,
    size: int,
    seed: int,
    status: Callable[[int], None] = lambda done: None,
    purpose: str = "training",
) -> np.ndarray:
    """Views of sampled heads, with shoulders, from cameras around the portrait's: (count, size, size) uint8.

    Args:
        reference: from `training_reference`.
        status: is told how many are done.
        purpose: names the random stream; maps of another purpose are other heads.
    """
    codes = sample_heads(sof, reference, count, torch_generator(seed, "siw", "sof codes", purpose))
    rng = numpy_generator(seed, "siw", "sof cameras", purpose)
    yaw = np.radians(rng.uniform(-config.yaw_degrees, config.yaw_degrees, count))
    pitch = np.radians(rng.uniform(-config.pitch_degrees, config.pitch_degrees, count))
    poses = framing.cam2world(yaw, pitch)

    def draw(index: int) -> np.ndarray:
        view = sof.render(codes[index], poses[index], framing.intrinsics, size)
        return add_shoulders(view.labels.cpu().numpy(), poses[index], framing.intrinsics)

    maps = np.empty((count, size, size), np.uint8)
    for index, drawn in enumerate(cpu.map_pieces(draw, range(count), sof.device)):
        maps[index] = drawn
        status(index + 1)
    return maps
