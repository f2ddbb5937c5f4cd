"""Whether twelve regions take their styles from twelve references at once, and keep them while the head turns.

    python -m benchmarks.references [--models FOLDER] [--photos FOLDER] [--check]

A reference is a picture of a head with its label map: painted, of heads in random looks, all of which differ; or with
--photos people's, as a parser beside the models sees them. Each region has a reference of its own that shows it, whose
style is found from the picture alone (`sofgan.apps.style_fit`); the twelve together are then settled on the heads'
frontal maps (`sofgan.apps.settle`; not with --unsettled). Heads are painted in them at five yaws. With --true the
styles that painted the references are taken in the place of found ones. A region counts at a yaw where its mean color
is nearer to that of its own reference than to the same region of any other reference that shows it. A region is looked
at on the known head that shows most of it.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import harness
from sofgan.apps.engine import Engine
from sofgan.apps.looks import REGION_NAMES, Look
from sofgan.apps.photo import photo_parser, read_photo
from sofgan.apps.settle import settle
from sofgan.apps.style_fit import LEAST_SHARE, STEPS, fit_look
from sofgan.errors import InputError, UserError
from sofgan.labels import STYLE_GROUPS, resize

YAWS, SIZE, PSI = (-30.0, -15.0, 0.0, 15.0, 30.0), 128, 1.0  # degrees, pixels; of references' looks
LEAST = 10  # regions of twelve, at each yaw
MOST_PHOTOS = 60


@dataclass(frozen=True)
class Reference:
    """A picture (R, R, 3) uint8 and its labels (R, R)."""

    picture: np.ndarray
    labels: np.ndarray

    def color(self, region: int) -> np.ndarray | None:
        """Mean color of a region (3,); None where too little of it is shown to find a style by."""
        return color_of(self.picture, self.labels, region)


def color_of(picture: np.ndarray, labels: np.ndarray, region: int) -> np.ndarray | None:
    inside = np.isin(labels, STYLE_GROUPS[region])
    return picture[inside].mean(0) if inside.mean() >= LEAST_SHARE else None


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=2, seed=0)
    found.add_argument("--models", default="starter", help="folder of the models, or starter")
    found.add_argument("--true", action="store_true", help="take the references' own styles, not found ones")
    found.add_argument("--unsettled", action="store_true", help="take styles as they are found")
    found.add_argument("--photos", type=Path, help="folder of .jpg photos in the place of painted pictures")
    return found


def shares(engine: Engine, yaw: float) -> tuple[list[str], np.ndarray]:
    """Names of the heads that the field was trained on, and the share of each region in their maps (H, 12)."""
    known = [name for name, number in zip(engine.sof.instance_names, engine.sof.rounds) if number == 1]
    camera, found = engine.camera(yaw, 0, SIZE), []
    for name in known:
        labels = engine.view(engine.head(name), camera).labels
        found.append([np.isin(labels, group).mean() for group in STYLE_GROUPS])
    return known, np.array(found)


def own_look(engine: Engine, region: int, seed: int) -> Look:
    """The look of a painted reference."""
    return engine.look(1000 * seed + 100 + region, PSI)


def painted(engine: Engine, known: list[str], shown: np.ndarray, seed: int) -> list[Reference]:
    """A reference for each region: a head of those that show much of it, each another one, in a look of its own."""
    found, taken = [], set()
    for region in range(len(STYLE_GROUPS)):
        order = [head for head in np.argsort(-shown[:, region], kind="stable") if head not in taken]
        taken.add(order[1])  # the first one is painted on
        labels = engine.view(engine.head(known[order[1]]), engine.camera(0, 0, SIZE)).labels
        picture = engine.paint(labels, own_look(engine, region, seed))
        found.append(Reference(picture, resize(labels, len(picture))))
    return found


def photographed(engine: Engine, folder: Path) -> list[Reference]:
    """A photo for each region, the rarest first.

    Raises:
        InputError: some region is shown by none that isn't taken.
    """
    face_parser, read = photo_parser(engine), []
    for path in sorted(folder.glob("*.jpg"))[:MOST_PHOTOS]:
        try:
            photo = read_photo(path, face_parser)
        except UserError as error:
            harness.tell(f"{path.name} is left out: {error}")
            continue
        read.append(
            Reference(photo.shown(engine.siw.resolution), resize(photo.labels, engine.siw.resolution))
        )
    shown = np.array([[one.color(region) is not None for region in range(12)] for one in read]).reshape(
        -1, 12
    )
    chosen: dict[int, Reference] = {}
    free = list(range(len(read)))
    for region in np.argsort(shown.sum(0), kind="stable"):
        fit = [number for number in free if shown[number, region]]
        if not fit:
            raise InputError(f"no photo in {folder} is left that shows the region {REGION_NAMES[region]}")
        free.remove(fit[0])
        chosen[int(region)] = read[fit[0]]
    return [chosen[region] for region in range(12)]


def main(arguments) -> list[bool]:
    engine = Engine.open(arguments.models)
    if arguments.true and arguments.photos:
        raise InputError("photos have no true styles: leave out --photos or --true")
    known, shown = shares(engine, 0.0)
    if arguments.photos:
        references = photographed(engine, arguments.photos)
    else:
        references = painted(engine, known, shown, arguments.seed)
    mixed = None
    for region, (name, one) in enumerate(zip(REGION_NAMES, references)):
        if one.color(region) is None:
            raise InputError(f"no known head shows enough of the region {name}")
        if arguments.true:
            look = own_look(engine, region, arguments.seed)
        else:
            look = fit_look(engine.siw, one.labels, one.picture, steps=(STEPS, 0)).look
        mixed = look if mixed is None else mixed.restyled(name, look)
        harness.tell(f"style of {name} found")
    heads = [engine.head(known[number]) for number in shown.argmax(0)]
    if not arguments.unsettled:
        views = [engine.view(head, engine.camera(0, 0, SIZE)).labels for head in heads]
        colors = {name: one.color(region) for region, (name, one) in enumerate(zip(REGION_NAMES, references))}
        unique = {labels.tobytes(): labels for labels in views}
        mixed = settle(engine.siw, mixed, [*unique.values()], colors)
    nearest = np.zeros((len(YAWS), len(REGION_NAMES)), int)  # 1 own, 0 another's, -1 not shown
    rivals = []
    for region, head in enumerate(heads):
        colors = {number: one.color(region) for number, one in enumerate(references)}
        colors = {number: color for number, color in colors.items() if color is not None}
        rivals.append(len(colors))
        for row, yaw in enumerate(YAWS):
            labels = engine.view(head, engine.camera(yaw, 0, SIZE)).labels
            picture = engine.paint(labels, mixed)
            color = color_of(picture, resize(labels, len(picture)), region)
            if color is None:
                nearest[row, region] = -1
                continue
            distance = {number: np.linalg.norm(color - other) for number, other in colors.items()}
            nearest[row, region] = int(min(distance, key=distance.get) == region)
    print(harness.head("region", "references that show it", *(f"{yaw:+.0f}" for yaw in YAWS)))
    words = {1: "own", 0: "another's", -1: "not seen"}
    for region, name in enumerate(REGION_NAMES):
        print(harness.row(name, rivals[region], *(words[int(value)] for value in nearest[:, region])))
    counts = (nearest == 1).sum(1)
    print(
        f"regions nearest to their own reference at each yaw: {', '.join(map(str, counts))} of {len(REGION_NAMES)}"
    )
    return [harness.verdict("fewest regions at a yaw", float(counts.min()), at_least=LEAST)]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
