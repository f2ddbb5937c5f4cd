"""What each choice of the paper's that the default makes otherwise costs, in operations counted at the paper's sizes.

    python -m benchmarks.siw_choices [--keys generator.downsample ...]

Every line sets one key of profiles/paper.yaml's train_siw to the demo's value, and counts the floating-point operations
of matrix products and convolutions of a whole training (discriminator, generator, regularisers with their share of the
steps) for each photo shown, at 1,024 pixels and all widths, without computing them (`benchmarks.scale.generator`).
Choices without such operations, as where SPADE acts, are not in it. Nothing is timed.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from benchmarks.path_lengths import paper
from benchmarks.scale import generator
from sofgan.config import from_mapping, read_yaml
from sofgan.siw.config import TrainSiw

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


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keys", nargs="+", default=KEYS)
    keys = parser.parse_args().keys
    full, demo = paper(), from_mapping(TrainSiw, read_yaml(Path("params.yaml"))["train_siw"], "train_siw")
    whole = generator(full, True)
    print(
        "| key | paper | demo | 10^9 operations a photo | by the paper's |\n| --- | --- | --- | --- | --- |"
    )
    print(f"| all as the paper | | | {whole / 1e9:,.1f} | |", flush=True)
    for key in keys:
        count = generator(changed(full, key, demo), True)
        values = f"{value(full, key)} | {value(demo, key)}"
        print(f"| `{key}` | {values} | {count / 1e9:,.1f} | {count / whole - 1:+.1%} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
