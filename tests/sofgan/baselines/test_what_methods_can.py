"""The table of docs/baselines.md, "What methods need and can" (the paper's Table 1): each entry, on tiny networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sofgan.baselines.config import METHODS, PAIRED, Baseline
from sofgan.baselines.painter import PairedPainter
from sofgan.baselines.training import start
from sofgan.siw.data import ArraySource, Batches, Sources
from sofgan.siw.generator import Generator
from sofgan.siw.mixing import one_hot
from sofgan.siw.model import Siw
from sofgan.siw.training_step import SiwTraining
from tests.sofgan.baselines.test_architectures import make
from tests.sofgan.baselines.test_training import SIZES, toy
from tests.sofgan.siw.conftest import TINY

SKIN, HAIR = 1, 15
NONE = 1e-5  # difference of pictures that is rounding's


@pytest.fixture
def painters(tiny_training):
    """By name, painters with random weights that don't know of training."""
    torch.manual_seed(0)
    found = {"ours": Siw(Generator(TINY).requires_grad_(False), "cpu")}
    alone = Baseline("stylegan2", tiny_training(), SIZES).stylegan2().generator
    found["stylegan2"] = Siw(Generator(alone).requires_grad_(False), "cpu")
    for name in PAIRED:
        network, _ = make(name)
        if name == "sean":
            network.references.normal_()
        with torch.no_grad():  # Statistics of what is normalised, so that pictures are not black and white.
            network.train()
            for _ in range(30):
                style = network.style_of(torch.randn(4, 8))
                noise = [torch.randn(4, 1, size, size) for size in network.noise_sizes]
                network(one_hot(torch.from_numpy(upright()).long().expand(4, -1, -1)), style, noise)
        found[name] = PairedPainter(network.requires_grad_(False), "cpu")
    return found


def upright(flip=False):
    """A map of skin on the left and hair on the right, or the other way round."""
    labels = np.full((1, 64, 64), SKIN, np.uint8)
    labels[..., 32:] = HAIR
    return labels[..., ::-1].copy() if flip else labels


def difference(one, other, part=slice(None)):
    return float((one - other)[..., part].abs().mean())


def two_styles(painter):
    return painter.map_styles(torch.ones(2, painter.z_dim) * torch.tensor([[-1.0], [1.0]])).split(1)


def test_all_but_stylegan2_paint_what_the_map_says(painters):
    for name, painter in painters.items():
        w, _ = two_styles(painter)
        moved = difference(painter.paint(upright(), w), painter.paint(upright(True), w))
        assert (moved < NONE) == (name == "stylegan2"), name


def test_all_but_pix2pixhd_paint_a_map_in_several_styles(painters):
    for name, painter in painters.items():
        one, other = (painter.paint(upright(), w) for w in two_styles(painter))
        assert (difference(one, other) < NONE) == (name == "pix2pixhd"), name


def test_ours_and_sean_restyle_a_region_alone(painters):
    """Of networks without training, whose layers see most of such small pictures; `leakage_hair` is of trained ones."""
    for name in ("ours", "sean"):
        painter = painters[name]
        w, new = two_styles(painter)
        before = painter.paint(upright(), w)
        if name == "ours":
            after = painter.restyle(upright(), w, new, [HAIR])
        else:
            mixed = w.clone()
            mixed[:, HAIR] = new[:, HAIR]
            after = painter.paint(upright(), mixed)
        size = before.shape[-1]
        inside = difference(before, after, slice(3 * size // 4, None))
        assert inside > 1.5 * difference(before, after, slice(0, size // 4)) and inside > 1e-3, name
    spade, pix = painters["spade"], painters["pix2pixhd"]
    assert spade.map_styles(spade.sample_z(1, torch.Generator())).shape == (1, 8)  # a code for a picture
    assert torch.equal(*(pix.paint(upright(), w) for w in two_styles(pix)))


@pytest.mark.parametrize("method", ["paper", "default", *METHODS])
def test_pairs_of_photo_and_map_are_needed_by_paired_methods_and_by_our_critic_of_colors(
    method, tiny_training
):
    """The photos get each other's maps: who learns from pairs then learns something else."""
    photos, maps = toy()
    ours = tiny_training(
        generator={"label_size": 32, "encoder_channels": (4, 6, 8)},
        discriminator={"palette_weight": 1.0 if method == "default" else 0.0}, mirror=False,
    )  # fmt: skip

    def learned(swapped: bool) -> list[torch.Tensor]:
        labels = ArraySource(maps)
        sources = Sources(ArraySource(photos), {"parsed": labels}, labels)
        if method in METHODS:
            started = start(Baseline(method, ours, SIZES), sources, 0, "cpu")
            training, batches = started.training, started.batches
        else:
            training, batches = SiwTraining(ours, 0, "cpu"), Batches(ours, sources, 0)
        batch = batches(0)
        if swapped and batch.photo_labels is not None:
            batch = replace(batch, photo_labels=batch.photo_labels.flip(1))  # upside down: hair for skin
        training.step(0, batch)
        return [parameter.detach().clone() for parameter in training.generator.parameters()]

    same = all(torch.equal(a, b) for a, b in zip(learned(False), learned(True)))
    assert same == (method in ("paper", "stylegan2"))
