"""What all benchmarks share: their arguments, blocks of params.yaml, turns, limits and the exit status.

A benchmark is a module with `parser()`, made by `harness.parser`, and `main(arguments)`, which prints figures and
returns what `verdict` says of those that have a limit; `sys.exit(harness.run(parser(), main))` runs it.
"""

import argparse
import contextlib
import copy
import functools
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import yaml

from pipelines import profiles, rehearsal
from sofgan.config import read_yaml
from sofgan.errors import in_a_sentence
from sofgan.progress import Progress
from sofgan.runtime import resolve_device
from stages import params

ROOT = Path(__file__).parents[1]
CACHE = Path(".work/benchmarks")  # what is made once
PARAMS = "params.yaml"
SECONDS_BETWEEN_LINES = 10  # that tell how far something is, where no terminal shows them

Clock = Callable[[], float]  # seconds
Main = Callable[[argparse.Namespace], Iterable[bool] | None]


def parser(
    doc: str,
    *,
    threads: int | None = None,
    device: bool = False,
    seed: int | None = None,
    cpu_seconds: bool = False,
    check: bool = True,
) -> argparse.ArgumentParser:
    """Arguments that benchmarks have in common: those that this one heeds, `threads` and `seed` with their defaults."""
    found = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if threads is not None:
        found.add_argument("--threads", type=int, default=threads, help="of the CPU; 0: one a core")
    if device:
        found.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or auto")
    if seed is not None:
        found.add_argument("--seed", type=int, default=seed, help="of all that is drawn")
    if cpu_seconds:
        found.add_argument(
            "--cpu-seconds", action="store_true", help="count seconds that this process computes in"
        )
    if check:
        found.add_argument("--check", action="store_true", help="exit with 1 where a limit is not kept")
    return found


def run(parser: argparse.ArgumentParser, main: Main, argv: list[str] | None = None) -> int:
    """The exit status of a benchmark: 1 where an input can't be used, or under --check where a limit is not kept."""
    arguments = parser.parse_args(argv)

    def work() -> int:
        if "device" in arguments:
            arguments.device = resolve_device(arguments.device)
        if "threads" in arguments:
            from sofgan.runtime import use_cpu  # loads torch, which not all benchmarks need

            arguments.threads = arguments.threads or params.cores()
            use_cpu(arguments.threads)
        print(machine(arguments), flush=True)
        kept = list(main(arguments) or ())
        return int(getattr(arguments, "check", False) and not all(kept))

    return in_a_sentence(work)


def machine(arguments: argparse.Namespace) -> str:
    """The machine that figures are of: its cores, and the threads, the device and the clock that are used."""
    parts = [f"{params.cores()} cores"]
    parts += [f"{arguments.threads} thread(s)"] if "threads" in arguments else []
    device = getattr(arguments, "device", "cpu")
    if device.startswith("cuda"):
        import torch

        device += f" ({torch.cuda.get_device_name(device)})"
    parts += [device, "CPU seconds" if getattr(arguments, "cpu_seconds", False) else "seconds by the clock"]
    return f"machine: {', '.join(parts)}"


@functools.cache
def _of_profile(name: str) -> dict:
    """params.yaml of a profile of this repository, wherever the benchmark is run."""
    with contextlib.chdir(ROOT):
        return rehearsal.document_of(name)


def mapping(stage: str, profile: str | None = None, *changes: Mapping) -> dict:
    """A stage's block as plain data, with changes merged over it.

    Args:
        profile: whose block, whatever params.yaml is of (`demo` is one too); None: params.yaml's as it is.
        changes: merged key by key, `profiles.MISSING` takes a key out; all else is replaced.

    Raises:
        ProfileError: there is no such profile.
    """
    document = _of_profile(profile) if profile else read_yaml(params.params_file())
    found = document[stage]
    for change in changes:
        found = profiles.merge(copy.deepcopy(found), change)
    return copy.deepcopy(found)


def block(stage: str, profile: str | None = None, *changes: Mapping):
    """What `mapping` gives, as the stage's frozen dataclass.

    Raises:
        ConfigError: a key is unknown, missing, of the wrong type or out of its range.
    """
    where = f"{profile}.yaml" if profile else PARAMS
    return params.block_of(mapping(stage, profile, *changes), stage, Path(where))


def change(text: str) -> dict:
    """A change of a block as `KEY=VALUE` has it: {"generator": {"mixing": "none"}} of "generator.mixing=none"."""
    key, _, value = text.partition("=")
    found = yaml.safe_load(value)
    for name in reversed(key.split(".")):
        found = {name: found}
    return found


def clock(arguments: argparse.Namespace) -> Clock:
    """The clock that the arguments ask for; on a GPU it waits until all is done that was begun."""
    seconds = time.process_time if getattr(arguments, "cpu_seconds", False) else time.perf_counter
    device = getattr(arguments, "device", "cpu")
    if not device.startswith("cuda"):
        return seconds
    import torch

    def waiting() -> float:
        torch.cuda.synchronize(device)
        return seconds()

    return waiting


def turns(
    works: Mapping[str, Callable[[int], object]],
    rounds: int,
    clock: Clock = time.perf_counter,
    before: Callable[[int], object] | None = None,
) -> dict[str, list[float]]:
    """Seconds of each work in each round; all take turns, so that what else the machine does slows all alike.

    Args:
        works: implementations by name; each is called with the round's number.
        before: is called with that number before each round, and not timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        if before:
            before(number)
        for name, work in works.items():
            began = clock()
            work(number)
            seconds[name].append(clock() - began)
        took = ", ".join(f"{name} {values[-1]:.3g} s" for name, values in seconds.items())
        tell(f"round {number + 1} of {rounds}: {took}")
    return seconds


def verdict(name: str, value: float, *, at_least: float | None = None, at_most: float | None = None) -> bool:
    """Whether a figure keeps its limit; prints both in one line. What is no number keeps none."""
    if (at_least is None) == (at_most is None):
        raise TypeError("a limit is either at_least or at_most")
    kept = value >= at_least if at_least is not None else value <= at_most
    limit = f"at least {at_least:g}" if at_least is not None else f"at most {at_most:g}"
    print(f"{name}: {value:.4g}, {limit}: {'kept' if kept else 'NOT KEPT'}", flush=True)
    return bool(kept)


def row(*cells) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def head(*names: str) -> str:
    """The first two lines of a Markdown table."""
    return f"{row(*names)}\n{row(*['---'] * len(names))}"


class _Passing:
    """Lines that take each other's place on a terminal; into a file goes one of them now and then."""

    def __init__(self) -> None:
        self.written = -math.inf  # seconds of the clock

    def tell(self, text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() >= self.written + SECONDS_BETWEEN_LINES:
            self.written = time.monotonic()
            print(text, file=sys.stderr, flush=True)


_passing = _Passing()


def tell(text: str, end: str = "\n") -> None:
    """Print progress, beside the figures; with `end=""` in place of the last line, into a file only now and then."""
    if end:
        print(text, end=end, file=sys.stderr, flush=True)
    else:
        _passing.tell(text)


class Line(Progress):
    """Listener that tells how far a computation is, in place of the last line.

    Args:
        name: of the computation, before the count.
    """

    def __init__(self, name: str):
        self.name = name

    def items(self, done: int, total: int, unit: str = "items", note: str = "") -> None:
        """Tell the count and the note."""
        tell(f"{self.name}: {done}/{total} {unit} {note}".rstrip(), end="")


class Looks(Progress):
    """Listener that hands figures to a function, called with the step and the figures by name."""

    def __init__(self, look: Callable[[int, Mapping[str, float]], None]):
        self.scalars = look
