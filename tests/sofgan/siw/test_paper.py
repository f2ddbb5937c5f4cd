"""What profiles/paper.yaml switches to the paper's, against plain twins."""

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import nn

from pipelines.profiles import merge
from sofgan.config import ConfigError, from_mapping, to_mapping
from sofgan.labels import L_NOSE, R_NOSE
from sofgan.siw.config import DiscriminatorConfig, GeneratorConfig, TrainSiw
from sofgan.siw.critics.residual import ResidualBlock, ResidualDiscriminator
from sofgan.siw.data import ArraySource, Batches, Sources
from sofgan.siw.generator import Generator
from sofgan.siw.mixing import draw_similarity, one_hot
from sofgan.siw.operators import halve_blurred, strided_conv2
from sofgan.siw.spade import Spade
from sofgan.siw.styled_conv import StyledConv
from sofgan.siw.training_step import SiwTraining

pytestmark = pytest.mark.usefixtures("seeded")
ROOT = Path(__file__).parents[3]


def blurred(x, padding):
    """[1, 3, 3, 1] / 8 along both axes, zeros around."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = (taps[:, None] * taps)[None, None].expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, (padding,) * 4), kernel, groups=x.shape[1])


def test_strided_convolution_is_the_filter_then_every_second_place():
    x, weight, bias = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3), torch.randn(4)
    everywhere = F.conv2d(blurred(x, 2), weight, bias)  # 7 x 7 places
    torch.testing.assert_close(strided_conv2(x, weight, bias), everywhere[:, :, ::2, ::2])
    torch.testing.assert_close(halve_blurred(x), blurred(x, 1)[:, :, ::2, ::2])
    flat = halve_blurred(torch.ones(1, 1, 8, 8))
    assert flat.shape == (1, 1, 4, 4) and flat[0, 0, 1, 1] == 1  # of gain 1


@pytest.mark.parametrize("strided", [True, False])
def test_a_residual_block_is_stylegan2s(strided):
    """Halved by blur and stride, or by means of areas before the second convolution."""
    block = ResidualBlock(3, 5, strided)
    with torch.no_grad():
        block.first.bias.normal_()
        block.second.bias.normal_()
    x = torch.randn(2, 3, 8, 8)

    def scaled(layer):
        return layer.weight * layer.scale

    y = F.leaky_relu(F.conv2d(x, scaled(block.first), block.first.bias, padding=1), 0.2) * 2**0.5
    if strided:
        y = F.conv2d(blurred(y, 2), scaled(block.second), block.second.bias, stride=2)
        skip = F.conv2d(blurred(x, 1), scaled(block.skip), stride=2)
    else:
        y = F.conv2d(F.avg_pool2d(y, 2), scaled(block.second), block.second.bias, padding=1)
        skip = F.conv2d(F.avg_pool2d(x, 2), scaled(block.skip))
    y = F.leaky_relu(y, 0.2) * 2**0.5
    torch.testing.assert_close(block(x), (y + skip) / 2**0.5, rtol=1e-4, atol=1e-5)


def test_a_discriminator_of_strided_blocks_judges():
    config = DiscriminatorConfig(
        channel_base=64,
        channel_max=8,
        downsample="strided",
        palette_weight=0.0,
        projected_augment=("color", "translation", "cutout"),
    )
    network = ResidualDiscriminator(config, 16, [8])
    assert all(block.strided for block in network.blocks)
    assert network(torch.randn(4, 3, 8, 8)).shape == (4, 1)


@pytest.mark.parametrize("mixing", ["input", "output"])
def test_a_strided_styled_convolution_equals_its_plain_twin(tiny, mixing):
    conv = StyledConv(3, 5, "down", tiny(mixing=mixing, downsample="strided"), noise=False)
    x, w = torch.randn(2, 3, 8, 8), torch.randn(2, 1, 8)
    for i in range(2):
        kernel = conv.weight * conv.scale * conv.affine(w[i, 0])[:, None, None]
        kernel = kernel * torch.rsqrt(kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8)
        expected = F.leaky_relu(F.conv2d(blurred(x[i : i + 1], 2), kernel, stride=2), 0.2) * 2**0.5
        torch.testing.assert_close(conv(x[i : i + 1], w[i : i + 1], {}), expected, rtol=1e-4, atol=1e-5)
    share = torch.rand(2, 1, 8, 8)
    weights = {8: torch.cat((share, 1 - share), 1)}
    weights[4] = F.avg_pool2d(weights[8], 2)
    torch.testing.assert_close(conv(x, w.expand(-1, 2, -1), weights), conv(x, w, {}), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mixing", ["input", "output"])
def test_a_strided_encoder_sees_each_pixel_of_the_map(tiny, mixing):
    """Two maps with the same share of classes in each 2 x 2 area."""
    labels = torch.randint(0, 17, (1, 16, 16))
    mirrored = labels.unflatten(2, (8, 2)).flip(3).flatten(2)
    w, weights = torch.randn(1, 2, 8), torch.full((1, 2, 16, 16), 0.5)
    for how, same in (("areas", True), ("strided", False)):
        network = Generator(tiny(mixing=mixing, downsample=how, spade_sizes=(64, 64)))
        one, other = (network.synthesize(one_hot(x), w, weights) for x in (labels, mirrored))
        assert one.shape == (1, 3, 16, 16)
        assert torch.allclose(one, other, atol=1e-5) == same


def test_an_unlimited_gain_is_one_and_gamma(tiny):
    limited, free = Spade(6, 16, tiny(spade_gain=0.5)), Spade(6, 16, tiny(spade_gain=0.0))
    free.load_state_dict(limited.state_dict())
    with torch.no_grad():
        for module in (limited, free):
            module.gain_shift.weight.mul_(30)
    maps = one_hot(torch.randint(0, 17, (2, 16, 16)))
    (gain, shift), (wide, same) = limited.gain_and_shift(maps), free.gain_and_shift(maps)
    assert torch.equal(shift, same) and (wide - 1).abs().max() > 2
    torch.testing.assert_close(gain, 1 + 0.5 * torch.tanh(wide - 1), rtol=1e-4, atol=1e-5)


def test_starts_of_spade_and_to_rgb_are_as_configured(tiny):
    network = Generator(tiny(spade_start=0.7, to_rgb_start=2.0, w_dim=64, spade_hidden=64))
    assert network.blocks[-1].spade.gain_shift.weight.std().item() == pytest.approx(0.7, rel=0.1)
    assert network.blocks[-1].to_rgb.affine.weight.std().item() == pytest.approx(2.0, rel=0.2)


def test_spades_start_is_that_of_layers_as_torch_makes_them(tiny):
    """The authors' code leaves SPADE's layers as the library starts them."""
    profile = yaml.safe_load((ROOT / "profiles/paper.yaml").read_text())["train_siw"]["generator"]
    config = tiny(spade_hidden=128, spade_gain=0.0, spade_max_size=16, spade_start=profile["spade_start"])
    spade = Spade(256, 16, config)
    maps = one_hot(torch.randint(0, 17, (4, 16, 16)))
    hidden, last = nn.Conv2d(17, 128, 3, padding=1), nn.Conv2d(128, 512, 3, padding=1)
    theirs = last(F.leaky_relu(hidden(maps), 0.2))
    gain, shift = spade.gain_and_shift(maps)
    ours = torch.cat((gain - 1, shift), 1)
    assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.15)


def test_a_constant_is_4_pixels_wide_whatever_the_encoder_makes(tiny):
    network = Generator(tiny(encoder="constant", start_size=8, label_size=16))
    assert network.encoder.value.shape == (1, 8, 4, 4) and network.config.sizes() == (4, 8, 16)
    maps = one_hot(torch.randint(0, 17, (2, 16, 16)))
    assert network.synthesize(maps, torch.randn(2, 1, 8)).shape == (2, 3, 16, 16)
    assert Generator(tiny(encoder="constant", constant_size=8)).encoder.value.shape == (1, 8, 8, 8)
    with pytest.raises(ConfigError, match="constant_size 32 is above resolution 16"):
        changes = {"resolution": 16, "label_size": 16, "encoder_channels": [8], "encoder": "constant"}
        from_mapping(GeneratorConfig, changes | {"constant_size": 32}, "test")


def test_negative_limits_and_starts_are_refused():
    for name in ("spade_gain", "spade_start", "to_rgb_start"):
        with pytest.raises(ConfigError, match=f"{name} is at least 0"):
            from_mapping(
                GeneratorConfig, {"label_size": 64, "encoder_channels": [32, 64], name: -0.1}, "test"
            )


def test_each_class_has_a_share_of_its_own_by_classes():
    shares = draw_similarity(50, 1.0, torch.Generator().manual_seed(0), by_class=True)
    assert shares.shape == (50, 17) and (shares[:, R_NOSE] != shares[:, L_NOSE]).all()
    assert ((shares > 0) & (shares < 1)).all() and abs(shares.mean() - 0.5) < 0.05


def test_a_training_draws_shares_as_configured(tiny_training):
    labels = torch.tensor([R_NOSE, L_NOSE]).repeat(4, 16, 8)
    for mix_by, alike in (("groups", True), ("classes", False)):
        training = SiwTraining(tiny_training(mix_by=mix_by, soft_mix_probability=1.0), 0, "cpu")
        _, weights = training._styles(labels, torch.Generator().manual_seed(0))
        assert (weights[:, 0, 0, 0] == weights[:, 0, 0, 1]).tolist() == [alike] * 4


@pytest.mark.parametrize("autocast", [True, False])
def test_all_of_the_papers_switches_train_together(tiny_training, photos, maps, autocast):
    config = tiny_training(
        share_fakes=False, mix_by="classes", soft_mix_probability=1.0, r1_every=1, path_length_every=1,
        generator={
            "mixing": "output", "upsample": "transposed", "downsample": "strided", "spade_at": "convolution",
            "spade_gain": 0.0, "to_rgb_start": 1.0, "spade_max_size": 16,
        },
        discriminator={"downsample": "strided"},
    )  # fmt: skip
    training = SiwTraining(config, 0, "cpu", autocast)
    batches = Batches(config, Sources(ArraySource(photos), {"parsed": ArraySource(maps)}), 0)
    before = [value.clone() for value in training.painted + training.learned]
    for step in range(2):
        scalars = training.step(step, batches(step))
        assert all(torch.isfinite(value) for value in scalars.values())
    after = training.painted + training.learned
    assert sum(not torch.equal(a, b) for a, b in zip(before, after)) > 0.9 * len(before)


def test_the_papers_profile_paints_as_the_paper_says():
    demo = yaml.safe_load((ROOT / "params.yaml").read_text())["train_siw"]
    profile = yaml.safe_load((ROOT / "profiles/paper.yaml").read_text())["train_siw"]
    paper = from_mapping(TrainSiw, merge(copy.deepcopy(demo), profile), "paper")
    generator, critic = paper.generator, paper.discriminator
    assert (paper.soft_mix_probability, paper.mix_by, paper.two_style_probability) == (1.0, "classes", 0.9)
    assert (generator.mixing, generator.spade_at, generator.spade_gain) == ("output", "convolution", 0)
    assert (generator.upsample, generator.downsample, generator.to_rgb_start) == ("transposed", "strided", 1)
    assert (generator.start_size, generator.constant_size, generator.label_size) == (16, 4, 128)
    assert generator.encoder_sizes() == (128, 64, 32, 16) and generator.sizes()[-1] == 1024
    assert (critic.kind, critic.downsample) == ("residual", "strided")
    assert set(to_mapping(generator)) == set(
        demo["generator"]
    )  # No size or switch is hidden from params.yaml.
    assert set(to_mapping(critic)) == set(demo["discriminator"])
