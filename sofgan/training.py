"""Checkpoints and models on disk, EMA, schedules, curves: what all trainings share."""

import io
import math
import pickle
import re
import zipfile
from pathlib import Path

import torch

from sofgan.errors import InputError, MissingInput
from sofgan.files import write_bytes
from sofgan.fingerprint import say_anew, short_digest, write_fingerprint
from sofgan.labels import NAMES


def _serialize(value) -> bytes:
    # torch.save names the archive's root after the file, so a temporary name would leak into the bytes.
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def save_model(path: str | Path, state_dict: dict[str, torch.Tensor], config: dict) -> None:
    """Write a state dict, on the CPU, with its configuration as plain data. Equal models are equal bytes."""
    state_dict = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state_dict.items()}
    write_bytes(path, _serialize({"state_dict": state_dict, "config": config}))


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
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
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


class Checkpoints:
    """The resume states of one training, in a folder outside the stage's outs.

    Args:
        folder: made when the first state is saved.
        fingerprint: plain data that the training depends on, by name: its configuration, hashes of its inputs, and
            of its code. States with another fingerprint are not resumed, since they would give another result.
        keep: how many of the newest states stay.
    """

    def __init__(self, folder: str | Path, fingerprint, keep: int = 2):
        self.folder, self.fingerprint, self.keep = Path(folder), fingerprint, keep
        self.prefix = short_digest(fingerprint)

    def _states(self, prefix: str) -> list[tuple[int, Path]]:
        """Steps and files of states whose names begin so, oldest first."""
        pattern = re.compile(rf"{prefix}-(\d+)\.pt")
        found = [(pattern.fullmatch(path.name), path) for path in self.folder.glob("*.pt")]
        return sorted((int(match[1]), path) for match, path in found if match)

    def save(self, step: int, state: dict) -> None:
        """Keep a state (tensors and plain data, RNG states included) and drop older ones."""
        if not self._about(self.prefix).is_file():
            write_fingerprint(self._about(self.prefix), self.fingerprint)
        write_bytes(self.folder / f"{self.prefix}-{step:09d}.pt", _serialize(state))
        for _, path in self._states(self.prefix)[: -self.keep]:
            path.unlink()
        # States of another configuration or code are of no use.
        for path in (*self.folder.glob("*.pt"), *self.folder.glob("*.json")):
            if not path.name.startswith(self.prefix):
                path.unlink()

    def latest(self, device: str | torch.device = "cpu") -> tuple[int, dict] | None:
        """The newest state of this very training with its step, or None; why others can't be used is said."""
        states = self._states(self.prefix)
        if not states:
            self._say_why()
            return None
        step, path = states[-1]
        return step, torch.load(path, map_location=device, weights_only=True)

    def clear(self) -> None:
        """Remove this training's states, once its result is on disk."""
        for _, path in self._states(self.prefix):
            path.unlink()
        self._about(self.prefix).unlink(missing_ok=True)

    def _about(self, prefix: str) -> Path:
        """Path of the fingerprint of the states whose names begin so."""
        return self.folder / f"{prefix}.json"

    def _say_why(self) -> None:
        """Tell why the newest state in the folder, if there is one, is of no use."""
        if others := self._states(r"[0-9a-f]+"):
            step, path = max(others, key=lambda other: other[1].stat().st_mtime_ns)
            say_anew(
                f"{self.folder}: a training stopped after step {step}",
                self._about(path.name.partition("-")[0]),
                self.fingerprint,
            )


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
