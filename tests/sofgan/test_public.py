"""The public names of `sofgan`: each is there, and none of it is loaded before it is asked for."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import sofgan

ROOT = Path(__file__).parents[2]


def loaded_by(statement: str) -> set[str]:
    """Modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_loads_no_other_module_of_the_library_and_no_heavy_package():
    loaded = loaded_by("import sofgan; dir(sofgan)")
    assert {name for name in loaded if name.startswith("sofgan")} == {"sofgan"}
    assert not loaded & {"torch", "torchvision", "pyrender", "OpenGL", "trimesh", "numpy", "PIL", "scipy"}


def test_a_name_loads_what_it_needs_and_no_more():
    loaded = loaded_by("from sofgan import NAMES, orbit; assert NAMES[0] == 'background'")
    assert "sofgan.labels" in loaded and "torch" not in loaded and "sofgan.sof" not in loaded


@pytest.mark.parametrize("name", sofgan.__all__)
def test_a_public_name_is_what_its_module_defines(name):
    value = getattr(sofgan, name)
    home = importlib.import_module(sofgan._HOMES[name])
    assert value is getattr(home, name)
    # Defined there, not brought along by an import; constants don't tell.
    assert getattr(value, "__module__", home.__name__) == home.__name__
    assert name in dir(sofgan)


def test_names_are_no_modules_and_others_are_refused():
    folder = Path(sofgan.__file__).parent
    assert not {path.stem for path in folder.iterdir()} & set(sofgan.__all__)
    with pytest.raises(AttributeError, match="module 'sofgan' has no attribute 'load_soft'"):
        sofgan.load_soft  # noqa: B018


def test_all_public_names_come_by_a_star():
    names: dict = {}
    exec("from sofgan import *", names)
    assert set(sofgan.__all__) <= set(names)


def test_modules_of_this_repository_import_from_where_a_name_is_defined():
    taken = [
        (path.relative_to(ROOT).as_posix(), alias.name)
        for package in ("sofgan", "stages", "pipelines")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "sofgan"
        for alias in node.names
        if alias.name in sofgan.__all__
    ]
    assert taken == []
