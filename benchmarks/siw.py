"""Speed of the generator's training step: the default against the usual grouped convolutions, and what its parts cost.

    python -m benchmarks.siw [--rounds 5] [--threads 2] [--device cpu] [--compile] [--check]
    python -m benchmarks.siw --profile NAME [--rounds 5] [--threads 2] [--device cpu]

Every variant takes whole steps (discriminators and generator, with the lazy regularisers in their shares: 16 steps
are a cycle) of params.yaml's train_siw on random pictures; variants take turns, and the fastest of --rounds is printed,
which other work on the machine disturbs least.

    naive          as such generators are usually written: two styles by grouped convolutions, outputs mixed (eq. 8),
                   the library's memory layout and 1x1 convolutions, a batch of fakes each for both updates;
                   path lengths every 8 steps, as the paper; SPADE of the default's width
    naive-128      the same with the specification's SPADE width of 128
    grouped        naive in our memory layout, with our 1x1 convolutions: what grouping alone costs
    output         ours with outputs mixed (eq. 8): styles on the batch axis
    input          ours with inputs mixed, two batches of fakes
    default        params.yaml: inputs mixed, one batch of fakes

and the default without SPADE, without R1, with path lengths every 8 steps, with one style, compiled (--compile); all of
them once with the residual discriminator alone and once with the default's. Then maps painted with 1, 2, 6 and 12
styles a picture, without training. Limits: the default with the residual discriminator is 2 times as fast as naive and
2.5 times as naive-128, and 12 styles take 1.1 times as long as 2.

With --profile it says how long the training of a profile takes: img/s at each size through which its pictures grow, and
the hours that its photos of that size take by that. Nothing else is measured, and nothing checked.
"""

import argparse
import dataclasses
import sys

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import harness
from benchmarks.inputs.portraits import random_batch
from sofgan.errors import InputError
from sofgan.labels import NUM_CLASSES
from sofgan.siw.config import TrainSiw
from sofgan.siw.generator import Generator
from sofgan.siw.mixing import class_weights, one_hot
from sofgan.siw.operators import (
    GAIN,
    EqualConv2d,
    halve_blurred,
    leaky_relu,
    strided_conv2,
    upsample2,
)
from sofgan.siw.styled_conv import StyledConv, ToRGB
from sofgan.siw.training_step import SiwTraining

CYCLE = 16  # steps after which all lazy regularisers have had their turn
LEAST_BY_NAIVE, LEAST_BY_NAIVE_128, MOST_OF_12_STYLES = 2.0, 2.5, 1.1
STYLES = (1, 2, 6, 12)


class GroupedConv(StyledConv):
    """Eq. 8 as StyleGAN2 codes write it: every picture's modulated weights, a group each, once a style."""

    def forward(self, x: Tensor, w: Tensor, weights, noise=None, gain_shift=None) -> Tensor:
        batch, channels = x.shape[:2]
        if self.resample == "down":
            x = F.avg_pool2d(x, 2)
        height, width = x.shape[2:]
        mixed = 0
        for k in range(w.shape[1]):
            kernel = self.weight[None] * self.scale * self.affine(w[:, k])[:, None, :, None, None]
            kernel = kernel * torch.rsqrt(kernel.square().sum((2, 3, 4), keepdim=True) + 1e-8)
            y = F.conv2d(x.reshape(1, -1, height, width), kernel.flatten(0, 1), padding=1, groups=batch)
            y = y.reshape(batch, -1, height, width)
            if self.resample == "up":
                y = upsample2(y)
            mixed = mixed + (y * weights[y.shape[-1]][:, k : k + 1] if weights else y)
        if self.noise_strength is not None and noise is not None:
            mixed = mixed + self.noise_strength * noise
        y = leaky_relu((mixed + self.bias[:, None, None]) * GAIN)
        return y if gain_shift is None else y * gain_shift[0] + gain_shift[1]


class GroupedRgb(ToRGB):
    """As `GroupedConv`, of 1x1 and without demodulation."""

    def forward(self, x: Tensor, w: Tensor, weights) -> Tensor:
        batch, _, height, width = x.shape
        mixed = 0
        for k in range(w.shape[1]):
            kernel = self.weight[None] * self.scale * self.affine(w[:, k])[:, None, :, None, None]
            y = F.conv2d(x.reshape(1, -1, height, width), kernel.flatten(0, 1), groups=batch)
            y = y.reshape(batch, 3, height, width)
            mixed = mixed + (y * weights[height][:, k : k + 1] if weights else y)
        return mixed + self.bias[:, None, None]


class LibraryConv(EqualConv2d):
    """The library's convolution, of whatever size."""

    def forward(self, x: Tensor, gain: float = 1.0, halve: bool = False) -> Tensor:
        bias = None if self.bias is None else self.bias * gain
        weight = self.weight * (self.scale * gain)
        if halve and self.padding:
            return strided_conv2(x, weight, bias)
        return F.conv2d(halve_blurred(x) if halve else x, weight, bias, padding=self.padding)


def grouped(training: SiwTraining) -> SiwTraining:
    """The same training with grouped convolutions."""
    for module in training.generator.modules():
        if isinstance(module, StyledConv):
            module.__class__ = GroupedConv
    return training


def naive(training: SiwTraining) -> SiwTraining:
    """The same training as it is usually written: grouped convolutions, the library's others, its memory layout."""
    for network in (grouped(training).generator, training.critics):
        network.to(memory_format=torch.contiguous_format)
        for module in network.modules():
            if isinstance(module, ToRGB):
                module.__class__ = GroupedRgb
            elif isinstance(module, EqualConv2d):
                module.__class__ = LibraryConv
    return training


def variants(default: TrainSiw, compiled: bool) -> dict[str, TrainSiw]:
    """Configurations by name; `measure` makes some of them naive or grouped."""
    generator = default.generator
    two = dataclasses.replace(default, share_fakes=False)
    paper = dataclasses.replace(two, path_length_every=8)
    wide = dataclasses.replace(generator, spade_hidden=128)
    found = {
        "naive": paper,
        "naive-128": dataclasses.replace(paper, generator=wide),
        "grouped": paper,
        "output": dataclasses.replace(two, generator=dataclasses.replace(generator, mixing="output")),
        "input": two,
        "default": default,
        "no-spade": dataclasses.replace(
            default, generator=dataclasses.replace(generator, spade_sizes=(1, 1))
        ),
        "no-r1": dataclasses.replace(default, r1_every=0),
        "no-consistency": dataclasses.replace(default, consistency_every=0),
        "path-length": dataclasses.replace(default, path_length_every=8),
        "one-style": dataclasses.replace(default, generator=dataclasses.replace(generator, mixing="none")),
    }
    if compiled:
        found["compiled"] = dataclasses.replace(default, compile=True)
    return found


def measure(configs: dict[str, TrainSiw], rounds: int, device: str, clock: harness.Clock) -> dict[str, float]:
    """Greatest img/s of each variant over cycles of whole steps."""
    cycles, shown = {}, {}
    for name, config in configs.items():
        training = SiwTraining(config, 0, device, config.autocast and device.startswith("cuda"))
        if name.startswith("naive"):
            naive(training)
        elif name == "grouped":
            grouped(training)
        batch = random_batch(config, device)

        def cycle(_: int, training=training, batch=batch) -> None:
            for step in range(CYCLE):
                training.step(step, batch)

        training.step(0, batch)  # The first steps set up.
        training.step(1, batch)
        cycles[name], shown[name] = cycle, CYCLE * config.batch
    seconds = harness.turns(cycles, rounds, clock)
    return {name: shown[name] / min(values) for name, values in seconds.items()}


def growth(
    config: TrainSiw, rounds: int, device: str, clock: harness.Clock
) -> dict[int, tuple[float, float]]:
    """By pixels of the pictures, img/s of a training and the thousands of photos that it sees at that size."""
    training = SiwTraining(config, 0, device, config.autocast and device.startswith("cuda"))
    kimg = {size: config.kimg * share for size, share in config.growth}
    kimg[config.generator.resolution] = config.kimg - sum(kimg.values())
    works = {}
    for size in kimg:
        batch = random_batch(config, device, size)

        def cycle(_: int, batch=batch) -> None:
            for step in range(CYCLE):
                training.step(step, batch)

        training.step(0, batch)  # The first step at a size sets up.
        works[str(size)] = cycle
    seconds = harness.turns(works, rounds, clock)
    return {size: (CYCLE * config.batch / min(seconds[str(size)]), kimg[size]) for size in kimg}


@torch.inference_mode()
def painting(config: TrainSiw, rounds: int, device: str, clock: harness.Clock) -> dict[int, float]:
    """Greatest img/s of painting with so many styles a picture."""
    network = Generator(config.generator).to(device, memory_format=torch.channels_last).eval()
    labels = random_batch(config, device).labels[0]
    maps, ways = one_hot(labels), {}
    for styles in STYLES:
        w = torch.randn((len(labels), styles, config.generator.w_dim), device=device)
        weights = None
        if styles > 1:
            weights = class_weights(labels, torch.arange(NUM_CLASSES, device=device) % styles, styles)

        def paint(_: int, w=w, weights=weights) -> None:
            for _ in range(CYCLE):
                network.synthesize(maps, w, weights)

        paint(0)  # The first time sets up.
        ways[str(styles)] = paint
    seconds = harness.turns(ways, rounds, clock)
    return {styles: CYCLE * len(labels) / min(seconds[str(styles)]) for styles in STYLES}


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=2, device=True)
    found.add_argument("--rounds", type=int, default=5)
    found.add_argument("--compile", action="store_true")
    found.add_argument("--profile", help="of profiles/, or demo: how long its training takes, alone")
    return found


def print_growth(config: TrainSiw, arguments) -> None:
    """Print how long a training takes."""
    found, hours = growth(config, arguments.rounds, arguments.device, harness.clock(arguments)), 0.0
    print(harness.head("pixels", "kimg", "img/s", "hours"))
    for size, (rate, kimg) in found.items():
        hours += (took := 1000 * kimg / rate / 3600)
        print(harness.row(size, f"{kimg:g}", f"{rate:.1f}", f"{took:.2f}"))
    print(harness.row("all", f"{config.kimg:g}", f"{1000 * config.kimg / hours / 3600:.1f}", f"{hours:.2f}"))


def main(arguments) -> list[bool]:
    if arguments.profile:
        if arguments.check:
            raise InputError("--profile measures how long a training takes: no limit is checked")
        print_growth(harness.block("train_siw", arguments.profile), arguments)
        return []
    default, clock = harness.block("train_siw"), harness.clock(arguments)
    size = default.generator.resolution
    print(f"{size}x{size}, batch {default.batch}")
    ratios = {}
    for kind in ("residual", default.discriminator.kind):
        critics = dataclasses.replace(default.discriminator, kind=kind)
        if kind == "residual":
            critics = dataclasses.replace(critics, region_weight=0.0, palette_weight=0.0)
        configs = variants(dataclasses.replace(default, discriminator=critics), arguments.compile)
        rates = measure(configs, arguments.rounds, arguments.device, clock)
        print()
        print(harness.head(f"{kind} discriminator", "img/s", "by naive", "by default"))
        for name, rate in rates.items():
            by = (f"{rate / rates[other]:.2f}" for other in ("naive", "default"))
            print(harness.row(name, f"{rate:.1f}", *by))
        ratios[kind] = rates["default"] / rates["naive"], rates["default"] / rates["naive-128"]
    painted = painting(default, arguments.rounds, arguments.device, clock)
    print()
    print(harness.head("styles a picture", "painted img/s"))
    for styles, rate in painted.items():
        print(harness.row(styles, f"{rate:.1f}"))
    by_naive, by_naive_128 = ratios["residual"]
    return [
        harness.verdict("default by naive", by_naive, at_least=LEAST_BY_NAIVE),
        harness.verdict("default by naive-128", by_naive_128, at_least=LEAST_BY_NAIVE_128),
        harness.verdict(
            "time of 12 styles by that of 2", painted[2] / painted[12], at_most=MOST_OF_12_STYLES
        ),
    ]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
