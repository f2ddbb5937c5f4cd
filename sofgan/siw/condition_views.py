"""Label maps of the SOF space, framed as portraits: conditions for training and for pictures of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sofgan import runtime
from sofgan.cameras import Camera
from sofgan.progress import SILENT, Progress
from sofgan.seeds import numpy_generator, torch_generator
from sofgan.siw.condition_store import TRAINING
from sofgan.siw.config import FramingConfig
from sofgan.siw.portrait_camera import Framing, face_anchors, field_anchors, match_framing, training_views
from sofgan.siw.portrait_poses import Poses, draw_poses
from sofgan.siw.shoulders import USUAL, add_shoulders, shoulder_depth
from sofgan.sof.config import Sampling
from sofgan.sof.plausibility import (
    FEWEST_HEADS,
    MAX_TRIES,
    Candidates,
    JudgingViews,
    Reference,
    fit_reference,
    judge_codes,
    render_heads,
    sample_plausible,
)
from sofgan.sof.sampling import DEFAULT_SAMPLING, sample_codes
from sofgan.sof.sof import Sof

# Of codes (N, Z): scores and p-values (N,), see `Reference.judge`.
Judge = Callable[[Tensor], tuple[np.ndarray, np.ndarray]]

# Views by which heads are judged: few and small, as some hundred heads are judged in each run.
JUDGED = JudgingViews((0.0,), 64)
ANCHOR_SIZE = 128  # pixels of the views in which eyes and mouth are found


def training_reference(sof: Sof) -> Reference | None:
    """Statistics of the heads that the field was trained on, to judge sampled heads by; None where they are too few.

    Inverted heads, some of which are fitted badly, are bases of samples but no measure of them.
    """
    if len(sof.training_codes) < FEWEST_HEADS:
        return None
    return fit_reference(render_heads(sof, sof.training_codes, JUDGED))


@dataclass(frozen=True)
class HeadSampling:
    """How new heads are drawn, and what they are judged by: implausible ones are drawn again.

    Attributes:
        reference: from `training_reference`; None: they are taken as they are drawn.
    """

    sampling: Sampling = DEFAULT_SAMPLING
    reference: Reference | None = None


def sample_heads(sof: Sof, how: HeadSampling, count: int, generator: torch.Generator) -> Tensor:
    """(count, Z) codes of new heads, combined from all of the field's; the generator is on the CPU."""
    if how.reference is None:
        return sample_codes(sof, count, generator, how.sampling)
    return sample_plausible(sof, how.reference, count, generator, how.sampling, JUDGED).codes


def portrait_framing(sof: Sof, how: HeadSampling, photo_labels: np.ndarray, heads: int, seed: int) -> Framing:
    """Cameras under which the field's heads have eyes and mouth where the photos have them.

    Args:
        photo_labels: (N, S, S) uint8 label maps of photos.
        heads: how many sampled heads are measured.

    Raises:
        ValueError: the photos or the heads show no eyes or no mouth.
    """
    codes = sample_heads(sof, how, heads, torch_generator(seed, "siw", "framing"))
    whole = training_views(sof.intrinsics.cpu().numpy(), sof.radius)
    front = whole.camera(0.0, 0.0, ANCHOR_SIZE)
    views = list(runtime.map_pieces(lambda code: sof.render(code, front), codes, sof.device))
    labels = np.stack([view.labels.cpu().numpy() for view in views])
    depth = np.stack([view.depth.cpu().numpy() for view in views])
    points = field_anchors(labels, depth, whole)
    return match_framing(*face_anchors(photo_labels), points, whole.distance)


@dataclass(frozen=True)
class HeadViews:
    """Views that are to be rendered: codes (N, Z) float32 of heads, and how each is seen."""

    codes: np.ndarray
    poses: Poses

    def __len__(self) -> int:
        return len(self.codes)

    def rows(self, rows: range) -> "HeadViews":
        """Some of them."""
        some = slice(rows.start, rows.stop)
        return HeadViews(self.codes[some], self.poses.rows(some))


@dataclass(frozen=True)
class PortraitViews:
    """How heads are looked at.

    Attributes:
        framing: whose camera is orbited where cameras are uniform.
        config: which cameras.
        size: pixels.
        people: of `people_poses`, where cameras are people's.
    """

    framing: Framing
    config: FramingConfig
    size: int
    people: Poses | None = None

    def of_a_head(self, purpose: str) -> int:
        """Views of each head for a purpose: heads to train on have several, heads to score by are all others."""
        return self.config.views_per_head if purpose == TRAINING else 1

    def draw(self, count: int, seed: int, purpose: str) -> Poses:
        """So many poses, on the random stream of a purpose."""
        rng = numpy_generator(seed, "siw", "sof cameras", purpose)
        return draw_poses(self.framing, self.config, self.people, count, rng)


def plan_views(
    sof: Sof,
    how: HeadSampling,
    views: PortraitViews,
    counts: dict[str, int],
    seed: int,
    judge: Judge | None = None,
) -> dict[str, HeadViews]:
    """Draw heads and how they are seen, for several purposes at once; draws of one depend on no other.

    Args:
        counts: how many views, by purpose: it names the random streams, so that other purposes have other heads.
        judge: of drawn heads, where they are judged elsewhere than here; None: here.
    """
    judge = judge or (lambda codes: judge_codes(sof, how.reference, codes, JUDGED))
    streams = {purpose: torch_generator(seed, "siw", "sof codes", purpose) for purpose in counts}
    chosen = {
        purpose: Candidates(sof.codes.new_empty(-(-n // views.of_a_head(purpose)), sof.codes.shape[1]))
        for purpose, n in counts.items()
    }
    for _ in range(MAX_TRIES):
        tried = {
            purpose: sample_codes(sof, len(candidates.wanted), streams[purpose], how.sampling)
            for purpose, candidates in chosen.items()
            if len(candidates.wanted)
        }
        if not tried:
            break
        together = torch.cat(list(tried.values()))
        if how.reference is None:  # As they are drawn.
            scores = np.zeros(len(together)), np.ones(len(together))
        else:
            scores = judge(together)
        first = 0
        for purpose, codes in tried.items():
            rows = slice(first, first + len(codes))
            chosen[purpose].take(codes, *(values[rows] for values in scores))
            first = rows.stop
    return {
        purpose: _seen(
            candidates.codes.cpu().numpy(),
            views.of_a_head(purpose),
            views.draw(counts[purpose], seed, purpose),
        )
        for purpose, candidates in chosen.items()
    }


def _seen(codes: np.ndarray, views: int, poses: Poses) -> HeadViews:
    """So many views of each of codes (M, Z), one after another, as many as there are poses; a head has one torso."""
    heads = np.arange(len(poses)) // views
    return HeadViews(codes[heads], replace(poses, shoulders=poses.shoulders[heads * views]))


def draw_view(sof: Sof, code: np.ndarray, camera: Camera, shoulders=USUAL) -> tuple[np.ndarray, np.ndarray]:
    """Labels (size, size) uint8 and camera depth (size, size) float32, 0 where nothing is hit, of a head with
    shoulders of a shape (3,) from one camera, of arrays."""
    view = sof.render(code, camera)
    head, depth = view.labels.cpu().numpy(), view.depth.cpu().numpy().astype(np.float32)
    labels = add_shoulders(head, camera, shoulders)
    return labels, np.where(labels != head, shoulder_depth(camera, shoulders), depth).astype(np.float32)


def render_sof_maps(
    sof: Sof,
    how: HeadSampling,
    views: PortraitViews,
    count: int,
    seed: int,
    progress: Progress = SILENT,
    purpose: str = "training",
) -> np.ndarray:
    """Views of sampled heads, with shoulders, from cameras around the portrait's: (count, size, size) uint8.

    All are in memory: `sofgan.siw.condition_shards` writes as many as are wanted, in shards.

    Args:
        progress: listener, which gets the count of maps.
        purpose: names the random stream; maps of another purpose are other heads.
    """
    planned = plan_views(sof, how, views, {purpose: count}, seed)[purpose]
    poses = planned.poses

    def draw(index: int) -> np.ndarray:
        return draw_view(sof, planned.codes[index], poses.camera(index, views.size), poses.shoulders[index])[
            0
        ]

    maps = np.empty((count, views.size, views.size), np.uint8)
    for index, drawn in enumerate(runtime.map_pieces(draw, range(count), sof.device)):
        maps[index] = drawn
        progress.items(index + 1, count, "maps")
    return maps
