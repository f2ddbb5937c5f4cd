"""How near painted heads of the field come to photos, and how well their texture turns with them: one project or two.

    python -m benchmarks.heads --project NEW [--before OLD] --masks FOLDER [--images 2000] [--heads 24] [--check]

A project is a folder in which `dvc repro train_siw` has made a field, conditions and a generator. Of each this prints,
with as many pictures a side as there are, --images at most, and floors of as many:

    fd_...       Frechet distance of painted heads of the field from photos, by EfficientNet-lite0 and lite2 and by a
                 parser that was trained from nothing on --masks, a CelebAMask-HQ set (`inputs.judges.outside_judge`);
                 the same of pictures painted from photos' own maps; and the one by the other
    by yaw       the same of heads that are turned by less than 10, 10 to 25, and more than 25 degrees, against photos
                 that are turned as far (`sofgan.evaluation.yaw_bins`)
    fd_maps      distance of heads' label maps from those of photos, unpainted (`sofgan.scores.map_distance`)
    warp_error   mean absolute difference of views 10 and 20 degrees apart that are warped onto each other, by that
                 between styles, along orbits of 40 degrees either side of --heads heads, with intervals over heads
    style_spread spread of the mean colours of hair, skin, ... over styles by that over photos, on few heads
    control      mean IoU of painted heads, parsed again by the project's own parser, against their maps, over classes
                 that take at least 1 % of the pixels

Limits: painted heads are at most 1.5 times as far by lite0 as painted photo maps; warp errors are at most half of
--before's; control is at least 0.65.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks import harness
from benchmarks.inputs.judges import line, outside_judge
from sofgan.evaluation import restyling
from sofgan.evaluation.portraits import Control, draw
from sofgan.evaluation.view_consistency import measure_heads, render_orbits, warp_errors
from sofgan.evaluation.yaw_bins import YawOfMaps, camera_yaws, compare_bins
from sofgan.images import to_network_range
from sofgan.labels import resize
from sofgan.parsing.fast.inference import InferenceParser
from sofgan.parsing.parser import load_parser
from sofgan.photos.store import PhotoStore
from sofgan.scores.features import LiteFeatures, NetworkFeatures, extract
from sofgan.scores.frechet import frechet_distance
from sofgan.scores.map_distance import map_differences, map_features
from sofgan.seeds import torch_generator
from sofgan.siw.condition_store import EVALUATION, Conditions, shards
from sofgan.siw.condition_views import HeadSampling, sample_heads
from sofgan.siw.model import load_siw
from sofgan.siw.painted_sets import paint_all
from sofgan.siw.sheets import REGIONS
from sofgan.sof.sof import load_sof
from stages import paths
from stages.params import read_params

SEED = 0
BATCH = 32
YAWS_DEGREES = tuple(range(-40, 41, 10))
STYLES = 4
RESTYLED = 24  # heads that are painted in many styles
FREQUENT_SHARE = 0.01
MOST_BY_PHOTO_MAPS, MOST_OF_BEFORE, LEAST_CONTROL = 1.5, 0.5, 0.65
Features = dict[str, np.ndarray]


class Project:
    """What a project has made, and the label maps and photos that it is scored by.

    Args:
        images: pictures a side, at most; a project that has fewer heads to score by, or half as many photos, is
            scored with so many.
    """

    def __init__(self, root: Path, images: int, device: str) -> None:
        self.siw = load_siw(root / paths.SIW, device)
        self.sof = load_sof(root / paths.SOF_INVERTED, device)
        self.sampling = read_params("sample_conditions", root / "params.yaml").sampling
        self.parser = InferenceParser(load_parser(root / paths.PHOTO_PARSER, device))
        conditions, size = Conditions(root / paths.CONDITIONS), self.siw.generator.config.label_size
        heads = conditions.maps(EVALUATION)
        photos, parsed = PhotoStore(root / paths.PHOTOS["ffhq"]), PhotoStore(root / paths.PARSED)
        self.count = min(images, len(heads), len(photos) // 2)
        self.maps = resize(heads.fetch(np.arange(self.count)), size)
        numbers = range(len(shards(len(heads))))
        poses = [conditions.seen(EVALUATION, number, "cam2world")["cam2world"] for number in numbers]
        self.yaws = camera_yaws(np.concatenate(poses)[: self.count])
        # Two sides of photos, held-out ones in both: to compare with, and a floor, whose own maps are painted too.
        chosen = draw(np.arange(len(photos)), 2 * self.count, SEED, "heads")
        self.sides = []
        for side in (chosen[::2], chosen[1::2]):
            labels = np.stack([parsed.labels(int(index), size) for index in side])
            self.sides.append((photos, side, labels))

    def photo_features(self, side: int, extractors) -> Features:
        """Features of the photos of a side."""
        store, indices, _ = self.sides[side]
        size = self.siw.resolution

        def images():
            for first in range(0, len(indices), BATCH):
                some = [store.image(int(index), size) for index in indices[first : first + BATCH]]
                yield to_network_range(np.stack(some), self.siw.device)

        return extract(images(), extractors, self.siw.device)

    def painted_features(self, maps: np.ndarray, name: str, extractors) -> tuple[Features, Control]:
        """Features of pictures painted from maps (N, S, S), each in a style of its own, and what their parser sees."""
        control = Control(self.parser)

        def images():
            for labels, painted in paint_all(self.siw, maps, SEED, name, BATCH):
                control.update(labels, painted)
                yield painted

        return extract(images(), extractors, self.siw.device), control

    def style_spreads(self) -> dict[str, float]:
        """Spread of regions' colours over styles by that over photos of the second side."""
        store, indices, maps = self.sides[1]
        size, colors = self.siw.resolution, {name: [] for name in REGIONS}
        for first in range(0, len(indices), BATCH):
            rows = slice(first, first + BATCH)
            images = np.stack([store.image(int(index), size) for index in indices[rows]])
            images, labels = to_network_range(images, self.siw.device), resize(maps[rows], size)
            for name, classes in REGIONS.items():
                colors[name].append(restyling.region_colors(images, labels, classes))
        joined = {name: np.concatenate(values) for name, values in colors.items()}
        return restyling.scores(self.siw, self.maps[:RESTYLED], joined, BATCH, SEED)


def score(root: Path, images: int, heads: int, masks: Path, device: str) -> dict[str, float]:
    """All figures of a project, which are printed."""
    project = Project(root, images, device)
    judge = outside_judge(masks, device)
    extractors = [
        LiteFeatures("lite0"),
        LiteFeatures("lite2"),
        NetworkFeatures("fd_unet", judge.features, judge.config.size),
    ]
    extractors = [extractor.to(device).eval() for extractor in extractors]
    size = project.siw.resolution
    print(
        f"{root}: {project.count} a side, {size} px, {len(project.sof.codes)} heads in the field", flush=True
    )
    photos, perfect = (project.photo_features(side, extractors) for side in (0, 1))
    painted, control = project.painted_features(project.maps, "sof", extractors)
    by_photo_maps, _ = project.painted_features(project.sides[1][2], "parsed", extractors)
    figures = {}
    for name, real in photos.items():
        figures[name] = frechet_distance(painted[name], real)
        figures[f"{name}_photo_maps"] = frechet_distance(by_photo_maps[name], real)
        figures[f"{name}_floor"] = frechet_distance(perfect[name], real)
    print(line({"painted heads": "", **figures}), flush=True)
    yaw_of = YawOfMaps(project.maps, project.yaws)
    turns = [project.yaws, yaw_of(project.sides[1][2]), yaw_of(project.sides[0][2])]
    print(line({"by yaw": "", **compare_bins(painted, perfect, photos, turns, "", SEED)}), flush=True)
    features = [map_features(maps) for maps in (project.maps, project.sides[1][2], project.sides[0][2])]
    figures["fd_maps"] = frechet_distance(features[0], features[2])
    figures["fd_maps_floor"] = frechet_distance(features[1], features[2])
    figures |= {
        f"maps_{name}": value for name, value in map_differences(project.maps, project.sides[0][2]).items()
    }
    figures |= project.style_spreads()
    figures["control"] = control.scores(FREQUENT_SHARE)["control_miou_frequent"]
    how = HeadSampling(project.sampling.sampling())
    codes = sample_heads(project.sof, how, heads, torch_generator(SEED, "benchmark", "orbits"))
    orbits = render_orbits(project.sof, codes, project.siw, YAWS_DEGREES, harness.Line("orbits"))
    figures |= warp_errors(measure_heads(orbits, project.siw, STYLES, SEED, BATCH))
    rest = {
        name: value
        for name, value in figures.items()
        if name.startswith(("fd_maps", "maps", "style", "leakage", "control", "warp"))
    }
    print(line({"maps, control, orbits": "", **rest}), flush=True)
    return figures


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=2, device=True)
    found.add_argument(
        "--project", type=Path, default=Path("."), help="folder of a finished `dvc repro train_siw`"
    )
    found.add_argument("--before", type=Path, help="another one, to compare with")
    found.add_argument("--masks", type=Path, required=True, help="root of a set in a layout of CelebAMask-HQ")
    found.add_argument("--images", type=int, default=2000, help="pictures a side, at most")
    found.add_argument("--heads", type=int, default=24, help="heads whose orbits are painted")
    return found


def main(arguments) -> list[bool]:
    how = arguments.images, arguments.heads, arguments.masks, arguments.device
    before = score(arguments.before, *how) if arguments.before else None
    now = score(arguments.project, *how)
    ratio = now["fd_lite0"] / now["fd_lite0_photo_maps"]
    kept = [harness.verdict("painted heads by painted photo maps, lite0", ratio, at_most=MOST_BY_PHOTO_MAPS)]
    if before:
        for gap in (10, 20):
            part = now[f"warp_error_{gap}"] / before[f"warp_error_{gap}"]
            kept.append(
                harness.verdict(f"warp error at {gap} degrees by that before", part, at_most=MOST_OF_BEFORE)
            )
    kept.append(harness.verdict("control of painted heads", now["control"], at_least=LEAST_CONTROL))
    return kept


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
