"""Recovery of a stopped stage's last outs: DVC removes outs before it runs a stage, and keeps them in its
cache."""

import json
import re
from pathlib import Path

import yaml

from stages.tracking.lineage import read_lock


def advice(stage: str | None, folder: Path | None = None) -> str | None:
    """The sentence that tells how to get back what dvc.lock has of a stage and the folder has no more; None, where
    nothing of it can be had.

    Args:
        stage: its full name, as dvc says it; None: dvc runs none.
        folder: the project's; None: this one.
    """
    if not stage:
        return None
    try:
        paths = kept_outs(folder or Path.cwd(), [stage])
    except Exception:  # An unreadable dvc.lock or cache must not hide why the stage stopped.
        return None
    if not paths:
        return None
    return (
        f"What {stage} made last is in DVC's cache: `dvc checkout {' '.join(paths)}` brings it back as long as "
        "dvc.lock is as it is now; `dvc repro`, once params.yaml is as it was then, does so too, metrics and all."
    )


def kept_outs(folder: Path, stages: list[str] | None = None) -> list[str]:
    """Outs that dvc.lock names, that the folder lacks, and that are whole in DVC's cache.

    Args:
        folder: the project's, with dvc.yaml, dvc.lock and .dvc.
        stages: full names; None: all that dvc.lock has.
    """
    lock = read_lock(folder)
    outs = [
        out for name in (lock if stages is None else stages) for out in lock.get(name, {}).get("outs", [])
    ]
    outs = [out for out in outs if out.get("md5")]
    missing = [out for out in outs if not (folder / out["path"]).exists()]
    uncached = _uncached(folder) if missing else []
    missing = [out for out in missing if not any(pattern.fullmatch(out["path"]) for pattern in uncached)]
    if not missing:
        return []
    cache = _cache(folder)
    return [out["path"] for out in missing if _is_whole(cache, out["md5"])]


def maker(path: str, folder: Path | None = None) -> str | None:
    """The stage of dvc.yaml that makes a file or folder, or what holds it; with its batch, if it is of one."""
    folder = (folder or Path.cwd()).resolve()
    full = Path(path) if Path(path).is_absolute() else folder / path
    if not full.is_relative_to(folder) or not (folder / "dvc.yaml").is_file():
        return None
    relative = full.relative_to(folder).as_posix()
    for name, stage in (yaml.safe_load((folder / "dvc.yaml").read_text()) or {}).get("stages", {}).items():
        for out in (*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])):
            if found := _pattern(_path(out)).match(relative):
                rest = relative[found.end() :]
                if not rest or rest.startswith("/"):
                    return f"{name}@{found[1]}" if found.groups() else name
    return None


def _path(out: str | dict) -> str:
    return out if isinstance(out, str) else next(iter(out))


def _pattern(path: str) -> re.Pattern:
    """A pattern for the paths of all items of a matrix stage: the item's name is the first group."""
    return re.compile(r"([^/]+)".join(map(re.escape, re.split(r"\$\{item\.\w+\}", path))))


def _uncached(folder: Path) -> list[re.Pattern]:
    """Outs that `dvc checkout` leaves alone (`cache: false`)."""
    stages = (yaml.safe_load((folder / "dvc.yaml").read_text()) or {}).get("stages", {})
    outs = (
        out
        for stage in stages.values()
        for kind in ("outs", "metrics", "plots")
        for out in stage.get(kind, [])
    )
    return [
        _pattern(path)
        for out in outs
        if isinstance(out, dict)
        for path, how in out.items()
        if how and how.get("cache") is False
    ]


def _cache(folder: Path) -> Path:
    """Folder where DVC keeps files by their md5, as all levels of its configuration have it."""
    from dvc.config import Config  # Half a second, for who has lost something.

    chosen = Config(str(folder / ".dvc")).get("cache", {}).get("dir")
    return Path(chosen or folder / ".dvc/cache") / "files" / "md5"


def _is_whole(cache: Path, digest: str) -> bool:
    """Whether a file, or a folder with all that is in it, is in the cache."""
    path = cache / digest[:2] / digest[2:]
    if not path.is_file():
        return False
    if not digest.endswith(".dir"):
        return True
    return all(_is_whole(cache, entry["md5"]) for entry in json.loads(path.read_text()))
