"""Path lengths against plain autograd in w+, a style for every layer, as StyleGAN2 defines them."""

import pytest
import torch

from sofgan.siw.data import ArraySource, Batches, Sources
from sofgan.siw.generator import Generator, fixed_noise, random_noise
from sofgan.siw.losses import path_length_penalty
from sofgan.siw.mixing import draw_similarity, one_hot, two_style_weights
from sofgan.siw.training_step import SiwTraining

pytestmark = pytest.mark.usefixtures("seeded")
MEAN = torch.tensor(0.3)


def draws(seed=7):
    return torch.Generator().manual_seed(seed)


def plain_lengths(paint, w, noise):
    """Of `paint(w)` picture by picture, by backward() into w+ (B, K, layers, w_dim)."""
    w = w.detach().clone().requires_grad_()
    (paint(w) * noise).sum().backward()
    found = []
    for gradient in w.grad:  # (K, layers, w_dim)
        squares = [sum(style[layer] for style in gradient).square().sum() for layer in range(w.shape[2])]
        found.append((sum(squares) / len(squares)).sqrt())
    return torch.stack(found)


def test_path_length_of_a_linear_generator_is_analytic():
    """G(w) = the sum over layers of A w: the length is the root of the mean over layers of |A^T n|^2."""
    matrices = torch.randn(4, 3 * 4 * 4, 6, requires_grad=True)
    w = torch.randn(5, 1, 4, 6, requires_grad=True)
    images = torch.einsum("lpd,bld->bp", matrices, w[:, 0]).unflatten(1, (3, 4, 4))
    penalty, mean = path_length_penalty(images, w, torch.tensor(2.0), draws())
    noise = torch.randn((5, 3, 4, 4), generator=draws()).flatten(1) / 4
    lengths = torch.einsum("bp,lpd->bld", noise, matrices).square().sum(2).mean(1).sqrt()
    torch.testing.assert_close(mean, lengths.mean())
    torch.testing.assert_close(penalty, (lengths - 2.0).square().mean())
    assert penalty.requires_grad and not mean.requires_grad


@pytest.mark.parametrize("mixing", ["input", "output"])
def test_lengths_of_the_generator_are_those_of_plain_autograd_in_float64(tiny, mixing):
    network = Generator(tiny(mixing=mixing)).double()
    labels = torch.randint(0, 17, (3, 4, 4)).repeat_interleave(4, 1).repeat_interleave(4, 2)
    maps = one_hot(labels).double()
    weights = two_style_weights(labels, draw_similarity(3, 0.5, draws(1))).double()
    noise = [layer.double() for layer in fixed_noise(network, 0)]
    w = network.mapping(torch.randn(3, 2, 8, dtype=torch.float64))
    w = w[:, :, None].expand(-1, -1, network.layers, -1)
    penalty, mean = path_length_penalty(network.synthesize(maps, w, weights, noise), w, MEAN, draws())
    direction = torch.randn((3, 3, 16, 16), generator=draws()) / 16
    lengths = plain_lengths(lambda w: network.synthesize(maps, w, weights, noise), w, direction)
    assert lengths.dtype == torch.float64
    torch.testing.assert_close(penalty, (lengths - MEAN).square().mean(), rtol=1e-10, atol=0)
    torch.testing.assert_close(mean, lengths.mean(), rtol=1e-10, atol=0)


@pytest.mark.parametrize("by_class", [True, False])
@pytest.mark.parametrize("soft", [0.0, 1.0])
def test_two_equal_styles_have_the_lengths_of_one(tiny, soft, by_class):
    network = Generator(tiny(mixing="output")).double()
    labels = torch.randint(0, 17, (2, 4, 4)).repeat_interleave(4, 1).repeat_interleave(4, 2)
    weights = two_style_weights(labels, draw_similarity(2, soft, draws(1), by_class)).double()
    one = network.mapping(torch.randn(2, 1, 8, dtype=torch.float64))[:, :, None]
    one = one.expand(-1, -1, network.layers, -1)
    means = []
    for w, mixed in ((one, None), (one.expand(-1, 2, -1, -1), weights)):
        images = network.synthesize(one_hot(labels).double(), w, mixed)
        means.append(path_length_penalty(images, w, MEAN, draws())[1])
    torch.testing.assert_close(means[0], means[1], rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("mixing", "size"), [("input", 16), ("output", 16), ("output", 8), ("layerwise", 16), ("none", 8)]
)
def test_a_training_penalises_the_layers_that_paint(tiny_training, photos, maps, mixing, size):
    growth = ((8, 0.5),) if size == 8 else ()
    config = tiny_training(generator={"mixing": mixing}, growth=growth)
    training = SiwTraining(config, 0, "cpu")
    batch = Batches(config, Sources(ArraySource(photos), {"parsed": ArraySource(maps)}), 0)(0)
    assert batch.photos.shape[-1] == size
    training.mean_path_length.fill_(0.3)
    penalty, mean = training._path_length(next(training._parts(batch)), 0)

    network, numbers = training.generator, training._draws(0, "path length")
    labels = batch.labels[0, ::2]
    w, weights = training._styles(labels, numbers)
    noise = random_noise(network, len(labels), numbers, size)
    direction = torch.randn((2, 3, size, size), generator=numbers) / size
    layers = (
        2 + 2 + 3 * (1 if size == 8 else 2)
    )  # the encoder's, the first block's, and three of each further one
    w = w[:, :, :layers] if mixing == "layerwise" else w[:, :, None].expand(-1, -1, layers, -1)

    def paint(w):
        return network.synthesize(one_hot(labels), w, weights, noise, resolution=size)

    lengths = plain_lengths(paint, w, direction)
    torch.testing.assert_close(mean, lengths.mean(), rtol=1e-4, atol=0)
    torch.testing.assert_close(penalty, (lengths - 0.3).square().mean(), rtol=1e-4, atol=0)
    assert network.layers_at(size) == layers
    with pytest.raises(ValueError, match=f"{layers - 1} layers' styles for {layers} layers"):
        paint(w[:, :, 1:])


def test_the_penalty_teaches_the_generator_and_its_mapping(tiny_training, photos, maps):
    config = tiny_training()
    training = SiwTraining(config, 0, "cpu")
    batch = Batches(config, Sources(ArraySource(photos), {"parsed": ArraySource(maps)}), 0)(0)
    penalty, _ = training._path_length(next(training._parts(batch)), 0)
    penalty.backward()
    assert training.generator.mapping.layers[0].weight.grad.abs().sum() > 0
    assert training.generator.blocks[-1].conv.weight.grad.abs().sum() > 0
