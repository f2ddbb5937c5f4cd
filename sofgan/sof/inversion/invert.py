"""Round 2: codes and cameras of single label maps (paper, section 6.2), and then the modules with them."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sofgan import distributed, runtime
from sofgan.cameras import Camera
from sofgan.labels import NUM_CLASSES, VOID
from sofgan.progress import Progress
from sofgan.scores.segmentation import image_mean_iou
from sofgan.seeds import torch_generator
from sofgan.session import UNWATCHED, Session
from sofgan.shares import share_slices
from sofgan.sof import volume_marcher
from sofgan.sof.config import InvertMasks, TrainSof
from sofgan.sof.data import RaySampler, ViewSet, instance_schedule, pixel_density
from sofgan.sof.field import Representation, select
from sofgan.sof.inversion.cameras import FramingCameras, PositionCameras
from sofgan.sof.inversion.code_prior import CodePrior, fit_prior, open_prior
from sofgan.sof.inversion.map_encoder import MapEncoder
from sofgan.sof.inversion.start import search_start
from sofgan.sof.losses import weighted_cross_entropy
from sofgan.sof.model import SofModel
from sofgan.sof.precision import mixed_precision
from sofgan.sof.ray_draws import draw_pixels
from sofgan.sof.rays import Projection, Rays, ball_interval, pixel_rays
from sofgan.sof.render import COARSE_SIZE, coarse_range, render_view
from sofgan.sof.sampling import fit_mixture, shape_features
from sofgan.sof.sof import Sof
from sofgan.sof.train import LearnTask, learn, share_tasks
from sofgan.training import warmup_cosine

FIT_SAMPLES = 10  # of a ray, where a coarse view says that the surface lies
RANGES_EVERY_DRAWS = 20  # of a map: then its coarse view is made anew
LEAST_SHARE = 4  # maps that a thread takes
ADAM_BETA1 = 0.9


@dataclass(frozen=True)
class Inversion:
    """Fitted maps.

    Attributes:
        codes: (M, Z).
        views: the cameras as parameters: `views.values` (M, C), named by `views.NAMES`.
        miou: (M,) mean IoU of each map against its fit.
        fitted: (M, H, W) uint8 label maps of the fit.
        model: the field with the codes of known heads; changed only where it was released.
    """

    codes: Tensor
    views: FramingCameras | PositionCameras
    miou: np.ndarray
    fitted: np.ndarray
    model: SofModel

    def cameras(self) -> Camera:
        """The cameras (M,) of the maps."""
        with torch.no_grad():
            return self.views(torch.arange(len(self.codes), device=self.codes.device), self.fitted.shape[-1])


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


def invert(
    sof: Sof,
    maps: Tensor,
    recipe: Recipe,
    seed: int,
    session: Session = UNWATCHED,
    known_framing: bool = False,
    first_group: int = 0,
) -> Inversion:
    """Fit codes and cameras to label maps (M, H, W) uint8 while the field stays as it is (the fast preset).

    Groups of `maps_per_step` maps are taken one after another, `steps` each, from starts that are searched and, where
    there is an encoder, estimated. The paper's preset is `sofgan.sof.inversion.paper_inversion`.

    Args:
        known_framing: the maps were rendered with the field's intrinsics by cameras that look at the head's
            centre: only yaw and pitch are fitted.
        first_group: number of the first group of these maps among all, by which it draws.

    Raises:
        ValueError: the preset is the paper's.
    """
    config, device = recipe.config, sof.device
    if config.preset != "fast":
        raise ValueError(f"preset {config.preset} is not inverted in groups: see invert_in_turns")
    maps, model = maps.to(device), copy.deepcopy(sof.model).requires_grad_(False)
    prior = prior_of(sof, config)
    codes, views = _start(sof, maps, config, seed, recipe.encoder, known_framing)
    groups = list(torch.arange(len(maps), device=device).split(config.maps_per_step))
    total, (done, state) = len(groups) * config.steps, session.resume()
    finished = state["finished"] if state else []
    rates = (config.code_learning_rate, config.camera_learning_rate)
    for number in range(len(finished), len(groups)):
        group = groups[number]
        fit = Fit(model, maps[group], codes[group], views.of(group), prior, recipe)
        fitted = [fit.white, fit.views.values]
        optimizer = torch.optim.Adam(
            [{"params": [parameter], "lr": 0.0} for parameter in fitted],
            betas=(ADAM_BETA1, config.adam_beta2),
        )
        first = done - number * config.steps if state and "fit" in state else 0
        if first:
            fit.load(state["fit"])
            optimizer.load_state_dict(state["optimizer"])
            state = None
        for step in range(first, config.steps):
            generator = torch_generator(seed, "inversion", first_group + number, step)
            factor = warmup_cosine(step, config.steps, max(1, int(config.warmup_share * config.steps)))
            still = step < config.camera_only_share * config.steps
            for group_of, rate, held in zip(optimizer.param_groups, rates, (still, False)):
                group_of["lr"] = 0.0 if held else rate * factor
            optimizer.zero_grad(set_to_none=True)
            terms = learn(fitted, fit.tasks(fit.draw(seed, step), generator, fitted), device)
            optimizer.step()
            done = number * config.steps + step + 1
            tell(session.progress, done, total, f"steps of {len(groups)} groups", terms)
            if step + 1 < config.steps:
                amid = partial(_state_amid, fit, optimizer, finished)
                session.keep(done, config.checkpoint_every_steps, total, amid)
        finished.append({"codes": fit.codes().detach(), "values": fit.views.values.detach()})
        session.keep(done, config.checkpoint_every_steps, total, lambda: {"finished": finished})
    codes, values = (torch.cat([part[name].to(device) for part in finished]) for name in ("codes", "values"))
    return scored(model, maps, codes, views.with_values(values))


def _state_amid(fit: Fit, optimizer: torch.optim.Optimizer, finished: list[dict]) -> dict:
    """State amid the group after those that are finished."""
    return {"finished": finished, "fit": fit.state(), "optimizer": optimizer.state_dict()}


def release(
    sof: Sof,
    found: Inversion,
    maps: Tensor,
    recipe: Recipe,
    seed: int,
    session: Session = UNWATCHED,
) -> Inversion:
    """Go on from `invert` with all maps (M, H, W) together and the modules released: `released_steps` steps.

    The paper releases the modules on single views alone. Nothing then keeps the sides of heads that no map
    shows: where the recipe has views of known heads, each step also is one of round 1 on these, whose codes move along.
    """
    config, device = recipe.config, sof.device
    maps, model = maps.to(device), copy.deepcopy(found.model).requires_grad_(True)
    everything = torch.arange(len(maps), device=device)
    fit = Fit(model, maps, found.codes, found.views.of(everything), prior_of(sof, config), recipe)
    modules = [*model.field.parameters(), *model.marcher.parameters()]
    rates = (
        config.released_code_learning_rate,
        config.released_camera_learning_rate,
        config.module_learning_rate,
        config.released_code_learning_rate,
    )
    parameters = ([fit.white], [fit.views.values], modules, [model.codes])
    betas = (ADAM_BETA1, config.adam_beta2)
    optimizer = torch.optim.Adam([{"params": p, "lr": 0.0} for p in parameters], betas=betas)
    learned = [parameter for group in parameters for parameter in group]
    known, total = rehearsing(recipe, seed, device), config.released_steps
    first, state = session.resume()
    if state:
        fit.load(state["fit"])
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    for step in range(first, total):
        generator = torch_generator(seed, "release", step)
        factor = warmup_cosine(step, total, max(1, int(config.warmup_share * total)))
        for group, rate in zip(optimizer.param_groups, rates):
            group["lr"] = rate * factor
        optimizer.zero_grad(set_to_none=True)
        tasks = fit.tasks(fit.draw(seed, step), generator, learned)
        if known:
            tasks += known.tasks(model, step, learned)
        terms = learn(learned, tasks, device)
        if config.clip_gradient_norm:
            torch.nn.utils.clip_grad_norm_(modules, config.clip_gradient_norm)
        optimizer.step()
        tell(session.progress, step + 1, total, "steps with modules released", terms)
        session.keep(
            step + 1,
            config.checkpoint_every_steps,
            total,
            lambda: {"fit": fit.state(), "model": model.state_dict(), "optimizer": optimizer.state_dict()},
        )
    return scored(model, maps, fit.codes().detach(), fit.views)


def join(first: Inversion, second: Inversion) -> Inversion:
    """Two inversions by one field and with one kind of camera, as one."""
    return Inversion(
        torch.cat([first.codes, second.codes]),
        first.views.joined(second.views),
        np.concatenate([first.miou, second.miou]),
        np.concatenate([first.fitted, second.fitted]),
        first.model,
    )


def part(found: Inversion, index: slice) -> Inversion:
    """Some maps of an inversion."""
    rows = torch.arange(len(found.codes), device=found.codes.device)[index]
    return replace(
        found,
        codes=found.codes[index],
        views=found.views.of(rows),
        miou=found.miou[index],
        fitted=found.fitted[index],
    )


class Rehearsing:
    """Steps of round 1 on known heads, beside those on maps: so many of these heads in each."""

    def __init__(self, recipe: Recipe, seed: int, device: str | torch.device):
        self.training, self.seed, self.device = recipe.training, seed, device
        self.sampler = RaySampler(recipe.known.to(device), recipe.training.rays)
        self.count = len(recipe.known.names)
        self.per_step = min(recipe.config.rehearsal_instances, self.count)

    def tasks(self, model: SofModel, step: int, parameters: list[Tensor]) -> list[LearnTask]:
        """Pieces of that step, for `learn`."""
        training, generator = self.training, torch_generator(self.seed, "rehearsal", step)
        known = instance_schedule(self.seed, step, self.count, self.per_step).to(self.device)
        batch = self.sampler.draw(known, training.views_per_instance, training.rays_per_view, generator)
        tasks = share_tasks(model, batch, training, True, generator, parameters)
        return [partial(_rehearsed, task) for task in tasks]


def rehearsing(recipe: Recipe, seed: int, device: str | torch.device) -> Rehearsing | None:
    """Rehearsal of known heads as configured; None where there is none."""
    if recipe.known is None or not recipe.config.rehearsal_instances:
        return None
    return Rehearsing(recipe, seed, device)


def _rehearsed(task: LearnTask) -> tuple[Sequence[Tensor | None], dict[str, Tensor]]:
    """A piece of a step on known heads, whose loss is a term of the whole."""
    gradients, terms = task()
    return gradients, {"rehearsal": terms["loss"]}


def prior_of(sof: Sof, config: InvertMasks) -> CodePrior:
    """The coordinates in which codes are fitted: of combinations of known heads' codes, or of any."""
    return fit_prior(sof.codes) if config.code_space == "known" else open_prior(sof.codes)


def _start(sof: Sof, maps: Tensor, config: InvertMasks, seed: int, encoder, known_framing: bool):
    """Starting codes and cameras: searched."""
    codes, values = search_start(sof, maps, config, seed, encoder, known_framing)
    free = torch.ones_like(values)
    if known_framing:
        free[:, 2:] = 0
    return codes, FramingCameras(values, sof.radius, sof.intrinsics.to(maps.device), free)


def tell(progress: Progress, done: int, total: int, unit: str, terms: dict[str, Tensor]) -> None:
    """Say now and then how far a fit is, and more seldom its terms."""
    if done % 10 == 0:
        progress.items(done, total, unit)
    if done % 100 == 0:
        progress.scalars(done, {name: float(value.detach()) for name, value in terms.items()})


@torch.no_grad()
def scored(model: SofModel, maps: Tensor, codes: Tensor, views) -> Inversion:
    """Codes (M, Z) and cameras of maps (M, H, W) with what they show of a model, whose gradients end here."""
    cameras = views(torch.arange(len(codes), device=codes.device), maps.shape[-1])

    @torch.no_grad()
    def render(one: tuple[Tensor, Camera]) -> Tensor:
        code, camera = one
        return render_view(model, model.generate(code[None]), camera).labels

    fitted = torch.stack(list(runtime.map_pieces(render, zip(codes, cameras), codes.device)))
    miou = image_mean_iou(fitted, maps, NUM_CLASSES)
    return Inversion(codes, views, miou, fitted.cpu().numpy(), model.requires_grad_(False))


def extend(sof: Sof, inversion: Inversion, keys: list[str], seed: int) -> Sof:
    """The field with the inverted codes after the known ones, marked as round 2.

    The sampling space stays that of the known heads, whose codes move where modules were released.
    """
    model = copy.deepcopy(inversion.model)
    known = model.codes.detach()
    space = fit_mixture(
        known, len(sof.space["weights"]), len(sof.space["axes"]), seed, shape_features(model.generate, known)
    )
    codes = torch.cat([known, inversion.codes.to(sof.device)])
    model.codes = torch.nn.Parameter(codes, requires_grad=False)
    names, rounds = [*sof.instance_names, *keys], [*sof.rounds, *[2] * len(keys)]
    return Sof(model, names, rounds, space, sof.poses, sof.intrinsics)
