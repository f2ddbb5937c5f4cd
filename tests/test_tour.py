"""docs/tour.ipynb: its cells run one after another, with few pictures, on what a project has or has not made."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sofgan.files import write_json
from sofgan.labels import HAIR, SKIN
from sofgan.photos.store import PhotoStoreWriter
from sofgan.views.multiview import Views

CELLS = json.loads(Path(__file__).parents[1].joinpath("docs/tour.ipynb").read_text(encoding="utf-8"))["cells"]
FEW = {"SIZE = 128": "SIZE = 32", "SCORED = 40": "SCORED = 3"}


def run(cells: list, capsys) -> tuple[list, str]:
    """What the cells' last lines are, as Jupyter would show it, and what they print."""
    names, shown = {}, []
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        for usual, few in FEW.items():
            source = source.replace(usual, few)
        *before, last = re.split(r"\n(?=\S)", source)
        exec("\n".join(before), names)
        shown.append(eval(last, names) if not re.match(r"def |\w+ = ", last) else exec(last, names))
    return shown, capsys.readouterr().out


def test_no_outputs_are_kept():
    kept = [
        cell for cell in CELLS if cell["cell_type"] == "code" and (cell["outputs"] or cell["execution_count"])
    ]
    assert kept == []


@pytest.fixture
def made(workdir) -> Path:
    """A project before anything was made."""
    (workdir / "dvc.yaml").write_text("")
    (workdir / "docs").mkdir()
    return workdir


def test_the_tour_runs_on_the_starter(made, monkeypatch, capsys):
    monkeypatch.chdir(made / "docs")  # where Jupyter starts it
    shown, told = run(CELLS, capsys)
    head, views, restyled, morph = (one for one in shown if isinstance(one, Image.Image))
    assert head.size == (384, 192) and {views.size, morph.size, restyled.size} == {(960, 192)}
    assert "Models: the starter model" in told and "No views or photos here yet" in told
    hair, others = map(float, re.search(r"hair ([\d.]+) of 255, of all else ([\d.]+)", told).groups())
    assert hair > 3 * others
    floor, average = map(float, re.search(r"own: ([\d.]+) .*look: ([\d.]+); N: 3", told).groups())
    assert min(floor, average) > 0


def test_the_tour_shows_what_the_pipeline_made(made, capsys):
    labels = np.full((4, 16, 16), SKIN, np.uint8)
    labels[:, :4] = HAIR
    poses = np.tile(np.eye(4, dtype=np.float32), (4, 1, 1))
    views = Views(
        labels, np.ones((4, 16, 16), np.float16), poses, np.eye(3, dtype=np.float32), np.zeros(4, np.uint8)
    )
    views.save(made / "data/views/a/scan.npz")
    photo = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 0, 0)).save(photo, "PNG")
    with PhotoStoreWriter(made / "data/photos/celebamask") as writer:
        writer.add("0", photo.getvalue(), labels[0])
    write_json(made / "metrics/all/evaluation.json", {"fd_lite0": 170.25, "none": None})
    shown, told = run([CELLS[1], CELLS[-1]], capsys)
    picture = np.asarray(shown[-1])
    assert picture.shape == (192, 5 * 192, 3)
    assert tuple(picture[96, 3 * 192 + 96]) == (200, 0, 0)
    assert "data/views/a/scan.npz: 4 views of 16 pixels" in told and "1 photos with label maps" in told
    assert "'fd_lite0': 170.25" in told
