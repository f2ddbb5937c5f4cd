"""`python -m pipelines profile NAME`: params.yaml for another size of the whole.

The params.yaml in git is the `demo` profile. `profiles/NAME.yaml` holds what another one changes: mappings are merged
key by key, everything else (lists too) is replaced. With `base: OTHER` it changes another profile, not the demo. The
profile's name is kept in params.yaml as `profile:`. What you changed yourself (your batches, your photo folders) is
found by comparing with what the command would have written, and put on top of the new profile. What was made of batches
that the new profile does not have goes out of the folder, as `remove-batch` has it. The demo file is taken from git,
the newest version there that is one; outside of git from a copy that is made when the demo is left.
"""

import copy
import difflib
import fcntl
import io
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipelines.batch_outs import MADE, drop_made
from pipelines.dvc_at_work import refuse_while_at_work
from sofgan.config import ConfigError, no_yaml
from sofgan.errors import UserError
from sofgan.files import write_bytes
from stages import params

PARAMS = Path("params.yaml")
FOLDER = Path("profiles")
KEPT_DEMO = Path(".work/params-demo.yaml")
LOCK = Path(".work/params.lock")
MISSING = object()


class ProfileError(UserError, ValueError):
    """There is no such profile, it doesn't fit params.yaml, or dvc is at work."""


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """A lock of params.yaml: one process of this machine at a time may change it."""
    (root / LOCK).parent.mkdir(exist_ok=True)
    with open(root / LOCK, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(name: str | None, fresh: bool) -> int:
    """Write params.yaml, or list the profiles; says what of the user's own was kept."""
    if name is not None:
        with locked(Path.cwd()):
            return _write(name, fresh)
    current, names = _known()
    for known in names:
        print(f"{'*' if known == current else ' '} {known}")
    return 0


def _known() -> tuple[str, list[str]]:
    """The profile that params.yaml is of, and all that there are."""
    current = parse(read(PARAMS), PARAMS).get("profile", "demo")
    return current, ["demo", *sorted(path.stem for path in FOLDER.glob("*.yaml"))]


def _write(name: str, fresh: bool) -> int:
    current, names = _known()
    if name not in names:
        raise _unknown(name, names)
    refuse_while_at_work(Path.cwd(), ProfileError)
    base = demo_text()
    before = PARAMS.read_text()
    text, own = switch(before, base, changes_of(current, names), changes_of(name, names), name, fresh)
    check(text)
    write_bytes(KEPT_DEMO, base.encode())
    write_bytes(PARAMS, text.encode())
    print(f"params.yaml is now '{name}' (was '{current}')")
    dropped = [batch for batch in _batches(before) if batch not in _batches(text)]
    made = [batch for batch in dropped if any((folder / batch).is_dir() for folder in MADE)]
    for batch in made:
        drop_made(Path.cwd(), batch)
    if made:
        print(f"what was made of batches no longer in use, in DVC's cache until `dvc gc`: {', '.join(made)}")
    if own:
        print("your own changes, kept: " + ", ".join(own) + "   (--fresh drops them)")
    return 0


def _batches(text: str) -> list[str]:
    """The batches in use of a params.yaml; none where it is not valid."""
    try:
        return params.batches_of(yaml.safe_load(text), PARAMS)
    except ConfigError:
        return []


def of_name(name: str) -> dict:
    """Changes that a profile makes; {} for the demo.

    Raises:
        ProfileError: there is no such profile.
    """
    names = ["demo", *sorted(path.stem for path in FOLDER.glob("*.yaml"))]
    if name not in names:
        raise _unknown(name, names)
    return changes_of(name, names)


def switch(text: str, base: str, old: dict, new: dict, name: str, fresh: bool) -> tuple[str, list[str]]:
    """params.yaml for a profile.

    Args:
        text: params.yaml as it is.
        base: the demo profile.
        old, new: differences of the current and of the wanted profile; {} for the demo.
        name: of the wanted profile.
        fresh: drop what the user changed.

    Returns:
        The new text, and the keys that are the user's own.
    """
    demo = parse(base, "the demo profile")
    known = merge(copy.deepcopy(demo), old)
    present = parse(text, PARAMS)
    present.pop("profile", None)
    known.pop("profile", None)
    own = {} if fresh else differences(known, present)
    if not new and not own:
        return base, []
    result = merge(merge(demo, new), own)
    result.pop("profile", None)
    if name != "demo":
        result.insert(0, "profile", name)
    stream = io.StringIO()
    round_trip().dump(result, stream)
    return stream.getvalue(), leaves(own)


def check(text: str) -> None:
    """See that params.yaml would be valid, all blocks of it that it has.

    Raises:
        ConfigError: naming the key that is not.
    """
    for block, mapping in yaml.safe_load(text).items():
        if block in params.BLOCKS:
            params.block_of(mapping, block, PARAMS)


def demo_text() -> str:
    """The demo profile's params.yaml, with its comments.

    Raises:
        ProfileError: it can be found nowhere.
    """
    for commit in _git("log", "--format=%H", "--", str(PARAMS)).split():
        text = _git("show", f"{commit}:./{PARAMS}")
        if text and parse(text, PARAMS).get("profile", "demo") == "demo":
            return text
    if KEPT_DEMO.is_file():
        return KEPT_DEMO.read_text()
    text = PARAMS.read_text()
    if parse(text, PARAMS).get("profile", "demo") == "demo":
        return text
    raise ProfileError("the demo profile, from which all others differ, is neither in git nor in .work")


def merge(target, changes: dict):
    """Put changes into a mapping, key by key in nested mappings; `MISSING` takes a key out. Returns `target`."""
    for key, value in changes.items():
        if value is MISSING:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value
    return target


def differences(known: dict, present: dict) -> dict:
    """What, merged into `known`, gives `present`."""
    changes = {key: MISSING for key in known if key not in present}
    for key, value in present.items():
        if key in known and isinstance(value, dict) and isinstance(known[key], dict):
            if below := differences(known[key], value):
                changes[key] = below
        elif key not in known or known[key] != value:
            changes[key] = value
    return changes


def leaves(mapping: dict, prefix: str = "") -> list[str]:
    """Dotted names of all that a mapping sets."""
    names = []
    for key, value in mapping.items():
        if isinstance(value, dict) and value:
            names += leaves(value, f"{prefix}{key}.")
        else:
            names.append(f"{prefix}{key}")
    return names


def read(path: Path) -> str:
    """The text of params.yaml.

    Raises:
        ProfileError: it is not there.
    """
    if not path.is_file():
        raise ProfileError(f"no {PARAMS} in {path.parent.resolve()}: run this in the project's root")
    return path.read_text()


def parse(text: str, where) -> dict:
    """A YAML mapping that remembers its comments.

    Raises:
        ProfileError: it is no mapping.
    """
    try:
        value = round_trip().load(text)
    except YAMLError as error:
        raise ProfileError(no_yaml(where, error)) from error
    if not isinstance(value, dict) and value is not None:
        raise ProfileError(f"{where} is no mapping of blocks")
    return value if value is not None else {}


def _unknown(name: str, names: list[str]) -> ProfileError:
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else f"; there are: {', '.join(names)}"
    return ProfileError(f"no profile '{name}'{hint}")


def changes_of(name: str, names: list[str]) -> dict:
    """Changes that a profile makes to the demo's params.yaml, with those of its base; `names` are all profiles'."""
    if name == "demo":
        return {}
    if name not in names:
        raise ProfileError(
            f"params.yaml is of a profile '{name}' that is not in profiles/; --fresh starts anew"
        )
    path = FOLDER / f"{name}.yaml"
    changes = parse(path.read_text(), path)
    base = changes.pop("base", None)
    if base is None:
        return changes
    others = [other for other in names if other != name]
    if base not in others:
        raise ProfileError(f"{path}: base: there is no profile {base!r} for it to change")
    return merge(changes_of(base, others), changes)


def _git(*arguments: str) -> str:
    """Output of a git command; empty where git fails."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def round_trip() -> YAML:
    """YAML that is written as it was read, comments and quotes kept."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 200
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml
