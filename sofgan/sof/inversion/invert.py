"""Round 2: codes and cameras of single label maps (paper, section 6.2), and then the modules with them."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sofgan import runtime
from sofgan.cameras import Camera
from sofgan.labels import NUM_CLASSES
from sofgan.progress import Progress
from sofgan.scores.segmentation import image_mean_iou
from sofgan.seeds import torch_generator
from sofgan.session import UNWATCHED, Session
from sofgan.sof.config import InvertMasks
from sofgan.sof.data import RaySampler, instance_schedule
from sofgan.sof.inversion.cameras import FramingCameras, PositionCameras
from sofgan.sof.inversion.code_prior import CodePrior, fit_prior, open_prior
from sofgan.sof.inversion.fit import Fit, Recipe
from sofgan.sof.inversion.start import search_start
from sofgan.sof.model import SofModel
from sofgan.sof.render import render_view
from sofgan.sof.sampling import fit_mixture, shape_features
from sofgan.sof.sof import Sof
from sofgan.sof.train import LearnTask, learn, share_tasks
from sofgan.training import warmup_cosine

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
