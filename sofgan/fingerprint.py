"""Fingerprints: what a result depends on, as plain data by name, with a digest, and in what two of them differ."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

from sofgan.files import read_json, write_bytes

MOST_NAMED = 3  # differences that a sentence names
LETTERS = 12  # of a digest, in names of files and folders
FILE = "fingerprint.json"  # beside what a stopped run leaves


def short_digest(fingerprint) -> str:
    """The first letters of the sha256 of a fingerprint."""
    return hashlib.sha256(_text(fingerprint).encode()).hexdigest()[:LETTERS]


def write_fingerprint(path: str | Path, fingerprint) -> None:
    """Keep a fingerprint beside what was made by it."""
    write_bytes(path, _text(fingerprint).encode())


def kept_folder(work: Path, what: str, fingerprint) -> Path:
    """The folder in `work` for what a run of that fingerprint keeps: there, if one was stopped. Those of other
    fingerprints are removed, and it is said why `what` was stopped is of no use."""
    folder = work / short_digest(fingerprint)
    if not folder.is_dir():
        others = [path for path in work.glob("*/") if any(_kept(path))]
        if others:
            newest = max(others, key=lambda path: path.stat().st_mtime_ns)
            say_anew(f"{work}: {what} that was stopped", newest / FILE, fingerprint)
        for path in others:
            shutil.rmtree(path)
        write_fingerprint(folder / FILE, fingerprint)
    return folder


def _kept(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != FILE and not path.name.startswith(".")]


def say_anew(what: str, path: str | Path, fingerprint) -> None:
    """Tell on stderr, in a line, that `what` is not gone on with, and in what the fingerprint kept at `path` differs
    from the one that counts now."""
    reason = difference(path, fingerprint)
    print(f"{what} is not gone on with: {reason}; the work starts anew", file=sys.stderr, flush=True)


def difference(path: str | Path, fingerprint) -> str:
    """Words for what differs between the fingerprint kept at `path` and another: names of values, nested ones with
    dots."""
    now = _flat(json.loads(_text(fingerprint)))
    try:
        before = _flat(read_json(path))
    except (OSError, ValueError):
        return "what it depends on was not kept"
    names = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more} changed"


def _text(fingerprint) -> str:
    return json.dumps(fingerprint, sort_keys=True, default=str)


def _flat(value, name: str = "") -> dict[str, object]:
    """Values of nested mappings by their names; a list is one value."""
    if not isinstance(value, dict):
        return {name or "what it depends on": value}
    flat = {}
    for key, one in value.items():
        flat |= _flat(one, f"{name}.{key}" if name else key)
    return flat
