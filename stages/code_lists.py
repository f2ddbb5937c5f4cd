"""The code that each stage runs: data/code/<stage>.json, which that stage depends on.

Each file lists what a stage runs, found from its script through all imports of this repository's packages, late ones
too, with a digest a file that comments, blank lines, layout and docstrings don't change. DVC runs a stage again where
its list changed, and `git diff data/code` names the file that did it. A string that names a module
(`sofgan.sof.config:TrainSof`) imports it; one that names a file or folder beside its module, other than Python's, is an
asset: shaders, templates. Installed packages are not looked at.
"""

import ast
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import yaml

from sofgan.files import sha256_file, write_bytes
from sofgan.siw.config import TrainSiw
from stages import paths
from stages.params import block_of

ROOT = Path(__file__).parents[1]
PACKAGES = ("sofgan", "stages")
# Earlier versions of what is in data/code, by md5, as dvc.lock names them: for `python -m pipelines status`.
EARLIER = paths.WORK / "code"
# Where a stage runs, what it is called with (DVC compares the values), and who is told of it: no out depends on these.
LEFT_OUT = (
    # The table of public names: a module that takes one from here runs the module of that name.
    "sofgan/__init__.py",
    "sofgan/errors.py",
    "sofgan/progress.py",
    "stages/code.py",
    "stages/code_lists.py",
    "stages/execution/",
    "stages/params.py",
    "stages/params_checks.py",
    "stages/paths.py",
    "stages/tracking/",
)


def _blocks(*names: str) -> Callable[[dict], dict]:
    return lambda document: {name: document[name] for name in names}


def _train_siw(document: dict) -> TrainSiw:
    return block_of(document["train_siw"], "train_siw", Path("params.yaml"))


# What else makes a stage run again, in its file's digest. A stage of a batch depends on its digest alone: DVC writes
# what a stage depends on into dvc.lock once for each batch, and reads and writes the whole file whenever a stage ends.
# sample_conditions knows of train_siw whether maps are wanted to train on; how large their share is changes no map.
VALUES: dict[str, Callable[[dict], dict]] = {
    "ingest_scans": _blocks("ingest_scans"),
    "render_views": _blocks("seed", "render_views"),
    "sample_conditions": lambda document: {"training_maps": _train_siw(document).needs_heads},
}
MODULE_NAME = re.compile(rf"(?:{'|'.join(PACKAGES)})(?:\.\w+)+(?::\w+)?")
ASSET_NAME = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)*")


def write_lists(code: Path, folder: Path) -> None:
    """Write data/code of a project's folder.

    Args:
        code: where dvc.yaml and the code that its stages run are.
        folder: the project's, with params.yaml.
    """
    document = yaml.safe_load((folder / "params.yaml").read_text())
    scripts, known = scripts_of(code / "dvc.yaml"), {}
    for name, script in scripts.items():
        values = VALUES[name](document) if name in VALUES else {}
        content = {"files": code_digests(script, code, known)} | ({"params": values} if values else {})
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        _write(folder, f"{name}.json", {"digest": digest} | content)
    for path in (folder / paths.CODE).glob("*.json"):
        if path.stem not in scripts:
            path.unlink()


def scripts_of(dvc_file: Path) -> dict[str, str]:
    """Name of the script under stages/ by stage of dvc.yaml, of all but `code`."""
    stages = yaml.safe_load(dvc_file.read_text())["stages"]
    found = {name: re.search(r"python -m stages\.(\w+)", stage["cmd"]) for name, stage in stages.items()}
    return {name: match[1] for name, match in found.items() if match and match[1] != "code"}


def _write(folder: Path, name: str, content: dict) -> None:
    """Write a stage's file where it changed, and keep the version before."""
    path = folder / paths.CODE / name
    text = (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
    before = path.read_bytes() if path.is_file() else text
    if before != text:
        write_bytes(
            folder / EARLIER / f"{hashlib.md5(before, usedforsecurity=False).hexdigest()}.json", before
        )
    if before != text or not path.is_file():
        write_bytes(path, text)


def code_files(stage: str, root: Path = ROOT, known: dict[Path, list[Path]] | None = None) -> list[Path]:
    """Files that a stage runs, relative to the repository, sorted.

    Args:
        stage: name of its script in `stages/`.
        root: the repository.
        known: what modules need, by path, shared by several calls; while they last no file may change.

    Raises:
        FileNotFoundError: there is no such script.
    """
    found: set[Path] = set()
    known = {} if known is None else known
    left = [root / "stages" / f"{stage}.py"]
    while left:
        path = left.pop()
        if path in found or path.relative_to(root).as_posix().startswith(LEFT_OUT):
            continue
        found.add(path)
        if path.suffix == ".py":
            if path not in known:
                known[path] = list(dict.fromkeys(_needed(path, root)))
            left += known[path]
    return sorted(path.relative_to(root) for path in found)


def code_digests(
    stage: str, root: Path = ROOT, known: dict[Path, list[Path]] | None = None
) -> dict[str, str]:
    """Digest of each file that a stage runs, by its path in the repository; see `code_files` and `file_digest`."""
    return {path.as_posix(): file_digest(root / path) for path in code_files(stage, root, known)}


def file_digest(path: Path) -> str:
    """Digest (sha256, hex) of a file; of Python's, of its statements without docstrings."""
    if path.suffix != ".py":
        return sha256_file(path)
    return _tree_digest(path, path.stat().st_mtime_ns)


@cache
def _tree_digest(path: Path, changed: int) -> str:
    return hashlib.sha256(_normal_form(_parsed(path, changed)).encode()).hexdigest()


def _tree(path: Path) -> ast.Module:
    """Syntax tree of a module without docstrings, read once while the file stays as it is."""
    return _parsed(path, path.stat().st_mtime_ns)


@cache
def _parsed(path: Path, changed: int) -> ast.Module:  # noqa: ARG001  (when the file was written)
    return _without_docstrings(ast.parse(path.read_text(encoding="utf-8"), str(path)))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """The tree without strings that stand alone: docstrings of modules, classes, functions and fields."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(node, name, None)
            if isinstance(statements, list):
                setattr(node, name, [statement for statement in statements if not _is_text(statement)])
    return tree


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _normal_form(value) -> str:
    """Text of a tree, the same by every version of Python: what is empty or None is left out, as later ones add fields
    (`type_params`), and `ast.dump` writes these or not."""
    if isinstance(value, ast.AST):
        fields = ((name, one) for name, one in ast.iter_fields(value) if name not in ("kind", "type_comment"))
        parts = [f"{name}={_normal_form(one)}" for name, one in fields if one is not None and one != []]
        # The value None is a constant's, not a field that is missing.
        return f"{type(value).__name__}({', '.join(parts)})"
    if isinstance(value, list):
        return f"[{', '.join(map(_normal_form, value))}]"
    return ascii(value)


def _needed(path: Path, root: Path) -> Iterator[Path]:
    """Files that a module needs: what it imports or names, with the packages that these lie in, and its assets.

    A package's own file runs with each of its modules: what it imports late, or names, it does only for who takes a
    name from the package itself, and `_modules` gives that.
    """
    tree = _tree(path)
    lazy = path.name == "__init__.py"
    for node in _run_at_import(tree) if lazy else ast.walk(tree):
        yield from _modules_of(node, path, root)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not lazy:
            yield from _named(node.value, path, root)


def _run_at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a module outside of its functions."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from _run_at_import(node)


def _modules_of(node: ast.AST, path: Path, root: Path) -> Iterator[Path]:
    """Files of the modules that an import statement names, and of the packages above them."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _files(alias.name, root)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = path.relative_to(root).parts[: -node.level]
            base = ".".join([*package, *([base] if base else [])])
        yield from _files(base, root)
        for alias in node.names:
            module = list(_files(f"{base}.{alias.name}", root))
            yield from module
            package = root / base.replace(".", "/") / "__init__.py"
            if not module and package.is_file() and package != path:
                yield from _taken_from(package, root)


def _taken_from(package: Path, root: Path) -> Iterator[Path]:
    """Files that a package imports or names anywhere in its own file: they run for modules that take a name from it."""
    for node in ast.walk(_tree(package)):
        yield from _modules_of(node, package, root)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _named(node.value, package, root)


def _named(text: str, path: Path, root: Path) -> Iterator[Path]:
    """Files of the module that a string names, or of the asset beside the module in whose code it stands."""
    if MODULE_NAME.fullmatch(text):
        yield from _files(text.partition(":")[0], root)
    elif ASSET_NAME.fullmatch(text):
        asset = path.parent / text
        if asset.is_file() and asset.suffix not in (".py", ".pyc"):
            yield asset
        elif asset.is_dir() and asset.name != "__pycache__" and not any(asset.rglob("*.py")):
            yield from (file for file in sorted(asset.rglob("*")) if file.is_file())


def _files(name: str, root: Path) -> list[Path]:
    """Files of a module of this repository and of the packages that it lies in; empty where it is none."""
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return []
    folder = root.joinpath(*parts)
    own = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    if not own.is_file():
        return []
    packages = (root.joinpath(*parts[:count], "__init__.py") for count in range(1, len(parts)))
    return [own, *(package for package in packages if package.is_file())]
