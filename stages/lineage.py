"""What dvc.lock says of stages: the hashes of what they read and wrote, and which of them ran this time."""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

COLUMNS = ("stage", "what", "run", "run_id")


def read_lock(folder: Path) -> dict[str, dict]:
    """Stages of a folder's dvc.lock by full name (`render_views@avatars-000`); {} where it isn't there (yet)."""
    path = folder / "dvc.lock"
    if not path.is_file():
        return {}
    return (yaml.safe_load(path.read_text()) or {}).get("stages", {})


def hashes(stage: dict) -> Iterator[tuple[str, str, str]]:
    """(`dep` or `out`, path, hash) of a stage in dvc.lock: md5 of files and folders, the digest of a recipe."""
    for path, values in stage.get("params", {}).items():
        if "digest" in values:
            yield "dep", path, values["digest"]
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
    # The check makes nothing, and so no run.
    known = [name for name in lock if name.split("@")[0] in order and name != "check_params"]
    return sorted(known, key=lambda name: order.index(name.split("@")[0]))


def stage_table(
    folder: Path, ran: dict[str, dict], made_by: Callable[[str, dict], tuple[str, str] | None]
) -> list[tuple[str, str, str, str]]:
    """A row for each stage (`COLUMNS`): a cached stage makes no run, and would look forgotten.

    Args:
        folder: with dvc.yaml and dvc.lock.
        ran: by full stage name, `status` and `run_id` of what ran in this execution.
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
            rows.append((name, "cached", *(maker or ("not known to this tracker", ""))))
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
