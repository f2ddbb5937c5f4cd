"""The styled convolution against slow, plain twins."""

import pytest
import torch
import torch.nn.functional as F

from sofgan.siw.mixing import class_weights, spread
from sofgan.siw.operators import resize_weights, transposed_conv2
from sofgan.siw.styled_conv import StyledConv, ToRGB

pytestmark = pytest.mark.usefixtures("seeded")


def make(config, resample=None, inputs=5, outputs=7):
    conv = StyledConv(inputs, outputs, resample, config, noise=True)
    with torch.no_grad():
        conv.bias.normal_()
        conv.noise_strength.fill_(0.3)
    return conv


def halves(batch, size, styles=2):
    """Hard weights: vertical bands, one a style."""
    band = torch.arange(size) * styles // size
    return F.one_hot(band, styles).T[None, :, None].expand(batch, styles, size, size).float()


def grouped_reference(conv, x, w, weights, noise):
    """Eq. 8 as StyleGAN2 codes write it: every sample's modulated weights in one grouped convolution."""
    batch, channels, height, width = x.shape
    mixed = 0
    for k in range(w.shape[1]):
        style = conv.affine(w[:, k])
        kernel = conv.weight[None] * conv.scale * style[:, None, :, None, None]
        kernel = kernel * torch.rsqrt(kernel.square().sum((2, 3, 4), keepdim=True) + 1e-8)
        y = F.conv2d(x.reshape(1, -1, height, width), kernel.flatten(0, 1), padding=1, groups=batch)
        mixed = mixed + y.reshape(batch, -1, height, width) * (
            1 if weights is None else weights[:, k : k + 1]
        )
    mixed = mixed + conv.noise_strength * noise + conv.bias[:, None, None]
    return F.leaky_relu(mixed, 0.2) * 2**0.5


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("styles", [1, 2, 3])
def test_output_mixing_equals_the_grouped_reference(tiny, batch, styles):
    conv, noise = make(tiny(mixing="output")), torch.randn(1, 1, 12, 12)
    x, w = torch.randn(batch, 5, 12, 12), torch.randn(batch, styles, 8)
    weights = None if styles == 1 else torch.rand(batch, styles, 12, 12)
    result = conv(x, w, {} if weights is None else {12: weights}, noise)
    torch.testing.assert_close(result, grouped_reference(conv, x, w, weights, noise), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_input_mixing_equals_eq_8_inside_hard_regions(tiny, batch):
    conv, noise = make(tiny(mixing="input")), torch.randn(1, 1, 12, 12)
    x, w, weights = torch.randn(batch, 5, 12, 12), torch.randn(batch, 2, 8), halves(batch, 12)
    result, reference = (
        conv(x, w, {12: weights}, noise),
        grouped_reference(conv, x, w, weights, noise),
    )
    inside = torch.ones(12, dtype=torch.bool)
    inside[[5, 6]] = False  # The 3x3 kernel sees both regions there.
    torch.testing.assert_close(result[..., inside], reference[..., inside], rtol=1e-5, atol=1e-5)
    assert (result[..., ~inside] - reference[..., ~inside]).abs().max() > 1e-3


@pytest.mark.parametrize("resample", [None, "up", "down"])
def test_input_mixing_equals_a_plain_loop_over_regions(tiny, resample):
    """Whole pictures a region's style each, then cut together: equal away from borders, for K = 4."""
    config = tiny(mixing="input")
    conv = make(config, resample)
    size, styles = 48, 4
    x, w, weights = torch.randn(2, 5, size, size), torch.randn(2, styles, 8), halves(2, size, styles)
    pyramid = {s: resize_weights(weights, s) for s in (24, 48, 96)}
    result = conv(x, w, pyramid, None)
    alone = torch.stack([conv(x, w[:, k : k + 1], {}, None) for k in range(styles)], 1)
    out = result.shape[-1]
    loop = (alone * halves(2, out, styles)[:, :, None]).sum(1)
    columns = torch.arange(out)
    band = out // styles
    inside = ((columns % band) >= 4) & ((columns % band) < band - 4)
    torch.testing.assert_close(result[..., inside], loop[..., inside], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mixing", ["input", "output"])
@pytest.mark.parametrize("resample", [None, "up", "down"])
def test_equal_styles_are_one_style(tiny, mixing, resample):
    conv = make(tiny(mixing=mixing), resample)
    x, w = torch.randn(2, 5, 8, 8), torch.randn(2, 1, 8)
    soft = torch.rand(2, 1, 16, 16)
    weights = {s: resize_weights(torch.cat((soft, 1 - soft), 1), s) for s in (4, 8, 16)}
    one, two = conv(x, w, {}, None), conv(x, w.expand(-1, 2, -1), weights, None)
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mixing", ["input", "output"])
def test_pictures_of_a_batch_do_not_meet(tiny, mixing):
    conv, noise = make(tiny(mixing=mixing), "up"), torch.randn(1, 1, 16, 16)
    x, w, weights = torch.randn(5, 5, 8, 8), torch.randn(5, 2, 8), torch.rand(5, 2, 16, 16)
    pyramid = {s: resize_weights(weights, s) for s in (8, 16)}
    together = conv(x, w, pyramid, noise)
    apart = [
        conv(x[i : i + 1], w[i : i + 1], {s: v[i : i + 1] for s, v in pyramid.items()}, noise)
        for i in range(5)
    ]
    torch.testing.assert_close(together, torch.cat(apart), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mixing", ["input", "output"])
@pytest.mark.parametrize("resample", [None, "up"])
def test_spade_acts_where_the_switch_says(tiny, mixing, resample):
    """Eq. 8: on the mixed convolutions, before bias and noise; else on the activations."""
    out = 16 if resample else 8
    x, w, noise = torch.randn(2, 5, 8, 8), torch.randn(2, 2, 8), torch.randn(1, 1, out, out)
    first = torch.rand(2, 1, 16, 16).round()
    weights = {size: resize_weights(torch.cat((first, 1 - first), 1), size) for size in (8, 16)}
    gain, shift = torch.randn(2, 7, out, out), torch.randn(2, 7, out, out)
    for place in ("activation", "convolution"):
        conv = make(tiny(mixing=mixing, spade_at=place), resample)
        if place == "activation":
            expected = conv(x, w, weights, noise) * gain + shift
        else:
            bias, strength = conv.bias.detach().clone(), conv.noise_strength.item()
            with torch.no_grad():
                conv.bias.zero_()
            plain = conv(x, w, weights)  # leaky ReLU, which can be undone
            plain = torch.where(plain > 0, plain, plain / 0.2) / 2**0.5
            expected = plain * gain + shift + bias[:, None, None] + strength * noise
            expected = F.leaky_relu(expected, 0.2) * 2**0.5
            with torch.no_grad():
                conv.bias.copy_(bias)
        torch.testing.assert_close(conv(x, w, weights, noise, (gain, shift)), expected, rtol=1e-4, atol=1e-4)


def test_no_convolution_is_grouped(tiny, monkeypatch):
    seen = []
    convolve, transposed = F.conv2d, F.conv_transpose2d
    monkeypatch.setattr(F, "conv2d", lambda *a, **k: seen.append(k.get("groups", 1)) or convolve(*a, **k))
    monkeypatch.setattr(
        F, "conv_transpose2d", lambda *a, **k: seen.append(k.get("groups", 1)) or transposed(*a, **k)
    )
    for mixing in ("input", "output"):
        for upsample in ("bilinear", "transposed"):
            conv = make(tiny(mixing=mixing, upsample=upsample), "up")
            conv(
                torch.randn(2, 5, 4, 4),
                torch.randn(2, 2, 8),
                {s: torch.rand(2, 2, s, s) for s in (4, 8)},
                None,
            )
    assert seen and set(seen) == {1}


def test_to_rgb_mixes_exactly_at_every_pixel(tiny):
    layer = ToRGB(5, tiny())
    x, w, weights = torch.randn(2, 5, 8, 8), torch.randn(2, 2, 8), halves(2, 8)
    alone = [layer(x, w[:, k : k + 1], {}) for k in range(2)]
    torch.testing.assert_close(
        layer(x, w, {8: weights}), alone[0] * weights[:, :1] + alone[1] * weights[:, 1:], rtol=1e-5, atol=1e-5
    )


def test_transposed_convolution_equals_zeros_between_then_the_filter():
    x, weight = torch.randn(2, 3, 5, 5), torch.randn(4, 3, 3, 3)
    stretched = torch.zeros(2, 3, 10, 10)
    stretched[:, :, ::2, ::2] = x
    spread_out = F.conv2d(F.pad(stretched, (2, 2, 2, 2)), weight.flip(2, 3))  # Full correlation.
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    kernel = (taps[:, None] * taps)[None, None].expand(4, 1, 4, 4)
    reference = F.conv2d(F.pad(spread_out[..., :11, :11], (1, 1, 1, 1)), kernel, groups=4)
    torch.testing.assert_close(transposed_conv2(x, weight), reference, rtol=1e-4, atol=1e-4)


def test_spread_is_the_weighted_sum_of_styles():
    values, weights = torch.randn(2, 3, 5), torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(spread(values, weights), torch.einsum("bkc,bkhw->bchw", values, weights))
    assert spread(values[:, :1], None).shape == (2, 5, 1, 1)


def test_class_weights_put_each_class_under_its_style():
    labels = torch.tensor([[[0, 15], [1, 15]]])
    table = torch.zeros(17, dtype=torch.long)
    table[15] = 2
    weights = class_weights(labels, table, 3)
    assert weights[0, 2].tolist() == [[0, 1], [0, 1]] and weights.sum(1).eq(1).all()
