"""Layers with equalised learning rates against plain ones."""

import pytest
import torch
import torch.nn.functional as F

from sofgan.siw.encoder import PlainEncoder
from sofgan.siw.generator import Mapping
from sofgan.siw.operators import GAIN, EqualConv2d, EqualLinear, downsample2, halvings, resize_weights

pytestmark = pytest.mark.usefixtures("seeded")


def test_a_linear_layer_is_scaled_where_it_is_used():
    layer = EqualLinear(64, 500, bias_init=2.0, weight_init=0.7, lr_multiplier=0.01)
    x = torch.randn(200, 64)
    y = layer(x)
    torch.testing.assert_close(y, x @ layer.weight.T * 0.01 / 8 + 0.01 * layer.bias)
    assert y.std().item() == pytest.approx(0.7, rel=0.1) and y.mean().item() == pytest.approx(2.0, abs=0.05)
    # A step of Adam moves all parameters alike, and so what they do a hundredth as far.
    before = layer.bias.detach() * layer.lr_multiplier
    with torch.no_grad():
        layer.bias.add_(1.0)
    torch.testing.assert_close(layer(x) - y, torch.full_like(y, 0.01), atol=1e-4, rtol=0)
    assert before.mean().item() == pytest.approx(2.0)


def test_a_convolution_keeps_unit_variance_and_its_gain_takes_the_bias_along():
    layer = EqualConv2d(16, 300, 3)
    x = torch.randn(4, 16, 12, 12)
    assert layer(x)[..., 1:-1, 1:-1].std().item() == pytest.approx(1.0, rel=0.1)
    with torch.no_grad():
        layer.bias.normal_()
    plain = F.conv2d(x, layer.weight / (16 * 9) ** 0.5, layer.bias, padding=1)
    torch.testing.assert_close(layer(x, GAIN), plain * 2**0.5, rtol=1e-4, atol=1e-5)


def test_the_mapping_normalises_codes_and_has_gains_of_root_2(tiny):
    mapping = Mapping(tiny())
    z = 5 * torch.randn(6, 8)
    x = z / z.square().mean(1, keepdim=True).sqrt()
    for layer in mapping.layers:
        x = F.leaky_relu(x @ (layer.weight.T * 0.01) / 8**0.5 + 0.01 * layer.bias, 0.2) * 2**0.5
    torch.testing.assert_close(mapping(z), x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mapping(z), mapping(0.1 * z), rtol=1e-4, atol=1e-5)


def test_the_plain_encoders_blocks_are_residual_with_half_the_variance_of_each_side(tiny):
    encoder = PlainEncoder(tiny(encoder="plain"))
    x = maps = torch.rand(2, 17, 16, 16)

    def scaled(layer):
        return layer.weight * layer.scale

    for first, second, skip in zip(encoder.first, encoder.second, encoder.skip):
        y = F.leaky_relu(F.conv2d(x, scaled(first), first.bias, padding=1), 0.2) * 2**0.5
        y = F.leaky_relu(F.conv2d(downsample2(y), scaled(second), second.bias, padding=1), 0.2) * 2**0.5
        x = (y + F.conv2d(downsample2(x), scaled(skip))) / 2**0.5
    torch.testing.assert_close(encoder(maps, [], {}), x, rtol=1e-4, atol=1e-5)


def test_weights_of_regions_add_up_to_1_at_every_size():
    first = torch.rand(2, 1, 16, 16)
    weights = torch.cat((first, 1 - first), 1)
    for size, made in halvings(weights, 2).items():
        torch.testing.assert_close(made, resize_weights(weights, size))
        torch.testing.assert_close(made.sum(1), torch.ones(2, size, size))
    torch.testing.assert_close(resize_weights(weights, 32).sum(1), torch.ones(2, 32, 32))
    assert sorted(halvings(weights, 2)) == [2, 4, 8, 16]
