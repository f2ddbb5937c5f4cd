"""What a flow leaves to read: stages, metrics, where the rest is."""

import json
from pathlib import Path

from pipelines.dvc_stages import Outcome


def summary(root: Path, outcomes: list[Outcome], run_name: str, uri: str) -> str:
    """Markdown: a table of stages, a table of metrics, and where the report and the MLflow run are."""
    lines = ["## Stages", "", "| stage | | seconds |", "| --- | --- | ---: |"]
    lines += [f"| {outcome.stage} | {outcome.what} | {outcome.seconds:.1f} |" for outcome in outcomes]
    rows = [
        f"| {path.relative_to(root / 'metrics').with_suffix('').as_posix()} | {key} | {_text(value)} |"
        for path in sorted((root / "metrics").rglob("*.json"))
        for key, value in json.loads(path.read_text()).items()
    ]
    if rows:
        lines += ["", "## Metrics", "", "| stage | metric | value |", "| --- | --- | ---: |", *rows]
    report = root / "report" / "index.html"
    lines += ["", "## Where", "", f"- report: {report}" if report.is_file() else "- no report yet"]
    ran = any(outcome.what != "cached" for outcome in outcomes)
    lines += [
        f"- MLflow: run `{run_name}` at `{uri}`" if ran else "- MLflow: no stage ran, so there is no new run"
    ]
    return "\n".join(lines) + "\n"


def _text(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
