"""What views of an edited head are to show, and how well a head shows it: the loss of an edit."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sofgan import cameras, distributed
from sofgan.cameras import Camera
from sofgan.labels import BACKGROUND, CLOTH
from sofgan.seeds import torch_generator
from sofgan.shares import share_slices
from sofgan.sof.field import Representation
from sofgan.sof.inversion.fit import project_within
from sofgan.sof.model import SofModel
from sofgan.sof.rays import as_tensors, pixel_rays
from sofgan.sof.render import COARSE_SIZE, coarse_range
from sofgan.sof.train import LearnTask, learn
from sofgan.training import warmup_cosine

RAYS = 192  # of a view, in each step
LEAST_SHARE = 3  # views that a thread takes
BORDER = 4.0  # chance of a pixel at a border of classes, by that of others
RANGES_EVERY = 20  # steps after which it is found anew between which depths surfaces lie
WARMUP = 8  # steps over which the rate rises


@dataclass(frozen=True)
class ViewTargets:
    """Label maps that V views are to show.

    Attributes:
        cameras: (V,) of arrays, of S pixels.
        labels: (V, S, S) uint8, without shoulders.
        chances: (V, S, S) float: of pixels to be drawn.
        weights: (V,) of views.
        either: (V, S, S) bool: pixels that may show cloth or background, as shoulders lie behind.
    """

    cameras: Camera
    labels: np.ndarray
    chances: np.ndarray
    weights: np.ndarray
    either: np.ndarray


def at_borders(labels: np.ndarray) -> np.ndarray:
    """(V, S, S) bool: pixels of label maps (V, S, S) beside one of another class."""
    found = np.zeros(labels.shape, bool)
    down, right = labels[:, 1:] != labels[:, :-1], labels[:, :, 1:] != labels[:, :, :-1]
    found[:, 1:] |= down
    found[:, :-1] |= down
    found[:, :, 1:] |= right
    found[:, :, :-1] |= right
    return found


def chances(labels: np.ndarray) -> np.ndarray:
    """(V, S, S) chances of pixels of label maps, higher at borders."""
    return np.where(at_borders(labels), BORDER, 1.0)


def crosses(
    camera: Camera, depth: np.ndarray, cone: np.ndarray, painted: Camera, steps: int = 24
) -> np.ndarray:
    """(S, S) bool: rays that pass, in the ball and before the surface, through what lies behind painted pixels.

    Args:
        camera: whose rays they are.
        depth: (S, S) camera depth of its surfaces, 0 where there is none.
        cone: (P, P) bool of pixels in the picture of the camera `painted`.
        steps: looks along a ray.
    """
    origin, directions = cameras.rays(camera)
    a, b, c = (directions**2).sum(-1), directions @ origin, origin @ origin - 1
    inside = b * b - a * c
    root = np.sqrt(inside.clip(0))
    near, far = (-b - root) / a, (-b + root) / a
    end = np.where(depth > 0, np.minimum(depth, far), far)
    found = np.zeros(depth.shape, bool)
    for step in range(steps):
        place = near + (end - near) * (step + 0.5) / steps
        found |= pixels_of(origin + place[..., None] * directions, painted, cone)[0]
    return found & (inside > 0) & (end > near)


def pixels_of(points: np.ndarray, camera: Camera, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (...) that a picture (P, P) has where points (..., 3) lie in it, 0 beyond; and their camera depth."""
    places, depth = cameras.project(points, camera)
    size = len(values)
    column, row = np.moveaxis(np.floor(places * size).astype(int), -1, 0)
    within = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    found = values[row.clip(0, size - 1), column.clip(0, size - 1)]
    return np.where(within, found, np.zeros((), values.dtype)), depth


class EditLoss:
    """Mean cross-entropy of rays through drawn pixels of views, whose weights are of views.

    Each view and step has a random stream of its own, so that threads change nothing.
    """

    def __init__(self, model: SofModel, targets: ViewTargets, seed: int):
        self.model, self.seed = model, seed
        device = model.codes.device
        self.cameras = as_tensors(targets.cameras, device)
        self.labels = torch.from_numpy(targets.labels).to(device).long().flatten(1)
        self.either = torch.from_numpy(targets.either).to(device).flatten(1)
        self.weights = torch.from_numpy(np.asarray(targets.weights, np.float32)).to(device)
        self.cumulative = torch.from_numpy(targets.chances).to(device).float().flatten(1).cumsum(1)
        self.ranges: Tensor | None = None

    @torch.no_grad()
    def look(self, made: Representation) -> None:
        """Find anew between which depths surfaces lie."""
        known: dict[tuple[bytes, bytes], Tensor] = {}
        ranges = []
        for camera in self.cameras:  # Of equal ones, as the edited view's are, one is looked through.
            key = tuple(part.cpu().numpy().tobytes() for part in (camera.cam2world, camera.intrinsics))
            if key not in known:
                known[key] = torch.stack(coarse_range(self.model, made, camera))
            ranges.append(known[key])
        self.ranges = torch.stack(ranges)

    def tasks(self, made: Representation, leaves: list[Tensor], step: int) -> list[LearnTask]:
        """Pieces of a step, for `learn`."""
        shares = share_slices(len(self.labels), least=LEAST_SHARE, device=self.labels.device)
        return [partial(self._task, made, leaves, step, share) for share in shares]

    def _task(self, made: Representation, leaves: list[Tensor], step: int, share: slice):
        rows, size = torch.arange(len(self.labels))[share], self.cameras.size
        generator = torch_generator(self.seed, "edit", step, share.start)
        cumulative = self.cumulative[share]
        drawn = distributed.rand((len(rows), RAYS), generator, cumulative.device) * cumulative[:, -1:]
        pixels = torch.searchsorted(cumulative, drawn, right=True).clamp_max(size**2 - 1)
        column, row = pixels % size * COARSE_SIZE // size, pixels // size * COARSE_SIZE // size
        cell = (row * COARSE_SIZE + column)[:, None].expand(-1, 2, -1)
        ranges = self.ranges[share].flatten(2).gather(2, cell).transpose(1, 2)
        several = {name: value.expand(len(rows), *value.shape[1:]) for name, value in made.items()}
        seen = project_within(self.model, several, pixel_rays(self.cameras[share], pixels), ranges, generator)
        logs, classes = seen.log_probabilities, self.labels[share].gather(1, pixels)
        found = logs.gather(-1, classes[..., None])[..., 0]
        both = torch.logaddexp(logs[..., BACKGROUND], logs[..., CLOTH])
        found = torch.where(self.either[share].gather(1, pixels), both, found)
        loss = -(self.weights[share] * found.mean(1)).sum()
        return torch.autograd.grad(loss, leaves, allow_unused=True), {"views": loss.detach()}


def descend(
    parameter: Tensor,
    make: Callable[[], Representation],
    loss: EditLoss,
    steps: int,
    rate: float,
    more: Callable[[Representation, list[Tensor], int], Iterable[LearnTask]] = lambda *_: (),
    penalty: Callable[[], Tensor] | None = None,
) -> Iterable[int]:
    """Fit a parameter by Adam; yields the number of steps that are done.

    Args:
        make: what the parameter stands for, differentiable.
        loss: of that.
        rate: highest learning rate.
        more: further pieces of a step, as `EditLoss.tasks`.
        penalty: of the parameter itself.
    """
    optimizer = torch.optim.Adam([parameter], lr=0.0, betas=(0.9, 0.99))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * warmup_cosine(step, steps, WARMUP)
        optimizer.zero_grad(set_to_none=True)
        made = make()
        # Pieces end at what the parameter makes, which is made once.
        leaves = {name: value.detach().requires_grad_(value.requires_grad) for name, value in made.items()}
        if step % RANGES_EVERY == 0:
            loss.look(leaves)
        tensors = [value for value in leaves.values() if value.requires_grad]
        learn(tensors, [*loss.tasks(leaves, tensors, step), *more(leaves, tensors, step)], tensors[0].device)
        ends = [value for value in made.values() if value.requires_grad]
        torch.autograd.backward(ends, [tensor.grad for tensor in tensors])
        if penalty:
            penalty().backward()
        optimizer.step()
        yield step + 1
