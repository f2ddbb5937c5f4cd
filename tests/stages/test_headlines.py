"""The figures that people see first: one list for cards, table and Prefect, few names for DVC, within a terminal."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines import metrics
from sofgan.files import write_json
from stages import evaluate, invert_masks, train_parser, train_siw, train_sof
from stages.reporting.headlines import FILES, HEADLINES, read_figures, rows, text_of

ROOT = Path(__file__).parents[2]
STAGES = {
    "train_parser": train_parser,
    "train_sof": train_sof,
    "invert_masks": invert_masks,
    "train_siw": train_siw,
}
COLUMNS = 100


def figures() -> dict[str, dict]:
    """All stages' figures, with numbers as wide as they come."""
    return {
        "make_avatars/a": {"scans": 40.0, "hat/none": 0.8},
        "make_avatars/b": {"scans": 8.0},
        "make_portraits": {"ffhq_photos": 500, "ffhq_identities": 125},
        "ingest_scans": {"scans_usable": 96.0, "scans_rejected": 2.0},
        "render_views": {"views": 123456.0, "scans": 96.0},
        "import_photos": {"ffhq_photos": 70000, "ffhq_left_out": 3, "celebamask_photos": 30000},
        "train_parser": {"held_out_miou": 0.6900141987, "held_out_photos": 41},
        "parse_faces": {"photos": 500},
        "train_sof": {"held_out_miou": 0.85603786, "held_out_views": 352, "new_head_miou": 0.58, "new_heads": 8},
        "invert_masks": {"input_miou": 0.78302898, "maps": 32},
        "train_siw": {"kimg": 25000.0},
        "evaluation": {
            "held_out_view_miou": 0.82468875, "held_out_views": 96, "control_miou": 0.63486103,
            "control_pictures": 700, "control_miou_frequent": 0.742, "control_classes_frequent": 7,
            "fd_lite0": 1313.20057498, "fd_lite0_floor": 311.9, "n_a_side": 300,
        },
    }  # fmt: skip


def of(found: list, title: str):
    (row,) = [row for row in found if row.title == title]
    return row


def test_each_figure_has_its_n_its_floor_and_what_it_is():
    found = rows(figures())
    assert of(found, "Avatars").text == "48"  # of both batches
    assert (of(found, "Scans").text, of(found, "Scans").count) == ("96", "2 left out")
    assert of(found, "Field, mIoU").text == "0.856" and of(found, "Field, mIoU").count == "352 views"
    assert of(found, "Field after round 2").count == "96 views"
    assert of(found, "Control, mIoU").count == "700 pictures"
    frequent = of(found, "Control, frequent classes")
    assert (frequent.text, frequent.count, frequent.short) == ("0.742", "7 classes", "")  # Not in dvc's few.
    distance = of(found, "Portraits, fd_lite0")
    assert (distance.text, distance.count, distance.short) == ("1,313", "300 a side", "fd_lite0")
    assert "floor 312: as many real photos" in distance.note and distance.note.endswith("lower is better")
    assert of(found, "Photos with masks").count == "not given"
    assert not [row for row in found if row.title == "Portraits and masks"]  # Not made, and not needed.
    inception = figures()
    inception["evaluation"]["fid"] = 9.25
    assert of(rows(inception), "Portraits, fid").text == "9.2"
    assert [text_of(value) for value in (0.0, 0.81234, 8.54, 0.9999, 1.0, 312.4, 96000)] == [
        "0", "0.812", "8.5", "1.000", "1", "312", "96,000",
    ]  # fmt: skip


def test_what_did_not_run_or_was_not_measured_is_said():
    part = figures()
    del part["train_siw"], part["make_avatars/a"], part["make_avatars/b"]
    part["train_parser"]["held_out_miou"] = None
    del part["train_sof"]["new_head_miou"]
    found = rows(part)
    assert of(found, "Painter, kimg").note == "the stage train_siw has not run yet"
    assert of(found, "Face parser, mIoU").note == "not measured: held_out_miou of the stage train_parser"
    titles = [row.title for row in found]
    assert (
        "Avatars" not in titles and "New heads, mIoU" not in titles
    )  # Whoever has scans of their own makes none.
    evaluations = {row.note for row in rows({}) if row.headline.stage == "evaluate"}
    assert evaluations == {"the stage evaluate has not run yet"}  # By the name of dvc.yaml, not of its file.


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_the_table_is_within_the_terminal_and_has_every_word(columns):
    found = rows(figures())
    text = metrics.table(found, columns)
    lines = text.splitlines()
    assert max(map(len, lines)) <= columns
    assert ("in dvc" in lines[0]) == (columns >= 100)
    for row in found:
        (line,) = [line for line in lines if line.startswith(f"{row.title}  ")]
        assert f" {row.text} " in line and row.count in line
    words = " ".join(text.split())
    assert "field against rendered truth, views never trained on" in words or columns < 120


def test_the_command_is_readable_in_a_pipe_and_in_a_narrow_terminal(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {}")
    for name, values in figures().items():
        write_json(tmp_path / f"metrics/all/{name}.json", values)
    assert read_figures(tmp_path) == figures()

    def printed(**environment) -> str:
        command = [sys.executable, "-m", "pipelines", "metrics"]
        environment = {"PYTHONPATH": str(ROOT), "PATH": "", **environment}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout

    # Figures without anything that they could be of are those of git.
    assert printed().startswith(metrics.table(rows(figures()), 100)) and "came with git" in printed()
    (tmp_path / "models").mkdir()
    (tmp_path / "models/siw.pt").touch()
    assert printed() == metrics.table(rows(figures()), 100)
    assert printed(COLUMNS="60") == metrics.table(rows(figures()), 80)


def test_a_terminal_without_dashes_gets_ascii(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert metrics.run() == 1 and "no dvc.yaml" in capsys.readouterr().err
    (tmp_path / "dvc.yaml").write_text("stages: {}")
    written = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", written)
    assert metrics.run() == 0
    written.flush()
    text = written.buffer.getvalue().decode("ascii")
    assert "Scans" in text and " - " in text and "ingest_scans has not run yet" in text


def few_figures() -> dict[str, dict[str, float]]:
    """By file under metrics/, what the stages write there for DVC."""
    named = {stage: module.HEADLINE for stage, module in STAGES.items()}
    named["evaluate"] = evaluate.headline(figures()["evaluation"])
    return {
        f"metrics/{FILES.get(stage, stage)}.json": {
            short: figures()[FILES.get(stage, stage)][key] for short, key in names.items()
        }
        for stage, names in named.items()
    }


def test_dvc_has_the_figures_of_the_list_by_their_short_names():
    listed = {}
    for row in rows(figures()):
        if row.short:
            listed.setdefault(f"metrics/{row.headline.file}.json", {})[row.short] = row.value
    assert few_figures() == listed
    assert evaluate.headline({"fid": 1.0, "fd_lite0": 2.0}) == {"control": "control_miou", "fid": "fid"}
    assert evaluate.headline({"fd_parser": 2.0})["fd_parser"] == "fd_parser"
    names = [name for values in few_figures().values() for name in values]
    assert len(names) == len(set(names))  # Else `dvc exp show` puts the file's path before each.
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    kept = {path for stage in stages.values() for item in stage.get("metrics", []) for path in item}
    # Of those, one a competitor that params.yaml lists; none by default.
    assert kept - {"metrics/train_baseline/${item.method}.json"} == few_figures().keys()
    outs = {
        path
        for stage in stages.values()
        for item in stage.get("plots", [])
        if isinstance(item, dict)
        for path in item
    }
    assert outs >= {
        f"metrics/all/{headline.file}.json" for headline in HEADLINES if headline.stage != "make_avatars"
    }


def test_dvc_shows_and_compares_them_within_a_terminal(capsys):
    from dvc.compare import show_diff, show_metrics

    few = few_figures()
    show_metrics(
        {"": {"data": {path: {"data": values} for path, values in few.items()}}},
        precision=5,
        round_digits=True,
    )
    shown = capsys.readouterr().out
    assert all(name in shown for values in few.values() for name in values)
    assert max(map(len, shown.splitlines())) <= COLUMNS, shown
    change = {
        path: {
            name: {"old": value, "new": 0.9 * value, "diff": -0.1 * value} for name, value in values.items()
        }
        for path, values in few.items()
    }
    show_diff(change, title="Metric", precision=5, round_digits=True)
    shown = capsys.readouterr().out
    assert "1313.20057" in shown and max(map(len, shown.splitlines())) <= COLUMNS, shown
