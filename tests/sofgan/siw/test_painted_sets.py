import copy

import numpy as np
import pytest
import torch

from sofgan.siw.generator import Generator
from sofgan.siw.model import Siw
from sofgan.siw.painted_sets import paint_all


@pytest.fixture
def siw(tiny, seeded):
    return Siw(Generator(tiny()).requires_grad_(False), "cpu")


def random_maps(count):
    return np.random.default_rng(0).integers(0, 17, (count, 16, 16), dtype=np.uint8)


def test_painting_depends_on_seed_and_set_alone(siw):
    maps = random_maps(5)
    one = torch.cat([images for _, images in paint_all(siw, maps, 0, "a", 5)])
    again = torch.cat([images for _, images in paint_all(siw, maps, 0, "a", 5)])
    other = torch.cat([images for _, images in paint_all(siw, maps, 0, "b", 5)])
    assert one.shape == (5, 3, 16, 16) and torch.equal(one, again) and not torch.equal(one, other)
    batches = list(paint_all(siw, maps, 0, "a", 2))
    assert [len(labels) for labels, _ in batches] == [2, 2, 1]
    # A shard of the set is painted as among all of it, in the styles of its numbers.
    (_, last), shard = batches[2], list(paint_all(siw, maps[4:], 0, "a", 2, first=4))
    assert len(shard) == 1 and torch.equal(shard[0][1], last)
    assert not torch.equal(list(paint_all(siw, maps[4:], 0, "a", 2))[0][1], last)


def test_pictures_that_are_scored_have_noise_of_their_own(siw):
    """One map, one style: what differs is noise, and no picture's depends on those it is painted with."""
    network = copy.deepcopy(siw.generator)
    for block in network.blocks:
        block.conv.noise_strength.fill_(1.0)
    noisy = Siw(network, "cpu")
    noisy.map_styles = lambda z: torch.zeros(len(z), 8)
    maps = np.repeat(random_maps(1), 4, 0)
    together = torch.cat([images for _, images in paint_all(noisy, maps, 0, "a", 4)])
    assert min((together[i] - together[j]).abs().mean() for i in range(4) for j in range(i)) > 0.01
    apart = torch.cat([images for _, images in paint_all(noisy, maps, 0, "a", 3)])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)
    rest = torch.cat([images for _, images in paint_all(noisy, maps[1:], 0, "a", 2, first=1)])
    torch.testing.assert_close(together[1:], rest, rtol=1e-4, atol=1e-5)
