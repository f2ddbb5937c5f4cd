"""What each choice of the paper's that the default makes otherwise costs, in operations counted at the paper's sizes.

    python -m benchmarks.siw_choices [--keys generator.downsample ...]

Every line sets one key of profiles/paper.yaml's train_siw to the demo's value, and counts the floating-point operations
of matrix products and convolutions of a whole training (discriminator, generator, regularisers with their share of the
steps) for each photo shown, at 1,024 pixels and all widths, on tensors without contents. Choices without such
operations, as where SPADE acts, are not in it. Nothing is timed, and there is no limit.
"""

import argparse
import dataclasses
import sys

from benchmarks import harness
from sofgan.siw.config import TrainSiw
from stages.execution.rehearsing.needs import generator_operations

KEYS = (
    "generator.mixing", "generator.upsample", "generator.downsample", "generator.spade_max_size",
    "generator.spade_hidden", "discriminator.downsample", "share_fakes", "path_length_every",
)  # fmt: skip


def changed(config: TrainSiw, key: str, source: TrainSiw) -> TrainSiw:
    """The configuration with one key, `discriminator.kind` for instance, as another has it."""
    block, _, name = key.rpartition(".")
    if not block:
        return dataclasses.replace(config, **{name: getattr(source, name)})
    inner = dataclasses.replace(getattr(config, block), **{name: getattr(getattr(source, block), name)})
    return dataclasses.replace(config, **{block: inner})


def value(config: TrainSiw, key: str):
    """What it has under a key."""
    block, _, name = key.rpartition(".")
    return getattr(getattr(config, block) if block else config, name)


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, check=False)
    found.add_argument("--keys", nargs="+", default=KEYS)
    return found


def main(arguments) -> None:
    paper, demo = harness.block("train_siw", "paper"), harness.block("train_siw", "demo")
    whole = generator_operations(paper)
    print(harness.head("key", "paper", "demo", "10^9 operations a photo", "by the paper's"))
    print(harness.row("all as the paper", "", "", f"{whole / 1e9:,.1f}", ""), flush=True)
    for key in arguments.keys:
        count = generator_operations(changed(paper, key, demo))
        cells = [f"`{key}`", value(paper, key), value(demo, key)]
        print(harness.row(*cells, f"{count / 1e9:,.1f}", f"{count / whole - 1:+.1%}"), flush=True)


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
