"""The 17 semantic classes of a head: names, colours, and every remap to and from them.

A label map is a uint8 array whose values are class ids 0..16; views of a scan may hold `VOID` too, where a surface
is of unknown class. The order is that of the authors' released tables (reference spec, section 4.1). `R_NOSE` is
the subject's right half of the nose: image left in a frontal view.
"""

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

Labels = TypeVar("Labels", "np.ndarray", "torch.Tensor")
NAMES = (
    "background", "skin", "brow", "eye", "r_nose", "l_nose", "mouth", "u_lip", "l_lip",
    "ear", "earring", "eyeglass", "neck", "necklace", "cloth", "hair", "hat",
)  # fmt: skip
NUM_CLASSES = len(NAMES)
(
    BACKGROUND, SKIN, BROW, EYE, R_NOSE, L_NOSE, MOUTH, U_LIP, L_LIP,
    EAR, EARRING, EYEGLASS, NECK, NECKLACE, CLOTH, HAIR, HAT,
) = range(NUM_CLASSES)  # fmt: skip
# A surface of unknown class, neither trained on nor scored.
VOID = 255
VOID_COLOR = (128, 128, 128)

# Display colours; also the colours of segmentation textures. Pairwise far apart, so that a texture that
# went through an 8-bit colour transform is still unambiguous.
PALETTE = np.array(
    [
        (0, 0, 0), (236, 188, 160), (120, 72, 32), (40, 120, 240), (250, 140, 90), (220, 90, 60),
        (140, 0, 40), (240, 60, 110), (190, 20, 90), (250, 220, 120), (0, 220, 220), (90, 0, 200),
        (190, 140, 110), (240, 240, 0), (40, 160, 70), (100, 70, 70), (200, 60, 240),
    ],
    dtype=np.uint8,
)  # fmt: skip

# The regions that share a style (reference spec, 4.1): both halves of the nose are skin, for instance.
STYLE_GROUPS = (
    (BACKGROUND,), (SKIN, R_NOSE, L_NOSE, EAR, NECK), (BROW,), (EYE,), (MOUTH,), (U_LIP, L_LIP),
    (EARRING,), (EYEGLASS,), (NECKLACE,), (CLOTH,), (HAIR,), (HAT,),
)  # fmt: skip

# The three 19-class orders that are in circulation, and what each id becomes. A nose that is one class
# there becomes R_NOSE here, until `split_nose` divides it.
CELEBAMASK_NAMES = (
    "background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear",
    "mouth", "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth",
)  # fmt: skip
BISENET_NAMES = (
    "background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "eye_g", "l_ear", "r_ear", "ear_r",
    "nose", "mouth", "u_lip", "l_lip", "neck", "neck_l", "cloth", "hair", "hat",
)  # fmt: skip
PARSENET_NAMES = (
    "background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear",
    "mouth", "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth",
)  # fmt: skip
_PART_TO_CLASS = {
    "background": BACKGROUND, "skin": SKIN, "nose": R_NOSE, "eye_g": EYEGLASS, "l_eye": EYE, "r_eye": EYE,
    "l_brow": BROW, "r_brow": BROW, "l_ear": EAR, "r_ear": EAR, "mouth": MOUTH, "u_lip": U_LIP,
    "l_lip": L_LIP, "hair": HAIR, "hat": HAT, "ear_r": EARRING, "neck_l": NECKLACE, "neck": NECK,
    "cloth": CLOTH,
}  # fmt: skip


def _table(names: tuple[str, ...]) -> np.ndarray:
    return np.array([_PART_TO_CLASS[name] for name in names], dtype=np.uint8)


CELEBAMASK_TO_17 = _table(CELEBAMASK_NAMES)
BISENET_TO_17 = _table(BISENET_NAMES)
PARSENET_TO_17 = _table(PARSENET_NAMES)


class LabelError(ValueError):
    """A label map holds a value that is not a class id."""


def check_ids(
    labels: np.ndarray, where: str, num_classes: int = NUM_CLASSES, void: bool = False
) -> np.ndarray:
    """Return `labels` if every value is a class id.

    Args:
        labels: any integer array.
        where: what the map is, for the message.
        num_classes: ids run from 0 to this, exclusive.
        void: whether `VOID` is allowed too, as on scans and their views.

    Raises:
        LabelError: naming the offending ids. Scaled or colour-coded maps are refused, not guessed at.
    """
    if not np.issubdtype(labels.dtype, np.integer):
        raise LabelError(f"{where}: label maps hold integers, not {labels.dtype}")
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        values = np.unique(labels)
        values = values[values != VOID] if void else values
        strangers = values[(values < 0) | (values >= num_classes)][:8].tolist()
        if strangers:
            raise LabelError(f"{where}: ids {strangers} are not in 0..{num_classes - 1}")
    return labels


def remap(labels: np.ndarray, table: np.ndarray, where: str = "label map") -> np.ndarray:
    """Translate a map of another order through a table such as `CELEBAMASK_TO_17`; uint8, same shape.

    Raises:
        LabelError: an id lies outside the table.
    """
    return table[check_ids(labels, where, len(table))]


def split_nose(labels: np.ndarray) -> np.ndarray:
    """Divide the nose into its two halves at the median column of its pixels (spec 4.1).

    A turned head's nose bridge is not vertical, so where brows and lips are visible the dividing line runs
    parallel to the line from between the brows to the middle of the lips; with neither it is vertical.

    Args:
        labels: (H, W) uint8 of the 17 classes; `R_NOSE` and `L_NOSE` both count as nose.

    Returns:
        A copy in which nose pixels left of the line are `R_NOSE` and the others `L_NOSE`.
    """
    rows, columns = np.nonzero((labels == R_NOSE) | (labels == L_NOSE))
    if len(columns) == 0:
        return labels.copy()
    brow_rows, brow_columns = np.nonzero(labels == BROW)
    lip_rows, lip_columns = np.nonzero((labels == U_LIP) | (labels == L_LIP))
    slope = 0.0
    if len(brow_rows) and len(lip_rows):
        # Between the brows is the middle of their extent, since a turned head shows one brow more.
        top = (0.5 * (brow_columns.min() + brow_columns.max()), brow_rows.mean())
        bottom = (lip_columns.mean(), lip_rows.mean())
        if bottom[1] - top[1] > 2:
            slope = float(np.clip((bottom[0] - top[0]) / (bottom[1] - top[1]), -0.5, 0.5))
    offset = columns - slope * rows
    # Half a pixel less than the median keeps the two halves equal when the width is even.
    is_left = offset > np.median(offset) - 1e-6
    result = labels.copy()
    result[rows, columns] = np.where(is_left, L_NOSE, R_NOSE).astype(labels.dtype)
    return result


MIRROR_TABLE = np.arange(NUM_CLASSES, dtype=np.uint8)
MIRROR_TABLE[[R_NOSE, L_NOSE]] = L_NOSE, R_NOSE
# By any stored id, `VOID` too.
_MIRRORED_IDS = np.arange(VOID + 1, dtype=np.uint8)
_MIRRORED_IDS[:NUM_CLASSES] = MIRROR_TABLE


def mirror(labels: Labels) -> Labels:
    """Flip maps (..., H, W) left to right and swap the two halves of the nose; an involution. Void stays void.

    Args:
        labels: ids, an array or a tensor.
    """
    if isinstance(labels, np.ndarray):
        return _MIRRORED_IDS[labels[..., ::-1]].astype(labels.dtype)
    import torch

    table = torch.as_tensor(_MIRRORED_IDS, device=labels.device)
    return table[labels.flip(-1).long()].to(labels.dtype)


def resize(labels: Labels, size: int) -> Labels:
    """Resize the centered square of maps to (..., size, size): each pixel takes the id that its center falls on.

    Args:
        labels: (..., H, W) ids, an array or a tensor.
        size: side of the result in pixels.

    Returns:
        The maps themselves where they fit.
    """
    height, width = labels.shape[-2:]
    if (height, width) == (size, size):
        return labels
    rows, columns = (_places(extent, min(height, width), size) for extent in (height, width))
    if not isinstance(labels, np.ndarray):
        import torch

        rows, columns = (torch.as_tensor(places, device=labels.device) for places in (rows, columns))
    return labels[..., rows, :][..., columns]


def _places(extent: int, side: int, size: int) -> np.ndarray:
    """Pixels (size,) of an axis that the centers of `size` equal parts of its middle `side` pixels fall on."""
    # In whole numbers: 2 * size times what is ((i + 0.5) * side / size) + (extent - side) / 2.
    return ((2 * np.arange(size) + 1) * side + (extent - side) * size) // (2 * size)


def colorize(labels: np.ndarray) -> np.ndarray:
    """Colours of a label map: (...,) ids to (..., 3) uint8; void is grey."""
    void = np.asarray(labels) == VOID
    if not void.any():
        return PALETTE[labels]
    colors = PALETTE[np.where(void, BACKGROUND, labels)]
    colors[void] = VOID_COLOR
    return colors


def class_areas(labels: np.ndarray) -> np.ndarray:
    """Share of each class among all values of `labels`: (17,) float64, sums to 1 less the share that is void."""
    values = labels.reshape(-1)
    return np.bincount(values[values != VOID], minlength=NUM_CLASSES) / labels.size
