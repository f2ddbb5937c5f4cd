"""The .dvc files by which DVC holds what no stage makes: whether DVC sees them, and what it doesn't hold.

DVC leaves out what git ignores, and reads .gitignore with a matcher of its own: of `data/raw/*` it takes that
data/raw/ is ignored itself, whatever is excepted after it. A .dvc file there is one that DVC never looks at: it doesn't
push what that holds, deletes it at `dvc checkout`, and drops the last copy at `dvc gc`.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sofgan.errors import UserError

AT_RISK = "`dvc push` leaves out what it holds, `dvc checkout` and `dvc gc` delete it"
MEND = "have .gitignore and .dvcignore as the project has them, or write `folder/?*` there in place of `folder/*`"


class DvcFileError(UserError, ValueError):
    """DVC can't read the project, or one of its files."""


def dvc_file(path: Path) -> Path:
    """The .dvc file by which DVC holds a file or folder that no stage makes."""
    return path.with_name(f"{path.name}.dvc")


def why_unseen(root: Path, file: Path) -> str:
    """Why DVC doesn't see a .dvc file, which need not be there yet; "" if it does.

    Args:
        root: the project's folder.
        file: its path from there.

    Raises:
        DvcFileError: there is no DVC project.
    """
    root = root.resolve()
    with _repo(root) as repo:
        return _why_unseen(repo, root / file)


def addable(root: Path, path: Path) -> Path | None:
    """Path for `dvc add` so that DVC holds a file or folder: itself, or the nearest folder above it whose .dvc file
    DVC would see; None if there is none.

    Raises:
        DvcFileError: there is no DVC project.
    """
    root = root.resolve()
    with _repo(root) as repo:
        folders = [path, *path.parents][:-1]
        return next((folder for folder in folders if not _why_unseen(repo, root / dvc_file(folder))), None)


def unseen(root: Path) -> dict[Path, str]:
    """The .dvc files of a project that DVC doesn't see, from its folder, and why.

    Raises:
        DvcFileError: dvc.yaml or a .dvc file can't be read.
    """
    root = root.resolve()
    with _repo(root) as repo:
        seen = {Path(stage.path) for stage in repo.index.stages}
        made = {Path(out.fs_path) for out in repo.index.outs}
        lost = [file for file in _dvc_files(root, made) if file not in seen]
        return {
            file.relative_to(root): _why_unseen(repo, file) or "DVC doesn't say why" for file in sorted(lost)
        }


def not_held(root: Path, paths: Iterable[Path]) -> list[Path]:
    """Files and folders, of those given, that neither a .dvc file holds nor a stage makes.

    Raises:
        DvcFileError: dvc.yaml or a .dvc file can't be read.
    """
    root = root.resolve()
    with _repo(root) as repo:
        held = {Path(out.fs_path) for out in repo.index.outs}
    return [path for path in paths if held.isdisjoint([root / path, *(root / path).parents])]


@contextmanager
def _repo(root: Path) -> Iterator:
    from dvc.exceptions import DvcException  # A second, for this alone.
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            yield repo
    except DvcException as error:
        raise DvcFileError(f"DVC can't read the project: {error}") from error


def _why_unseen(repo, file: Path) -> str:
    """The outermost folder above the file, or the file itself, that is left out, and by what."""
    root = Path(repo.root_dir)
    for path in [*reversed(file.relative_to(root).parents), file.relative_to(root)][1:]:
        is_folder = root / path != file
        shown = f"{path.as_posix()}/" if is_folder else path.as_posix()
        if repo.scm.is_ignored(f"{root / path}{os.sep if is_folder else ''}"):
            return f"by git's ignore files, as DVC reads them, {shown} is left out"
        dvcignore = repo.dvcignore
        if (dvcignore.is_ignored_dir if is_folder else dvcignore.is_ignored_file)(str(root / path)):
            return f"by .dvcignore {shown} is left out"
    return ""


def _dvc_files(root: Path, made: set[Path]) -> Iterable[Path]:
    """All .dvc files but those in hidden folders and in what DVC holds, which are data."""
    for where, folders, files in os.walk(root):
        folder = Path(where)
        kept = {name.removesuffix(".dvc") for name in files if name.endswith(".dvc")}
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and name not in kept and folder / name not in made
        ]
        yield from (folder / name for name in files if name.endswith(".dvc") and name != ".dvc")
