"""Segmentation scores from one confusion matrix.

The standard mean IoU is meant throughout: intersections and unions are summed over the whole set, and the
mean runs over the classes that occur in the truth or in the prediction. A class that is missed altogether
counts as 0; a class that is in neither is left out. Pixels whose truth is void don't count. (The authors' code has
three other definitions; see the reference spec, section 3.)
"""

import numpy as np
import torch
from torch import Tensor

from sofgan.labels import NAMES, NUM_CLASSES, VOID

BLOCK = 1 << 20  # pixels that are counted at a time


class ConfusionMatrix:
    """Counts of (truth, prediction) pairs, accumulated over label maps."""

    def __init__(self, num_classes: int = NUM_CLASSES) -> None:
        self.num_classes = num_classes
        self.counts = np.zeros((num_classes, num_classes), dtype=np.int64)

    def update(self, prediction, truth) -> "ConfusionMatrix":
        """Add label maps: integer arrays or tensors of one shape. Returns itself.

        Raises:
            ValueError: the shapes differ, or an id is not a class (nor void, in the truth).
        """
        if tuple(prediction.shape) != tuple(truth.shape):
            raise ValueError(
                f"prediction {tuple(prediction.shape)} and truth {tuple(truth.shape)} differ in shape"
            )
        self.counts += _count_pairs(prediction, truth, self.num_classes)
        return self

    def merge(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        """Add another matrix's counts. Returns itself."""
        if other.num_classes != self.num_classes:
            raise ValueError(f"cannot merge {other.num_classes} classes into {self.num_classes}")
        self.counts += other.counts
        return self

    def iou(self) -> np.ndarray:
        """Intersection over union of each class, (C,) float64; NaN where the class is in neither set."""
        intersection = np.diag(self.counts).astype(np.float64)
        union = self.counts.sum(0) + self.counts.sum(1) - np.diag(self.counts)
        return np.divide(intersection, union, out=np.full(self.num_classes, np.nan), where=union > 0)

    def miou(self, classes=None) -> float:
        """Mean IoU over the classes in truth or prediction, or over those of `classes` among them.

        Raises:
            ValueError: no class occurs.
        """
        iou = self.iou() if classes is None else self.iou()[np.asarray(classes)]
        if np.isnan(iou).all():
            raise ValueError("no class occurs in truth or prediction: nothing to score")
        return float(np.nanmean(iou))

    def per_class(self, names=NAMES) -> dict[str, float]:
        """IoU by class name; classes in neither set are left out."""
        return {name: float(value) for name, value in zip(names, self.iou()) if not np.isnan(value)}

    def accuracy(self) -> float:
        """Share of pixels that agree. Blind to small classes: never report it alone."""
        return float(np.diag(self.counts).sum() / max(self.counts.sum(), 1))

    def shares(self) -> tuple[np.ndarray, np.ndarray]:
        """The classes in truth or prediction, (K,), and what became of each one's pixels: (K, K), rows the truth.

        Rows sum to 1; that of a class which only predictions have is 0.
        """
        classes = np.flatnonzero(self.counts.sum(0) + self.counts.sum(1))
        counts = self.counts[np.ix_(classes, classes)].astype(np.float64)
        return classes, counts / np.maximum(counts.sum(1, keepdims=True), 1)

    def truth_shares(self) -> np.ndarray:
        """Share of each class among the truth's pixels, (C,) float64."""
        return self.counts.sum(1) / max(self.counts.sum(), 1)


def confusion_picture(confusion: ConfusionMatrix, names=NAMES, cell_px: int = 36) -> np.ndarray:
    """A confusion matrix to look at, rows the truth, in shares of the row: (H, W, 3) uint8."""
    from PIL import Image, ImageDraw

    classes, shares = confusion.shares()
    margin = 80
    side = margin + len(classes) * cell_px
    image = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(image)
    for a, i in enumerate(classes):
        row = margin + a * cell_px
        draw.text((margin - 6, row + cell_px / 2), names[i], "black", anchor="rm")
        draw.text((row + cell_px / 2, margin - 6 - 12 * (a % 2)), names[i][:9], "black", anchor="mb")
        for b in range(len(classes)):
            share, column = shares[a, b], margin + b * cell_px
            shade = tuple(round(255 + share * (deep - 255)) for deep in (20, 60, 130))
            draw.rectangle((column, row, column + cell_px - 2, row + cell_px - 2), fill=shade)
            if share >= 0.005:
                ink = "white" if share > 0.5 else "black"
                draw.text((column + cell_px / 2, row + cell_px / 2), f"{100 * share:.0f}", ink, anchor="mm")
    return np.asarray(image)


def frequent_classes(confusion: ConfusionMatrix, minimum_share: float) -> list[int]:
    """Classes that make up at least `minimum_share` of the truth's pixels."""
    return np.flatnonzero(confusion.truth_shares() >= minimum_share).tolist()


def image_mean_iou(prediction, truth, num_classes: int = NUM_CLASSES) -> np.ndarray:
    """Mean IoU of each image over the classes in its own truth or prediction.

    Args:
        prediction, truth: (N, H, W) integer arrays or tensors.

    Returns:
        (N,) float64.
    """
    if len(prediction) != len(truth):
        raise ValueError(f"{len(prediction)} predictions for {len(truth)} truths")
    pairs = zip(prediction, truth)
    return np.array([ConfusionMatrix(num_classes).update(p, t).miou() for p, t in pairs], dtype=np.float64)


def _count_pairs(prediction, truth, num_classes: int) -> np.ndarray:
    """(C, C) int64 counts, rows the truth. Tensors are counted where they are."""
    if hasattr(prediction, "detach"):
        import torch  # Already loaded by whoever made the tensor.

        truth = torch.as_tensor(truth, device=prediction.device).reshape(-1).long()
        prediction = prediction.detach().reshape(-1).long()
        known = truth != VOID
        if not bool(known.all()):
            prediction, truth = prediction[known], truth[known]
        _check_range(prediction, truth, num_classes)
        counts = torch.bincount(truth * num_classes + prediction, minlength=num_classes**2)
        return counts.reshape(num_classes, num_classes).cpu().numpy()
    truth, prediction = np.asarray(truth).reshape(-1), np.asarray(prediction).reshape(-1)
    counts = np.zeros((num_classes, num_classes), np.int64)
    # Eight bytes a pixel of many maps at once would be many times the maps.
    for start in range(0, len(truth), BLOCK):
        block = slice(start, start + BLOCK)
        counts += _count_block(prediction[block].astype(np.int64), truth[block].astype(np.int64), num_classes)
    return counts


def _count_block(prediction: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    known = truth != VOID
    if not known.all():
        prediction, truth = prediction[known], truth[known]
    _check_range(prediction, truth, num_classes)
    counts = np.bincount(truth * num_classes + prediction, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def _check_range(prediction, truth, num_classes: int) -> None:
    for name, values in (("prediction", prediction), ("truth", truth)):
        if values.size if isinstance(values, np.ndarray) else values.numel():
            low, high = int(values.min()), int(values.max())
            if low < 0 or high >= num_classes:
                raise ValueError(f"{name} holds ids {low}..{high}, not 0..{num_classes - 1}")


def batch_mean_iou(predictions: Tensor, truth: Tensor) -> Tensor:
    """Mean IoU (C,) of label maps (C, H, W) against one truth (H, W), over classes in either; where that is void,
    nothing counts."""
    known = truth.flatten() != VOID
    if not bool(known.all()):
        predictions, truth = predictions.flatten(1)[:, known], truth.flatten()[known]
    a = torch.nn.functional.one_hot(predictions.flatten(1).long(), NUM_CLASSES).float()  # (C, P, K)
    b = torch.nn.functional.one_hot(truth.flatten().long(), NUM_CLASSES).float()
    both = torch.einsum("cpk,pk->ck", a, b)
    either = a.sum(1) + b.sum(0) - both
    return (both / either.clamp_min(1)).sum(1) / (either > 0).sum(1)


def pairwise_mean_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mean IoU (N, M) of each label map of (N, H, W) with each of (M, H, W), over the classes in either of the two."""
    shape = (len(first), len(second))
    total, classes = np.zeros(shape), np.zeros(shape)
    for part in range(NUM_CLASSES):
        a = (first == part).reshape(len(first), -1).astype(np.float32)
        b = (second == part).reshape(len(second), -1).astype(np.float32)
        both = a @ b.T
        either = a.sum(1)[:, None] + b.sum(1)[None] - both
        total += both / np.maximum(either, 1)
        classes += either > 0
    return total / classes
