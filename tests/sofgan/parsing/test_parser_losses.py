"""What a parser is taught by: its loss, the weights of classes and what decays, against plain sums."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sofgan.parsing.augment import draw_changes
from sofgan.parsing.config import Augmentation, ParserConfig
from sofgan.parsing.data import class_weights, repeat_factors
from sofgan.parsing.parser import FaceParser
from sofgan.parsing.train import _parameter_groups, dice_loss, parser_loss

STILL = Augmentation(0, 0, 0, 0, 0, 0, 0)


class Maps:
    """Photos of which the maps alone are looked at."""

    def __init__(self, *maps):
        self.maps = [np.array(values, np.uint8) for values in maps]

    def __len__(self):
        return len(self.maps)

    def labels(self, position):
        return self.maps[position]


@dataclasses.dataclass
class Weights:
    dice_weight: float
    auxiliary_weight: float


def test_the_loss_is_the_weighted_sum_of_all_heads_and_of_dice():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (2, 8, 8), generator=generator)
    weights = torch.rand(17, generator=generator) + 0.1
    answer = torch.randn((2, 17, 8, 8), generator=generator)
    coarse = torch.randn((2, 17, 4, 4), generator=generator)

    def cross_entropy(logits, truth):
        logs = logits.log_softmax(1)
        size = truth.shape[-1]
        places = [(b, r, c) for b in range(2) for r in range(size) for c in range(size)]
        total = sum(-weights[truth[p]] * logs[p[0], truth[p], p[1], p[2]] for p in places)
        return total / sum(weights[truth[p]] for p in places)

    plain = cross_entropy(answer, labels)
    torch.testing.assert_close(parser_loss([answer], labels, weights, Weights(0.0, 0.4)), plain)
    dice = dice_loss(answer.softmax(1), labels)
    torch.testing.assert_close(parser_loss([answer], labels, weights, Weights(0.3, 0.0)), plain + 0.3 * dice)
    # Auxiliary heads are judged at their own size; the nearest of four pixels there is the last.
    small = F.interpolate(labels[:, None].float(), (4, 4), mode="nearest-exact")[:, 0].long()
    both = parser_loss([answer, coarse], labels, weights, Weights(0.3, 0.4))
    torch.testing.assert_close(both, plain + 0.3 * dice + 0.4 * cross_entropy(coarse, small))


def test_dice_is_twice_the_overlap_by_both_sizes_of_the_classes_that_are_there():
    probabilities = torch.rand((1, 4, 3, 3), generator=torch.Generator().manual_seed(0)).softmax(1)
    labels = torch.tensor([[[0, 0, 2], [0, 2, 2], [0, 0, 0]]])
    expected = []
    for label in (0, 2):
        there = labels[0] == label
        overlap = probabilities[0, label][there].sum()
        expected.append(1 - 2 * overlap / (probabilities[0, label].sum() + there.sum()))
    torch.testing.assert_close(dice_loss(probabilities, labels), sum(expected) / 2)


def test_dice_of_a_class_that_is_neither_there_nor_seen_has_no_part_in_gradients():
    scores = torch.zeros((1, 3, 2, 2))
    scores[:, 2] = -200  # its probabilities are 0 in float32
    scores.requires_grad_()
    dice_loss(scores.softmax(1), torch.tensor([[[0, 1], [1, 0]]])).backward()
    assert scores.grad.isfinite().all() and scores.grad[:, :2].abs().min() > 0


def test_class_weights_are_of_mean_1_over_pixels_and_larger_for_rare_classes():
    photos = Maps([[0, 0, 0, 1]], [[0, 0, 2, 2]])
    weights = class_weights(photos, 0.5)
    shares = np.array([5, 1, 2]) / 8
    plain = shares**-0.5
    assert weights[:3] == pytest.approx(plain / (plain * shares).sum())
    assert weights[0] < weights[2] < weights[1] < weights[3]


def test_a_photo_is_repeated_by_the_root_of_its_rarest_class():
    photos = Maps([[0, 1]], [[0, 0]], [[0, 2]], [[0, 2]], [[0, 2]])
    # Class 1 is on a fifth, class 2 on three fifths of the photos.
    assert repeat_factors(photos, 0.8) == pytest.approx([2.0, 1.0] + [(0.8 / 0.6) ** 0.5] * 3)
    assert repeat_factors(photos, 0.5) == pytest.approx([2.5**0.5, 1, 1, 1, 1])


def test_weights_decay_and_biases_and_norms_do_not():
    parser = FaceParser(ParserConfig("unet", 32, 4))
    groups = _parameter_groups(parser, 0.1)
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert {p.ndim for p in parser.parameters()} == {1, 4}
    assert all(decay[id(p)] == (0.1 if p.ndim == 4 else 0.0) for p in parser.parameters() if p.requires_grad)


def test_changes_are_drawn_evenly_within_their_ranges_both_ways():
    config = dataclasses.replace(STILL, mirror=0.3, zoom=0.25, shift=0.1, rotation_degrees=20.0)
    changes = draw_changes(4000, 8, config, torch.Generator().manual_seed(0))
    assert changes.flip.float().mean().item() == pytest.approx(0.3, abs=0.03)
    linear, shift = changes.matrix[:, :, :2], changes.matrix[:, :, 2]
    zoom = (
        -torch.linalg.det(linear).log() / 2
    )  # affine_grid's matrix leads from the new picture to the old one
    angle = torch.rad2deg(torch.atan2(linear[:, 1, 0], linear[:, 0, 0]))
    for values, most in (
        (zoom, np.log(1.25)), (angle, 20.0), (shift[:, 0], 2 * 0.1), (shift[:, 1], 2 * 0.1)
    ):  # fmt: skip
        assert values.abs().max() <= most * 1.001  # the grid's unit is half of the side
        quarters = torch.histc(values, 4, -most, most) / 4000
        assert quarters.min() > 0.2
