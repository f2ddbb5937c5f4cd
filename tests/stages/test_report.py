"""The report: one file, nothing from elsewhere, the same bytes each time, and what is missing is said."""

import html
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from sofgan.files import write_json, write_png
from sofgan.labels import colorize
from sofgan.photos.store import PhotoStoreWriter
from sofgan.siw.model import save_siw
from sofgan.sof.sof import save_sof
from stages.reporting import competitors, curves, graph, headlines, live, pictures, texts
from stages.reporting.page import build
from tests.small_models import small_siw, small_sof

DVC = """
stages:
  make: {matrix: {batch: "${batches}"}, cmd: x, outs: ["data/raw/${item.batch}"]}
  views: {matrix: {batch: "${batches}"}, cmd: x, deps: ["data/raw/${item.batch}"], outs: ["data/views/${item.batch}"]}
  source: {cmd: x, outs: [data/portraits]}
  photos: {cmd: x, deps: ["${photos.folder}"], outs: [data/photos]}
  recipe: {cmd: x, outs: [recipe.json]}
  count: {cmd: x, deps: [data/views], params: [seed, {recipe.json: [digest]}], metrics: [{n.json: {cache: false}}]}
  train: {cmd: x, deps: [data/views, data/photos], outs: [models/sof.pt], plots: [{plots/train.csv: {x: step}}]}
  report: {cmd: x, deps: [data/views, models/sof.pt, n.json], outs: [report]}
"""
PARAMS = "seed: 3\nbatches: [a, b]\nphotos: {folder: data/portraits}\n"


def labels(size: int, seed: int = 0) -> np.ndarray:
    """A round head of skin with hair above, moved by the seed."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    head = (x - 0.03 * (seed % 5 - 2)) ** 2 + y**2 < 0.14
    return np.where(head, np.where(y < -0.15, 15, 1), 0).astype(np.uint8)


@pytest.fixture
def project(tmp_path) -> Path:
    """A project that ran: pictures, stores, metrics, curves."""
    (tmp_path / "dvc.yaml").write_text(DVC)
    (tmp_path / "params.yaml").write_text(PARAMS)
    sheet = np.concatenate([colorize(labels(64, i)) for i in range(8)], 1)
    for batch in ("a", "b"):
        write_png(tmp_path / f"data/views/{batch}/contact_sheet.png", sheet)
    noise = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    parts = ("sof/held_out", "inverted/inversion", "conditions/maps", "siw/samples")
    for path in (*parts, "evaluation/grid", "evaluation/<new>"):
        write_png(tmp_path / f"data/{path}.png", np.concatenate([sheet[:, :128], noise]))
    frames = [Image.fromarray(np.roll(noise, 4 * i, 1)) for i in range(4)]
    frames += frames[-2:0:-1]
    frames[0].save(
        tmp_path / "data/evaluation/turntable.gif", save_all=True, append_images=frames[1:], loop=0
    )
    for folder, with_photo in (("photos/ffhq", True), ("labels/ffhq", False), ("photos/celebamask", True)):
        with PhotoStoreWriter(tmp_path / "data" / folder) as writer:
            for i in range(5):
                buffer = io.BytesIO()
                Image.fromarray(colorize(labels(48, i))).save(buffer, "PNG")
                photo = buffer.getvalue() if with_photo else None
                masks = None if folder == "photos/ffhq" else labels(48, i)
                writer.add(f"{i:05d}", photo, masks)
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots/classes_classes.csv").write_text("class,iou\nskin,0.91\nhair,\n")
    evaluation = {
        "held_out_view_iou_hair": 0.5,
        "held_out_view_iou_hat": None,
        "held_out_view_miou": 0.7891,
        "fd_lite0": 170.25,
        "fd_lite0_floor": 72.0,
        "n_a_side": 500,
    }
    write_json(tmp_path / "metrics/all/evaluation.json", evaluation)
    write_json(tmp_path / "metrics/all/render_views/a.json", {"odd <key>": None, "views": 20})
    write_json(tmp_path / "metrics/all/classes.json", {"iou_skin": 0.91})  # As in plots/classes_classes.csv.
    rows = [f"{step},{1 / (step + 1)},{step * 0.01}," for step in range(1000)]
    (tmp_path / "plots/train.csv").write_text("\n".join(["step,loss,held_out_miou,odd", *rows]))
    return tmp_path


def test_page_is_whole_and_stands_alone(project):
    text = build(project, "A <title>", 1600, ["a", "b"])
    assert "A &lt;title&gt;" in text and "<title>A <title>" not in text
    (navigation,) = re.findall(r"\nnav \{([^}]*)\}", text)
    assert "flex-wrap: wrap" in navigation and "overflow" not in navigation  # No link is cut off.
    cards = text[text.index('<div class="cards">') : text.index("<section")]
    assert "0.789" in cards and "floor 72" in cards and "N: 500 a side" in cards
    assert "views" in text and "Label views" not in cards  # What was only counted is no score.
    assert "odd &lt;key&gt;" in text
    assert text.count("<img") == 2 + 2 + 1 + 1 + 1 + 1 + 2 and 'data-frames="4"' in text
    assert "evaluation/&lt;new&gt;.png" in text  # A picture that nobody described is shown by its name.
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", text)
    assert not re.findall(r"url\((?!data:)|@import|<link", text)
    assert re.findall("Not there: ([^:<]*)", text) == ["heads to be turned"]
    assert "the stage train_parser has not run yet" in text
    assert (
        ">0.91<" in text
        and "evaluation: held_out_view_iou" in text
        and text.count('svg class="curve bars"') == 2
    )
    assert text == build(project, "A <title>", 1600, ["a", "b"])


def test_what_is_missing_is_said(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMS)
    text = build(tmp_path, "Empty", 1600, ["a", "b", "c", "d"])
    for missing in (
        "turntable.gif",
        "data/views/a/contact_sheet.png",
        "data/photos/ffhq",
        "data/sof",
        "dvc.yaml",
    ):
        assert re.search(rf"Not there: [^<]*{missing}", text), missing
    assert "Not there: CSV files" in text and "Not there: JSON files" in text
    assert "1 more batches in use: d." in text


def test_competitors_stand_beside_this_runs_painter(project):
    assert "competitors" not in build(project, "None", 1600, ["a"])
    distances = {"fd_lite0": 419.0, "fd_lite0_low": 374.0, "fd_lite0_high": 464.0, "n_a_side": 156}
    spade = distances | {"control_miou": 0.689}
    write_json(project / "metrics/all/train_baseline/spade.json", spade)
    write_png(project / "data/baselines/spade/samples.png", colorize(labels(32)))
    ours = {
        "fd_lite0": 365.0,
        "fd_lite0_floor": 230.0,
        "control_miou_ffhq": 0.565,
        "control_miou": 0.9,
        "n_a_side": 300,
    }
    figures = {"train_baseline/spade": spade, "evaluation": ours}
    # Nothing of ours to stand beside; and one of an earlier state, when params.yaml listed it.
    assert competitors.table({"train_baseline/spade": spade}, ["spade"], "ffhq") is None
    assert competitors.table(figures, [], "ffhq") is None
    turned = figures | {"evaluation": ours | {"control_miou_celebamask": 0.5}}  # learned from the other set
    assert competitors.table(turned, ["spade"], "celebamask").rows[0][-1] == "0.500"
    found = competitors.table(figures, ["spade"], "ffhq")
    assert found.head == ["", "N a side", "fd_lite0", "control"]
    assert found.rows == [
        ["this run's painter", "300", "365", "0.565"],
        ["SPADE (arXiv 1903.07291)", "156", "419 (374 to 464)", "0.689"],
        ["other photos, the floor", "300", "230", ""],
    ]
    assert "competitors" not in build(project, "None", 1600, ["a"])
    (project / "params.yaml").write_text(PARAMS + "baselines: [spade]\n")
    text = build(project, "One", 1600, ["a"])
    section = text[text.index('<section id="competitors">') :]
    section = section[: section.index("</section>")]
    assert "<td>419 (374 to 464)</td>" in section and section.count("<img") == 1
    assert "Not there" not in section and text.count('href="#competitors"') == 1


def test_heads_can_be_turned_in_place_of_the_strip(project, monkeypatch):
    monkeypatch.setattr(live, "HEADS", ("0",))
    strip = build(project, "T", 1600, ["a", "b"])
    assert 'data-frames="4"' in strip and "<iframe" not in strip
    assert re.search("Not there: heads to be turned: models/sof_inverted.pt and models/siw.pt", strip)
    (project / "models").mkdir()
    save_sof(project / "models/sof_inverted.pt", small_sof())
    save_siw(project / "models/siw.pt", small_siw())
    text = build(project, "T", 1600, ["a", "b"])
    (inner,) = re.findall(r'srcdoc="([^"]*)"', text)
    assert "data-frames" not in text.replace(inner, "") and "Not there" not in text
    page = html.unescape(inner)
    assert page.startswith("<!doctype html>") and page.count('id="head-') == 1 and "<!--record-->" not in page
    assert text == build(project, "T", 1600, ["a", "b"])
    save_siw(project / "models/siw.pt", small_siw(mixing="output"))
    text = build(project, "T", 1600, ["a", "b"])
    assert 'data-frames="4"' in text and "<iframe" not in text
    assert "left out: the page can&#39;t paint as this generator does: its mixing is output" in text


def test_graph_has_no_edge_that_a_longer_way_implies(project):
    names, edges, items = graph.read_graph(
        project / "dvc.yaml", {"batches": ["a", "b"], "photos": {"folder": "data/portraits"}}
    )
    assert edges == {
        ("make", "views"),
        ("views", "train"),
        ("views", "count"),
        ("recipe", "count"),
        ("count", "report"),
        ("source", "photos"),
        ("photos", "train"),
        ("train", "report"),
    }
    assert items == {"make": 2, "views": 2}
    svg = graph.draw(names, edges, items)
    assert svg.count("<rect") == 8 and svg.count("<path") == 8 and "views ×2" in svg


def test_boxes_of_the_projects_own_graph_do_not_overlap_and_lead_somewhere():
    root = Path(__file__).parents[2]
    names, edges, items = graph.read_graph(
        root / "dvc.yaml", yaml.safe_load((root / "params.yaml").read_text())
    )
    assert {maker for maker, _ in edges} == set(names) - {"report"}
    assert ("train_baseline", "report") in edges and items["train_baseline"] == 0
    svg = graph.draw(names, edges, items)
    assert "train_baseline: none" in svg and "render_views</text>" in svg
    boxes = {tuple(map(float, found)) for found in re.findall(r'<rect x="([\d.]+)" y="([\d.]+)"', svg)}
    assert len(boxes) == len(names)
    for x, y in boxes:
        assert not any(x == a and 0 < abs(y - b) < graph.BOX_HEIGHT for a, b in boxes)


def test_few_colours_stay_exact_and_many_become_small():
    exact = colorize(labels(64))
    shown = pictures.inline(Image.fromarray(exact), 1600)
    assert np.array_equal(decode(shown), exact)
    half = pictures.inline(Image.fromarray(exact), 32)
    assert (half["width"], half["height"]) == (32, 32)
    assert {tuple(c) for c in decode(half).reshape(-1, 3)} <= {tuple(c) for c in exact.reshape(-1, 3)}
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert pictures.inline(Image.fromarray(noise), 1600)["src"].startswith("data:image/jpeg")


def decode(shown: dict) -> np.ndarray:
    """The pixels behind a data URI."""
    import base64

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(shown["src"].split(",")[1]))).convert("RGB"))


def test_curves_survive_gaps_and_constants():
    table = {"step": [0.0, 1.0, 2.0], "a": [1.0, float("nan"), 3.0], "b": [2.0, 2.0, 2.0]}
    assert curves.draw(table["step"], table["a"], "step").count("polyline") == 1
    assert "nan" not in curves.draw(table["step"], table["b"], "step")
    assert curves.draw([0.0], [1.0], "step") == ""
    long = curves.draw(list(range(5000)), list(range(5000)), "step")
    assert len(re.search(r'points="([^"]*)"', long)[1].split()) <= curves.MAX_POINTS + 1


def test_headlines_and_definitions_have_words():
    for headline in headlines.HEADLINES:
        assert headline.note and all(texts.definition(key) for key in headline.keys)
    assert "another network" in texts.definition("fd_lite0")
    # Which side painted and real pictures are of is said of each distance.
    assert "held-out" in texts.definition("fid") and "trained on" in texts.definition("fid")
    assert "sampled heads" in texts.definition("fd_lite0_sof_maps")
    assert "at the same N" in texts.definition("fd_lite0_sof_maps_floor")
    assert "held-out maps of the CelebAMask-like set" in texts.definition("kd_lite2_celebamask_maps")
    assert "none of them theirs" in texts.definition("fd_parser_celebamask")
    assert "half" in texts.definition("kid_held_out") and "custom" in texts.definition("fid_repeated")
    assert "The floor of that" in texts.definition("fd_parser_held_out_floor")
    for key in (
        "fd_lite0_low",
        "fd_parser_held_out_floor_high",
        "fid_sof_yaw_25_up_low",
        "fd_maps_unpainted_low",
    ):
        assert "over pictures" in texts.definition(key)
    assert "over heads" in texts.definition("warp_error_20_floor_low")


def test_stage_writes_its_folder_whole(project, monkeypatch):
    from stages import report

    monkeypatch.chdir(project)
    blocks = json.dumps({"report": {"title": "T", "max_image_width_px": 800}})
    (project / "params.yaml").write_text(
        PARAMS.replace("photos: {folder: data/portraits}\n", "") + blocks[1:-1]
    )
    report.main()
    assert [path.name for path in (project / "report").iterdir()] == ["index.html"]
    assert not (project / "metrics/report.json").exists()  # It would change what the report depends on.
