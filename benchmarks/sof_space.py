"""Do new heads look like heads: ways to sample a field's codes, by how plausible and how new their heads are.

    python -m benchmarks.sof_space --model models/sof.pt --views data/views [--heads 48] [--seed 0] [--check]
        [--pictures DIR] [--scans data/raw/scans]

Every method draws --heads heads from the seed; they are rendered from three cameras and judged against the training
heads as the field renders them (`sofgan.sof.plausibility`). "novel" is 1 - the mean IoU with the most alike training
head, "new" the same but 0 for implausible heads, "truth" the plausible share of the frontal views alone, judged
against the true ones in --views. Of the calibration rows "training" and "unseen" must pass and "noise" and "mean" (of
all codes, which has no eyes left if the field can't move them) must not; unseen are true heads in --views that the
model was not trained on, and their p-value is of the frontal view alone. The last line is the plausible share of the
default method. With --check the exit status is 1 where it is below 0.5, where less than 0.9 of the calibration heads
pass, or more than 0.1 of the noise.

With --pictures, samples from five cameras (samples.png), a walk through the codes (walk.png), and each attribute's
direction at -2..2 on several heads (attributes.png, by --scans' avatars.json) are written there.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sofgan.apps.attributes import Direction, avatar_attributes, fit_directions, read_parameters
from sofgan.files import write_png
from sofgan.labels import colorize
from sofgan.seeds import torch_generator
from sofgan.sof.plausibility import (
    Reference,
    fit_reference,
    render_heads,
    sample_plausible,
    summarise,
)
from sofgan.sof.sampling import fit_mixture, interpolate, sample_codes, sample_mixture, shape_features
from sofgan.sof.sof import Sof, load_sof

WANTED_PLAUSIBLE, WANTED_CALIBRATION, ALLOWED_NOISE = 0.5, 0.9, 0.1
DIRICHLET_4 = {"method": "dirichlet", "bases": 4, "concentration": 1.0}
COLUMNS = ("share_plausible", "both_eyes", "specks", "novelty", "plausible_novelty", "diversity")
PICTURE_YAWS = (-0.9, -0.45, 0.0, 0.45, 0.9)  # radians
AMOUNTS = (-2.0, -1.0, 0.0, 1.0, 2.0)  # of an attribute, in its unit
LEAST_RELIABLE = 0.3  # of the directions that are drawn
PICTURE_HEADS = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="models/sof.pt")
    parser.add_argument(
        "--views", default="data/views", help="folder of batches of views, as render_views writes"
    )
    parser.add_argument("--scans", default="data/raw/scans", help="folder of batches with avatars.json")
    parser.add_argument("--heads", type=int, default=48, help="drawn with each method")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", nargs="*", help="only those whose name has one of these words")
    parser.add_argument("--pictures", type=Path, help="folder to write pictures to")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    sof = load_sof(options.model, options.device)
    training = render_heads(sof, sof.codes)
    reference = fit_reference(training)
    if options.pictures:
        draw_pictures(options.pictures, sof, reference, Path(options.scans), options.seed)
    known, unseen = true_frontals(Path(options.views), sof.instance_names)
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
    for name, sampling in (("default", {}), ("dirichlet 4 1.0", DIRICHLET_4)):
        if not options.methods or any(word in f"{name}, tried again" for word in options.methods):
            found = sample_plausible(sof, reference, options.heads, generator(options.seed), **sampling)
            again = f"{found.drawn / options.heads:.1f} drawn for one"
            row(f"{name}, tried again", render_heads(sof, found.codes), again)
    print(f"{options.heads} heads a method, seed {options.seed}, {len(sof.codes)} training heads")
    if "default" not in shares:
        row("default", render_heads(sof, sample_codes(sof, options.heads, generator(options.seed))))
    print(f"plausible share of the default method: {shares['default']:.3f}")
    calibration = min(shares["training"], shares.get("unseen", 1.0))
    if options.check and (
        shares["default"] < WANTED_PLAUSIBLE
        or calibration < WANTED_CALIBRATION
        or shares["noise"] > ALLOWED_NOISE
    ):
        sys.exit(1)


def generator(seed: int) -> torch.Generator:
    """On the stream that heads are drawn from; each method starts it anew."""
    return torch_generator(seed, "sof space")


def methods(sof: Sof, count: int, seed: int) -> dict[str, Callable[[], torch.Tensor]]:
    """Ways to draw `count` codes, by name."""

    def sampled(**sampling) -> Callable[[], torch.Tensor]:
        return lambda: sample_codes(sof, count, generator(seed), **sampling)

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
            rows[f"dirichlet {bases} {concentration}"] = sampled(
                method="dirichlet", bases=bases, concentration=concentration
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


def draw_pictures(folder: Path, sof: Sof, reference: Reference, scans: Path, seed: int) -> None:
    """Write samples.png, walk.png and, where parameters are known, attributes.png."""
    folder.mkdir(parents=True, exist_ok=True)
    write_png(folder / "samples.png", samples_picture(sof, reference, PICTURE_HEADS, seed))
    write_png(folder / "walk.png", walk_picture(sof, seed))
    attributes = avatar_attributes(read_parameters(sof.instance_names, scans))
    directions = fit_directions(sof.codes, attributes, shape_features(sof.generate, sof.codes), seed)
    for name, found in directions.items():
        print(
            f"direction {name:24} {found.measure:11} {found.score:5.2f}  {found.heads:3} heads, {found.unit}"
        )
    drawn = {name: found for name, found in directions.items() if found.reliability >= LEAST_RELIABLE}
    if drawn:
        write_png(folder / "attributes.png", attributes_picture(sof, drawn, heads=3))


def samples_picture(sof: Sof, reference: Reference, heads: int, seed: int) -> np.ndarray:
    """New heads that are plausible, (H, W, 3) uint8: rows heads, columns cameras from the subject's right to left."""
    found = sample_plausible(sof, reference, heads, generator(seed))
    return grid(render_heads(sof, found.codes, PICTURE_YAWS))


def walk_picture(sof: Sof, seed: int, stops: int = 4, frames: int = 4) -> np.ndarray:
    """Frontal views of a walk through random training heads, (H, W, 3) uint8: a row from one head to the next."""
    order = torch.randperm(len(sof.codes), generator=torch_generator(seed, "walk"))[:stops]
    maps = render_heads(sof, interpolate(sof.codes[order], frames), (0.0,))[:, 0]
    return grid([maps[frames * leg : frames * (leg + 1) + 1] for leg in range(len(order) - 1)])


def attributes_picture(sof: Sof, directions: dict[str, Direction], heads: int) -> np.ndarray:
    """Frontal views of training heads moved along each direction by AMOUNTS, (H, W, 3) uint8.

    Rows are heads, those of one attribute after another; columns the amounts, 0 in the middle.
    """
    shown = sof.codes[torch.linspace(0, len(sof.codes) - 1, heads).long()]
    amounts = torch.tensor(AMOUNTS, device=sof.device)[:, None]
    moved = [code + amounts * found.vector for found in directions.values() for code in shown]
    return grid([render_heads(sof, codes, (0.0,))[:, 0] for codes in moved])


def grid(rows) -> np.ndarray:
    """Label maps in rows (R, C, H, W), in colours: (R * H, C * W, 3) uint8."""
    return np.concatenate([np.concatenate([*colorize(row)], 1) for row in map(np.asarray, rows)], 0)


if __name__ == "__main__":
    main()
