"""Directions in code space along which a known attribute changes: hair length, expression, glasses.

An attribute is one number a training head, NaN where unknown. Its direction is the slope of the regression of codes on
attributes, code = mean + sum_k amount_k * vector_k + rest, for the attribute and those of other parameters together,
so that what two share (long hair hides the ears, and earrings with them) is not counted for both. Let an attribute be
linear in the code, a = u . z: then moving a code by `amount * vector` changes it by exactly `amount` and leaves other
such attributes alone, since least squares make u_j . vector_k = [j = k]; of all vectors that do so this one is the
likeliest change of a code under a Gaussian. No penalty is needed however few heads there are. What can go wrong is
that codes say nothing about the attribute; so each direction has a score: how well the attribute is read, by ridge
regression, from the codes of heads that were left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sofgan.files import read_json
from sofgan.seeds import numpy_generator

# Names that stand for a value on a scale: parameter, attribute, unit of the amount, values. What is not listed (curls
# and buns, whose length is not told) is left out.
SCALES = (
    (
        "hair", "hair_length", "steps of bald, cropped, short, bob, long",
        {"bald": 0, "cropped": 1, "short": 2, "bob": 3, "long": 4},
    ),
    (
        "expression", "smile", "steps of neutral, slight smile, smile, laugh",
        {"neutral": 0, "serious": 0, "slight smile": 1, "smile": 2, "laugh": 3},
    ),
    (
        "expression", "open_mouth", "open against closed",
        {"neutral": 0, "slight smile": 0, "serious": 0, "sad": 0, "pout": 0, "open mouth": 1, "laugh": 1},
    ),
)  # fmt: skip
WORN = ("glasses", "hat", "earrings", "necklace")  # named where worn, missing where not
EXPRESSION, NEUTRAL = "expression", "neutral"  # each expression is also set against the neutral one

FEWEST = 4  # heads with and without it that an attribute needs
FOLDS = 8
# Of ridge regression, in mean squared norms of the heads' features.
PENALTIES = tuple(10.0**power for power in (-3, -2, -1, 0, 1))


@dataclass(frozen=True)
class Attribute:
    """One number a head. Attributes of one `parameter` (a smile and an open mouth) are ways to see one thing."""

    values: np.ndarray  # (N,) float64, NaN where unknown
    unit: str
    parameter: str

    @property
    def known(self) -> np.ndarray:
        """(N,) bool."""
        return np.isfinite(self.values)

    @property
    def binary(self) -> bool:
        """Whether it is there (1) or not (0), and nothing else."""
        return set(np.unique(self.values[self.known])) == {0.0, 1.0}

    @property
    def varies(self) -> bool:
        """Whether there is something to learn from."""
        values = self.values[self.known]
        if self.binary:
            return FEWEST <= values.sum() <= len(values) - FEWEST
        return len(values) >= 2 * FEWEST and np.ptp(values) > 0


@dataclass(frozen=True)
class Direction:
    """Direction in code space for an attribute: `code + amount * vector` has `amount` more of it, in its unit.

    `score` says how well the attribute was read from codes of heads that were left out: `measure` is "correlation"
    (-1..1) of a scale, or "AUC" (0..1) of what is there or not. At 0 and 0.5, chance, the direction means nothing.
    """

    vector: Tensor  # (Z,)
    score: float
    measure: str
    unit: str
    heads: int  # that it was learnt from

    @property
    def reliability(self) -> float:
        """The score from 0, chance or worse, to 1, perfect."""
        return max(0.0, self.score if self.measure == "correlation" else 2 * self.score - 1)


def read_parameters(instance_names: Sequence[str], scans: str | Path) -> list[dict]:
    """Known parameters of instances "batch/scan": of avatars those in `scans/<batch>/avatars.json`, of others {}."""
    batches: dict[str, dict] = {}
    parameters = []
    for instance in instance_names:
        batch, _, scan = instance.rpartition("/")
        if batch not in batches:
            path = Path(scans, batch, "avatars.json")
            batches[batch] = read_json(path) if path.is_file() else {}
        parameters.append(batches[batch].get(scan, {}))
    return parameters


def avatar_attributes(parameters: Sequence[Mapping]) -> dict[str, Attribute]:
    """Attributes of N heads from their parameters as `avatars.json` has them ({}: unknown).

    Words become steps of a scale, what is worn 1 against 0, an expression 1 against 0 of the neutral one; parameters
    that are numbers stay as they are. Other words (colours) are no attributes of shape.
    """
    attributes = {}
    for parameter, name, unit, steps in SCALES:
        attributes[name] = _attribute([steps.get(h.get(parameter)) for h in parameters], unit, parameter)
    for name in WORN:
        worn = [float(name in head) if head else None for head in parameters]
        attributes[name] = _attribute(worn, "worn against not", name)
    expressions = {head[EXPRESSION] for head in parameters if EXPRESSION in head}
    for word in sorted(expressions - {NEUTRAL}):
        against = [{word: 1, NEUTRAL: 0}.get(head.get(EXPRESSION)) for head in parameters]
        name = "expression_" + word.replace(" ", "_")
        attributes[name] = _attribute(against, f"{word} against {NEUTRAL}", EXPRESSION)
    for key in sorted({key for head in parameters for key, value in head.items() if _is_number(value)}):
        attributes[key] = _attribute([head.get(key) for head in parameters], key, key)
    return attributes


def _attribute(values: list, unit: str, parameter: str) -> Attribute:
    numbers = [float(value) if _is_number(value) else np.nan for value in values]
    return Attribute(np.array(numbers, np.float64), unit, parameter)


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def fit_directions(
    codes: Tensor, attributes: Mapping[str, Attribute], features: Tensor | None = None, seed: int = 0
) -> dict[str, Direction]:
    """Directions of the attributes that vary among heads.

    Args:
        codes: (N, Z).
        attributes: of the N heads.
        features: (N, F), such as `space.shape_features`: the score is of attributes as they are read from these,
            since codes hold much that no view shows. None: it is of the codes.
        seed: of the heads' split into parts for the score.

    Raises:
        ValueError: an attribute is of another number of heads.
    """
    points = codes.detach().double().cpu().numpy()
    seen = points if features is None else features.detach().double().cpu().numpy()
    for name, attribute in attributes.items():
        if attribute.values.shape != (len(points),):
            raise ValueError(f"{name}: values {attribute.values.shape} for {len(points)} codes")
    directions = {}
    for name, attribute in attributes.items():
        if not attribute.varies:
            continue
        known = attribute.known
        score = cross_validated_score(seen[known], attribute.values[known], attribute.binary, seed)
        directions[name] = Direction(
            torch.from_numpy(_slope(points, attribute, attributes.values())).float().to(codes.device),
            score,
            "AUC" if attribute.binary else "correlation",
            attribute.unit,
            int(known.sum()),
        )
    return directions


def compact(features: Tensor) -> Tensor:
    """Features (N, F) of heads as (N, N) numbers with the same distances between heads, and so the same scores."""
    seen = features.detach().double()
    seen = seen - seen.mean(0)
    values, vectors = torch.linalg.eigh(seen @ seen.T)
    return vectors * values.clamp_min(0).sqrt()


def _slope(points: np.ndarray, attribute: Attribute, attributes) -> np.ndarray:
    """Slope (Z,) of codes (N, Z) along an attribute, where the first attribute of each other parameter is held."""
    known = attribute.known
    held = {}
    for other in attributes:
        if other.parameter != attribute.parameter and other.varies:
            held.setdefault(other.parameter, np.where(other.known, other.values, np.nanmean(other.values)))
    centred = attribute.values[known] - attribute.values[known].mean()
    own = centred
    # Of many parameters and few heads holding all would leave nothing of the attribute itself.
    if held and len(held) <= known.sum() // 4:
        columns = np.stack(list(held.values()), 1)[known]
        columns = columns - columns.mean(0)
        own = centred - columns @ np.linalg.lstsq(columns, centred, rcond=None)[0]
    return own @ points[known] / (own @ centred)


def cross_validated_score(features: np.ndarray, values: np.ndarray, binary: bool, seed: int) -> float:
    """Score of ridge regression of values (N,) from the features (N, F) of heads that were left out.

    The penalty is the one that is best within the other heads, each left out in turn.

    Returns:
        The correlation of values and readings, or their AUC where `binary`.
    """
    order = numpy_generator(seed, "attribute folds").permutation(len(values))
    # In the order of their values every part gets its share of each.
    order = order[np.argsort(values[order], kind="stable")]
    readings = np.empty(len(values))
    folds = min(FOLDS, len(values))
    for fold in range(folds):
        out = order[fold::folds]
        kept = np.setdiff1d(order, out)
        mean = features[kept].mean(0)
        kernel = (features[kept] - mean) @ (features[kept] - mean).T
        across = (features[out] - mean) @ (features[kept] - mean).T
        # Without the mean of the others' values: it is lower for just those heads whose own is higher.
        readings[out] = across @ _best_ridge(kernel, values[kept] - values[kept].mean())
    if binary:
        return area_under_curve(readings, values > 0.5)
    spread = readings.std() * values.std()
    return float(((readings - readings.mean()) * (values - values.mean())).mean() / spread) if spread else 0.0


def _best_ridge(kernel: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Dual coefficients (N,) of the ridge regression whose leave-one-out errors are smallest; kernel (N, N)."""
    eigenvalues, vectors = np.linalg.eigh(kernel)
    eigenvalues = eigenvalues.clip(0)
    best = (np.inf, np.zeros(len(values)))
    for penalty in PENALTIES:
        inverse = vectors / (eigenvalues + penalty * np.trace(kernel) / len(values) + 1e-12) @ vectors.T
        coefficients = inverse @ values
        error = float(np.square(coefficients / np.diag(inverse)).mean())
        if error < best[0]:
            best = (error, coefficients)
    return best[1]


def area_under_curve(readings: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive's reading is higher than a negative's, ties counting half; positive (N,) bool."""
    above = readings[positive][:, None] - readings[~positive][None]
    return float(((above > 0) + 0.5 * (above == 0)).mean())
