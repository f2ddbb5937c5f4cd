"""Random streams by name: each its own, the same for ever."""

import torch

from sofgan.seeds import derive_seed, numpy_generator, torch_generator


def test_a_seed_is_the_same_on_every_machine_and_has_63_bits():
    assert derive_seed(0, "view", 3) == 5_982_546_528_045_503_115
    seeds = [derive_seed(0, number) for number in range(200)]
    assert 2**62 < max(seeds) < 2**63 and len(set(seeds)) == 200


def test_streams_differ_by_seed_and_by_each_name():
    names = [(), ("a",), ("b",), ("a", "b"), ("b", "a"), ("ab",), ("a", 1), ("a1",), (1, "a"), ("a", "")]
    keys = [(seed, *of) for seed in (0, 1, 10) for of in names] + [(1, 0, "a"), (10, "a", "b", "c")]
    assert len({derive_seed(*key) for key in keys}) == len(keys)
    assert len({numpy_generator(*key).random() for key in keys}) == len(keys)
    assert len({torch_generator(*key).initial_seed() for key in keys}) == len(keys)


def test_a_stream_does_not_depend_on_others():
    numpy_generator(0, "other").random(7)
    torch.rand(3)
    assert numpy_generator(0, "view", 3).random() == numpy_generator(0, "view", 3).random()
    assert torch_generator(0, "view", 3).initial_seed() == derive_seed(0, "view", 3)
