"""Scores of features against torch-fidelity's and scipy's: values and seconds; and what each score notices of pictures.

    python -m benchmarks.scores [--photos data/photos/ffhq] [--count 1000] [--threads 2] [--check]

First, features of 2,048 numbers with a falling spectrum, 4,000 a side: Frechet distance of given means and covariances
by ours, torch-fidelity's and the plain formula by scipy's sqrtm; KID by as many subsets; precision and recall. All take
turns, a figure is of the fastest round. Kernel distances of random subsets differ by the draw: values are compared on
one subset that holds all. All are given float64, in which ours computes; torch-fidelity's KID and neighbors are given
float32 too. Scipy's is run once.

Then photos: a quarter of them, at most --count, are compared with others of the same set, as they are and spoiled in
three steps: blurred, noisy, with middles of other people, the brightest left out, fewer of them several times, copies
of the set that is compared with. A score notices what makes it worse with the steps.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks import harness
from benchmarks.inputs.spoiled import levels
from sofgan import runtime
from sofgan.errors import InputError
from sofgan.evaluation.picture_sets import open_files, resized
from sofgan.evaluation.set_scores import NAMES, estimates
from sofgan.images import to_network_range
from sofgan.scores.features import LiteFeatures, extract
from sofgan.scores.frechet import FeatureStatistics, frechet_distance, gaussian_frechet
from sofgan.scores.kernel import kernel_distance, squared_mmd
from sofgan.scores.neighbors import neighbor_scores
from sofgan.seeds import numpy_generator

DIM, VECTORS, FEW = 2048, 4000, 1000  # of features
SUBSETS = 20
ROUNDS = 3
SIDE = 128  # pixels of the photos that are spoiled
LEAST_PHOTOS = 80
BATCH = 16
WORSE_UPWARD = ("fd", "fd_inf", "kd", "mind")
# What is spoiled, and the scores that are to notice it.
SEEN_BY = {
    "blur": ("fd", "kd", "mind"),
    "noise": ("fd", "kd", "mind", "precision"),
    "swapped middles": ("fd", "kd", "mind"),
    "repeated": ("fd", "kd", "mind", "recall", "coverage"),
}
EQUAL = 1e-6
# Times as fast.
LEAST_FRECHET, LEAST_SCIPY, LEAST_FEW, LEAST_KERNEL, LEAST_NEIGHBORS = 1.5, 2.0, 1.5, 0.8, 0.8


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=2, seed=0)
    found.add_argument(
        "--photos", type=Path, default=Path("data/photos/ffhq"), help="a folder or a photo store"
    )
    found.add_argument(
        "--count", type=int, default=1000, help="a side at most; four times as many photos are used"
    )
    found.add_argument("--no-times", action="store_true", help="only what scores notice")
    return found


def main(arguments) -> list[bool]:
    kept = [] if arguments.no_times else times(arguments)
    return kept + notices(arguments)


def drawn(stream: np.random.Generator, count: int, shift: float) -> np.ndarray:
    """(count, DIM) float32 whose spectrum falls as features' do."""
    spectrum = np.arange(1, DIM + 1) ** -0.5
    return (stream.normal(size=(count, DIM)) * spectrum + shift * spectrum).astype(np.float32)


def by_scipy(one: FeatureStatistics, other: FeatureStatistics) -> float:
    """The formula as it stands."""
    from scipy.linalg import sqrtm

    root = sqrtm(one.covariance @ other.covariance).real
    difference = one.mean - other.mean
    return float(difference @ difference + np.trace(one.covariance + other.covariance - 2 * root))


def times(arguments) -> list[bool]:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    stream = numpy_generator(arguments.seed, "benchmark", "scores")
    painted, real = drawn(stream, VECTORS, 0.1), drawn(stream, VECTORS, 0.0) * 1.1
    single = [torch.from_numpy(features) for features in (painted, real)]
    tensors = [features.double() for features in single]
    few, few_tensors = (painted[:FEW], real[:FEW]), [features[:FEW] for features in tensors]
    ours, theirs = (
        [make(features) for features in side]
        for make, side in ((FeatureStatistics.of, (painted, real)), (fid_features_to_statistics, tensors))
    )
    gaussians = ours[0].mean, ours[0].covariance, ours[1].mean, ours[1].covariance
    values = {}

    def keep(name, work):
        def timed(_):
            values[name] = work()

        return timed

    def few_by_theirs():
        return fid_statistics_to_metric(*map(fid_features_to_statistics, few_tensors), False)

    mean = "kernel_inception_distance_mean"
    kid = {"kid_subsets": SUBSETS, "kid_subset_size": FEW, "verbose": False}
    works = {
        "Frechet ours": lambda: gaussian_frechet(*gaussians),
        "Frechet theirs": lambda: fid_statistics_to_metric(*theirs, False)["frechet_inception_distance"],
        "few ours": lambda: frechet_distance(*few),
        "few theirs": lambda: few_by_theirs()["frechet_inception_distance"],
        "KID ours": lambda: kernel_distance(painted, real, stream, SUBSETS, FEW)[0],
        "KID theirs": lambda: kid_features_to_metric(*tensors, **kid)[mean],
        "KID theirs, float32": lambda: kid_features_to_metric(*single, **kid)[mean],
        "neighbors ours": lambda: neighbor_scores(painted, real),
        "neighbors theirs": lambda: prc_features_to_metric(*tensors, verbose=False),
        "neighbors theirs, float32": lambda: prc_features_to_metric(*single, verbose=False),
    }
    clock = harness.clock(arguments)
    seconds = harness.turns({name: keep(name, work) for name, work in works.items()}, ROUNDS, clock)
    seconds |= harness.turns({"Frechet scipy": keep("Frechet scipy", lambda: by_scipy(*ours))}, 1, clock)
    fastest = {name: min(found) for name, found in seconds.items()}
    whole = {"kid_subsets": 1, "kid_subset_size": FEW, "verbose": False}
    values["one subset ours"] = squared_mmd(*(side.astype(np.float64) for side in few))
    values["one subset theirs"] = kid_features_to_metric(*few_tensors, **whole)[mean]
    values["one subset theirs, float32"] = kid_features_to_metric(*(side[:FEW] for side in single), **whole)[
        mean
    ]
    print(harness.head("work", "seconds", "value"))
    for name, value in values.items():
        told = (
            value if isinstance(value, float) else {key: round(float(one), 6) for key, one in value.items()}
        )
        print(harness.row(name, f"{fastest[name]:.3g}" if name in fastest else "-", told))
    names = {"Frechet": "theirs", "few": "theirs", "one subset": "theirs"}
    pairs = {name: (values[f"{name} ours"], values[f"{name} {other}"]) for name, other in names.items()}
    pairs["Frechet by scipy"] = values["Frechet ours"], values["Frechet scipy"]
    for name in ("precision", "recall"):
        pairs[name] = values["neighbors ours"][name], values["neighbors theirs"][name]
    kept = [
        harness.verdict(f"{name}, relative difference", abs(one / other - 1), at_most=EQUAL)
        for name, (one, other) in pairs.items()
    ]
    limits = {
        ("Frechet", "theirs"): LEAST_FRECHET,
        ("Frechet", "scipy"): LEAST_SCIPY,
        ("few", "theirs"): LEAST_FEW,
        ("KID", "theirs"): LEAST_KERNEL,
        ("neighbors", "theirs"): LEAST_NEIGHBORS,
    }
    return kept + [
        harness.verdict(
            f"{name}, times as fast as {other}",
            fastest[f"{name} {other}"] / fastest[f"{name} ours"],
            at_least=limit,
        )
        for (name, other), limit in limits.items()
    ]


def photos(arguments) -> np.ndarray:
    """(N, SIDE, SIDE, 3) uint8.

    Raises:
        InputError: there are too few.
    """
    if not arguments.photos.is_dir():
        raise InputError(
            f"there is no {arguments.photos}: `make demo` makes it, --photos names another folder"
        )
    files = open_files(arguments.photos, 4 * arguments.count, arguments.seed)
    if len(files) < LEAST_PHOTOS:
        raise InputError(f"{arguments.photos} holds {len(files)} photos; {LEAST_PHOTOS} are needed at least")
    return np.stack(files.read(range(len(files)), lambda picture: resized(picture, SIDE))[0])


def features_of(pictures: np.ndarray, extractor: LiteFeatures) -> np.ndarray:
    """(N, d) float32 of (N, S, S, 3) uint8."""

    def work(start: int) -> np.ndarray:
        batch = to_network_range(pictures[start : start + BATCH])
        return extract([batch], [extractor])[extractor.name]

    return np.concatenate(list(runtime.map_pieces(work, range(0, len(pictures), BATCH))))


def movement(name: str, values: list[float]) -> str:
    """Whether a score gets worse with the steps, and with none of them better, or the other way round, or neither."""
    steps = np.diff(values) * (1 if name in WORSE_UPWARD else -1)
    if not steps.any():
        return "neither"
    return "worse" if (steps >= 0).all() else "better" if (steps <= 0).all() else "neither"


def notices(arguments) -> list[bool]:
    found = photos(arguments)
    count = min(arguments.count, len(found) // 4)
    real, made = levels(found, count, arguments.seed)
    extractor = LiteFeatures("lite0").eval()
    reference = features_of(real, extractor)
    print(f"\n{count} and {count} photos of {arguments.photos}, {extractor.name}, {SIDE} px")
    moves: dict[str, dict[str, str]] = {}
    for spoil, steps in made.items():
        scored = {}
        for level, pictures in steps.items():
            scored[level] = estimates(features_of(pictures, extractor), reference, arguments.seed)
            harness.tell(f"{spoil} {level}", end="")
        moves[spoil] = {}
        print(f"\n{harness.head(spoil, *steps, 'from step to step', 'last one apart')}")
        for name, label in NAMES.items():
            row = [scored[level][name][0] for level in steps]
            moves[spoil][name] = movement(name, [one.value for one in row])
            apart = row[-1].low > row[0].high or row[-1].high < row[0].low
            cells = [f"{one.value:.3g}" for one in row]
            print(harness.row(label, *cells, moves[spoil][name], "yes" if apart else "no"))
    return [
        harness.verdict(
            f"{spoil}: of {', '.join(names)} get worse with the steps",
            sum(moves[spoil][name] == "worse" for name in names),
            at_least=len(names),
        )
        for spoil, names in SEEN_BY.items()
    ]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
