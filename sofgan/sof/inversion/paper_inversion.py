"""Round 2 as the paper describes it (section 6.2): all label maps by turns, codes and camera positions from the mean
code and a frontal camera, first with the modules as they are, then with them."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from sofgan.seeds import derive_seed, torch_generator
from sofgan.session import UNWATCHED, Session
from sofgan.sof.data import take_turns
from sofgan.sof.inversion.cameras import PositionCameras
from sofgan.sof.inversion.fit import Fit, Recipe
from sofgan.sof.inversion.invert import ADAM_BETA1, Inversion, prior_of, rehearsing, scored, tell
from sofgan.sof.inversion.map_adam import MapAdam
from sofgan.sof.sof import Sof
from sofgan.sof.train import learn
from sofgan.training import warmup_cosine

Look = Callable[[int, Callable[[], Inversion]], None]


def invert_in_turns(
    sof: Sof,
    maps: Tensor,
    recipe: Recipe,
    seed: int,
    session: Session = UNWATCHED,
    look: Look | None = None,
) -> tuple[Inversion, Inversion]:
    """Codes and camera positions of label maps (M, H, W) uint8, and the field that shows them.

    A step is about the next `maps_per_step` maps of a shuffled order of all, so each is visited as often. After
    `steps` the modules are released for `released_steps`; optimiser and schedule go on. The moments of Adam are, for
    codes and cameras, those of a map's own visits (`sofgan.sof.inversion.map_adam`), so that rates are moves at a
    visit, whatever the number of maps.

    Args:
        recipe: its encoder is not asked.
        look: called after each step with the steps so far and a function that scores what is found by then.

    Returns:
        What was found when the modules were released, and at the end.
    """
    config, device = recipe.config, sof.device
    maps, model = maps.to(device), copy.deepcopy(sof.model).requires_grad_(False)
    everything = torch.arange(len(maps), device=device)
    position = torch.tensor([0.0, 0.0, sof.radius], device=device).expand(len(maps), 3)
    views = PositionCameras(position, (0.0, 0.0, 0.0), sof.intrinsics.to(device))
    codes = sof.codes.mean(0).expand(len(maps), -1)
    fit = Fit(model, maps, codes, views, prior_of(sof, config), recipe)
    own, modules = [fit.white, fit.views.values], [*model.field.parameters(), *model.marcher.parameters()]
    of_maps = MapAdam(own, config.adam_beta2)
    groups = [{"params": modules, "lr": 0.0}, {"params": [model.codes], "lr": 0.0}]
    of_modules = torch.optim.Adam(groups, betas=(ADAM_BETA1, config.adam_beta2))
    known = rehearsing(recipe, seed, device)
    total, order = config.steps + config.released_steps, derive_seed(seed, "turns of maps")
    warmup, per_step = max(1, int(config.warmup_share * total)), min(config.maps_per_step, len(maps))
    frozen = None

    def found() -> Inversion:
        return scored(copy.deepcopy(model), maps, fit.codes().detach(), fit.views.of(everything))

    def state_now() -> dict:
        state = {"fit": fit.state(), "of_maps": of_maps.state_dict(), "frozen": frozen}
        return state | {"model": model.state_dict(), "of_modules": of_modules.state_dict()}

    first, state = session.resume()
    if state:
        fit.load(state["fit"])
        of_maps.load_state_dict(state["of_maps"])
        model.load_state_dict(state["model"])
        of_modules.load_state_dict(state["of_modules"])
        frozen = state["frozen"]
    model.requires_grad_(first > config.steps)
    for step in range(first, total):
        if step == config.steps:
            frozen = {"codes": fit.codes().detach(), "values": fit.views.values.detach().clone()}
            model.requires_grad_(True)
        released = step >= config.steps
        factor = warmup_cosine(step, total, warmup)
        still = step < config.camera_only_share * config.steps
        rates = (0.0 if still else config.code_learning_rate, config.camera_learning_rate)
        if released:
            rates = (config.released_code_learning_rate, config.released_camera_learning_rate)
            for group, rate in zip(of_modules.param_groups, (config.module_learning_rate, rates[0])):
                group["lr"] = rate * factor
        learned = [*own, *modules, model.codes] if released else own
        for parameter in learned:
            parameter.grad = None
        generator = torch_generator(seed, "turn", step)
        index = take_turns(order, step * per_step, per_step, len(maps)).unique().to(device)
        tasks = fit.tasks(index, generator, learned)
        if released and known:
            tasks += known.tasks(model, step, learned)
        terms = learn(learned, tasks, device)
        of_maps.step(index, [rate * factor for rate in rates])
        if released:
            if config.clip_gradient_norm:
                torch.nn.utils.clip_grad_norm_(modules, config.clip_gradient_norm)
            of_modules.step()
        done = step + 1
        tell(session.progress, done, total, "steps with modules released" if released else "steps", terms)
        if look:
            look(done, found)
        session.keep(done, config.checkpoint_every_steps, total, state_now)
    if frozen is None:  # Modules were never released.
        return (end := found()), end
    before = copy.deepcopy(sof.model)
    codes, values = (frozen[name].to(device) for name in ("codes", "values"))
    return scored(before, maps, codes, views.with_values(values)), found()
