import pytest
import torch
import torch.nn.functional as F

from sofgan.config import ConfigError, from_mapping
from sofgan.labels import NUM_CLASSES, STYLE_GROUPS
from sofgan.siw.config import GeneratorConfig
from sofgan.siw.encoder import ConstantInput, PlainEncoder, StyledEncoder
from sofgan.siw.generator import Generator, fixed_noise
from sofgan.siw.mixing import draw_similarity, draw_styles, two_style_weights
from sofgan.siw.styled_conv import StyledConv

pytestmark = pytest.mark.usefixtures("seeded")


def one_hot(batch=2, size=16):
    labels = torch.randint(0, NUM_CLASSES, (batch, 4, 4)).repeat_interleave(size // 4, 1)
    labels = labels.repeat_interleave(size // 4, 2)
    return labels, F.one_hot(labels, NUM_CLASSES).movedim(-1, 1).float()


def enliven(network):
    """Give noise, which starts as nothing, an effect, and SPADE a larger one."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("noise_strength", "gain_shift.weight")):
                parameter.normal_()
    return network


def convolved_batches(network, *inputs):
    """Batch sizes that the convolutions of the styled layers saw."""
    sizes = []
    for module in network.modules():
        if isinstance(module, StyledConv):
            original = module._convolve
            module._convolve = lambda x, weight, call=original: sizes.append(len(x)) or call(x, weight)
    network.synthesize(*inputs)
    return set(sizes)


@pytest.mark.parametrize("upsample", ["bilinear", "transposed"])
@pytest.mark.parametrize("encoder", ["styled", "plain", "constant"])
def test_shapes_gradients_and_batch_invariance(tiny, encoder, upsample):
    network = enliven(Generator(tiny(encoder=encoder, upsample=upsample)))
    labels, maps = one_hot(3)
    weights = two_style_weights(labels, draw_similarity(3, 0.5, torch.Generator().manual_seed(0)))
    z, noise = torch.randn(3, 2, 8), fixed_noise(network, 0)
    images = network(maps, z, weights, noise)
    assert images.shape == (3, 3, 16, 16)
    images.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    single = torch.cat([network(maps[i : i + 1], z[i : i + 1], weights[i : i + 1], noise) for i in range(3)])
    torch.testing.assert_close(images, single, rtol=1e-4, atol=1e-5)


def test_each_encoder_switch_builds_its_encoder(tiny):
    for name, kind in {"styled": StyledEncoder, "plain": PlainEncoder, "constant": ConstantInput}.items():
        network = Generator(tiny(encoder=name))
        assert isinstance(network.encoder, kind)
        styled_in_encoder = [m for m in network.encoder.modules() if isinstance(m, StyledConv)]
        assert bool(styled_in_encoder) == (name == "styled")
        assert all(m.noise_strength is None for m in styled_in_encoder)  # 5.1: no noise in the encoder


def test_each_mixing_switch_changes_what_is_convolved(tiny):
    labels, maps = one_hot(3)
    weights = two_style_weights(labels, torch.rand(3, 17))
    batches = {
        kind: convolved_batches(Generator(tiny(mixing=kind)), maps, torch.randn(3, 2, 8), weights)
        for kind in ("input", "output")
    }
    assert batches == {"input": {3}, "output": {6}}
    assert convolved_batches(Generator(tiny(mixing="none")), maps, torch.randn(3, 1, 8)) == {3}


def test_a_single_style_takes_the_fast_path_under_output_mixing(tiny):
    _, maps = one_hot(3)
    assert convolved_batches(Generator(tiny(mixing="output")), maps, torch.randn(3, 1, 8)) == {3}


def test_layerwise_styles_reach_their_layers_only(tiny):
    """Another style of a layer changes what it and later layers make, and not a bit of anything else. Of colours no
    layer makes anything more."""
    network = enliven(Generator(tiny(mixing="layerwise")))
    _, maps = one_hot(1)
    w = network.mapping(torch.randn(1, 1, 8)).detach()
    per_layer = w[:, :, None].repeat(1, 1, network.layers, 1)
    torch.testing.assert_close(network.synthesize(maps, per_layer), network.synthesize(maps, w))
    layers = [*network.encoder.blocks]
    for block in network.blocks:
        layers += [layer for layer in (block.up, block.conv, block.to_rgb) if layer is not None]
    assert len(layers) == network.layers
    made = {}
    for layer in layers:
        layer.register_forward_hook(lambda layer, inputs, output: made.update({layer: output.clone()}))
    network.synthesize(maps, per_layer)
    before = dict(made)
    for number, layer in enumerate(layers):
        other = per_layer.clone()
        other[:, :, number] += 1
        network.synthesize(maps, other)
        differ = [not torch.equal(made[one], before[one]) for one in layers]
        after = [isinstance(layer, StyledConv)] * (network.layers - number - 1)
        assert differ == [False] * number + [True] + after


def test_noise_and_spade_switches(tiny):
    silent = Generator(tiny(noise=False))
    assert not [name for name, _ in silent.named_parameters() if "noise" in name]
    sizes = [block.spade is not None for block in Generator(tiny(spade_sizes=(16, 16))).blocks]
    assert sizes == [False, False, True]
    assert all(block.spade is None for block in Generator(tiny(spade_sizes=(64, 256))).blocks)


def test_spade_gain_is_limited_and_starts_faint(tiny):
    network = Generator(tiny(spade_gain=0.25))
    _, maps = one_hot()
    start = [pair for pair in network.spade_maps(maps) if pair is not None]
    assert all((gain - 1).std() < 0.25 and 0 < shift.std() < 1 for gain, shift in start)
    with torch.no_grad():
        for block in network.blocks[1:]:
            block.spade.gain_shift.weight.mul_(0).add_(100)
    for pair in network.spade_maps(maps):
        if pair is not None:
            assert (pair[0] - 1).abs().max() <= 0.25 + 1e-6


def test_cached_spade_maps_give_the_same_picture(tiny):
    network = enliven(Generator(tiny()))
    _, maps = one_hot()
    w = torch.randn(2, 1, 8)
    torch.testing.assert_close(
        network.synthesize(maps, w), network.synthesize(maps, w, spade_maps=network.spade_maps(maps))
    )


def test_two_styles_without_weights_are_refused(tiny):
    with pytest.raises(ValueError, match="region weights"):
        Generator(tiny()).synthesize(one_hot()[1], torch.randn(2, 2, 8))


def test_paper_preset_has_the_papers_shapes():
    config = GeneratorConfig(
        resolution=1024, label_size=128, start_size=16, z_dim=512, w_dim=512, mapping_layers=8,
        channel_base=32768, channel_max=512, encoder_channels=(64, 128, 256), upsample="transposed",
        spade_sizes=(64, 256), spade_hidden=128, spade_max_size=256,
    )  # fmt: skip
    assert [config.channels(size) for size in config.sizes()] == [512, 512, 512, 256, 128, 64, 32]
    with torch.device("meta"):
        network = Generator(config)
    assert network.encoder.blocks[-1].weight.shape == (256, 128, 3, 3)
    spade = [size for size, block in zip(config.sizes(), network.blocks) if block.spade is not None]
    assert spade == [64, 128, 256]
    assert network.layers == 3 + 2 + 3 * 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 48}, "power of two"),
        ({"start_size": 64, "resolution": 32}, "above resolution"),
        ({"encoder_channels": [32]}, "label_size is"),
        ({"mixing": "both"}, "none of"),
    ],
)
def test_impossible_sizes_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping(GeneratorConfig, {"label_size": 64, "encoder_channels": [32, 64]} | changes, "test")


def test_similarity_is_shared_within_style_groups_and_both_hard_and_soft():
    p = draw_similarity(400, 0.5, torch.Generator().manual_seed(0))
    for group in STYLE_GROUPS:
        assert (p[:, list(group)] == p[:, [group[0]]]).all()
    hard = ((p == 0) | (p == 1)).all(1)
    assert 0.4 < hard.float().mean() < 0.6
    assert 0.4 < p[hard].mean() < 0.6
    assert ((p > 0) & (p < 1))[~hard].all()
    assert (draw_similarity(50, 0.0, torch.Generator().manual_seed(0)) % 1 == 0).all()


def test_two_styles_are_drawn_with_their_probability():
    z, layer = draw_styles(500, 8, "input", 9, 0.9, torch.Generator().manual_seed(0))
    different = (z[:, 0] != z[:, 1]).any(1).float().mean()
    assert z.shape == (500, 2, 8) and layer is None and 0.86 < different < 0.94
    assert draw_styles(4, 8, "none", 9, 0.9, torch.Generator().manual_seed(0))[0].shape == (4, 1, 8)
    second = draw_styles(50, 8, "layerwise", 9, 0.9, torch.Generator().manual_seed(0))[1]
    assert not second[:, 0].any() and second[:, -1].all() and (second[:, 1:] >= second[:, :-1]).all()


def test_each_layer_has_its_own_noise(tiny):
    network = Generator(tiny())
    assert network.noise_sizes == (4, 8, 8, 16, 16)
    noise, given = fixed_noise(network, 0), []
    for module in network.modules():
        if isinstance(module, StyledConv) and module.noise_strength is not None:
            module.register_forward_pre_hook(lambda module, inputs: given.append(inputs[3]))
    network.synthesize(one_hot()[1], torch.randn(2, 1, 8), noise=noise)
    assert len(given) == 5 and all(a is b for a, b in zip(given, noise))
    values = [layer.flatten()[:16] for seed in (0, 1) for layer in fixed_noise(network, seed)]
    assert not any(torch.equal(values[i], values[j]) for i in range(10) for j in range(i))
    assert all(torch.equal(a, b) for a, b in zip(noise, fixed_noise(network, 0)))


def test_maps_act_at_the_size_of_what_they_scale_up_to_a_limit(tiny):
    spades = [block.spade for block in Generator(tiny(spade_sizes=(8, 16), spade_max_size=8)).blocks]
    assert [spade and (spade.size, spade.map_size) for spade in spades] == [None, (8, 8), (16, 8)]
    network = Generator(tiny(spade_sizes=(8, 16), spade_max_size=16))
    _, maps = one_hot()
    assert [pair and pair[0].shape[-1] for pair in network.spade_maps(maps)] == [None, 8, 16]
    assert network.blocks[-1].spade.map_size == 16


def test_so_many_layers_paint_a_size(tiny):
    network = Generator(tiny())
    assert [network.layers_at(size) for size in (4, 8, 16, None)] == [2 + 2, 2 + 2 + 3, 2 + 2 + 6, 2 + 2 + 6]
