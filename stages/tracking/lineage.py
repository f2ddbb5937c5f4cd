"""Lineage from dvc.lock: hashes of what stages read and wrote, and which of them ran this time."""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from stages.params import value_at

COLUMNS = ("stage", "what", "run", "run_id")


def read_lock(folder: Path) -> dict[str, dict]:
    """Stages of a folder's dvc.lock by full name (`render_views@avatars-000`); {} where it isn't there (yet)."""
    path = folder / "dvc.lock"
    if not path.is_file():
        return {}
    return (yaml.safe_load(path.read_text()) or {}).get("stages", {})


def hashes(stage: dict) -> Iterator[tuple[str, str, str]]:
    """(`dep` or `out`, path, hash) of a stage in dvc.lock: md5 of files and folders, digests of code
    and of models in files of parameters."""
    for path, values in stage.get("params", {}).items():
        if digest := values.get("digest") or values.get("sha256"):
            yield "dep", path, digest
    for kind in ("deps", "outs"):
        for item in stage.get(kind, []):
            value = item.get("md5") or item.get("etag") or item.get("checksum")
            if value:
                yield kind[:-1], item["path"], value


def declared(folder: Path, lock: dict[str, dict]) -> list[str]:
    """Names in the lock whose stage is still in dvc.yaml, in the order of dvc.yaml."""
    path = folder / "dvc.yaml"
    if not path.is_file():
        return list(lock)
    order = list((yaml.safe_load(path.read_text()) or {}).get("stages", {}))
    # The list of code is no data, and so no run's.
    known = [name for name in lock if name.split("@")[0] in order and name != "code"]
    return sorted(known, key=lambda name: order.index(name.split("@")[0]))


def current_stages(lock: dict[str, dict], ran: dict[str, dict], params: dict) -> set[str]:
    """Full names of stages whose outs are of these parameters: those that ran to their end, and those of the lock that
    had the same parameters, and read what other such stages have written since.

    An execution that stops half way leaves the outs of later stages as they were, of whatever parameters.

    Args:
        lock: from `read_lock`.
        ran: by full stage name, `status` of what ran in this execution.
        params: content of params.yaml.
    """
    outs = {
        item["path"]: (name, item.get("md5"))
        for name, stage in lock.items()
        for item in stage.get("outs", [])
    }
    known = {name: run["status"] == "FINISHED" for name, run in ran.items()}

    def is_current(name: str) -> bool:
        if name not in known:
            known[name] = all(map(is_same, sources(lock[name]))) and all(
                value_at(params, key) == value
                for key, value in lock[name].get("params", {}).get("params.yaml", {}).items()
            )
        return known[name]

    def is_same(source: tuple[str, str | None]) -> bool:
        """Whether what a stage read is what other stages' outs are now; a source of the user's is."""
        path, md5 = source
        inside = [
            maker
            for out, (maker, _) in outs.items()
            if out.startswith(f"{path}/") or path.startswith(f"{out}/")
        ]
        if path in outs:
            maker, written = outs[path]
            return (md5 is None or md5 == written) and is_current(maker)
        return all(map(is_current, inside))

    def sources(stage: dict) -> Iterator[tuple[str, str | None]]:
        yield from ((item["path"], item.get("md5")) for item in stage.get("deps", []))
        yield from ((path, None) for path in stage.get("params", {}) if path != "params.yaml")

    return {name for name in {*lock, *ran} if is_current(name)}


def figures_of(lock: dict[str, dict], stages: set[str], folder: Path) -> list[Path]:
    """Files of figures, in `folder` of a project, that some stages have as outs."""
    outs = {item["path"] for name in stages & lock.keys() for item in lock[name].get("outs", [])}
    return sorted(Path(path) for path in outs if Path(path).is_relative_to(folder) and path.endswith(".json"))


def stage_table(
    folder: Path,
    ran: dict[str, dict],
    current: set[str],
    made_by: Callable[[str, dict], tuple[str, str] | None],
) -> list[tuple[str, str, str, str]]:
    """A row for each stage (`COLUMNS`): a cached stage makes no run, and would look forgotten.

    Args:
        folder: with dvc.yaml and dvc.lock.
        ran: by full stage name, `status` and `run_id` of what ran in this execution.
        current: stages whose outs are of its parameters, see `current_stages`; others are old.
        made_by: (stage name, its lock) to the name and id of the run whose outputs these are, or None.
    """
    lock = read_lock(folder)
    names = declared(folder, lock)
    rows = []
    for name in names + [name for name in ran if name not in names]:
        if name in ran:
            status = ran[name]["status"]
            rows.append(
                (name, "ran" if status == "FINISHED" else status.lower(), "this one", ran[name]["run_id"])
            )
        else:
            maker = made_by(name, lock[name])
            what = "cached" if name in current else "old"
            rows.append((name, what, *(maker or ("not known to this tracker", ""))))
    return rows


def as_csv(rows: list[tuple[str, ...]]) -> str:
    """The table as CSV, which MLflow shows as one."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    return text.getvalue()


def as_markdown(rows: list[tuple[str, ...]]) -> str:
    """The table in Markdown, for a run's description."""
    lines = ["| stage | ran or cached | made by run |", "| --- | --- | --- |"]
    for name, what, run, run_id in rows:
        lines.append(
            f"| {name} | {what} | {run} `{run_id[:8]}` |" if run_id else f"| {name} | {what} | {run} |"
        )
    return "\n".join(lines)
