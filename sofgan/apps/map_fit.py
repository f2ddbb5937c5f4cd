"""A head from one label map: camera and code as in round 2 of the paper's training, then the field's own modules.

The stage `invert_masks` fits many maps together in minutes; here one is fitted in seconds. Codes alone explain a
person's map only as far as combinations of the field's heads do; the modules, released for some steps on this one map,
explain the rest. The field that comes out is this head's own.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from sofgan import cameras
from sofgan.cameras import Camera
from sofgan.errors import InputError
from sofgan.labels import NUM_CLASSES
from sofgan.progress import SILENT, Progress
from sofgan.scores.segmentation import image_mean_iou
from sofgan.session import Session
from sofgan.siw.shoulders import add_shoulders, fit_shoulders
from sofgan.sof.config import InvertMasks, RaySampling, SofLoss
from sofgan.sof.inversion.cameras import PITCH_LIMIT
from sofgan.sof.inversion.fit import Recipe
from sofgan.sof.inversion.invert import invert, release
from sofgan.sof.sof import Sof

SIZE = 128  # pixels at which maps are fitted
STARTS = 24  # codes tried as starts: each costs as much as eight steps
STEPS, RELEASED_STEPS = 180, 60
SIDEWAYS, UPWARDS = 90.0, 60.0  # degrees to either side, as far as views of a fitted head go


@dataclass(frozen=True)
class _Training:
    """What a fit reads of how its field was trained: rays, and weights of the loss."""

    rays: RaySampling
    loss: SofLoss


_TRAINING = _Training(RaySampling(), SofLoss(1.0, 0.5, 0.001, 0.0, 0.6))


def recipe(steps: int = STEPS, released_steps: int = RELEASED_STEPS, starts: int = STARTS) -> InvertMasks:
    """How one map is fitted; the block `invert_masks` is about many."""
    return InvertMasks(
        preset="fast", maps=1, parsed_maps=0, least_miou=0.0, new_heads=0, size=SIZE,
        encoder_steps=0, starts=starts, start_yaws=(-0.6, -0.3, 0.0, 0.3, 0.6), blend=4,
        steps=steps, camera_only_share=0.15, rays_per_map=512, maps_per_step=1, autocast=False, adam_beta2=0.99,
        warmup_share=0.05, clip_gradient_norm=5.0, code_space="known", code_learning_rate=5e-2,
        camera_learning_rate=2e-2, code_weight=0.05, camera_weight=1.0, released_steps=released_steps,
        rehearsal_instances=0, module_learning_rate=5e-4, released_code_learning_rate=2e-2,
        released_camera_learning_rate=3e-3, checkpoint_every_steps=1_000_000,
    )  # fmt: skip


@dataclass(frozen=True)
class FittedHead:
    """A head found from a label map.

    Attributes:
        sof: the field, whose modules have learned the map.
        code: (Z,).
        yaw, pitch: of the camera, degrees; positive to the head's left and up.
        intrinsics: (3, 3) float64, in image widths.
        shoulders: (3,) shape, see `sofgan.siw.shoulders`.
        labels: (SIZE, SIZE) uint8 view of the head, with shoulders, from its camera.
        miou: mean IoU of that view and the map.
        codes_miou: the same before the modules were released.
    """

    sof: Sof
    code: torch.Tensor
    yaw: float
    pitch: float
    intrinsics: np.ndarray
    shoulders: np.ndarray
    labels: np.ndarray
    miou: float
    codes_miou: float

    def camera(self, size: int, yaw: float = 0.0, pitch: float = 0.0) -> Camera:
        """The camera of the map, turned by so many degrees, up to `SIDEWAYS` and `UPWARDS`."""
        angles = np.radians(
            (np.clip(self.yaw + yaw, -SIDEWAYS, SIDEWAYS), np.clip(self.pitch + pitch, -UPWARDS, UPWARDS))
        )
        return Camera(cameras.orbit(*angles, self.sof.radius), self.intrinsics, size)


def fit_head(
    sof: Sof, labels: np.ndarray, how: InvertMasks | None = None, seed: int = 0, progress: Progress = SILENT
) -> FittedHead:
    """The head of a label map (SIZE, SIZE) uint8 of a portrait.

    Args:
        sof: a field; it stays as it is.
        how: steps and rates; None: `recipe()`.

    Raises:
        InputError: the map shows no head.
    """
    if not (labels > 0).any():
        raise InputError("the label map is all background: it shows no head")
    config, maps = how or recipe(), torch.from_numpy(np.ascontiguousarray(labels))[None]
    made, session = Recipe(config, _TRAINING), Session(progress)
    found = invert(sof, maps, made, seed, session)
    frozen = _in_view(found.fitted[0], labels, found.cameras())
    if config.released_steps:
        found = release(sof, found, maps, made, seed, session)
    seen = _in_view(found.fitted[0], labels, found.cameras())
    # The last step's gradients are as large as the field, and would be kept as long.
    found.model.zero_grad(set_to_none=True)
    own = Sof(found.model, sof.instance_names, sof.rounds, sof.space, sof.poses, sof.intrinsics)
    yaw, pitch = found.views.values[0, :2].detach().cpu().double().tolist()
    # As the camera has them, whose values a fit may take beyond.
    yaw = math.degrees(math.remainder(yaw, 2 * math.pi))
    pitch = math.degrees(min(max(pitch, -PITCH_LIMIT), PITCH_LIMIT))
    intrinsics = found.cameras().intrinsics[0].cpu().double().numpy()
    return FittedHead(own, found.codes[0].clone(), yaw, pitch, intrinsics, *seen, frozen[2])


def _in_view(head: np.ndarray, labels: np.ndarray, views: Camera) -> tuple[np.ndarray, np.ndarray, float]:
    """Shoulders (3,), the view with them, and its mean IoU with the map."""
    pose, intrinsics = (value[0].cpu().double().numpy() for value in (views.cam2world, views.intrinsics))
    camera = Camera(pose, intrinsics, head.shape[-1])
    shoulders = fit_shoulders(labels, head, camera)
    shown = add_shoulders(head, camera, shoulders)
    score = image_mean_iou(torch.from_numpy(shown)[None], torch.from_numpy(labels)[None], NUM_CLASSES)
    return shoulders, shown, float(score[0])
