"""`python -m pipelines status`: which stages `dvc repro` would run, and what made each stale."""

import hashlib
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from pipelines import demo
from pipelines.dvc_at_work import refuse_while_at_work
from pipelines.dvc_stages import Planned, StageFailed, planned
from stages import paths
from stages.code_lists import EARLIER
from stages.params import flat, value_at
from stages.tracking.lineage import read_lock

ABSENT = "is not here"
CODE_STAGE, PARAMETERS = "code", "params.yaml"
MOST_COMMITS = 200  # that changed a list of code, of which an earlier one is looked for


def run() -> int:
    """Bring the lists of code up to date, then print stale stages in graph order. Returns the exit status.

    Raises:
        StageFailed: dvc can't read its files, or is at work, and then can't say what it is just making.
    """
    root = Path.cwd()
    refuse_while_at_work(root, StageFailed)
    # Not by dvc, which would write the new lists' hashes to dvc.lock: a question changes no file that git has.
    done = subprocess.run(
        [sys.executable, "-m", "stages.code"], cwd=root, env=demo.environment(), stdout=subprocess.DEVNULL
    )
    if done.returncode:
        print("params.yaml or the code could not be read; the message is above", file=sys.stderr)
        return done.returncode
    reasons = stale(root)
    for stage, found in reasons.items():
        for line, reason in enumerate(found):
            print(f"{'' if line else stage:28} {reason}")
    if not reasons:
        print("Everything is up to date.")
    if any(reason.endswith(ABSENT) for found in reasons.values() for reason in found):
        print(f"\nWhat {ABSENT}: `dvc pull` fetches it where it was pushed, `dvc repro` makes it.")
    return 0


def stale(root: Path) -> dict[str, list[str]]:
    """Why each stale stage would run, in graph order; stages that only wait for such a one say which.

    Raises:
        StageFailed: dvc can't read its files.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            told = repo.status()
    except DvcException as error:
        raise StageFailed(f"dvc: {error}") from error
    lock, found = read_lock(root), {}
    for stage in planned(root, []):
        if stage.name == CODE_STAGE:  # Always runs, and takes a second.
            continue
        # What another stage is to make anew is no reason of its own.
        anew = [made for _, maker, _ in found.values() for made in maker.makes]
        own = [
            reason
            for entry in told.get(stage.name, [])
            for reason in _reasons(stage.name, entry, lock.get(stage.name, {}), root, anew)
        ]
        waits = _makers(stage, found)
        if own or waits:
            found[stage.name] = (own, stage, waits)
    return {name: own or [f"after {', '.join(waits)}"] for name, (own, _, waits) in found.items()}


def _makers(stage: Planned, found: dict) -> list[str]:
    """Names of stale stages whose outs a stage needs."""
    return [
        name
        for name, (_, maker, _) in found.items()
        if any(_touch(made, need) for made in maker.makes for need in stage.needs)
    ]


def _touch(one: str, other: str) -> bool:
    """Whether two paths are the same, or one holds the other."""
    parts, others = Path(one).parts, Path(other).parts
    length = min(len(parts), len(others))
    return parts[:length] == others[:length]


def _reasons(stage: str, entry: dict | str, locked: dict, root: Path, anew: list[str]) -> Iterator[str]:
    """Sentences for what `dvc status` says of a stage, but for what it reads of outs that are to be made anew."""
    if isinstance(entry, str):
        yield entry
        return
    for path, how in entry.get("changed deps", {}).items():
        if path == f"{paths.CODE.as_posix()}/{stage.split('@')[0]}.json":
            yield from _code_reasons(root / path, locked, path, root)
        elif isinstance(how, dict):
            last = locked.get("params", {}).get(path, {})
            for key, change in how.items():
                if path == PARAMETERS and key in last:
                    now = value_at(yaml.safe_load((root / path).read_text()), key)
                    yield from _parameter_reasons(key, last[key], now)
                else:
                    yield f"{key}: {change}"
        elif not any(_touch(path, made) for made in anew):
            yield f"{path} is gone" if how == "deleted" else f"{path}: {how}"
    for path, how in entry.get("changed outs", {}).items():
        if how == "modified":
            yield f"{path} is not as this stage left it"
        elif (root / path).exists():
            yield f"{path} is not in DVC's cache any more"
        else:
            yield f"{path} {ABSENT}"


def _parameter_reasons(key: str, before, now) -> Iterator[str]:
    """How a parameter, or a block of them, differs from that of the stage's last run."""
    old, new = dict(flat(key, before)), dict(flat(key, now))
    for name in sorted({*old, *new}):
        if name not in new:
            yield f"{name} is not used any more"
        elif name not in old:
            yield f"{name} is new: {new[name]}"
        elif old[name] != new[name]:
            yield f"{name} is {new[name]}, was {old[name]}"


def _code_reasons(path: Path, locked: dict, name: str, root: Path) -> Iterator[str]:
    """Names of the files and parameters by which a list of code differs from that of the stage's last run."""
    if not locked:
        yield "has not run yet"
        return
    before, now = _version(locked, name, root), json.loads(path.read_text())
    if before is None:
        yield "its code changed (neither this machine nor git has the list of what it was)"
        return
    for kind, mark in (("files", ""), ("params", "params.yaml: ")):
        old, new = before.get(kind, {}), now.get(kind, {})
        for key in sorted({*old, *new}):
            if key not in new:
                yield f"{mark}{key} is not used any more"
            elif key not in old:
                yield f"{mark}{key} is new"
            elif old[key] != new[key]:
                yield f"{mark}{key} changed"


def _version(locked: dict, name: str, root: Path) -> dict | None:
    """The list of code that dvc.lock names, by its md5 or digest, of those that this machine or git has."""
    kept = (path.read_bytes() for path in (root / EARLIER).glob("*.json"))
    versions = itertools.chain(kept, _committed(name, root))
    return next((json.loads(text) for text in versions if _is_locked(text, locked, name)), None)


def _is_locked(text: bytes, locked: dict, name: str) -> bool:
    """Whether dvc.lock names this list of code."""
    digest = hashlib.md5(text, usedforsecurity=False).hexdigest()
    if any(dep["path"] == name and dep.get("md5") == digest for dep in locked.get("deps", [])):
        return True
    wanted = locked.get("params", {}).get(name, {}).get("digest")
    return wanted is not None and json.loads(text)["digest"] == wanted


def _committed(name: str, root: Path) -> Iterator[bytes]:
    """Versions of a file that git has, the newest first; none outside of a repository."""
    git = ["git", "-C", str(root)]
    log = subprocess.run(
        [*git, "log", f"-{MOST_COMMITS}", "--format=%H", "--", name], capture_output=True, text=True
    )
    for commit in log.stdout.split():
        found = subprocess.run([*git, "show", f"{commit}:./{name}"], capture_output=True)
        if not found.returncode:  # else that commit removed it
            yield found.stdout
