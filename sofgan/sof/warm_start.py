"""Training on from an earlier field where scans were added or withdrawn, in less than half of the time.

The modules start as they were, known heads with their codes, added ones with random codes about the mean of these. All
are trained together as anew, points first, since modules that stay as they are can't show what no known head has. Added
heads are drawn more often at first; of known ones a rehearsal is enough.
"""

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from sofgan.config import to_mapping
from sofgan.errors import UserError
from sofgan.files import sha256_file
from sofgan.seeds import derive_seed
from sofgan.session import UNWATCHED, Session
from sofgan.sof.config import SofConfig, TrainSof, WarmStart
from sofgan.sof.data import instance_schedule, take_turns
from sofgan.sof.model import SofModel, new_model
from sofgan.sof.sof import Sof, load_sof
from sofgan.sof.train import Schedule, train_sof
from sofgan.sof.view_set import ViewSet


class WarmStartError(UserError, ValueError):
    """The earlier field can't be trained on."""


def warm_config(config: TrainSof) -> TrainSof:
    """The training that follows a warm start: its own steps, of its own size and rates, its parts as anew.
    Warm-up is the same share of the steps."""
    warm = config.warm_start
    return dataclasses.replace(
        config,
        steps=warm.steps,
        instances_per_step=warm.instances_per_step,
        warmup_steps=min(config.warmup_steps, -(-config.warmup_steps * warm.steps // config.steps)),
        learning_rate=config.learning_rate * warm.rate,
        code_learning_rate=config.code_learning_rate * warm.code_rate,
    )


def load_previous(warm: WarmStart, config: TrainSof) -> Sof:
    """The field to start from.

    Raises:
        WarmStartError: there is none, it is another file than the one that was meant, or of another configuration.
    """
    path = Path(warm.field)
    if not path.is_file():
        raise WarmStartError(f"no field at {path} to start from (train_sof.warm_start.field)")
    if sha256_file(path) != warm.sha256:
        raise WarmStartError(
            f"{path} is not the expected file: sha256 {sha256_file(path)}, not {warm.sha256}"
        )
    previous = load_sof(path)
    theirs, ours = _flat(previous.config), _flat(SofConfig(config.field, config.marcher))
    for key, value in ours.items():
        if theirs[key] != value:
            raise WarmStartError(
                f"{path} was trained with {key} {theirs[key]}, which is {value} now: train from the start"
            )
    return previous


def warm_model(previous: Sof, names: list[str], config: TrainSof, seed: int) -> SofModel:
    """The model that training goes on from, on the CPU: an instance a name, known ones with their codes, others with
    the mean of these and what a code has at the start of a training anew.

    Args:
        previous: the earlier field. Codes of inverted label maps and of heads that are gone are left out.
    """
    model = new_model(previous.config, len(names), config.code_init_std, seed)
    model.field.load_state_dict(previous.model.field.state_dict())
    model.marcher.load_state_dict(previous.model.marcher.state_dict())
    codes = previous.training_codes.cpu()
    known, mean = dict(zip(previous.training_names, codes)), codes.mean(0)
    # Added ones differ from the first step on: the modules tell heads of equal codes apart but slowly.
    with torch.no_grad():
        rows = [known.get(name, mean + own) for name, own in zip(names, model.codes)]
        model.codes.copy_(torch.stack(rows))
    return model


def warm_schedule(previous: Sof, names: list[str], config: TrainSof, seed: int) -> Schedule:
    """Schedule of the instances that steps draw: for the share `points_only_share` of them added heads more often, then
    all alike. Within the former each added head comes `added_draws` times, but in no more than `added_share` of
    the places, nor more than once in a step; never less often than a known one.

    Known and added ones take turns among themselves, as `instance_schedule` has it.
    """
    met = set(previous.training_names)
    known = torch.tensor([i for i, name in enumerate(names) if name in met], dtype=torch.int64)
    added = torch.tensor([i for i, name in enumerate(names) if name not in met], dtype=torch.int64)
    warm = config.warm_start
    last = int(config.points_only_share * warm.steps)

    def schedule(step: int, batch: int) -> Tensor:
        if step >= last or not len(added) or not len(known):
            return instance_schedule(seed, step, len(names), batch)
        # So many in the mean of the steps, which is no whole number.
        wanted = min(warm.added_draws * len(added) / last, warm.added_share * batch, len(added))
        each = max(wanted, batch * len(added) / len(names))
        before, after = int(step * each), int((step + 1) * each)
        turn = take_turns(derive_seed(seed, "added"), before, after - before, len(added))
        rehearsed = take_turns(seed, step * batch - before, batch - (after - before), len(known))
        return torch.cat([added[turn], known[rehearsed]])

    return schedule


def train_on(
    previous: Sof,
    views: ViewSet,
    config: TrainSof,
    seed: int,
    device: str | torch.device,
    session: Session = UNWATCHED,
) -> tuple[SofModel, list[dict[str, float]]]:
    """Train on from an earlier field (`load_previous`) with `warm_start` of the configuration.

    Args:
        views: of all instances to train on, known ones by their names.
        config: as for a training anew; the rest is as `train_sof` has it.

    Returns:
        The model, and the curve, as of `train_sof`.

    Raises:
        ValueError: there are more processes than instances in a step.
    """
    return train_sof(
        views,
        warm_config(config),
        seed,
        device,
        session,
        start=lambda: warm_model(previous, views.names, config, seed),
        schedule=warm_schedule(previous, views.names, config, seed),
    )


def _flat(config: SofConfig) -> dict:
    return {
        f"{part}.{key}": value for part, block in to_mapping(config).items() for key, value in block.items()
    }
