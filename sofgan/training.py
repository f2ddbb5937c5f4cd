"""Models on disk, EMA, schedules, curves: what all trainings share beside their sessions (`sofgan.session`)."""

import io
import math
import pickle
import struct
import zipfile
from pathlib import Path

import torch

from sofgan.errors import InputError, MissingInput
from sofgan.files import write_bytes
from sofgan.labels import NAMES

# What torch.load raises at bytes that are no model, whatever they are; RuntimeError is looked at more closely.
UNREADABLE = (
    pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError, AttributeError, ImportError, struct.error,
    ArithmeticError, MemoryError,
)  # fmt: skip


def serialize(value) -> bytes:
    """Tensors and plain data as torch writes them: equal values are equal bytes."""
    # torch.save names the archive's root after the file, so a temporary name would leak into the bytes.
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def save_model(path: str | Path, state_dict: dict[str, torch.Tensor], config: dict) -> None:
    """Write a state dict, on the CPU, with its configuration as plain data. Equal models are equal bytes."""
    state_dict = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state_dict.items()}
    write_bytes(path, serialize({"state_dict": state_dict, "config": config}))


def load_model(path: str | Path, device: str | torch.device = "cpu") -> tuple[dict[str, torch.Tensor], dict]:
    """The state dict and the configuration that `save_model` wrote; runs no code from the file.

    Raises:
        MissingInput: the file is not there.
        InputError: it is damaged, or no such model.
    """
    if not Path(path).is_file():
        raise MissingInput(
            f"no model at {path}: `dvc repro` makes it, `dvc pull` fetches it where it was pushed"
        )
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        return content["state_dict"], content["config"]
    except UNREADABLE as error:
        raise InputError(f"{path} is no model of this project: {_first_line(error)}") from error
    except RuntimeError as error:
        if _is_archive(path):  # Then it is the device that failed.
            raise
        raise InputError(f"{path} is damaged: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _is_archive(path: str | Path) -> bool:
    """Whether the file is a whole archive, as torch writes them."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return archive.testzip() is None


def ema_beta(batch: int, halflife_images: float) -> float:
    """Weight of the old average such that its half-life is that many images, whatever the batch."""
    return 0.5 ** (batch / max(halflife_images, 1e-8))


@torch.no_grad()
def update_ema(ema: torch.nn.Module, model: torch.nn.Module, beta: float) -> None:
    """Move the averaged parameters towards the model's; buffers are copied."""
    averages, values = list(ema.parameters()), list(model.parameters())
    torch._foreach_lerp_(averages, values, 1 - beta)
    for average, value in zip(ema.buffers(), model.buffers()):
        average.copy_(value)


def warmup_cosine(step: int, total: int, warmup: int, floor: float = 0.0) -> float:
    """Learning-rate factor: linear from 0 to 1 over `warmup` steps, then a cosine down to `floor`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def write_curve(path: str | Path, rows: list[dict[str, float]]) -> None:
    """Write rows of scalars under the union of their keys, in order of appearance; what a row lacks stays empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [",".join(columns)]
    lines += [",".join(f"{row[key]:.6g}" if key in row else "" for key in columns) for row in rows]
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def write_classes(path: str | Path, **scores: dict[str, float]) -> None:
    """Write a row a class: `class`, then a column a mapping of class names to scores; what one lacks stays empty.

    Rows are in the order of the classes' ids, of those that occur in any of the mappings.
    """
    classes = [name for name in NAMES if any(name in values for values in scores.values())]
    lines = [",".join(["class", *scores])]
    for name in classes:
        cells = [f"{values[name]:.6g}" if name in values else "" for values in scores.values()]
        lines.append(",".join([name, *cells]))
    write_bytes(path, ("\n".join(lines) + "\n").encode())
