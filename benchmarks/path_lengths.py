"""Path length penalties as the training takes them, against StyleGAN2's definition, at several sizes.

    python -m benchmarks.path_lengths [--channels 8] [--sizes 64 256 1024] [--pictures 2]

The generator is that of profiles/paper.yaml at the given size with at most --channels channels, as it is before
training; pictures are painted in one style, then in two mixed by region as in training. Squared lengths (the penalty
where their running mean is 0, without its weight) of the same pictures in the same random directions:

    shared     by the styles that all layers share, each for itself, as it was until it was mended: sums over layers
    ours       `sofgan.siw.losses.path_length_penalty`
    stylegan2  by a plain backward pass into w+, a style for each layer (StyleGAN2: sum over w, mean over layers), of
               two styles both moved together

The exit status is 1 where ours is not StyleGAN2's. The machine's load changes nothing that is printed.
"""

import argparse
import copy
import dataclasses
import itertools
import sys
from pathlib import Path

import torch
import yaml

from pipelines.profiles import merge
from sofgan.config import from_mapping
from sofgan.labels import NUM_CLASSES
from sofgan.runtime import use_cpu
from sofgan.siw.config import TrainSiw
from sofgan.siw.generator import Generator, random_noise
from sofgan.siw.losses import path_length_penalty
from sofgan.siw.mixing import draw_similarity, one_hot, two_style_weights

W_DIM = 64
SAME = 1e-4  # relative difference that float32 may make


def paper() -> TrainSiw:
    """The block of profiles/paper.yaml."""
    demo = yaml.safe_load(Path("params.yaml").read_text())["train_siw"]
    profile = yaml.safe_load(Path("profiles/paper.yaml").read_text())["train_siw"]
    return from_mapping(TrainSiw, merge(copy.deepcopy(demo), profile), "paper")


def penalties(config: TrainSiw, size: int, styles: int, channels: int, pictures: int) -> dict[str, float]:
    """By each definition, and the number of layers."""
    torch.manual_seed(0)
    small = {"channel_max": channels, "encoder_channels": (channels,) * 3, "z_dim": W_DIM, "w_dim": W_DIM}
    network = Generator(dataclasses.replace(config.generator, resolution=size, spade_hidden=8, **small))
    draws = torch.Generator().manual_seed(0)
    blocks = torch.randint(0, NUM_CLASSES, (pictures, 8, 8), generator=draws)
    labels = blocks.repeat_interleave(16, 1).repeat_interleave(16, 2)
    shares = draw_similarity(pictures, config.soft_mix_probability, draws, config.mix_by == "classes")
    weights = two_style_weights(labels, shares) if styles == 2 else None
    w = network.mapping(torch.randn((pictures, styles, W_DIM), generator=draws))
    noise, direction = random_noise(network, pictures, draws), torch.Generator()

    def paint(w):
        return network.synthesize(one_hot(labels), w, weights, noise)

    each = w[:, :, None].expand(-1, -1, network.layers, -1)
    penalty, _ = path_length_penalty(paint(each), each, torch.zeros(()), direction.manual_seed(1))
    plus = each.detach().clone().requires_grad_()
    images = paint(plus)
    numbers = torch.randn(images.shape, generator=direction.manual_seed(1)) / size
    (images * numbers).sum().backward()
    gradient = plus.grad.sum(1)  # of both styles together
    alone = w.detach().clone().requires_grad_()
    (paint(alone) * numbers).sum().backward()
    return {
        "layers": network.layers,
        "shared": alone.grad.square().sum((1, 2)).mean().item(),
        "ours": penalty.item(),
        "stylegan2": gradient.square().sum(2).mean(1).mean().item(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--pictures", type=int, default=2)
    arguments = parser.parse_args()
    use_cpu(1)
    print(
        "| pixels | layers | styles | shared | ours | stylegan2 | shared by stylegan2 | ours by stylegan2 |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    worst = 0.0
    for size, styles in itertools.product(arguments.sizes, (1, 2)):
        found = penalties(paper(), size, styles, arguments.channels, arguments.pictures)
        ratios = [found[name] / found["stylegan2"] for name in ("shared", "ours")]
        numbers = " | ".join(f"{found[name]:.4g}" for name in ("shared", "ours", "stylegan2"))
        what = f"{size} | {found['layers']} | {styles}"
        print(f"| {what} | {numbers} | {ratios[0]:.1f} | {ratios[1]:.3f} |", flush=True)
        worst = max(worst, abs(ratios[1] - 1))
    return int(worst > SAME)


if __name__ == "__main__":
    sys.exit(main())
