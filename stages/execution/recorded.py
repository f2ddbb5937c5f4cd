"""What DVC records a stage by: its parameters, its inputs and the list of its code, as they are once it has ended.

What changed meanwhile would count as what its outs were made with, and they would never be made anew. So a stage that
DVC runs looks at all of it when it begins and when it has ended, and fails where something changed.

Of code only the beginning counts: what was edited after dvc listed it would run, and be recorded as what was listed.
Edits after that reach no module that is loaded by then.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import yaml

from sofgan.errors import InputError
from sofgan.files import sha256_file
from stages import code_lists, paths
from stages.params import flat, params_file, value_at

MOST_NAMED = 3  # changes, in a sentence
SMALL = 1 << 16  # bytes of a file that is told by its content
CODE = "code"  # the stage that lists code

Seen = dict[tuple[str, str], object]  # values, or a file's state, by file and dotted name in it
_began: Seen | None = None  # by the stage of this process


def begin() -> None:
    """Look at what DVC will record of the stage that this process is; nothing where DVC runs none.

    Raises:
        InputError: its code, or the parameters that were listed with it, are no more what dvc listed.
    """
    global _began
    _began = None
    if stage := os.environ.get("DVC_STAGE"):
        stage = stage.rpartition(":")[2]  # As seen from another folder it is ../dvc.yaml:NAME.
        _check_list(stage.partition("@")[0])
        _began = _look(stage)


def check() -> None:
    """See that DVC will record what the stage began with; to be called before that is removed which it could go on
    from.

    Raises:
        InputError: something has changed.
    """
    if _began is None:
        return
    try:
        now = _look(os.environ["DVC_STAGE"].rpartition(":")[2])
    except (yaml.YAMLError, TypeError) as error:  # A file that is being saved has half of its text, or none.
        raise InputError(
            "params.yaml or dvc.yaml is no YAML now: mend it, then run `dvc repro` again"
        ) from error
    changed = [key for key in {**_began, **now} if _began.get(key) != now.get(key)]
    if not changed:
        return
    said = ", ".join(_words(*key, _began.get(key), now.get(key)) for key in changed[:MOST_NAMED])
    more = f" and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
    raise InputError(
        f"{said}{more} changed while this ran, and DVC would record what is there now as what this was made with: "
        "run `dvc repro` again, by what is there now, or with that put back, when a training goes on where it was"
    )


def _look(stage: str) -> Seen:
    name, _, item = stage.partition("@")
    graph = yaml.load(Path("dvc.yaml").read_text(), yaml.CSafeLoader)["stages"]
    parameters = yaml.load(params_file().read_text(), yaml.CSafeLoader)
    declared, seen = graph.get(name, {}), {}
    for entry in declared.get("params", []):
        if isinstance(entry, str):
            seen |= {("params.yaml", key): value for key, value in flat(entry, value_at(parameters, entry))}
            continue
        for file, keys in entry.items():
            values = json.loads(Path(file).read_text())
            seen |= {(file, key): value_at(values, key) for key in keys or values}
    known = parameters | {"item": dict.fromkeys(declared.get("matrix", {}), item)}
    for path in declared.get("deps", []):
        filled = re.sub(r"\$\{([\w.]+)\}", lambda match: str(value_at(known, match[1])), path)
        seen |= {(file, ""): state for file, state in _files(filled)}
    return seen


def _files(path: str) -> Iterator[tuple[str, tuple[int, int | str]]]:
    """States of a file, or of all in a folder but what Python keeps of its own."""
    folders = [path] if os.path.isdir(path) else []
    if not folders and os.path.exists(path):
        yield path, _state(path, os.stat(path))
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders += [entry.path] * (entry.name != "__pycache__")
                else:
                    with suppress(FileNotFoundError):  # It went just now, which the next look tells, too.
                        yield entry.path, _state(entry.path, entry.stat())


def _state(path: str, found: os.stat_result) -> tuple[int, int | str]:
    """Size, and the digest of a small file: git writes these anew, as they were, when it stashes and takes back. Of a
    large one its time of change."""
    return found.st_size, sha256_file(Path(path)) if found.st_size < SMALL else found.st_mtime_ns


def _check_list(name: str) -> None:
    """See that a stage's code, and parameters that count as such, are what its list has."""
    path = Path(paths.CODE) / f"{name}.json"
    if name == CODE or not path.is_file():
        return
    listed = json.loads(path.read_text())
    root = code_lists.ROOT
    changed = [file for file, digest in listed["files"].items() if _digest(root / file) != digest]
    if name in code_lists.VALUES:
        values = code_lists.VALUES[name](yaml.safe_load(params_file().read_text()))
        if json.loads(json.dumps(values)) != listed.get("params"):
            changed.append(params_file().name)
    if changed:
        raise InputError(
            f"{', '.join(changed[:MOST_NAMED])} changed after dvc had listed what this stage runs by: "
            "run `dvc repro` again"
        )


def _digest(file: Path) -> str | None:
    try:
        return code_lists.file_digest(file)
    except (FileNotFoundError, SyntaxError):  # removed, or just being edited
        return None


def _words(file: str, name: str, before, after) -> str:
    if file == "params.yaml" and name:
        return f"{file}: {name} ({before!r}, now {after!r})"
    return f"{file}: {name}" if name else file
