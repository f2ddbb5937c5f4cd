"""Do new heads look like heads: ways to sample a field's codes, by how plausible and how new their heads are.

    python -m benchmarks.sof_space --model models/sof.pt --views data/views [--heads 48] [--seed 0] [--check]

Every method draws --heads heads from the seed; they are rendered from three cameras and judged against the training
heads as the field renders them (`sofgan.sof.plausibility`). "novel" is 1 - the mean IoU with the most alike training
head, "new" the same but 0 for implausible heads, "truth" the plausible share of the frontal views alone, judged
against the true ones in --views. Of the calibration rows "training" and "unseen" must pass and "noise" and "mean" (of
all codes, which has no eyes left if the field can't move them) must not; unseen are true heads in --views that the
model was not trained on, and their p-value is of the frontal view alone. Limits: half of the default method's heads are
plausible, 0.9 of the calibration heads, and 0.1 of the noise. `docs.pictures.field` draws heads of the default method.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks import harness
from sofgan.seeds import torch_generator
from sofgan.sof.config import Sampling
from sofgan.sof.plausibility import fit_reference, render_heads, sample_plausible, summarise
from sofgan.sof.sampling import fit_mixture, sample_codes, sample_mixture, shape_features
from sofgan.sof.sof import Sof, load_sof
from stages import paths

LEAST_PLAUSIBLE, LEAST_CALIBRATION, MOST_NOISE = 0.5, 0.9, 0.1
RANDOM_4 = Sampling("random", 4)
COLUMNS = ("share_plausible", "both_eyes", "specks", "novelty", "plausible_novelty", "diversity")


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, device=True, seed=0)
    found.add_argument("--model", type=Path, default=paths.SOF)
    found.add_argument(
        "--views", type=Path, default=paths.VIEWS, help="folder of batches of views, as render_views writes"
    )
    found.add_argument("--heads", type=int, default=48, help="drawn with each method")
    found.add_argument("--methods", nargs="*", help="only those whose name has one of these words")
    return found


def main(options) -> list[bool]:
    sof = load_sof(options.model, options.device)
    training = render_heads(sof, sof.codes)
    reference = fit_reference(training)
    known, unseen = true_frontals(options.views, sof.instance_names)
    truth = fit_reference(known[:, None])

    print(f"{'':26}plausible  eyes  specks  novel   new  various  truth")
    shares = {}

    def row(name: str, maps: np.ndarray, note: str = "") -> None:
        figures = summarise(reference, maps, training[:, training.shape[1] // 2])
        shares[name] = figures["share_plausible"]
        frontal = truth.judge(maps[:, maps.shape[1] // 2, None]).plausible.mean()
        print("{:26}{:9.2f}{:6.2f}{:8.1f}{:7.3f}{:6.3f}{:9.3f}{:7.2f}".format(
            name, *(figures[column] for column in COLUMNS), frontal), note, flush=True)  # fmt: skip

    row("training", training)
    if len(unseen):
        shares["unseen"] = float(truth.judge(unseen[:, None]).plausible.mean())
        print(f"{f'unseen ({len(unseen)} true heads)':26}{shares['unseen']:9.2f}")
    noise = torch.randn(options.heads, sof.codes.shape[1], generator=torch_generator(options.seed, "noise"))
    row("noise", render_heads(sof, sof.codes.mean(0) + sof.codes.std(0) * noise.to(sof.device)))
    row("mean", render_heads(sof, sof.codes.mean(0, keepdim=True)).repeat(2, 0))
    for name, draw in methods(sof, options.heads, options.seed).items():
        if not options.methods or any(word in name for word in options.methods):
            row(name, render_heads(sof, draw()))
    for name, sampling in (("default", Sampling()), ("random 4 1.0", RANDOM_4)):
        if not options.methods or any(word in f"{name}, tried again" for word in options.methods):
            found = sample_plausible(sof, reference, options.heads, generator(options.seed), sampling)
            again = f"{found.drawn / options.heads:.1f} drawn for one"
            row(f"{name}, tried again", render_heads(sof, found.codes), again)
    print(f"{options.heads} heads a method, seed {options.seed}, {len(sof.codes)} training heads")
    if "default" not in shares:
        row("default", render_heads(sof, sample_codes(sof, options.heads, generator(options.seed))))
    calibration = min(shares["training"], shares.get("unseen", 1.0))
    return [
        harness.verdict("plausible share of the calibration heads", calibration, at_least=LEAST_CALIBRATION),
        harness.verdict("of the noise", shares["noise"], at_most=MOST_NOISE),
        harness.verdict("of the default method", shares["default"], at_least=LEAST_PLAUSIBLE),
    ]


def generator(seed: int) -> torch.Generator:
    """On the stream that heads are drawn from; each method starts it anew."""
    return torch_generator(seed, "sof space")


def methods(sof: Sof, count: int, seed: int) -> dict[str, Callable[[], torch.Tensor]]:
    """Ways to draw `count` codes, by name."""

    def sampled(**how) -> Callable[[], torch.Tensor]:
        return lambda: sample_codes(sof, count, generator(seed), Sampling(**how))

    def mixture(
        by_shape: bool, components: int, dimensions: int, spread: float
    ) -> Callable[[], torch.Tensor]:
        def draw() -> torch.Tensor:
            features = shape_features(sof.generate, sof.codes) if by_shape else None
            space = fit_mixture(sof.codes, components, dimensions, seed, features)
            return sample_mixture(space, count, generator(seed), spread).to(sof.device)

        return draw

    rows = {"default": sampled()}
    for bases in (2, 3, 4, 5):
        for concentration in (0.2, 0.5, 1.0):
            rows[f"random {bases} {concentration}"] = sampled(
                method="random", bases=bases, concentration=concentration
            )
    for neighbours, bases, concentration in (
        (8, 2, 1.0), (8, 3, 0.5), (8, 3, 1.0), (8, 4, 1.0), (4, 3, 1.0), (16, 3, 1.0)
    ):  # fmt: skip
        rows[f"neighbours {neighbours} {bases} {concentration}"] = sampled(
            method="neighbours", bases=bases, concentration=concentration, neighbours=neighbours
        )
    rows["mixture, as saved"] = sampled(method="mixture")
    for by_shape, components, dimensions, spread in (
        (False, 8, 32, 0.7), (True, 8, 32, 1.0), (True, 8, 32, 0.7), (True, 1, 16, 0.7), (True, 1, 8, 1.0),
        (True, 16, 64, 0.5), (True, 64, 64, 0.5),
    ):  # fmt: skip
        kind = "shape mixture" if by_shape else "code mixture"
        name = f"{kind} {components} {dimensions} {spread}"
        rows[name] = mixture(by_shape, components, dimensions, spread)
    return rows


def true_frontals(folder: Path, instance_names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Frontal label maps (N, H, W) of the model's instances, and (M, H, W) of others in their batches.

    Raises:
        FileNotFoundError: there are no views of an instance.
    """
    batches = sorted({name.rpartition("/")[0] for name in instance_names})
    others = [f"{batch}/{path.stem}" for batch in batches for path in sorted((folder / batch).glob("*.npz"))]
    others = [name for name in others if name not in set(instance_names)]
    maps = []
    for name in [*instance_names, *others]:
        with np.load(folder / f"{name}.npz") as views:
            maps.append(views["labels"][0])  # the first view is frontal
    maps = np.stack(maps)
    return maps[: len(instance_names)], maps[len(instance_names) :]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
