"""The score of a head's views: heads like those of training pass, noise and spoiled heads fail."""

import copy

import numpy as np
import pytest
import torch

from sofgan import cameras, labels
from sofgan.cameras import Camera
from sofgan.scores.segmentation import image_mean_iou, pairwise_mean_iou
from sofgan.sof import plausibility
from sofgan.sof.head_statistics import head_statistics, parts_present
from sofgan.sof.plausibility import (
    JudgingViews,
    fit_reference,
    judging_poses,
    render_heads,
    sample_plausible,
    score_space,
    summarise,
)
from tests import scenes

SIZE, TRAINING, UNSEEN = 48, 44, 24
FRONTAL = JudgingViews((0.0,), 32)


@pytest.fixture(scope="module")
def heads():
    """Views (68, 3, 48, 48) of exact ellipsoid heads from the judging cameras."""
    intrinsics = cameras.intrinsics_from_fov(scenes.FOV_DEGREES)
    around = Camera(judging_poses(scenes.RADIUS, JudgingViews().yaws), intrinsics, SIZE)
    parts = [scenes.head_parts(1000 + seed) for seed in range(TRAINING + UNSEEN)]
    return np.stack([np.stack([scenes.picture(p, one)[0] for one in around]) for p in parts])


@pytest.fixture(scope="module")
def reference(heads):
    return fit_reference(heads[:TRAINING])


def share_plausible(reference, maps):
    return reference.judge(maps).plausible.mean()


def erase(maps, part, half=slice(None)):
    spoiled = maps.copy()
    view = spoiled[..., half]
    view[view == part] = labels.SKIN
    return spoiled


def test_heads_of_training_and_unseen_ones_pass(heads, reference):
    assert share_plausible(reference, heads[:TRAINING]) >= 0.95
    assert share_plausible(reference, heads[TRAINING:]) >= 0.85


def test_noise_and_spoiled_heads_fail(heads, reference):
    unseen, rng = heads[TRAINING:], np.random.default_rng(0)
    half_gone = unseen.copy()
    half_gone[:, :, :, SIZE // 2 :] = labels.BACKGROUND
    speckled = np.where(rng.random(unseen.shape) < 0.05, rng.integers(0, 17, unseen.shape), unseen)
    upside_down = unseen[:, :, ::-1]
    noise = rng.integers(0, 17, unseen.shape)
    for spoiled in (half_gone, speckled, upside_down, noise, np.zeros_like(unseen)):
        assert share_plausible(reference, spoiled.astype(np.uint8)) < 0.05


def test_a_missing_eye_mouth_or_nose_is_enough_to_fail(heads, reference):
    unseen = heads[TRAINING:]
    whole = share_plausible(reference, unseen)
    glassless = (unseen == labels.EYEGLASS).sum((1, 2, 3)) == 0
    one_eyed = erase(unseen, labels.EYE, slice(SIZE // 2, None))[glassless]
    assert share_plausible(reference, one_eyed) < 0.1 < whole
    assert share_plausible(reference, erase(erase(unseen, labels.U_LIP), labels.L_LIP)) < 0.1
    assert share_plausible(reference, erase(erase(unseen, labels.R_NOSE), labels.L_NOSE)) < 0.1


def test_the_reference_needs_heads_and_the_same_views(heads, reference):
    with pytest.raises(ValueError, match="20"):
        fit_reference(heads[:19])
    with pytest.raises(ValueError, match="views"):
        reference.judge(heads[:2, :1])


def test_p_values_of_training_heads_are_calibrated(heads):
    """Each half judged against the other: about as many fail as the level says."""
    first, second = heads[: len(heads) // 2], heads[len(heads) // 2 :]
    shares = [share_plausible(fit_reference(a), b) for a, b in ((first, second), (second, first))]
    assert 0.85 <= np.mean(shares) <= 1


def face(size=40):
    """A frontal face of rectangles that mirrors itself."""
    view = np.zeros((size, size), np.uint8)
    view[5:35, 10:30] = labels.SKIN
    view[12:14, 13:17] = view[12:14, 23:27] = labels.EYE
    view[9:10, 13:17] = view[9:10, 23:27] = labels.BROW
    view[16:22, 17:20], view[16:22, 20:23] = labels.R_NOSE, labels.L_NOSE
    view[26:28, 16:24], view[28:30, 16:24] = labels.U_LIP, labels.L_LIP
    view[35:40, 15:25] = labels.NECK
    return view


def test_statistics_of_a_drawn_face():
    view = face()
    found = head_statistics(view[None])
    assert all(parts_present(view).values())
    assert found["face.asymmetry"] == 0
    assert found["specks.solid"] == found["loose.stray"] == found["loose.holes"] == 0
    assert found["area.eye.0"] == pytest.approx((16 / 1600) ** 0.5)
    assert found["place.eye_row"] == pytest.approx(12.5 / 40)
    assert found["place.eye_distance"] == pytest.approx(10 / 40)
    assert found["place.eye_slant"] == 0
    assert np.isnan(found["area.hat.0"])

    spoiled = view.copy()
    spoiled[12:14, 23:27] = labels.SKIN  # an eye is gone
    spoiled[2, 2] = labels.HAIR  # and two specks: this one does not touch the head
    spoiled[24, 12] = labels.EAR
    spoiled[30:33, 26:28] = labels.BACKGROUND  # a hole
    found = head_statistics(spoiled[None])
    assert not parts_present(spoiled)["left_eye"]
    assert parts_present(spoiled)["right_eye"]
    assert found["face.asymmetry"] > 0.05
    assert np.isnan(found["place.eye_row"])
    assert found["loose.detached"] == pytest.approx(1 / 1600)
    assert found["loose.holes"] == pytest.approx(6 / 1600)


def test_a_dark_lens_counts_as_an_eye():
    view = face()
    view[11:16, 12:18] = view[11:16, 22:28] = labels.EYEGLASS
    assert parts_present(view)["left_eye"]
    view[11:16, 22:28] = labels.SKIN
    assert not parts_present(view)["left_eye"]


def test_mirrored_views_from_two_sides_are_symmetric():
    side = face()
    side[5:12, 4:12] = labels.HAIR
    pair = np.stack([side, face(), labels.mirror(side)])
    assert head_statistics(pair)["face.asymmetry"] == 0
    assert head_statistics(np.stack([side, face(), side]))["face.asymmetry"] > 0


def test_pairwise_mean_iou_is_that_of_each_pair(heads):
    first, second = heads[:3, 1], heads[3:7, 1]
    found = pairwise_mean_iou(first, second)
    assert found.shape == (3, 4)
    for i in range(3):
        for j in range(4):
            assert found[i, j] == pytest.approx(
                float(image_mean_iou(first[i][None], second[j][None])[0]), abs=1e-5
            )


def test_summary_tells_copies_from_new_heads_and_one_head_from_many(heads, reference):
    training = heads[:TRAINING, 1]
    copies = summarise(reference, heads[:20], training)
    new = summarise(reference, heads[TRAINING:], training)
    one = summarise(reference, heads[TRAINING : TRAINING + 1].repeat(5, 0), training)
    assert copies["novelty"] == copies["plausible_novelty"] == 0
    assert new["plausible_novelty"] > 0.05
    assert one["diversity"] == pytest.approx(0, abs=1e-6)
    assert new["diversity"] > 0.1
    assert new["both_eyes"] == 1
    assert abs(new["shift_area.skin.1"]) < 0.6
    bald = erase(heads[TRAINING:], labels.HAIR)
    assert summarise(reference, bald, training)["shift_area.skin.1"] > 1


def test_implausible_heads_are_drawn_again_up_to_a_limit(heads, trained):
    maps = render_heads(trained, trained.codes, FRONTAL)
    assert maps.shape == (4, 1, 32, 32)
    assert maps.dtype == np.uint8

    def draw(reference, max_tries):
        generator = torch.Generator().manual_seed(0)
        return sample_plausible(trained, reference, 3, generator, views=FRONTAL, max_tries=max_tries)

    strict = draw(
        fit_reference(heads[:TRAINING, 1:2]), 2
    )  # a field of four blurred heads never looks like these
    assert strict.drawn == 6
    assert (strict.p_values <= 0.05).all()
    assert strict.codes.shape == (3, 8)
    own = fit_reference(maps.repeat(6, 0))
    lenient, again = draw(own, 3), draw(own, 3)
    assert 3 <= lenient.drawn <= 9
    assert torch.equal(lenient.codes, again.codes)
    assert np.array_equal(lenient.p_values, again.p_values)


def test_the_space_is_scored_against_heads_that_were_trained_on(trained):
    def scored(sof):
        return score_space(sof, 6, torch.Generator().manual_seed(0), FRONTAL)

    assert scored(trained) == {}  # four heads are too few to judge by
    noise = torch.randn(24, trained.codes.shape[1], generator=torch.Generator().manual_seed(1))
    many = copy.copy(trained)
    many.model = copy.deepcopy(trained.model)
    many.model.codes = torch.nn.Parameter(trained.codes.repeat(6, 1) + 0.1 * noise)
    many.rounds = [1] * 24
    figures = scored(many)
    assert set(figures) == {
        "share_plausible", "both_eyes", "specks", "novelty", "plausible_novelty", "diversity"
    }  # fmt: skip
    assert figures == scored(many)
    assert 0 < figures["diversity"] < 1
    many.rounds = [1] * 19 + [2] * 5  # inverted ones don't count
    assert scored(many) == {}


def test_a_training_heads_score_is_by_the_others_alone(heads):
    few = heads[:24]
    scores = fit_reference(few).scores
    for index in (0, 7, 23):
        others = fit_reference(np.delete(few, index, 0))
        assert others.judge(few[index : index + 1]).score[0] == pytest.approx(scores[index])
    assert scores.max() > 0


def test_p_values_are_the_share_of_training_heads_that_score_as_badly_with_the_head_itself(heads, reference):
    scores = reference.judge(heads[TRAINING:])
    for score, p_value in zip(scores.score, scores.p_value):
        as_badly = sum(own >= score - 1e-9 for own in reference.scores)
        assert p_value == pytest.approx((1 + as_badly) / (1 + TRAINING))
    noise = np.random.default_rng(0).integers(0, 17, heads[:1].shape).astype(np.uint8)
    assert reference.judge(noise).p_value[0] == pytest.approx(1 / (1 + TRAINING))


def test_views_from_both_sides_mirror_each_other(heads):
    right, frontal, left = heads[0].copy()
    half = frontal[:, : SIZE // 2]
    frontal = np.concatenate([half, labels.mirror(half)], 1)
    symmetric = np.stack([right, frontal, labels.mirror(right)])
    assert head_statistics(symmetric)["face.asymmetry"] == pytest.approx(0, abs=1e-9)
    assert head_statistics(np.stack([right, frontal, right]))["face.asymmetry"] > 0.3


def test_areas_of_a_class_count_as_one_statistic_and_too_small_ones_as_too_large_ones(reference):
    names = list(reference.names)
    for prefix in ("area.hair.", "face.asymmetry", "part.right_eye"):
        excess = np.array([[float(name.startswith(prefix)) for name in names]])
        assert plausibility._score(reference.names, excess)[0] == pytest.approx(1.0)
    name = names.index("area.neck.1")
    low, high = reference.low[name], reference.high[name]
    width = max(high - low, plausibility.LEAST_WIDTH["area"])
    table = np.full((4, len(names)), np.nan)
    table[:, name] = low - 0.5 * width, low, high + 0.25 * width, high + 9 * width
    excess = plausibility._excess(reference.names, table, reference.low, reference.high)
    assert excess[:, name] == pytest.approx([0.5, 0.0, 0.25, plausibility.LARGEST_EXCESS])
    assert (np.delete(excess, name, 1) == 0).all()
