"""Path length penalties as the training takes them, against StyleGAN2's definition, at several sizes.

    python -m benchmarks.path_lengths [--channels 8] [--sizes 64 256 1024] [--pictures 2]

The generator is that of profiles/paper.yaml at the given size with at most --channels channels, as it is before
training; pictures are painted in one style, then in two mixed by region as in training. Squared lengths (the penalty
where their running mean is 0, without its weight) of the same pictures in the same random directions:

    shared     by the styles that all layers share, each for itself, as it was until it was mended: sums over layers
    ours       `sofgan.siw.losses.path_length_penalty`
    stylegan2  by a plain backward pass into w+, a style for each layer (StyleGAN2: sum over w, mean over layers), of
               two styles both moved together

Limit: ours differs from StyleGAN2's by 1e-4 of it at most. The machine's load changes no figure.
"""

import argparse
import dataclasses
import itertools
import sys

import torch

from benchmarks import harness
from sofgan.labels import NUM_CLASSES
from sofgan.siw.config import TrainSiw
from sofgan.siw.generator import Generator, random_noise
from sofgan.siw.losses import path_length_penalty
from sofgan.siw.mixing import draw_similarity, one_hot, two_style_weights

W_DIM = 64
MOST_DIFFERENCE = 1e-4  # relative, that float32 may make


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


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=1)
    found.add_argument("--channels", type=int, default=8)
    found.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 1024], help="pixels")
    found.add_argument("--pictures", type=int, default=2)
    return found


def main(arguments) -> list[bool]:
    config, worst = harness.block("train_siw", "paper"), 0.0
    names = ("shared", "ours", "stylegan2")
    print(harness.head("pixels", "layers", "styles", *names, "shared by stylegan2", "ours by stylegan2"))
    for size, styles in itertools.product(arguments.sizes, (1, 2)):
        found = penalties(config, size, styles, arguments.channels, arguments.pictures)
        shared, ours = (found[name] / found["stylegan2"] for name in names[:2])
        cells = [f"{found[name]:.4g}" for name in names]
        cells += [f"{shared:.1f}", f"{ours:.3f}"]
        print(harness.row(size, found["layers"], styles, *cells), flush=True)
        worst = max(worst, abs(ours - 1))
    return [harness.verdict("largest relative difference from StyleGAN2's", worst, at_most=MOST_DIFFERENCE)]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
