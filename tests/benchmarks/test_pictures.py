"""Pictures of the documentation: curves are drawn where their points are, the demo's are copied and cut."""

import numpy as np
import pytest
from PIL import Image

from docs.pictures import demo, sof_curves
from sofgan.errors import MissingInput


def test_curves_are_read_by_preset(tmp_path):
    file = tmp_path / "curves.csv"
    file.write_text("preset,seconds,step,miou\nquick,1,5,0.25\nquick,4,20,0.5\ndefault,2,1,0.125\n")
    assert sof_curves.read_curves(file) == {"quick": [(1.0, 0.25), (4.0, 0.5)], "default": [(2.0, 0.125)]}


def test_a_curve_rises_to_the_right_in_its_colour():
    picture = sof_curves.picture({"quick": [(1.0, 0.2), (4.0, 0.4), (16.0, 0.8)]}, "title").astype(int)
    rows, columns = np.nonzero(np.abs(picture - sof_curves.COLORS["quick"]).sum(-1) < 30)
    plot = columns <= columns.min() + 560  # without the name at its end
    first, last = columns[plot].argmin(), columns[plot].argmax()
    # By powers of two of the seconds and by mIoU, each step of which is as wide as the other: 1 to 16, 0.2 to 0.8.
    middle = np.abs(columns[plot] - (columns[plot].min() + columns[plot].max()) / 2).argmin()
    heights = [rows[plot][at] for at in (first, middle, last)]
    assert (heights[0] - heights[1]) / (heights[1] - heights[2]) == pytest.approx(0.5, abs=0.05)


def test_the_demos_pictures_are_copied_and_cut(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    large = rng.integers(0, 256, (800, 1000, 3), dtype=np.uint8)
    for _, source, _ in demo.PICTURES:
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(large).save(tmp_path / source)
    Image.fromarray(large).save(tmp_path / "sheet.png")
    demo.main(demo.parser().parse_args(["--out", "out", "--sheet", "sheet.png"]))
    assert (tmp_path / "out/samples.png").read_bytes() == (tmp_path / "data/evaluation/grid.png").read_bytes()
    for name, (width, height) in (("views", (960, 480)), ("scan_labels", (960, 768))):
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"out/{name}.png")), large[:height, :width])
    assert capsys.readouterr().out.split() == [
        f"out/{name}.png" for name in ("samples", "turntable", "inversion", "views", "scan_labels")
    ]


def test_nothing_is_written_where_a_picture_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingInput, match="data/evaluation/grid.png"):
        demo.main(demo.parser().parse_args(["--out", "out"]))
    assert not (tmp_path / "out").exists()
