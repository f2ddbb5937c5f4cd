import numpy as np
import pytest
import torch

from sofgan.images import resize, to_network_range
from sofgan.networks.efficientnet import FrozenLite
from sofgan.scores.features import LiteFeatures, NetworkFeatures, extract
from sofgan.scores.inception import InceptionFeatures


@pytest.fixture(scope="module")
def lite():
    return FrozenLite("lite0")


def test_lite_maps_have_the_stated_strides(lite):
    maps = lite.feature_maps(torch.zeros(2, 3, 64, 64))
    assert [tuple(m.shape) for m in maps] == [
        (2, channels, 64 // stride, 64 // stride) for channels, stride in zip(lite.channels, (4, 8, 16, 32))
    ]


def test_lite_is_frozen_but_passes_gradients(lite):
    before = {name: value.clone() for name, value in lite.state_dict().items()}
    lite.train()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0), requires_grad=True)
    features = lite(images)
    features.sum().backward()
    assert features.shape == (2, lite.dim) and images.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in lite.parameters())
    assert all(torch.equal(before[name], value) for name, value in lite.state_dict().items())


def test_pretrained_weights_are_the_published_ones(lite):
    # The package's own forward on the same normalised input.
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = lite.net.extract_features((0.5 * images + 0.5 - lite.mean) / lite.std).mean((2, 3))
    torch.testing.assert_close(lite(images), expected)
    assert expected.std() > 0.1


def test_extract_is_independent_of_batching_and_input_range():
    extractor = LiteFeatures("lite0")
    images = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    tensor = to_network_range(images)
    assert tensor.min() >= -1 and tensor.max() <= 1 and tensor.shape == (3, 3, 96, 96)
    whole = extract([tensor], [extractor])["fd_lite0"]
    pieces = extract([tensor[:1], tensor[1:]], [extractor])["fd_lite0"]
    np.testing.assert_allclose(whole, pieces, rtol=1e-3, atol=1e-4)
    assert whole.shape == (3, extractor.dim)


def test_network_features_resize_and_errors(tmp_path):
    extractor = NetworkFeatures("fd_mean", lambda x: x.mean((2, 3)), 8)
    assert extract([torch.ones(4, 3, 16, 16)], [extractor])["fd_mean"].shape == (4, 3)
    with pytest.raises(ValueError, match="no images"):
        extract([], [extractor])
    with pytest.raises(ValueError, match="lite7"):
        FrozenLite("lite7")
    with pytest.raises(FileNotFoundError, match="is not there: `python -m pipelines weights"):
        InceptionFeatures(tmp_path / "none.pth")
    (tmp_path / "other.pth").write_bytes(b"x")
    with pytest.raises(ValueError, match="is not weights-inception"):
        InceptionFeatures(tmp_path / "other.pth")


def test_bytes_are_brought_to_minus_1_to_1():
    images = np.array([0, 51, 255], np.uint8).reshape(1, 1, 3, 1).repeat(3, 3)
    np.testing.assert_allclose(to_network_range(images)[0, :, 0], [[-1, -0.6, 1]] * 3, atol=1e-6)


@pytest.mark.parametrize(("kind", "size"), [("lite0", 96), ("lite2", 64)])
def test_each_network_sees_pictures_of_its_size_by_imagenets_mean_and_deviation(kind, size):
    extractor, seen = LiteFeatures(kind), []
    extractor.net.net._conv_stem.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    for value in (-1.0, 1.0):
        assert extractor(torch.full((1, 3, 128, 128), value)).shape == (1, extractor.dim)
    black, white = seen
    assert black.shape == white.shape == (1, 3, size, size) and extractor.name == f"fd_{kind}"
    for channel, (mean, deviation) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
        torch.testing.assert_close(black[0, channel], torch.full((size, size), -mean / deviation))
        torch.testing.assert_close(white[0, channel], torch.full((size, size), (1 - mean) / deviation))


def test_smaller_pictures_are_means_not_samples():
    # Between the middle two of four columns lies 1; their mean is 0.
    stripes = torch.tensor([-1.0, 1.0, 1.0, -1.0]).repeat(16).expand(1, 3, 64, 64)
    assert resize(stripes, 16)[..., 2:-2].abs().max() < 0.2
    assert resize(stripes, 64) is stripes
