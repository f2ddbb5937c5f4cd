"""Training a semantic occupancy field on multi-view label maps."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sofgan import distributed, runtime
from sofgan.labels import colorize
from sofgan.progress import Stopwatch
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.session import UNWATCHED, Session
from sofgan.shares import add_gradients, share_slices
from sofgan.sof.config import SofConfig, TrainSof
from sofgan.sof.data import RayBatch, RayBatches, RaySampler, instance_schedule
from sofgan.sof.losses import sof_loss
from sofgan.sof.model import SofModel, new_model
from sofgan.sof.precision import mixed_precision
from sofgan.sof.rays import as_tensors
from sofgan.sof.render import render_view
from sofgan.sof.sampling import fit_mixture, shape_features
from sofgan.sof.sof import Sof
from sofgan.sof.view_set import ViewSet
from sofgan.training import warmup_cosine

# A piece of a step: gradients (None of what it doesn't depend on), and scalars, both by its share of the whole.
LearnTask = Callable[[], tuple[Sequence[Tensor | None], dict[str, Tensor]]]
LEAST_SHARE = 2  # instances that a thread takes: of fewer, calls cost more than the work

Schedule = Callable[[int, int], Tensor]  # the instances (I,) int64 of a step, from its number and I


def share_tasks(
    model: SofModel,
    batch: RayBatch,
    config: TrainSof,
    project: bool,
    generator: torch.Generator,
    parameters: list[Tensor],
    mine: slice | None = None,
) -> list[LearnTask]:
    """Pieces of a step of `sof_loss`, for `learn`; the step is the same in whatever pieces.

    Args:
        parameters: to differentiate by.
        mine: which of the batch's instances this process has; None: all.
    """
    count, state, device = len(batch.instances), generator.get_state(), batch.instances.device
    mine = mine or slice(0, count)

    def task(share: slice) -> tuple[tuple[Tensor | None, ...], dict[str, Tensor]]:
        chosen = slice(mine.start + share.start, mine.start + share.stop)
        draws = torch.Generator().set_state(state)  # each piece draws for all, and keeps its rows
        with mixed_precision(device, config.autocast), distributed.shared_draws(count, chosen):
            loss, terms = sof_loss(model, rows(batch, chosen), config, project, draws)
        weight = (chosen.stop - chosen.start) / count
        gradients = torch.autograd.grad(weight * loss, parameters, allow_unused=True)
        return gradients, {name: weight * value.detach() for name, value in {"loss": loss, **terms}.items()}

    shares = share_slices(mine.stop - mine.start, least=LEAST_SHARE, device=device)
    return [partial(task, share) for share in shares]


def learn(parameters: list[Tensor], tasks: list[LearnTask], device: str | torch.device) -> dict[str, Tensor]:
    """Work off pieces of a step: the parameters get the sums of their gradients; the sums of their scalars."""
    sums: dict[str, Tensor] = {}
    for gradients, terms in runtime.map_pieces(lambda task: task(), tasks, device):
        add_gradients(parameters, gradients)
        for name, value in terms.items():
            sums[name] = sums[name] + value if name in sums else value
    return sums


def train_sof(
    views: ViewSet,
    config: TrainSof,
    seed: int,
    device: str | torch.device,
    session: Session = UNWATCHED,
    start: Callable[[], SofModel] | None = None,
    schedule: Schedule | None = None,
) -> tuple[SofModel, list[dict[str, float]]]:
    """Train a field from scratch, or on from the newest checkpoint, to the end of its steps.

    Every draw of a step comes from generators named after the step, so on the CPU a resumed training ends in the same
    bytes (same machine and thread count). On CUDA it ends nearly there: gradients of texels are added in an order that
    changes from run to run, and their rounding with it. Among several processes (`sofgan.distributed`) each takes
    its share of a step's instances; the first one alone validates, reports and saves.

    Args:
        views: on the CPU; no more of them is brought to the device than a step is of.
        session: its listener gets the count of steps, and scalars and a picture whenever held-out views were
            looked at: the curve's scalars, and `train_seconds` since this call without validation, reports and
            saving.
        start: makes the model to begin with, where there is no checkpoint, in the first process; None: a new one.
        schedule: which instances a step draws; it depends on no earlier call. None: `instance_schedule`, all alike.

    Returns:
        The model, and the curve: one row of scalars for each time that held-out views were looked at, the IoU
        of each class that occurs among them. The model is the same in all processes, the curve the first one's.

    Raises:
        ValueError: there are more processes than instances in a step.
    """
    watch, progress = Stopwatch(session.clock), session.progress
    sampler = RaySampler(views, config.rays, device)
    first, state = session.resume()
    model = new_model(SofConfig(config.field, config.marcher), len(views.names), config.code_init_std, seed)
    if start and not state:  # Made once: what is fitted on a GPU differs a little from process to process.
        made = start().cpu().state_dict() if distributed.rank() == 0 else None
        model.load_state_dict(distributed.from_first(made))
    model.to(device).train()
    optimizer, curve = make_optimizer(model, config), []
    if state:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        curve = state["curve"]
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    base_rates = [config.learning_rate, config.code_learning_rate]
    points_only = int(config.points_only_share * config.steps) if config.marcher.kind == "volume" else 0
    batch_size = min(config.instances_per_step, len(views.names))
    schedule = schedule or (lambda step, batch: instance_schedule(seed, step, len(views.names), batch))
    mine = distributed.share(batch_size)
    progress.items(first, config.steps, "steps")
    batches = RayBatches(
        sampler,
        lambda step: schedule(step, batch_size),
        config.views_per_instance,
        config.rays_per_view,
        seed,
        config.steps,
    )

    for step in range(first, config.steps):
        # Draw the rays of all processes, keep one's own.
        drawn, generator = batches(step)

        # One step of the optimiser.
        factor = warmup_cosine(step, config.steps, config.warmup_steps)
        for group, rate in zip(optimizer.param_groups, base_rates):
            group["lr"] = rate * factor
        optimizer.zero_grad(set_to_none=True)
        tasks = share_tasks(model, drawn, config, step >= points_only, generator, learned, mine)
        terms = learn(learned, tasks, device)
        distributed.sum_gradients(model.parameters())
        if config.clip_gradient_norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_gradient_norm)
        optimizer.step()

        # Look at held-out views, tell, and save.
        done = step + 1
        if done % 10 == 0:
            progress.items(done, config.steps, "steps")
        if done % config.validate_every_steps == 0 or done == config.steps:
            scores = {name: float(value) for name, value in distributed.sum_scalars(terms).items()}
            seconds = watch.seconds
            with watch.paused():
                if distributed.rank() == 0:
                    scores, picture = with_held_out(scores, model, views, config.validate_views)
                    curve.append({"step": done, **scores})
                    progress.scalars(done, {**scores, "train_seconds": seconds})
                    progress.images(done, {"samples/held_out": picture})
        with watch.paused():
            session.keep(
                done,
                config.checkpoint_every_steps,
                config.steps,
                lambda: {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "curve": curve},
            )
    return model, curve


def with_held_out(
    scores: dict[str, float], model: SofModel, views: ViewSet, limit: int | None
) -> tuple[dict[str, float], np.ndarray]:
    """A step's loss and terms with the IoU of (`limit`) held-out views, and the picture of `validate`."""
    confusion, picture = validate(model, views, limit)
    scores = {"loss": scores["loss"], "held_out_miou": confusion.miou()} | scores
    return scores | {f"iou_{name}": value for name, value in confusion.per_class().items()}, picture


def rows(batch: RayBatch, chosen: slice) -> RayBatch:
    """Some instances of a batch."""
    values = (batch.instances, batch.rays, batch.labels, batch.depth, batch.weights)
    return RayBatch(*(value[chosen] for value in values), batch.void)


def finish(model: SofModel, views: ViewSet, config: TrainSof, seed: int) -> Sof:
    """The trained field with its names, its sampling space and the cameras that it was seen from."""
    features = shape_features(model.generate, model.codes)
    space = fit_mixture(model.codes, config.space_components, config.space_dimensions, seed, features)
    poses, intrinsics = views.cam2world[~views.held_out], views.intrinsics.mean(0)
    return Sof(model, views.names, [1] * len(views.names), space, poses, intrinsics)


def make_optimizer(model: SofModel, config: TrainSof) -> torch.optim.Optimizer:
    """Adam with one rate for the modules and one for the codes."""
    modules = [*model.field.parameters(), *model.marcher.parameters()]
    groups = [
        {"params": modules, "lr": config.learning_rate},
        {"params": [model.codes], "lr": config.code_learning_rate},
    ]
    return torch.optim.Adam(groups, betas=(0.9, config.adam_beta2), fused=True)


@torch.no_grad()
def validate(model: SofModel, views: ViewSet, limit: int | None, held_out: bool = True, pictures: int = 8):
    """Render held-out (or training) views and compare.

    Args:
        views: anywhere; they are brought to the model one by one.
        limit: so many views, spread over the set; None: all.

    Returns:
        The confusion matrix, and a picture (H, W, 3): truth above, the field below.
    """
    index = torch.nonzero(views.held_out == held_out)[:, 0]
    if limit is not None and limit < len(index):
        index = index[torch.linspace(0, len(index) - 1, limit, device=index.device).long()]
    training = model.training
    model.eval()
    confusion, shown, device = ConfusionMatrix(), [], model.codes.device
    every = max(1, len(index) // pictures)

    @torch.no_grad()
    def render(view: int) -> Tensor:
        instance = int(views.instance[view])
        representation = model.generate(model.codes[instance : instance + 1])
        return render_view(model, representation, as_tensors(views.camera(view), device)).labels

    index = index.tolist()
    for order, (view, rendered) in enumerate(zip(index, runtime.map_pieces(render, index, device))):
        truth = views.labels[view].to(device)
        confusion.update(rendered, truth)
        if order % every == 0 and len(shown) < pictures:
            pair = torch.cat([truth, rendered], 0).cpu().numpy()
            shown.append(colorize(pair))
    model.train(training)
    return confusion, np.concatenate(shown, 1)
