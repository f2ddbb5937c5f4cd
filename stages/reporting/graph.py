"""dvc.yaml as a drawing: boxes of stages, left to right as data flows."""

import html
import re
from pathlib import Path

import yaml

CODE = "code"
BOX_WIDTH, BOX_HEIGHT, COLUMN, ROW = 166, 40, 198, 62


def read_graph(dvc_file: Path, params: dict) -> tuple[list[str], set[tuple[str, str]], dict[str, int]]:
    """Stages in file order, edges (maker, user) that no longer way implies, and how many items a matrix stage has.

    Args:
        dvc_file: dvc.yaml.
        params: params.yaml, for `${...}` in its paths.
    """
    stages = yaml.safe_load(dvc_file.read_text())["stages"]
    stages.pop(CODE, None)  # No data flows from it.
    makes = {name: _paths(stage, ("outs", "metrics", "plots"), params) for name, stage in stages.items()}
    uses = {name: _paths(stage, ("deps", "params"), params) for name, stage in stages.items()}
    edges = {
        (maker, user)
        for user in stages
        for maker in stages
        if maker != user and any(_touch(made, used) for made in makes[maker] for used in uses[user])
    }
    items = {name: _matrix_size(stage, params) for name, stage in stages.items() if "matrix" in stage}
    return list(stages), _reduced(edges), items


def draw(names: list[str], edges: set[tuple[str, str]], items: dict[str, int]) -> str:
    """The graph as an SVG element; colours come from the page's style."""
    depth = {name: _depth(name, edges) for name in names}
    columns = [[name for name in names if depth[name] == column] for column in range(max(depth.values()) + 1)]
    row: dict[str, float] = {}
    for column in columns:
        # Each stage is put as high as what it reads, then pushed apart to its row.
        wish = {
            name: _mean([row[a] for a, b in sorted(edges) if b == name], (len(column) - 1) / 2)
            for name in column
        }
        taken = -1.0
        for name in sorted(column, key=lambda name: (wish[name], names.index(name))):
            row[name] = taken = max(wish[name], taken + 1)
    top = min(row.values())
    row = {name: place - top for name, place in row.items()}
    height = (max(row.values()) + 1) * ROW
    width = (len(columns) - 1) * COLUMN + BOX_WIDTH + 4
    parts = [
        f'<svg class="graph" viewBox="0 0 {width} {height:.0f}" role="img" aria-label="Stages and what they read">'
    ]
    place = {name: (2 + depth[name] * COLUMN, row[name] * ROW + (ROW - BOX_HEIGHT) / 2) for name in names}
    for maker, user in sorted(edges):
        (x0, y0), (x1, y1) = place[maker], place[user]
        x0, y0, y1 = x0 + BOX_WIDTH, y0 + BOX_HEIGHT / 2, y1 + BOX_HEIGHT / 2
        bend = (x1 - x0) / 2
        parts.append(
            f'<path d="M{x0} {y0:.1f}C{x0 + bend:.1f} {y0:.1f} {x1 - bend:.1f} {y1:.1f} {x1} {y1:.1f}"/>'
        )
    for name in names:
        x, y = place[name]
        several = "" if items.get(name, 1) == 1 else f" ×{items[name]}" if items[name] else ": none"
        parts.append(f'<rect x="{x}" y="{y:.1f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="9"/>')
        parts.append(
            f'<text x="{x + BOX_WIDTH / 2}" y="{y + BOX_HEIGHT / 2 + 4.5:.1f}">{html.escape(name + several)}</text>'
        )
    return "".join([*parts, "</svg>"])


def _paths(stage: dict, kinds: tuple[str, ...], params: dict) -> list[str]:
    found = []
    for kind in kinds:
        for item in stage.get(kind, []):
            if kind == "params" and not isinstance(item, dict):
                continue  # A key of params.yaml, not a file.
            path = next(iter(item)) if isinstance(item, dict) else item
            path = re.sub(r"\$\{([\w.]+)\}", lambda match: str(_lookup(params, match[1], match[0])), path)
            found.append(path.split("/${")[0].rstrip("/"))  # Of all items of a matrix: their common folder.
    return found


def _lookup(params: dict, dotted: str, otherwise: str):
    value = params
    for key in dotted.split("."):
        if not isinstance(value, dict) or key not in value:
            return otherwise
        value = value[key]
    return value


def _matrix_size(stage: dict, params: dict) -> int:
    size = 1
    for values in stage["matrix"].values():
        if isinstance(values, str):
            values = _lookup(params, values.strip("${}"), [values])
        size *= len(values)
    return size


def _touch(a: str, b: str) -> bool:
    return a == b or a.startswith(b + "/") or b.startswith(a + "/")


def _reduced(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Without edges that a longer way implies."""
    after: dict[str, set[str]] = {}
    for maker, user in edges:
        after.setdefault(maker, set()).add(user)

    def reach(name: str) -> set[str]:
        found: set[str] = set()
        waiting = list(after.get(name, ()))
        while waiting:
            user = waiting.pop()
            if user not in found:
                found.add(user)
                waiting += after.get(user, ())
        return found

    beyond = {name: set().union(*(reach(user) for user in users)) for name, users in after.items()}
    return {(maker, user) for maker, user in edges if user not in beyond[maker]}


def _depth(name: str, edges: set[tuple[str, str]]) -> int:
    return max((1 + _depth(maker, edges) for maker, user in edges if user == name), default=0)


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
