"""The paper's competitors and ours, trained on the same photos for as long: distances to photos, control, speed.

    python -m benchmarks.baselines --project FOLDER [--methods ours paper stylegan2 spade ...] [--seeds 0 1 2]
        [--kimg 20] [--looks 5] [--images 1000] [--rates 1] [--threads 2] [--out .work/benchmarks/baselines]

--project is a folder in which `dvc repro parse_faces` has made a photo store (data/photos/ffhq), the photos' label maps
(data/labels/ffhq) and their parser. All methods have the resolution, widths, batches and crops of the demo profile's
`train_siw` and see as many photos; maps are the photos' own alone, so that there is nothing that only ours could learn
from. `paper` is the paper's recipe of ours (`siw_convergence`), with these batches. What paired methods have beside is
the demo profile's `train_baseline`, with --rates for its `rates`. At each of --looks, every method paints the label
maps of photos that nothing is trained on, each in a style of its own:

    fd_...   Frechet distance of the painted pictures from as many photos that are trained on, by EfficientNet-lite0 and
             lite2; its floor is that of the held-out photos themselves
    control_miou_frequent   mean IoU of painted pictures, parsed again by the project's parser, against their maps, over
             classes that take at least 1 % of the pixels
    img/s    photos a second in training, without looks

Printed are curves over thousands of photos, then a table with means and Student's intervals of 95 percent over seeds.
--out gets curves.csv and, of the first seed, pictures.png: a row for each of some held-out maps, with the map, its
photo, then each method in order. A benchmark that was stopped goes on where it was: of each training the last state and
all scores are kept in --out, and are of use by the same arguments and photos. **Remove --out after a change of code.**
"""

import argparse
import csv
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks import harness, siw_convergence
from sofgan.baselines.config import METHODS, Baseline
from sofgan.baselines.painter import Painter, load_painter, save_painter
from sofgan.baselines.training import Started, start
from sofgan.config import to_mapping
from sofgan.evaluation.painters import HeldOutScores
from sofgan.evaluation.shards import Judges
from sofgan.evaluation.sides import sides
from sofgan.files import atomic_path, read_json, sha256_file, write_json, write_png
from sofgan.fingerprint import short_digest
from sofgan.images import sheet
from sofgan.labels import colorize, resize
from sofgan.photos.store import HELD_OUT, PhotoStore
from sofgan.scores.intervals import of_seeds
from sofgan.session import Checkpoints, Session
from sofgan.siw.config import TrainSiw
from sofgan.siw.data import ArraySource, Batches, Sources
from sofgan.siw.loop import run
from sofgan.siw.model import Siw, to_uint8
from sofgan.siw.painted_sets import paint_all
from sofgan.siw.training_step import SiwTraining
from stages import paths

OURS, PAPER = "ours", "paper"
SEED = 0  # of what is scored; trainings have their own
BATCH = 32
ROWS = 6  # maps of the sheet
SCORES = ("fd_lite0", "fd_lite2", "control_miou_frequent")
FLOORS = ("fd_lite0_floor", "fd_lite2_floor")
SET = "ffhq"  # of the photos
KID_SUBSET, FREQUENT_SHARE = 200, 0.01


@dataclass(frozen=True)
class Project:
    """Photos (N, S, S, 3) and their label maps (N, L, L) of a project, in memory; which of them are held out."""

    root: Path
    photos: np.ndarray
    labels: np.ndarray
    held_out: np.ndarray
    fingerprint: str

    def sources(self) -> Sources:
        """Photos and maps to train on."""
        chosen = ~self.held_out
        photos, maps = ArraySource(self.photos[chosen]), ArraySource(self.labels[chosen])
        return Sources(photos, {"parsed": maps}, maps)


def read_project(root: Path, config: TrainSiw) -> Project:
    """Read a project's photos at twice the pictures' size, as `train_siw` does, and their maps."""
    store, parsed = PhotoStore(root / paths.PHOTOS["ffhq"]), PhotoStore(root / paths.PARSED)
    size = 2 * config.generator.resolution
    photos = np.stack([store.image(index, size) for index in range(len(store))])
    labels = np.stack([parsed.labels(index, config.map_size) for index in range(len(parsed))])
    known = short_digest([store.fingerprint(), parsed.fingerprint()])
    return Project(root, photos, labels, store.splits() == HELD_OUT, known)


class Exam:
    """What all methods are scored by and shown on: label maps of held-out photos.

    Attributes:
        count: pictures a side.
        maps, photos: of the sheet: (rows, L, L), (rows, R, R, 3).

    Raises:
        InputError: so few photos are held out that there is nothing to score by.
    """

    def __init__(self, project: Project, config: TrainSiw, images: int, device: str):
        store, parsed = (PhotoStore(project.root / path) for path in (paths.PHOTOS[SET], paths.PARSED))
        chosen = sides(store, images, SEED, SET)
        self.count = min(map(len, chosen.values()))
        chosen = {name: indices[: self.count] for name, indices in chosen.items()}
        self.scores = HeldOutScores(SET, store, parsed, chosen, KID_SUBSET, FREQUENT_SHARE, SEED, {})
        parser = project.root / paths.PHOTO_PARSER
        self.judges = Judges(Path(), parser, (), ("lite0", "lite2"), "", BATCH, device, 1, load_painter)
        shown, size = chosen["held-out"][:ROWS], config.generator.resolution
        self.maps = resize(project.labels[shown], config.generator.label_size)
        self.photos = np.stack([store.image(int(index), size) for index in shown])

    def score(self, painter: Painter, file: Path) -> dict[str, float]:
        """Scores of a painter, which is written to a file."""
        save_painter(file, painter)
        judges = replace(self.judges, painter=file, digests=(sha256_file(file),))
        figures = self.scores.score(judges)
        return {name: figures[name] for name in (*SCORES, *FLOORS)}

    def pictures(self, painter: Painter) -> np.ndarray:
        """(rows, R, R, 3) uint8: the maps of the sheet, painted."""
        return np.concatenate(
            [to_uint8(images) for _, images in paint_all(painter, self.maps, SEED, SET, ROWS)]
        )


def begin(method: str, config: TrainSiw, project: Project, seed: int, arguments) -> Started:
    """A method's training, ours among them."""
    sources, device = project.sources(), arguments.device
    if method not in (OURS, PAPER):
        sizes = harness.block("train_baseline", "demo", {"rates": arguments.rates})
        return start(Baseline(method, config, sizes), sources, seed, device)
    training = SiwTraining(config, seed, device, config.autocast and device.startswith("cuda"))
    return Started(training, Batches(config, sources, seed, device), lambda: Siw(training.ema, device))


def papers(config: TrainSiw) -> TrainSiw:
    """The paper's recipe for as many photos, in such batches, by such maps."""
    (found,) = siw_convergence.recipes([PAPER], [], "default").values()
    alike = ("kimg", "batch", "report_every_kimg", "map_proportions", "scores")
    return replace(found, **{name: getattr(config, name) for name in alike})


def train(
    method: str, seed: int, config: TrainSiw, project: Project, exam: Exam, arguments
) -> tuple[list[dict], Painter]:
    """Train a method to the end, from where it was stopped; the scores of all looks, and the painter."""
    if method == PAPER:
        config = papers(config)
    asked = to_mapping(config)
    del asked["scores"]  # Looks are what scores here.
    about = {
        "method": method, "seed": seed, "configuration": asked, "photos": project.fingerprint,
        "images": exam.count, "rates": arguments.rates, "device": arguments.device,
    }  # fmt: skip
    folder = arguments.out / f"{method}-{seed}"
    # Beside the folder: what lies in there is removed with old states.
    file, known = folder.with_suffix(".json"), short_digest(about)
    found = read_json(file) if file.is_file() else {}
    rows = found["rows"] if found.get("of") == known else []
    started = begin(method, config, project, seed, arguments)
    clock = harness.clock(arguments)
    mark = clock()

    def look() -> dict[str, np.ndarray]:
        nonlocal mark, rows
        kimg, seconds = started.training.seen / 1000, clock() - mark
        row = {"method": method, "seed": seed, "kimg": kimg, "seconds": seconds}
        # A look whose state wasn't kept any more is taken again.
        rows = [before for before in rows if before["kimg"] < kimg] + [
            row | exam.score(started.painter(), folder.with_suffix(".pt"))
        ]
        write_json(file, {"of": known, "rows": rows})
        harness.tell("")
        print(text_of(rows[-1]), flush=True)
        mark = clock()
        return {}

    session = Session(harness.Line(f"{method}, seed {seed}"), Checkpoints(folder, about, keep=1))
    run(started.training, started.batches, config, session, look)
    if not rows:  # The last state is there, its scores are not.
        look()
    return rows, started.painter()


def speed(rows: list[dict]) -> float:
    """Photos a second of one training."""
    return 1000 * rows[-1]["kimg"] / sum(row["seconds"] for row in rows)


def text_of(row: dict) -> str:
    """A look as a line."""
    scores = "  ".join(f"{name} {row[name]:.3g}" for name in SCORES)
    return f"{row['method']}, seed {row['seed']}: {row['kimg']:.4g} kimg  {row['seconds']:.0f} s  {scores}"


def over_seeds(values: list[float]) -> str:
    """Mean and Student's interval of 95 percent as text; a single value as it is."""
    if len(values) == 1:
        return f"{values[0]:.3g}"
    found = of_seeds(values)
    return f"{found.value:.3g} ({max(0.0, found.low):.3g} to {found.high:.3g})"


def ranges(values: list[float]) -> str:
    """Smallest and largest value as text."""
    return f"{min(values):.3g} to {max(values):.3g}"


def tables(found: dict[str, list[list[dict]]], exam: Exam) -> str:
    """Curves of the first score, then all scores of the last looks, by method; rows of each of its seeds."""
    looks = [row["kimg"] for row in next(iter(found.values()))[0]]
    lines = [f"{SCORES[0]} by thousands of photos:", harness.head("method", *(f"{at:.4g}" for at in looks))]
    for method, runs in found.items():
        lines.append(harness.row(method, *(over_seeds([row[SCORES[0]] for row in at]) for at in zip(*runs))))
    lines += ["", f"after {looks[-1]:.4g} kimg, {exam.count} pictures a side, {len(runs)} seed(s):"]
    lines.append(harness.head("method", *SCORES, "img/s"))
    for method, runs in found.items():
        scores = (over_seeds([rows[-1][name] for rows in runs]) for name in SCORES)
        lines.append(harness.row(method, *scores, ranges([speed(rows) for rows in runs])))
    floors = (f"{runs[0][-1][name]:.3g}" for name in FLOORS)
    lines.append(harness.row("held-out photos", *floors, "", ""))
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=2, device=True, cpu_seconds=True, check=False)
    found.add_argument(
        "--project", type=Path, default=Path("."), help="folder of a finished `dvc repro parse_faces`"
    )
    found.add_argument(
        "--methods", nargs="+", default=[OURS, PAPER, *METHODS], choices=[OURS, PAPER, *METHODS]
    )
    found.add_argument("--seeds", type=int, nargs="+", default=[0], help="of trainings; the scores' stays")
    found.add_argument("--kimg", type=float, default=20, help="thousands of photos that each training sees")
    found.add_argument("--looks", type=int, default=5, help="scores along each training")
    found.add_argument("--images", type=int, default=1000, help="painted maps, and photos, at most")
    found.add_argument("--rates", type=float, default=1.0, help="learning rates of paired methods")
    found.add_argument("--out", type=Path, default=harness.CACHE / "baselines")
    return found


def configuration(kimg: float, looks: int) -> TrainSiw:
    """Ours, and what others have of it, for so many thousand photos; `looks` are the reports on the way."""
    found = harness.block("train_siw", "demo", {"kimg": kimg})
    steps = max(1, round(1000 * kimg / found.batch))
    return replace(
        found, map_proportions={"parsed": 1.0}, consistency_every=0,
        report_every_kimg=-(-steps // looks) * found.batch / 1000,
    )  # fmt: skip


def main(arguments) -> None:
    config = configuration(arguments.kimg, arguments.looks)
    began = time.perf_counter()
    project = read_project(arguments.project, config)
    exam = Exam(project, config, arguments.images, arguments.device)
    harness.tell(f"{len(project.photos)} photos read in {time.perf_counter() - began:.0f} s")
    found: dict[str, list[list[dict]]] = {}
    pictures = [colorize(resize(exam.maps, exam.photos.shape[1])), exam.photos]
    for seed in arguments.seeds:
        for method in arguments.methods:
            rows, painter = train(method, seed, config, project, exam, arguments)
            found.setdefault(method, []).append(rows)
            if seed == arguments.seeds[0]:
                pictures.append(exam.pictures(painter))
                columns = np.stack(pictures, 1)
                shown = sheet(columns.reshape(-1, *columns.shape[2:]), len(pictures))
                write_png(arguments.out / "pictures.png", shown)
            write_curves(arguments.out / "curves.csv", found)
    print(tables(found, exam))


def write_curves(path: Path, found: dict[str, list[list[dict]]]) -> None:
    """Write all looks so far."""
    rows = [row for runs in found.values() for one in runs for row in one]
    with atomic_path(path) as work, open(work, "w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
