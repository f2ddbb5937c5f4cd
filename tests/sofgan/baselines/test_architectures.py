import pytest
import torch

from sofgan.baselines.config import PairedConfig
from sofgan.baselines.patch_discriminator import PatchDiscriminators
from sofgan.baselines.pix2pixhd import Pix2PixHDGenerator
from sofgan.baselines.sean import SeanGenerator
from sofgan.baselines.spade import SpadeGenerator
from sofgan.siw.mixing import one_hot

GENERATORS = {"spade": SpadeGenerator, "sean": SeanGenerator, "pix2pixhd": Pix2PixHDGenerator}


def make(method):
    """Tiny generator of a method, and noise for it."""
    config = PairedConfig(
        method=method, resolution=32, label_size=64, channel_base=256, channel_max=16, z_dim=8, spade_hidden=8,
        style_dim=8, reference_photos=4, residual_blocks=2,
    )  # fmt: skip
    torch.manual_seed(0)
    network = GENERATORS[method](config).eval()
    # Published starts are so faint that float32 would hide what is compared.
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1 and "encoder" not in name:
            torch.nn.init.normal_(parameter, std=0.3)
    noise = [torch.randn(1, 1, size, size) for size in network.noise_sizes]
    return network, noise


def halves():
    """A map of skin on the left and hair on the right."""
    labels = torch.ones(1, 64, 64, dtype=torch.long)
    labels[:, :, 32:] = 15
    return labels


@pytest.mark.parametrize("method", GENERATORS)
@torch.no_grad()
def test_pictures_have_the_resolution_and_lie_in_range(method):
    network, noise = make(method)
    maps, photos = one_hot(halves().expand(4, -1, -1)), torch.rand(4, 3, 32, 32) * 2 - 1
    style, _ = network.encode(photos, maps, torch.Generator().manual_seed(0))
    images = network(maps, style, noise)
    assert images.shape == (4, 3, 32, 32) and images.abs().max() <= 1 and images.std() > 0


@torch.no_grad()
def test_spade_paints_by_its_map_and_by_its_code():
    network, _ = make("spade")
    z, other = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(1))
    plain, changed = halves(), halves()
    changed[:, :, 32:] = 0
    image = network(one_hot(plain), z, [])
    assert (network(one_hot(changed), z, []) - image).abs().max() > 0.01
    assert (network(one_hot(plain), other, []) - image).abs().max() > 0.01


@torch.no_grad()
def test_spades_finest_block_changes_near_what_changed_in_the_map_alone():
    network, _ = make("spade")
    x = torch.randn(1, 16, 32, 32, generator=torch.Generator().manual_seed(2))
    maps = one_hot(halves()[:, ::2, ::2])
    changed = maps.clone()
    changed[:, :, 16, 16] = torch.eye(17)[3]
    moved = (network.blocks[-1](x, changed) - network.blocks[-1](x, maps)).abs().amax((0, 1))
    rows, columns = (moved > 0).nonzero().T
    # The map acts through two 3x3 convolutions, twice, and the features through two more.
    assert moved[16, 16] > 0 and (rows - 16).abs().max() <= 6 and (columns - 16).abs().max() <= 6


@torch.no_grad()
def test_seans_code_of_a_region_moves_that_region_most():
    network, noise = make("sean")
    codes = torch.randn(1, 17, 8, generator=torch.Generator().manual_seed(3))
    other = codes.clone()
    other[:, 15] = -other[:, 15]
    block, maps = network.blocks[-1], one_hot(halves()[:, ::2, ::2])
    x = torch.randn(1, 16, 32, 32, generator=torch.Generator().manual_seed(4))
    moved = (block(x, maps, other, noise[-3:]) - block(x, maps, codes, noise[-3:])).abs().mean((0, 1))
    assert moved[:, 20:].mean() > 0.01 and moved[:, :10].max() == 0


@torch.no_grad()
def test_seans_styles_are_those_of_its_reference_photos_with_means_where_a_class_is_missing():
    network, _ = make("sean")
    labels = halves().repeat(4, 1, 1)
    labels[0] = 1  # no hair
    photos = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(5)) * 2 - 1
    network.keep_references(photos, one_hot(labels))
    codes, present = network.encoder(photos, one_hot(labels))
    assert not present[0, 15] and present[1:, 15].all() and present[:, 1].all()
    torch.testing.assert_close(network.references[0, 15], codes[1:, 15].mean(0))
    drawn = network.style_of(torch.tensor([[-3.0], [3.0]]))
    assert torch.equal(drawn[0], network.references[0]) and torch.equal(drawn[1], network.references[3])


@torch.no_grad()
def test_region_wise_average_pooling_is_the_mean_over_each_region():
    network, _ = make("sean")
    photos = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(6)) * 2 - 1
    codes, _ = network.encoder(photos, one_hot(halves()))
    features = network.encoder.layers(photos)[0]
    torch.testing.assert_close(codes[0, 1], features[:, :, :8].mean((1, 2)))
    torch.testing.assert_close(codes[0, 15], features[:, :, 8:].mean((1, 2)))


@torch.no_grad()
def test_pix2pixhd_has_one_picture_a_map_whatever_the_code():
    network, _ = make("pix2pixhd")
    maps = one_hot(halves())
    first, second = (network(maps, network.style_of(z), []) for z in torch.randn(2, 1, 8))
    assert torch.equal(first, second)
    assert not torch.equal(first, network(one_hot(torch.zeros_like(halves())), network.style_of(first), []))


def test_patch_discriminators_see_the_map_and_judge_at_each_scale():
    torch.manual_seed(0)
    network = PatchDiscriminators(2, 8, 16, 3, spectral=False)
    picture, maps = torch.randn(1, 3, 32, 32), one_hot(halves()[:, ::2, ::2])
    found = network(picture, maps)
    assert [[x.shape[1] for x in scale] for scale in found] == [[8, 16, 16, 1]] * 2
    assert found[0][-1].shape[-1] > found[1][-1].shape[-1]
    other = network(picture, one_hot(torch.zeros(1, 32, 32, dtype=torch.long)))
    assert all(not torch.equal(a[-1], b[-1]) for a, b in zip(found, other))
