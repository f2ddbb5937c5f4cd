"""What stays in float32 where a training runs under bfloat16, and what doesn't."""

from contextlib import contextmanager

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from sofgan.siw import styled_conv as module
from sofgan.siw.config import DiscriminatorConfig
from sofgan.siw.critics.residual import ResidualBlock, ResidualDiscriminator
from sofgan.siw.generator import Generator, Mapping
from sofgan.siw.mixing import one_hot
from sofgan.siw.styled_conv import StyledConv, ToRGB
from sofgan.siw.training_step import SiwTraining

pytestmark = pytest.mark.usefixtures("seeded")


def reduced():
    return torch.autocast("cpu", dtype=torch.bfloat16)


@contextmanager
def reduced_on_cuda():
    """Tensors of a GPU that need none: they have no contents, but the types that autocast gives them there."""
    before = torch.get_autocast_dtype("cuda")
    with FakeTensorMode(), torch.device("cuda"):
        torch.set_autocast_enabled("cuda", True)
        torch.set_autocast_dtype("cuda", torch.bfloat16)
        try:
            yield
        finally:
            torch.set_autocast_enabled("cuda", False)
            torch.set_autocast_dtype("cuda", before)
            torch.clear_autocast_cache()


def types_of(network, kinds):
    """Gets a set of the types of what modules of these kinds give, as they give it."""
    seen = set()
    for layer in network.modules():
        if isinstance(layer, kinds):
            layer.register_forward_hook(lambda layer, inputs, output: seen.add(output.dtype))
    return seen


@pytest.mark.parametrize("spade_at", ["activation", "convolution"])
@pytest.mark.parametrize("mixing", ["input", "output", "none"])
def test_features_are_reduced_on_a_gpu_whatever_is_mixed(tiny, mixing, spade_at):
    """A float32 tensor on the way would make all that follows float32, at twice the memory."""
    styles = 1 if mixing == "none" else 2
    with reduced_on_cuda():
        network = Generator(tiny(mixing=mixing, spade_at=spade_at, downsample="strided"))
        seen = types_of(network, StyledConv)
        colors = types_of(network, ToRGB)
        maps, w = torch.zeros(2, 17, 16, 16), network.mapping(torch.zeros(2, styles, 8))
        weights = None if styles == 1 else torch.zeros(2, 2, 16, 16)
        noise = [torch.zeros(2, 1, size, size) for size in network.noise_sizes]
        images = network.synthesize(maps, w, weights, noise)
    assert seen == colors == {torch.bfloat16}
    assert w.dtype == images.dtype == torch.float32


@pytest.mark.parametrize("downsample", ["areas", "strided"])
def test_the_discriminators_blocks_are_reduced_on_a_gpu(downsample):
    with reduced_on_cuda():
        config = DiscriminatorConfig(
            channel_base=64,
            channel_max=8,
            downsample=downsample,
            palette_weight=0.0,
            projected_augment=("color", "translation", "cutout"),
        )
        network = ResidualDiscriminator(config, 16)
        seen = types_of(network, ResidualBlock)
        network(torch.zeros(4, 3, 16, 16))
    assert seen == {torch.bfloat16}


def test_styles_are_mapped_in_full_precision(tiny, tiny_training):
    mapping, z = Mapping(tiny(mapping_layers=8)), torch.randn(3, 2, 8)
    with reduced():
        w = mapping(z)
    assert w.dtype == torch.float32 and torch.equal(w, mapping(z))
    training = SiwTraining(tiny_training(), 0, "cpu", autocast=True)
    with training._mixed():
        w, _ = training._styles(torch.zeros(2, 16, 16, dtype=torch.long), torch.Generator())
    assert w.dtype == torch.float32


@pytest.mark.parametrize("mixing", ["input", "output"])
def test_demodulation_and_styles_of_channels_are_exact(tiny, mixing, monkeypatch):
    conv, rgb = StyledConv(5, 7, "up", tiny(mixing=mixing), noise=False), ToRGB(7, tiny())
    x, w, weights = torch.randn(2, 5, 8, 8), torch.randn(2, 2, 8), torch.rand(2, 2, 16, 16)
    pyramid = {8: weights[:, :, ::2, ::2], 16: weights}
    seen, original = [], module.demodulation
    monkeypatch.setattr(module, "demodulation", lambda *a: seen.append((*a, original(*a))) or seen[-1][2])
    rgb.affine.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    with reduced():
        y = conv(x, w, pyramid)
        colors = rgb(y, w, pyramid)
    assert y.dtype == colors.dtype == torch.bfloat16  # The convolutions are reduced.
    (weight, styles, gains), rgb_styles = seen
    assert styles.dtype == gains.dtype == torch.float32
    assert torch.equal(styles, conv.affine(w)) and torch.equal(gains, original(weight, styles))
    assert torch.equal(rgb_styles, rgb.affine(w))


def test_bfloat16_can_be_switched_off(tiny_training):
    labels = torch.zeros(2, 16, 16, dtype=torch.long)
    network = Generator(tiny_training().generator)
    seen = []
    network.blocks[0].conv.register_forward_hook(lambda layer, inputs, output: seen.append(output.dtype))
    for autocast in (True, False):
        training = SiwTraining(tiny_training(), 0, "cpu", autocast=autocast)
        training.generator = network
        with training._mixed():
            network.synthesize(one_hot(labels), torch.randn(2, 1, 8))
    assert seen == [torch.bfloat16, torch.float32]
