"""What stays in float32 where a training runs under bfloat16."""

import pytest
import torch

from sofgan.siw import generator as module
from sofgan.siw.generator import Generator, Mapping, StyledConv, ToRGB
from sofgan.siw.mixing import one_hot
from sofgan.siw.step import SiwTraining

pytestmark = pytest.mark.usefixtures("seeded")


def reduced():
    return torch.autocast("cpu", dtype=torch.bfloat16)


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
