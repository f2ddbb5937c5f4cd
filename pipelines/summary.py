"""Summary that a flow leaves: stages, metrics, where the rest is."""

import csv
import json
from collections.abc import Collection
from pathlib import Path

from pipelines.batches import SCORES
from pipelines.dvc_stages import Outcome
from sofgan.files import FIGURES
from stages import paths
from stages.batch_metrics import STAGES as BATCH_STAGES
from stages.paths import METRICS
from stages.reporting.headlines import read_figures, rows


def summary(
    root: Path, outcomes: list[Outcome], run_name: str, uri: str, metrics: Collection[str] | None = None
) -> str:
    """Markdown: a table of stages, one of the headline figures of the stages `metrics` (None: of all), where report and
    run are."""
    lines = ["## Stages", "", "| stage | | seconds |", "| --- | --- | ---: |"]
    lines += [f"| {outcome.stage} | {outcome.what} | {outcome.seconds:.1f} |" for outcome in outcomes]
    shown = [
        row
        for row in rows(read_figures(root))
        if row.value is not None and (metrics is None or row.headline.stage in metrics)
    ]
    if shown:
        lines += [
            "",
            "## Metrics",
            "",
            "| stage | what | figure | N | is |",
            "| --- | --- | ---: | --- | --- |",
        ]
        lines += [
            f"| {row.headline.stage} | {row.title} | {row.text} | {row.count} | {row.note} |" for row in shown
        ]
    report = root / "report" / "index.html"
    lines += ["", "## Where", "", f"- report: {report}" if report.is_file() else "- no report yet"]
    ran = any(outcome.what != "cached" for outcome in outcomes)
    lines += [
        f"- MLflow: run `{run_name}` at `{uri}`" if ran else "- MLflow: no stage ran, so there is no new run"
    ]
    return "\n".join(lines) + "\n"


def batch_tables(root: Path, batch: str) -> str:
    """Markdown: the batch's scans that look odd, and why, and its figures, as far as its stages got."""
    files = {stage: root / folder / batch / FIGURES for stage, (folder, _) in BATCH_STAGES.items()}
    files["score_batch"] = root / SCORES / f"{batch}.json"
    figures = [row for stage, file in files.items() if file.is_file() for row in _rows(stage, file)]
    head = [f"## Batch {batch}", "", "| stage | figure | value |", "| --- | --- | ---: |"]
    return _oddities(root, batch) + ("\n".join([*head, *figures, ""]) + "\n" if figures else "")


def _rows(stage: str, file: Path) -> list[str]:
    return [f"| {stage} | {key} | {_text(value)} |" for key, value in json.loads(file.read_text()).items()]


def _oddities(root: Path, batch: str) -> str:
    path = root / paths.ODDITIES / f"{batch}.csv"
    if not path.is_file():
        return ""
    with open(path, newline="") as file:
        scans = list(csv.DictReader(file))
    odd = [row for row in scans if row["plausible"] == "False"]
    lines = [f"## {len(odd)} of {len(scans)} scans of {batch} look odd", ""]
    if odd:
        lines += ["| scan | p | why |", "| --- | --- | --- |"]
        lines += [f"| {row['scan']} | {row['p_value']} | {row['why']} |" for row in odd] + [""]
    return "\n".join(lines) + "\n"


def experiments_table(root: Path, experiments: dict[str, list[str]]) -> str:
    """Markdown: a row an experiment, what was changed and what the figures in metrics/*.json, if any, came to."""
    import dvc.api  # A second, for this alone.

    shown = {row["Experiment"]: row for row in dvc.api.exp_show(repo=str(root)) if row.get("Experiment")}
    files = [path.relative_to(root).as_posix() for path in sorted((root / METRICS).glob("*.json"))]
    keys = [(file, key) for file in files for key in json.loads((root / file).read_text())]
    titles = ["experiment", "changes", *(key for _, key in keys)]
    lines = [f"| {' | '.join(titles)} |", "| --- " * len(titles) + "|"]
    for name, changes in experiments.items():
        row = shown.get(name)
        values = ["failed"] if row is None else [_text(_found(row, file, key)) for file, key in keys]
        lines.append(f"| {' | '.join([name, ', '.join(changes), *values])} |")
    return "\n".join(lines) + "\n"


def _found(row: dict, file: str, key: str):
    """A metric of an experiment: dvc names its file only where the name alone could mean several."""
    return row.get(f"{file}:{key}", row.get(key))


def _text(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
