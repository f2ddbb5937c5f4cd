import tracemalloc

import numpy as np
import pytest
import torch

from sofgan.labels import VOID
from sofgan.scores import segmentation
from sofgan.scores.segmentation import ConfusionMatrix, confusion_picture, frequent_classes, image_mean_iou

TRUTH = np.array([[0, 0, 1, 1], [2, 2, 1, 1]])
PREDICTION = np.array([[0, 1, 1, 1], [2, 0, 1, 3]])
# class 0: 1/3, class 1: 3/5, class 2: 1/2, class 3: 0/1 (predicted, never true)


def test_miou_of_a_hand_computed_case():
    confusion = ConfusionMatrix(5).update(PREDICTION, TRUTH)
    np.testing.assert_allclose(confusion.iou()[:4], [1 / 3, 3 / 5, 1 / 2, 0])
    assert np.isnan(confusion.iou()[4])
    assert confusion.miou() == pytest.approx((1 / 3 + 3 / 5 + 1 / 2) / 4)
    assert confusion.miou([0, 1]) == pytest.approx((1 / 3 + 3 / 5) / 2)
    assert confusion.accuracy() == pytest.approx(5 / 8)
    assert confusion.per_class("abcde") == pytest.approx({"a": 1 / 3, "b": 0.6, "c": 0.5, "d": 0.0})
    assert confusion.truth_shares().tolist() == [0.25, 0.5, 0.25, 0, 0]
    assert frequent_classes(confusion, 0.3) == [1] and frequent_classes(confusion, 0.2) == [0, 1, 2]


def test_set_and_image_means_differ_as_defined():
    truth = np.array([[[0, 0, 0, 1]], [[0, 0, 0, 0]]])
    prediction = np.array([[[0, 0, 0, 0]], [[0, 0, 0, 0]]])
    np.testing.assert_allclose(image_mean_iou(prediction, truth), [0.75 / 2, 1.0])
    assert ConfusionMatrix(2).update(prediction, truth).miou() == pytest.approx((7 / 8 + 0) / 2)


def test_tensors_pieces_and_merges_count_alike():
    generator = np.random.default_rng(0)
    truth, prediction = generator.integers(0, 17, (2, 6, 9, 11)).astype(np.uint8)
    whole = ConfusionMatrix().update(prediction, truth).counts
    by_tensor = ConfusionMatrix().update(torch.from_numpy(prediction), torch.from_numpy(truth)).counts
    parts = ConfusionMatrix().update(prediction[:2], truth[:2])
    parts.merge(ConfusionMatrix().update(prediction[2:], truth[2:]))
    assert (whole == by_tensor).all() and (whole == parts.counts).all()
    assert whole.sum() == truth.size
    plain = np.zeros((17, 17), int)
    for t, p in zip(truth.reshape(-1), prediction.reshape(-1)):
        plain[t, p] += 1
    assert (plain == whole).all()


@pytest.mark.parametrize("bad", [17, 254, -1])
def test_strange_ids_and_shapes_are_refused(bad):
    labels = np.zeros((2, 2), int)
    with pytest.raises(ValueError, match="ids"):
        ConfusionMatrix().update(labels + bad, labels)
    with pytest.raises(ValueError, match="ids"):
        ConfusionMatrix().update(torch.zeros(2, 2), torch.zeros(2, 2) + bad)
    with pytest.raises(ValueError, match="shape"):
        ConfusionMatrix().update(labels, labels[:1])
    with pytest.raises(ValueError, match="nothing to score"):
        ConfusionMatrix().miou()


def test_shares_of_a_confusion_and_its_picture():
    truth = np.array([0, 0, 0, 0, 3, 3])
    answer = np.array([0, 0, 0, 5, 3, 5])
    confusion = ConfusionMatrix().update(answer, truth)
    classes, shares = confusion.shares()
    assert classes.tolist() == [0, 3, 5]
    assert shares.tolist() == [[0.75, 0, 0.25], [0, 0.5, 0.5], [0, 0, 0]]
    picture = confusion_picture(confusion, cell_px=20)
    assert picture.shape == (140, 140, 3) and picture.dtype == np.uint8
    corners = [picture[82 + 20 * row, 82 + 20 * column].tolist() for row, column in ((0, 0), (1, 1), (2, 2))]
    assert sum(corners[0]) < sum(corners[1]) < sum(corners[2]) == 765


def test_many_maps_are_counted_in_blocks(monkeypatch):
    """Eight bytes a pixel of all at once would be many times the maps."""
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 17, (2, 60, 64, 64), dtype=np.uint8)
    truth[3, :9] = VOID
    expected = sum(ConfusionMatrix().update(p, t).counts for p, t in zip(prediction, truth))
    monkeypatch.setattr(segmentation, "BLOCK", 5000)
    tracemalloc.start()
    found = ConfusionMatrix().update(prediction, truth).counts
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found == expected).all() and peak < truth.nbytes
