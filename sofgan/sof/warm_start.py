"""Training on from an earlier field where scans were added or withdrawn, in a fraction of the steps.

The modules start as they were, known heads with their codes. Codes of added heads are first fitted to their views while
the modules stay as they are, since a code that starts anywhere would drag the modules along.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch

from sofgan.config import to_mapping
from sofgan.files import sha256_file
from sofgan.sof.config import SofConfig, TrainSof, WarmStart
from sofgan.sof.data import ViewSet
from sofgan.sof.fitting import fit_codes
from sofgan.sof.model import Sof, SofModel, load_sof, new_model


class WarmStartError(ValueError):
    """The earlier field can't be trained on."""


def warm_config(config: TrainSof) -> TrainSof:
    """The training that follows a warm start: its own steps, smaller rates, rays projected from the first step."""
    warm = config.warm_start
    return dataclasses.replace(
        config,
        steps=warm.steps,
        learning_rate=config.learning_rate * warm.rate,
        code_learning_rate=config.code_learning_rate * warm.rate,
        points_only_share=0.0,
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


def warm_model(
    previous: Sof,
    views: ViewSet,
    config: TrainSof,
    seed: int,
    device: str | torch.device,
    status: Callable[[str], None] | None = None,
) -> SofModel:
    """The model of the views' instances that training goes on from.

    Args:
        previous: the earlier field. Codes of inverted label maps and of heads that are gone are left out.
        views: of all instances that will be trained on, known ones by their names.
        config: of the training; `fit_steps` are those of added heads' codes.
    """
    model = new_model(previous.config, len(views.names), config.code_init_std, seed)
    model.field.load_state_dict(previous.model.field.state_dict())
    model.marcher.load_state_dict(previous.model.marcher.state_dict())
    known = dict(zip(previous.training_names, previous.training_codes))
    added = [i for i, name in enumerate(views.names) if name not in known]
    # Each search begins at the mean of the model's codes, so the added heads' own are that for now.
    mean = previous.training_codes.mean(0)
    with torch.no_grad():
        model.codes.copy_(torch.stack([known.get(name, mean) for name in views.names]))
    model.to(device)
    if added:
        fitted = fit_codes(model, views.of_instances(added), config, config.fit_steps, seed, device, status)
        with torch.no_grad():
            model.codes[added] = fitted
    return model


def _flat(config: SofConfig) -> dict:
    return {
        f"{part}.{key}": value for part, block in to_mapping(config).items() for key, value in block.items()
    }
