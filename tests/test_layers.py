"""A package imports only from packages above its own in the list, and no modules import each other in a circle."""

import ast
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).parents[1]
# From leaves to who uses them all. Modules that lie in sofgan itself are the first layer.
LAYERS = (
    "sofgan",
    "sofgan.networks",
    "sofgan.scores",
    "sofgan.rendering",
    "sofgan.avatars",
    "sofgan.photos",
    "sofgan.parsing",
    "sofgan.scans",
    "sofgan.views",
    "sofgan.sof",
    "sofgan.siw",
    "sofgan.baselines",
    "sofgan.evaluation",
    "sofgan.starter",
    "sofgan.apps",
    "sofgan.viewer",
    "sofgan.page",
    "sofgan.commands",
    "stages",
    "pipelines",
)
# The library knows nothing of who runs it; what only starts stages needs no torch.
FORBIDDEN = {
    "sofgan": {"stages", "pipelines", "dvc", "mlflow", "prefect"},
    "pipelines": {"torch", "torchvision"},
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path
    for package in ("sofgan", "stages", "pipelines")
    for path in sorted((ROOT / package).rglob("*.py"))
}


def imports(path: Path) -> set[str]:
    """Full names that a module imports, late ones too; of this repository's, the module that a name lies in."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide where a name lies"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.add(full if full in MODULES else node.module)
    return names


def layer(name: str) -> int:
    if name == "sofgan.__main__":  # The door to the commands.
        return LAYERS.index("sofgan.commands")
    package = name.split(".")[0]
    if package == "sofgan" and MODULES[name].parent.name != "sofgan":
        package = ".".join(name.split(".")[:2])
    return LAYERS.index(package)


GRAPH = networkx.DiGraph(
    (name, other) for name, path in MODULES.items() for other in imports(path) if other in MODULES
)


def test_every_package_has_its_layer():
    packages = {path.parent.name for path in (ROOT / "sofgan").glob("*/__init__.py")}
    assert packages <= {name.removeprefix("sofgan.") for name in LAYERS}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_import_runs_upward(name):
    upward = (
        [other for other in GRAPH.successors(name) if layer(other) > layer(name)] if name in GRAPH else []
    )
    assert not upward, f"{name} imports from layers that use it: {upward}"
    packages = {other.split(".")[0] for other in imports(MODULES[name])}
    assert not packages & FORBIDDEN.get(name.split(".")[0], set())


def test_no_circles():
    circles = [sorted(circle) for circle in networkx.strongly_connected_components(GRAPH) if len(circle) > 1]
    assert circles == []


def test_stages_do_not_import_each_other():
    scripts = {
        name
        for name, path in MODULES.items()
        if path.parent == ROOT / "stages" and "enter(main)" in path.read_text()
    }
    assert len(scripts) >= 15
    assert [(name, other) for name, other in GRAPH.edges if name in scripts and other in scripts] == []
