"""Speed of the generator's training step: the default against the usual grouped convolutions, and what its parts cost.

    python -m benchmarks.siw [--rounds 5] [--threads 2] [--device cpu] [--compile] [--check]

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
styles a picture, without training. With `--check` the exit status is 1 where the default with the residual
discriminator is less than 2 times as fast as naive, less than 2.5 times as naive-128, or 12 styles take 10 % longer
than 2.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

from sofgan.config import from_mapping
from sofgan.labels import NUM_CLASSES
from sofgan.runtime import use_cpu
from sofgan.siw.config import TrainSiw
from sofgan.siw.data import Batch
from sofgan.siw.generator import Generator
from sofgan.siw.mixing import class_weights, one_hot
from sofgan.siw.operators import GAIN, EqualConv2d, leaky_relu, upsample2
from sofgan.siw.styled_conv import StyledConv, ToRGB
from sofgan.siw.training_step import SiwTraining

CYCLE = 16  # steps after which all lazy regularisers have had their turn
FASTER, FASTER_128, FLAT = 2.0, 2.5, 1.1
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

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        bias = None if self.bias is None else self.bias * gain
        return F.conv2d(x, self.weight * (self.scale * gain), bias, padding=self.padding)


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
        "path-length": dataclasses.replace(default, path_length_every=8),
        "one-style": dataclasses.replace(default, generator=dataclasses.replace(generator, mixing="none")),
    }
    if compiled:
        found["compiled"] = dataclasses.replace(default, compile=True)
    return found


def random_batch(config: TrainSiw, device: str) -> Batch:
    """Noise for photos, maps of blocks."""
    draws = torch.Generator().manual_seed(0)
    size, rounds = config.generator.label_size, 1 if config.share_fakes else 2
    photos = torch.rand(
        (config.batch, 3, config.generator.resolution, config.generator.resolution), generator=draws
    )
    blocks = torch.randint(0, NUM_CLASSES, (rounds, config.batch, 8, 8), generator=draws)
    labels = blocks.repeat_interleave(size // 8, 2).repeat_interleave(size // 8, 3)
    return Batch((photos * 2 - 1).to(device), labels.to(device), labels[0].to(device))


def wait(device: str) -> None:
    """Until the device has done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def measure(configs: dict[str, TrainSiw], rounds: int, device: str) -> dict[str, float]:
    """Greatest img/s of each variant over cycles of whole steps."""
    trainings, rates = {}, {name: [] for name in configs}
    for name, config in configs.items():
        training = SiwTraining(config, 0, device, config.autocast and device.startswith("cuda"))
        if name.startswith("naive"):
            naive(training)
        elif name == "grouped":
            grouped(training)
        trainings[name] = training
        trainings[name].step(0, random_batch(config, device))  # the first step sets up
        trainings[name].step(1, random_batch(config, device))
    for _ in range(rounds):
        for name, training in trainings.items():
            batch = random_batch(training.config, device)
            wait(device)
            began = time.perf_counter()
            for step in range(CYCLE):
                training.step(step, batch)
            wait(device)
            rates[name].append(CYCLE * training.config.batch / (time.perf_counter() - began))
    return {name: max(values) for name, values in rates.items()}


@torch.inference_mode()
def painting(config: TrainSiw, rounds: int, device: str) -> dict[int, float]:
    """Greatest img/s of painting with so many styles a picture."""
    network = Generator(config.generator).to(device, memory_format=torch.channels_last).eval()
    labels = random_batch(config, device).labels[0]
    maps, rates = one_hot(labels), {styles: [] for styles in STYLES}
    for turn in range(rounds + 1):
        for styles in STYLES:
            w = torch.randn((len(labels), styles, config.generator.w_dim), device=device)
            weights = None
            if styles > 1:
                weights = class_weights(labels, torch.arange(NUM_CLASSES, device=device) % styles, styles)
            wait(device)
            began = time.perf_counter()
            for _ in range(CYCLE):
                network.synthesize(maps, w, weights)
            wait(device)
            if turn:
                rates[styles].append(CYCLE * len(labels) / (time.perf_counter() - began))
    return {styles: max(values) for styles, values in rates.items()}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    use_cpu(arguments.threads)
    default = from_mapping(
        TrainSiw, yaml.safe_load(Path("params.yaml").read_text())["train_siw"], "train_siw"
    )
    size = default.generator.resolution
    print(f"{arguments.device}, {arguments.threads} thread(s), {size}x{size}, batch {default.batch}")
    ratios = {}
    for kind in ("residual", default.discriminator.kind):
        critics = dataclasses.replace(default.discriminator, kind=kind)
        if kind == "residual":
            critics = dataclasses.replace(critics, region_weight=0.0, palette_weight=0.0)
        config = dataclasses.replace(default, discriminator=critics)
        rates = measure(variants(config, arguments.compile), arguments.rounds, arguments.device)
        print(f"\n| {kind} discriminator | img/s | by naive | by default |\n| --- | --- | --- | --- |")
        for name, rate in rates.items():
            print(f"| {name} | {rate:.1f} | {rate / rates['naive']:.2f} | {rate / rates['default']:.2f} |")
        ratios[kind] = rates["default"] / rates["naive"], rates["default"] / rates["naive-128"]
    painted = painting(default, arguments.rounds, arguments.device)
    print("\n| styles a picture | painted img/s |\n| --- | --- |")
    for styles, rate in painted.items():
        print(f"| {styles} | {rate:.1f} |")
    flat = painted[2] / painted[12]
    print(f"default by naive {ratios['residual'][0]:.2f}, by naive-128 {ratios['residual'][1]:.2f}; ", end="")
    print(f"12 styles take {flat:.2f} times as long as 2")
    passed = np.all([ratios["residual"][0] >= FASTER, ratios["residual"][1] >= FASTER_128, flat <= FLAT])
    return int(arguments.check and not passed)


if __name__ == "__main__":
    sys.exit(main())
