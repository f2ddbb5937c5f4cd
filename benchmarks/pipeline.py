"""What many batches cost the pipeline: 1,000 tiny scans in 50 batches, through the real stages.

    python -m benchmarks.pipeline [--batches 50] [--scans 20] [--check] [--folder DIR]

Copies the project's code into a folder of its own, with the stages of the batches alone, and measures

    add one to N     `python -m pipelines add-batch` and `dvc repro render_views@NAME`, with N batches in use before:
                     the fastest of seven, those to one and those to all in turns, so that both meet the same machine
    no-op            `dvc repro` where nothing changed, the fastest of three, and `dvc status`
    a scan           seconds of both stages by the scans of a batch, the first batches against the last

Scans are heads of a few ellipsoids, drawn from a seed; views are 4 of 32 pixels, so what is measured is the
pipeline's own cost, not rendering. Limits: a no-op takes 5 s, adding one to all 1.2 times as long as adding one to one,
and the last scans cost 1.2 times as much as the first.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import trimesh
import yaml

from benchmarks import harness
from sofgan.errors import InputError
from sofgan.seeds import numpy_generator
from stages import paths

CODE = Path(__file__).parents[1]
STAGES = ("code", "ingest_scans", "render_views", "batch_metrics")
VIEWS = {"views_per_scan": 4, "held_out_views": 1, "size_px": 32}
MOST_NO_OP_SECONDS, MOST_GROWTH = 5.0, 1.2
ROUNDS = 7
SOME = 5  # batches whose costs are averaged
# Name, centre and radii in metres.
PARTS = {
    "Skin": ((0, 0, 0), (0.08, 0.1, 0.09)),
    "Left_Eye": ((0.03, 0.02, 0.085), (0.012, 0.012, 0.012)),
    "Right_Eye": ((-0.03, 0.02, 0.085), (0.012, 0.012, 0.012)),
    "Nose": ((0, -0.01, 0.095), (0.012, 0.02, 0.02)),
    "Upper_Lip": ((0, -0.045, 0.085), (0.02, 0.006, 0.008)),
    "Lower_Lip": ((0, -0.057, 0.085), (0.02, 0.006, 0.008)),
    "Hair": ((0, 0.045, -0.02), (0.09, 0.08, 0.09)),
    "Shirt": ((0, -0.22, 0), (0.2, 0.1, 0.1)),
}


def write_scan(path: Path, rng: np.random.Generator) -> None:
    """An OBJ of ellipsoids, one object a part, each a little larger or smaller than usual."""
    lines, offset = [], 1
    for name, (center, radii) in PARTS.items():
        mesh = trimesh.creation.icosphere(subdivisions=1, radius=1.0)
        vertices = mesh.vertices * np.multiply(radii, rng.uniform(0.9, 1.1, 3)) + center
        lines += [f"o {name}", *("v {:.6f} {:.6f} {:.6f}".format(*vertex) for vertex in vertices)]
        lines += ["f {} {} {}".format(*face) for face in mesh.faces + offset]
        offset += len(vertices)
    path.write_text("\n".join(lines) + "\n")


def write_batch(folder: Path, scans: int) -> Path:
    """A folder of such scans."""
    folder.mkdir(parents=True)
    for index in range(scans):
        write_scan(folder / f"scan-{index:03d}.obj", numpy_generator(0, folder.name, index))
    return folder


class Project:
    """A folder with a copy of the code and the stages of the batches."""

    def __init__(self, root: Path):
        self.root = root

    def make(self) -> "Project":
        """The code, its parameters and no batch."""
        root = self.root
        for folder in ("pipelines", "sofgan", "stages"):
            shutil.copytree(CODE / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
        stages = yaml.safe_load((CODE / "dvc.yaml").read_text())["stages"]
        (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {name: stages[name] for name in STAGES}}))
        params = yaml.safe_load((CODE / "params.yaml").read_text())
        params |= {"batches": [], "runtime": {"device": "cpu", "workers": 1, "threads": 1}}
        params["render_views"] |= VIEWS
        (root / "params.yaml").write_text(yaml.safe_dump(params))
        shutil.copyfile(CODE / ".dvcignore", root / ".dvcignore")
        (root / paths.PARSERS).mkdir(parents=True)
        (root / paths.PHOTO_PARSER).write_bytes(b"scans with labels need none")
        (root / paths.SHAPE_PARSER).write_bytes(b"")
        for digest in (paths.PHOTO_PARSER_DIGEST, paths.SHAPE_PARSER_DIGEST):
            (root / digest).write_text('{"sha256": "none"}')
        self.run("dvc", "init", "--quiet", "--no-scm")
        return self

    def copied(self, root: Path) -> "Project":
        """A copy with all that was made so far."""
        shutil.copytree(self.root, root, symlinks=True)
        return Project(root)

    def run(self, *command: str) -> float:
        """Seconds of a module's command."""
        environment = {**os.environ, "SOFGAN_TRACKING": "off", "PYTHONPATH": str(self.root)}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.root, env=environment | {"PATH": path}, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise InputError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return time.perf_counter() - began

    def add(self, source: Path) -> tuple[float, float]:
        """Seconds of adding a batch, and of bringing it up to date."""
        added = self.run("pipelines", "add-batch", str(source))
        return added, self.run("dvc", "repro", f"render_views@{source.name}")


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__)
    found.add_argument("--batches", type=int, default=50)
    found.add_argument("--scans", type=int, default=20, help="in each batch")
    found.add_argument("--folder", type=Path, help="where to work (default: a temporary one)")
    return found


def main(arguments) -> list[bool]:
    with tempfile.TemporaryDirectory(dir=arguments.folder) as work:
        folder = Path(work)
        project, costs = Project(folder / "project").make(), []
        for index in range(arguments.batches):
            costs.append(project.add(write_batch(folder / f"batch-{index:03d}", arguments.scans)))
            harness.tell(f"batch {index + 1}: {sum(costs[-1]):.1f} s", end="")
            if index == 0:
                one = project.copied(folder / "one")
                shutil.copyfile(one.root / "dvc.lock", folder / "one.lock")
        harness.tell("")
        sources = [write_batch(folder / f"added-{turn}", arguments.scans) for turn in range(ROUNDS + 1)]
        # Both have run here before: dvc keeps what it knows of a folder's files by the folder's path.
        one.add(sources[0])

        def take_out(turn: int) -> None:
            one.run("pipelines", "remove-batch", sources[turn].name)
            # In dvc.lock dvc keeps what was removed.
            shutil.copyfile(folder / "one.lock", one.root / "dvc.lock")

        adding = {
            "to one": lambda turn: one.add(sources[turn + 1]),
            "to all": lambda turn: project.add(sources[turn + 1]),
        }
        added = harness.turns(adding, ROUNDS, before=take_out)
        no_op = min(project.run("dvc", "repro") for _ in range(3))
        status = min(project.run("dvc", "status") for _ in range(3))
        size = sum(path.stat().st_size for path in (project.root / ".dvc/cache").rglob("*") if path.is_file())

    to_one, to_all = (min(added[name]) for name in adding)
    first, last = (np.array(costs)[rows, 1].mean() for rows in (slice(1, 1 + SOME), slice(-SOME, None)))
    scans = arguments.batches * arguments.scans
    print(
        f"{scans} scans in {arguments.batches} batches, {size / scans / 1000:.1f} kB of DVC's cache a scan\n"
    )
    print(harness.head("what", "seconds"))
    print(harness.row("adding one to 1", f"{to_one:.1f}"))
    print(harness.row(f"adding one to {arguments.batches}", f"{to_all:.1f}"))
    print(harness.row("`dvc repro` where nothing changed", f"{no_op:.1f}"))
    print(harness.row("`dvc status`", f"{status:.1f}"))
    print(harness.row(f"both stages a scan, batches 2 to {1 + SOME}", f"{first / arguments.scans:.3f}"))
    print(harness.row(f"both stages a scan, the last {SOME} batches", f"{last / arguments.scans:.3f}"))
    print()
    return [
        harness.verdict("seconds of a no-op", no_op, at_most=MOST_NO_OP_SECONDS),
        harness.verdict(
            f"adding one to {arguments.batches} by adding one to 1", to_all / to_one, at_most=MOST_GROWTH
        ),
        harness.verdict("the last scans by the first", last / first, at_most=MOST_GROWTH),
    ]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
