"""Statistics of heads' label views: class areas, parts that are there, where these lie, left-right asymmetry, and what
hangs loose."""

import math

import numpy as np
from scipy import ndimage

from sofgan import labels

# Sides of the image on which a frontal head shows the part, and the least share of the image that counts.
PARTS = {
    "skin": (labels.SKIN, "both", 0.02),
    "brow": (labels.BROW, "each", 4e-4),
    "eye": (labels.EYE, "each", 4e-4),
    "r_nose": (labels.R_NOSE, "both", 1e-3),
    "l_nose": (labels.L_NOSE, "both", 1e-3),
    "u_lip": (labels.U_LIP, "both", 3e-4),
    "l_lip": (labels.L_LIP, "both", 3e-4),
    "neck": (labels.NECK, "both", 4e-3),
}
LENS = 3.5e-3  # share of the image on one side that is eyeglass where a lens hides the eye
# In how many pieces a class may come; what lies outside the largest of them is stray.
PIECES = np.full(labels.NUM_CLASSES, 1)
PIECES[[labels.BROW, labels.EYE, labels.EAR, labels.EARRING, labels.EYEGLASS]] = 2
SPECK = 2.5e-4  # share of the image: a smaller piece is a speck
# Symmetry and place are those of the face; hair, clothes and jewellery may lie as they like.
FACE = (labels.SKIN, labels.BROW, labels.EYE, labels.R_NOSE, labels.L_NOSE, labels.U_LIP, labels.L_LIP)
THIN = (labels.EYEGLASS, labels.EARRING, labels.NECKLACE)  # in pieces on real heads too: counted apart
# Heads are judged by how large these are only if they have them: none is as good as one of the usual size.
OPTIONAL = ("mouth", "ear", "earring", "eyeglass", "necklace", "cloth", "hair", "hat")


def head_statistics(maps: np.ndarray) -> dict[str, float]:
    """Statistics of one head's views (V, H, W): "group.name" to value, NaN where there is nothing to measure.

    Groups: area (square roots of shares of the image), part (1 there, 0 missing), place (of the frontal view's
    parts, image widths), face (asymmetry; share of neighbouring pixels that differ), loose (shares of the
    image), specks (pieces a view).
    """
    views = len(maps)
    frontal = maps[views // 2]
    statistics: dict[str, float] = {}
    for index, view in enumerate(maps):
        void = _has_void(view)
        for name, area in zip(labels.NAMES, labels.class_areas(view)):
            if void and (not area or name == "skin"):  # What is void may be of it.
                area = math.nan
            statistics[f"area.{name}.{index}"] = math.sqrt(area) if area or name not in OPTIONAL else math.nan
    missing = math.nan if _has_void(frontal) else 0.0
    statistics |= {
        f"part.{name}": 1.0 if there else missing for name, there in parts_present(frontal).items()
    }
    statistics |= {f"place.{name}": value for name, value in _places(frontal).items()}
    # A view and the one from the other side mirror each other; the frontal one mirrors itself.
    pairs = [(maps[i], labels.mirror(maps[views - 1 - i])) for i in range(views // 2 + 1)]
    statistics["face.asymmetry"] = float(np.mean([_asymmetry(*pair) for pair in pairs]))
    differ = [(np.diff(view, axis=axis) != 0).mean() for view in maps.astype(np.int8) for axis in (0, 1)]
    statistics["face.border"] = float(np.mean(differ))
    loose = [_loose(view) for view in maps]
    return statistics | {name: float(np.mean([view[name] for view in loose])) for name in loose[0]}


def _has_void(view: np.ndarray) -> bool:
    return bool((view == labels.VOID).any())


def parts_present(frontal: np.ndarray) -> dict[str, bool]:
    """Flags of the parts that are seen in a frontal view (H, W). An eye behind a dark lens counts as seen."""
    width = frontal.shape[1]
    halves = {"right": frontal[:, : width // 2], "left": frontal[:, (width + 1) // 2 :]}
    present = {}
    for name, (part, where, share) in PARTS.items():
        least = share * frontal.size
        if where == "both":
            present[name] = bool((frontal == part).sum() >= least)
            continue
        for side, half in halves.items():
            present[f"{side}_{name}"] = bool((half == part).sum() >= least)
            if part == labels.EYE:
                present[f"{side}_{name}"] |= bool((half == labels.EYEGLASS).sum() >= LENS * frontal.size)
    return present


def _places(frontal: np.ndarray) -> dict[str, float]:
    """Rows and distances of the parts of a face in a frontal view, in image widths; NaN where a part is missing."""
    width = frontal.shape[1]
    middle = {}
    for name, classes in {
        "brow": (labels.BROW,),
        "eye": (labels.EYE,),
        "nose": (labels.R_NOSE, labels.L_NOSE),
        "mouth": (labels.U_LIP, labels.MOUTH, labels.L_LIP),
    }.items():
        for side, half in (("right", slice(0, width // 2)), ("left", slice((width + 1) // 2, width))):
            rows, columns = np.nonzero(np.isin(frontal[:, half], classes))
            if len(rows):
                middle[name, side] = np.array([rows.mean(), columns.mean() + (half.start or 0)]) / width
            else:
                middle[name, side] = np.full(2, np.nan)
    places = {}
    for name in ("brow", "eye", "nose", "mouth"):
        right, left = middle[name, "right"], middle[name, "left"]
        places[f"{name}_row"] = float((right[0] + left[0]) / 2)
        places[f"{name}_slant"] = float(left[0] - right[0])
        places[f"{name}_distance"] = float(left[1] - right[1])
        places[f"{name}_shift"] = float((right[1] + left[1]) / 2)
    return places


def _asymmetry(view: np.ndarray, mirrored: np.ndarray) -> float:
    """1 minus the mean IoU of a view and its mirror over the face's classes in either."""
    ious = []
    for part in FACE:
        a, b = view == part, mirrored == part
        either = (a | b).sum()
        if either:
            ious.append((a & b).sum() / either)
    return 1 - float(np.mean(ious)) if ious else 1.0


def _loose(view: np.ndarray) -> dict[str, float]:
    """Statistics of what hangs loose in a view: specks, stray pieces of classes, holes in the head, parts off it."""
    specks, stray = {True: 0, False: 0}, 0
    for part in np.unique(view):
        if part in (labels.BACKGROUND, labels.VOID):
            continue
        sizes = _piece_sizes(view == part)
        specks[part in THIN] += int((sizes < SPECK * view.size).sum())
        stray += int(sizes[PIECES[part] :].sum())
    head = view != labels.BACKGROUND
    detached = _piece_sizes(head)[1:].sum()
    holes = ndimage.binary_fill_holes(head).sum() - head.sum()
    return {
        "specks.solid": float(specks[False]),
        "specks.thin": float(specks[True]),
        "loose.stray": stray / view.size,
        "loose.detached": detached / view.size,
        "loose.holes": holes / view.size,
    }


def _piece_sizes(mask: np.ndarray) -> np.ndarray:
    """Pixels of the connected pieces of a mask, the largest first; pixels that touch at a corner are connected."""
    pieces, _ = ndimage.label(mask, np.ones((3, 3)))
    return np.sort(np.bincount(pieces.reshape(-1))[1:])[::-1]


def statistics_table(maps: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the statistics, (K,), and their values (N, K) for heads' views (N, V, H, W)."""
    heads = [head_statistics(head) for head in maps]
    return tuple(heads[0]), np.array([list(head.values()) for head in heads])
