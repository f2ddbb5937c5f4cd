"""Codes and cameras of label maps under optimisation: how they are fitted, and the pieces of a step about them."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sofgan import distributed
from sofgan.cameras import Camera
from sofgan.labels import VOID
from sofgan.shares import share_slices
from sofgan.sof import volume_marcher
from sofgan.sof.config import InvertMasks, TrainSof
from sofgan.sof.data import instance_schedule
from sofgan.sof.field import Representation, select
from sofgan.sof.inversion.code_prior import CodePrior
from sofgan.sof.inversion.map_encoder import MapEncoder
from sofgan.sof.losses import weighted_cross_entropy
from sofgan.sof.model import SofModel
from sofgan.sof.pixel_density import pixel_density
from sofgan.sof.precision import mixed_precision
from sofgan.sof.ray_draws import draw_pixels
from sofgan.sof.rays import Projection, Rays, ball_interval, pixel_rays
from sofgan.sof.render import COARSE_SIZE, coarse_range
from sofgan.sof.train import LearnTask
from sofgan.sof.view_set import ViewSet

FIT_SAMPLES = 10  # of a ray, where a coarse view says that the surface lies
RANGES_EVERY_DRAWS = 20  # of a map: then its coarse view is made anew
LEAST_SHARE = 4  # maps that a thread takes


@dataclass(frozen=True)
class Recipe:
    """How label maps are inverted, whichever they are.

    Attributes:
        config: the block `invert_masks`.
        training: the field's: rays are drawn, and terms of the loss weighted, as in it.
        encoder: estimates heads and cameras to start from; None: starts are searched alone.
        known: views of the field's own heads, in the order of its codes: released modules must go on showing these,
            where the configuration says so. None: they need not.
    """

    config: InvertMasks
    training: TrainSof
    encoder: MapEncoder | None = None
    known: ViewSet | None = None


@torch.no_grad()
def depth_ranges(model: SofModel, codes: Tensor, cameras: Camera) -> Tensor:
    """(M, 2, C, C) depths between which the surfaces of M codes, seen from M cameras, may lie."""
    made = model.generate(codes)
    return torch.stack(
        [
            torch.stack(coarse_range(model, select(made, slice(i, i + 1)), camera))
            for i, camera in enumerate(cameras)
        ]
    )


def project_within(
    model: SofModel, representation: Representation, rays: Rays, ranges: Tensor, generator: torch.Generator
) -> Projection:
    """Project rays (M, N) with few samples, all of them between depths (M, N, 2) as rendering places them.

    A ray whose range is empty is sampled all along: there something may have to grow.
    """
    near, far, hit = ball_interval(rays)
    known = ranges[..., 0] < ranges[..., 1]
    low = torch.where(known, torch.maximum(ranges[..., 0], near), near)
    high = torch.where(known, torch.minimum(ranges[..., 1], far), far)
    depths = volume_marcher.stratified(low, high, FIT_SAMPLES, generator)
    return volume_marcher.pass_missed(volume_marcher.shade(model.field, representation, rays, depths), hit)


class Fit:
    """Codes and cameras of maps under optimisation, in the coordinates of the codes' prior."""

    def __init__(
        self,
        model: SofModel,
        maps: Tensor,
        codes: Tensor,
        views,
        prior: CodePrior,
        recipe: Recipe,
    ):
        self.model, self.maps, self.views, self.prior = model, maps, views, prior
        self.config, training = recipe.config, recipe.training
        self.sampling = training.rays
        # As in training, where the cross-entropy has another weight than here.
        self.depth_weight = training.loss.negative_depth / (training.loss.cross_entropy or 1.0)
        self.white = torch.nn.Parameter(prior.white(codes))
        self.expected = views.values.detach().clone()
        self.density = pixel_density(maps, maps, training.rays)
        self.void = bool((maps == VOID).any())
        coarse = len(maps) if model.config.marcher.kind == "volume" else 0
        self.ranges = maps.new_zeros((coarse, 2, COARSE_SIZE, COARSE_SIZE), dtype=torch.float32)
        self.draws = torch.full((len(maps),), RANGES_EVERY_DRAWS, device=maps.device)  # since its coarse view

    def codes(self, index=slice(None)) -> Tensor:
        """(I, Z) of some maps, or of all."""
        return self.prior.codes(self.white[index])

    def draw(self, seed: int, step: int) -> Tensor:
        """Indices of the maps of a step: `maps_per_step` of them, or all; each as often as any other over steps."""
        count = len(self.maps)
        chosen = instance_schedule(seed, step, count, min(count, self.config.maps_per_step))
        return chosen.to(self.maps.device, non_blocking=True)

    def tasks(self, index: Tensor, generator: torch.Generator, parameters: list[Tensor]) -> list[LearnTask]:
        """Pieces of a step about the maps of those indices, for `learn`: in whatever pieces it is the same."""
        pixels, weights = draw_pixels(self.density[index], self.config.rays_per_map, self.sampling, generator)
        classes = self.maps[index].flatten(1).gather(1, pixels).long()
        weights, state = weights / weights.mean(), generator.get_state()

        def task(share: slice) -> tuple[tuple[Tensor | None, ...], dict[str, Tensor]]:
            draws = torch.Generator().set_state(state)  # each piece draws for all, and keeps its rows
            with (
                mixed_precision(index.device, self.config.autocast),
                distributed.shared_draws(len(index), share),
            ):
                loss, terms = self.loss(index[share], pixels[share], classes[share], weights[share], draws)
            weight = (share.stop - share.start) / len(index)
            gradients = torch.autograd.grad(weight * loss, parameters, allow_unused=True)
            return gradients, {name: weight * value.detach() for name, value in terms.items()}

        shares = share_slices(len(index), least=LEAST_SHARE, device=index.device)
        return [partial(task, share) for share in shares]

    def loss(
        self, index: Tensor, pixels: Tensor, classes: Tensor, weights: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the maps of those indices (I,), and its terms; pixels, their classes and weights are (I, N)."""
        config = self.config
        codes = self.codes(index)
        cameras = self.views(index, self.maps.shape[-1])
        rays = pixel_rays(cameras, pixels)
        representation = self.model.generate(codes)
        if self.model.config.marcher.kind == "volume":
            ranges = self._ranges_at(index, pixels, codes, cameras)
            projection = project_within(self.model, representation, rays, ranges, generator)
        else:
            projection = self.model.project(representation, rays, generator)
        terms = {
            "cross_entropy": weighted_cross_entropy(
                projection.log_probabilities, classes, weights, self.void
            ),
            "code_distance": self.white[index].square().mean(),
            "camera_distance": (self.views.values[index] - self.expected[index]).square().mean(),
        }
        loss = terms["cross_entropy"] + config.code_weight * terms["code_distance"]
        loss = loss + config.camera_weight * terms["camera_distance"]
        if self.depth_weight:
            terms["negative_depth"] = projection.depth.clamp_max(0).square().mean()
            loss = loss + self.depth_weight * terms["negative_depth"]
        return loss, terms

    @torch.no_grad()
    def _ranges_at(self, index, pixels, codes, cameras) -> Tensor:
        """(I, N, 2) depths of the coarse cells in which pixels (I, N) lie; old coarse views are made anew."""
        old = torch.nonzero(self.draws[index] >= RANGES_EVERY_DRAWS)[:, 0]
        if len(old):
            self.ranges[index[old]] = depth_ranges(self.model, codes[old], cameras[old])
            self.draws[index[old]] = 0
        self.draws[index] += 1
        size = self.maps.shape[-1]
        column, row = pixels % size * COARSE_SIZE // size, pixels // size * COARSE_SIZE // size
        cell = (row * COARSE_SIZE + column)[:, None].expand(-1, 2, -1)
        return self.ranges[index].flatten(2).gather(2, cell).transpose(1, 2)

    def state(self) -> dict:
        """State for a checkpoint, beside the model and the optimizer."""
        return {
            "white": self.white.detach(),
            "views": self.views.state_dict(),
            "expected": self.expected,
            "ranges": self.ranges,
            "draws": self.draws,
        }

    def load(self, state: dict) -> None:
        """Go on from a checkpoint."""
        with torch.no_grad():
            self.white.copy_(state["white"])
        self.views.load_state_dict(state["views"])
        for name in ("expected", "ranges", "draws"):
            setattr(self, name, state[name].to(self.maps.device))
