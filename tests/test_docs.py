"""Pages that can be trusted: files, links, stages and commands that they name are there; the README's code runs."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from stages.reporting import graph

ROOT = Path(__file__).parents[1]
FACE = tuple(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md", "docs/README.md"))
PAGES = sorted({*FACE, *ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")})
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
WIDTH = 120  # columns


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, kind: str) -> list[str]:
    """Blocks of code of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.M | re.S)


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def names_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=names_of)
def test_lines_fit(page):
    """Rows of tables and commands can't be broken; on the pages that are met first they are short too."""
    text = page.read_text() if page in FACE else without_code(page.read_text())
    rows = [line for line in text.splitlines() if page in FACE or not line.startswith("|")]
    assert [line for line in rows if len(line) > WIDTH] == []


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_code(page.read_text()), re.M)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=names_of)
def test_links_lead_to_what_is_there(page):
    text = without_code(page.read_text())
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'<img src="([^"]+)"', text)
    for link in links:
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


# As they are written: a path of this repository, down from its root.
PATH = re.compile(r"`((?:sofgan|stages|pipelines|tests|benchmarks|profiles|docs)/[\w./-]+)`")
MODULE = re.compile(r"`((?:sofgan|stages|pipelines)(?:\.\w+)+)`")

TO_COME = {"sofgan/baselines"}  # CONTRIBUTING.md says that it isn't there yet


def tracked() -> set[str]:
    """Files of the repository and the folders that they lie in."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    files = [Path(name) for name in listed.stdout.splitlines()] or [
        path.relative_to(ROOT) for path in ROOT.rglob("*") if ".venv" not in path.parts
    ]
    return {path.as_posix() for file in files for path in (file, *file.parents)}


def defined_in(path: Path) -> set[str]:
    """Names that a module defines at its top level."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
    return names


@pytest.mark.parametrize("page", PAGES, ids=names_of)
def test_files_and_modules_that_a_page_names_are_there(page):
    there = tracked()
    text = page.read_text()
    named = {path.rstrip("/") for path in PATH.findall(text) if "NAME" not in path}
    assert named - there - TO_COME == set()
    for name in MODULE.findall(text):
        *parents, last = name.split(".")
        own, package = "/".join((*parents, last)), "/".join(parents)
        if f"{own}.py" in there or own in there:
            continue
        module = f"{package}.py" if f"{package}.py" in there else f"{package}/__init__.py"
        assert module in there and last in defined_in(ROOT / module), f"{name} is not there"


def test_the_index_has_all_pages():
    listed = re.findall(r"^\| \[([\w/.]+)\]\(\1\) \|", text_of("docs/README.md"), re.M)
    pages = {path.name for kind in ("md", "ipynb") for path in (ROOT / "docs").glob(f"*.{kind}")} - {
        "README.md"
    }
    assert {name for name in listed if "/" not in name} == pages
    assert {"../README.md", "../CONTRIBUTING.md", "../THIRD_PARTY.md", "../data/README.md"} <= set(listed)


def test_pages_that_code_and_profiles_name_are_there():
    there, pages = tracked(), re.compile(r"(?<![\w./-])(?:docs|data|benchmarks)/[\w-]+\.md")
    text = (".py", ".yaml", ".html", ".toml")
    named = {
        page
        for name in there
        if name.endswith(text) and not name.startswith("tests/")
        for page in pages.findall(text_of(name))
    }
    assert {"docs/paper.md", "docs/data.md"} <= named <= there


def test_concepts_lie_where_the_table_says():
    (table,) = re.findall(r"^## 25 concepts.*?\n\n(\|.*?)\n\n", text_of("CONTRIBUTING.md"), re.M | re.S)
    rows = [re.findall(r"`([^`]+)`", row.split("|")[2]) for row in table.splitlines()[2:]]
    assert len(rows) == 25
    for path, *names in rows:
        assert names and set(names) <= defined_in(ROOT / path), path
    assert len({path for path, *_ in rows}) == 25


def test_the_layers_of_the_page_are_those_of_the_test():
    (listed,) = re.findall(r"tests/test_layers.py\): (.*?)\. That", text_of("CONTRIBUTING.md"), re.S)
    (tuple_,) = re.findall(r"^LAYERS = \((.*?)^\)", text_of("tests/test_layers.py"), re.M | re.S)
    packages = re.findall(r'"sofgan\.(\w+)"', tuple_)
    assert re.split(r",\s+", listed) == packages


def drawn() -> tuple[list[str], set[tuple[str, str]]]:
    """Stages and arrows of the README's drawing."""
    (drawing,) = blocks(text_of("README.md"), "mermaid")
    names = re.findall(r'^ +(\w+)[\[(]+"\1: ', drawing, re.M)
    return names, set(re.findall(r"^ +(\w+) --> (\w+)$", drawing, re.M))


def test_the_drawing_has_all_stages_in_their_order_and_what_flows(monkeypatch):
    names, arrows = drawn()
    assert names == list(STAGES)
    project = ROOT / "dvc.yaml", yaml.safe_load(text_of("params.yaml"))
    needed = graph.read_graph(*project)[1]
    monkeypatch.setattr(graph, "_reduced", lambda edges: edges)
    assert needed <= arrows <= graph.read_graph(*project)[1]


def test_stages_are_described_in_their_order():
    (table,) = re.findall(r"^## The stages\n.*?^(\|.*?)\n\n", text_of("docs/running.md"), re.M | re.S)
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == list(STAGES)


def outs() -> set[tuple[str, str]]:
    """(folder under data/, stage that makes it)."""
    return {
        (next(iter(out)) if isinstance(out, dict) else out, name)
        for name, stage in STAGES.items()
        for out in stage.get("outs", [])
        if (next(iter(out)) if isinstance(out, dict) else out).startswith("data/")
    }


@pytest.mark.parametrize(("folder", "stage"), sorted(outs()))
def test_what_stages_make_under_data_is_listed_there(folder, stage):
    rows = re.findall(r"^\| `(data/[^`*<]*)[^`]*` \| `(\w+)` \|", text_of("data/README.md"), re.M)
    assert [path for path, maker in rows if maker == stage and folder.startswith(path.rpartition("/")[0])], (
        rows
    )


def test_public_names_of_the_readme_run(tmp_path, monkeypatch):
    (snippet,) = blocks(text_of("README.md"), "python")
    lines = snippet.strip().splitlines()
    assert len(lines) <= 12
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(snippet, "README.md", "exec"), names)
    assert names["portrait"].shape == (1, 3, 64, 64) and names["portrait"].abs().max() <= 1
    assert (tmp_path / "portrait.png").is_file()


def test_profiles_of_the_readme_are_those_there_are():
    (table,) = re.findall(r"^## Profiles\n.*?^(\|.*?)\n\n", text_of("README.md"), re.M | re.S)
    listed = re.findall(r"^\| `([\w-]+)` \|", table, re.M)
    assert sorted(listed) == sorted(["demo", *(path.stem for path in (ROOT / "profiles").glob("*.yaml"))])


def test_make_help_lists_what_a_user_calls():
    makefile = text_of("Makefile")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.M)
    rules = set(re.findall(r"^(\w+):", makefile, re.M))
    assert set(phony.split()) <= rules
    shown = subprocess.run(["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True)
    listed = re.findall(r"^make (\w+) +\S", shown.stdout, re.M)
    assert shown.returncode == 0 and set(listed) == set(phony.split()) - {"system"}
