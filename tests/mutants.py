"""Break the maths in one place after another, and see that the tests nearest to it notice.

    python -m tests.mutants [--only NAME] [--jobs N]

Each mutation of `tests.mutations` is made in a temporary copy of the tree, whose nearest tests are then run until one
fails. Tests that pass without a mutation and fail with it have killed it. The exit status is 1 where a mutation
survives, where its tests don't pass without it, and where its text doesn't occur exactly once in its file.
"""

import argparse
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.forked import Tests
from tests.mutations import MUTATIONS

ROOT = Path(__file__).parents[1]
PASSED, FAILED = 0, 1  # exit statuses of pytest
WORDS = {PASSED: "survived", FAILED: "killed", -signal.SIGALRM: "killed (by time)"}


@dataclass(frozen=True)
class Mutant:
    """One change of one file, and the files of the tests that are to notice."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: `killed`, `survived`, or a fault of the entry or of its tests."""

    mutant: Mutant
    what: str
    seconds: float


def mutants() -> list[Mutant]:
    """All mutations, named after their file and what they break: `sof/volume: misses are opaque`."""
    return [
        Mutant(f"{file.removeprefix('sofgan/')[:-3]}: {name}", file, old, new, tuple(tests.split()))
        for file, tests, changes in MUTATIONS
        for name, (old, new) in changes.items()
    ]


def fault(mutant: Mutant, root: Path = ROOT) -> str | None:
    """What is wrong with an entry of the table; None where it can be applied."""
    if missing := [path for path in (mutant.file, *mutant.tests) if not (root / path).is_file()]:
        return f"{missing[0]} is not there"
    text = (root / mutant.file).read_text()
    if (count := text.count(mutant.old)) != 1:
        return f"its text occurs {count} times"
    try:
        compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")
    except SyntaxError as error:
        return f"what it makes is no Python: {error}"
    return None


@contextmanager
def changed(mutant: Mutant, root: Path) -> Iterator[None]:
    """Within it the copy at `root` is broken."""
    path = root / mutant.file
    text, times = path.read_text(), path.stat()
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        yield
    finally:
        path.write_text(text)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # What was compiled of it counts again.


def copy_tree(to: Path) -> Path:
    """Copy what git tracks or would track, and see that it is what Python finds there."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    found = subprocess.run(
        [sys.executable, "-c", "import sofgan; print(sofgan.__file__)"],
        cwd=to, check=True, capture_output=True, text=True,
    )  # fmt: skip
    if not Path(found.stdout.strip()).is_relative_to(to.resolve()):
        raise RuntimeError(f"in {to} Python finds sofgan at {found.stdout.strip()}")
    return to


def judge(chosen: list[Mutant], jobs: int) -> Iterator[Outcome]:
    """What becomes of some mutants, as it is known. Those of the same tests come together, after the tests alone."""
    groups: dict[tuple[str, ...], list[Mutant]] = {}
    for mutant in chosen:
        groups.setdefault(mutant.tests, []).append(mutant)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        free, copies = queue.SimpleQueue(), []
        for number in range(jobs):
            copies.append(Tests(copy_tree(Path(folder, f"copy-{number}").resolve())))
            free.put(copies[-1])

        def passes(tests: tuple[str, ...]) -> bool:
            with taken(free) as copy:
                return copy.run(tests, keep_compiled=True) == PASSED

        def outcome(mutant: Mutant, sound: Future) -> Outcome:
            if not sound.result():
                return Outcome(mutant, "its tests fail without it", 0.0)
            with taken(free) as copy, changed(mutant, copy.root):
                start = time.monotonic()
                status = copy.run(mutant.tests)
                seconds = time.monotonic() - start
            return Outcome(mutant, WORDS.get(status, f"pytest ended with {status}"), seconds)

        try:
            outcomes = []
            for tests, group in groups.items():
                sound = pool.submit(passes, tests)
                outcomes += [pool.submit(outcome, mutant, sound) for mutant in group]
            for found in outcomes:
                yield found.result()
        finally:
            pool.shutdown(cancel_futures=True)
            for copy in copies:
                copy.end()


@contextmanager
def taken(free: queue.SimpleQueue) -> Iterator[Tests]:
    """A copy that nobody else uses meanwhile."""
    copy = free.get()
    try:
        yield copy
    finally:
        free.put(copy)


def main() -> int:
    """Print a line a mutant and a sum; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="NAME", help="mutants whose names contain it")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    arguments = parser.parse_args()
    chosen = [mutant for mutant in mutants() if arguments.only in mutant.name]
    if not chosen:
        parser.error(f"no mutant is called {arguments.only!r}")
    faults = {mutant: found for mutant in chosen if (found := fault(mutant))}
    for mutant, found in faults.items():
        print(f"{'fault':18} {mutant.name} ({mutant.file}): {found}")
    if faults:
        return 1
    killed = 0
    for outcome in judge(chosen, arguments.jobs):
        print(f"{outcome.what:18} {outcome.seconds:5.1f} s  {outcome.mutant.name}", flush=True)
        killed += outcome.what.startswith("killed")
    print(f"{len(chosen)} mutants, {killed} killed, {len(chosen) - killed} not")
    return 0 if killed == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
