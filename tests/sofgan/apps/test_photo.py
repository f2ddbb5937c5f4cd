"""A photo's file to an aligned face, and to a head that turns: formats, refusals, remarks, files; faces are drawn."""

import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from sofgan import __main__ as command_line
from sofgan.apps import map_fit, photo, photo_head
from sofgan.apps.engine import Engine, View
from sofgan.apps.results import read_record
from sofgan.apps.style_fit import LEAST_SHARE, fit_look, region_colors
from sofgan.errors import InputError, MissingInput
from sofgan.files import sha256_file
from sofgan.labels import EYE, EYEGLASS, HAIR, L_LIP, R_NOSE, SKIN
from sofgan.labels import resize as resize_labels
from sofgan.siw.model import save_siw
from sofgan.sof.sof import save_sof
from tests.drawn_faces import draw_face
from tests.photo_fits import COLORS, DrawnParser
from tests.small_models import small_siw, small_sof


@pytest.fixture
def read(tmp_path):
    def read(image: Image.Image, name="face.png", **how):
        image.save(tmp_path / name, **how)
        return photo.read_photo(tmp_path / name, DrawnParser())

    return read


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "face.png"
    draw_face(256).save(path)
    return photo.read_photo(path, DrawnParser())


def test_a_face_is_aligned_and_parsed(plain):
    assert plain.pixels.shape == (256, 256, 3) and plain.labels.shape == (128, 128)
    assert {0, HAIR, SKIN, R_NOSE, EYE, L_LIP} <= set(np.unique(plain.labels))
    rows, columns = np.nonzero(plain.labels == EYE)
    assert abs(columns.mean() - 64) < 3 and abs(rows.mean() - 60) < 4
    assert plain.remarks == [] and plain.figures["other_faces"] == 0


def test_every_common_format_shows_the_same_face(read, plain):
    face = draw_face(256)
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = face.convert("RGBA")
    clear.putalpha(Image.new("L", face.size, 255))
    made = {
        "turned by EXIF": read(face.transpose(Image.Transpose.ROTATE_90), "a.jpg", quality=95, exif=turned),
        "CMYK": read(face.convert("CMYK"), "b.jpg", quality=95),
        "alpha": read(clear, "c.png"),
        "WebP": read(face, "d.webp", quality=95),
        "TIFF": read(face, "e.tif"),
        "palette": read(face.quantize(200), "f.gif"),
    }
    for name, found in made.items():
        assert np.abs(found.pixels.astype(int) - plain.pixels).mean() < 4, name
    assert any("EXIF" in remark for remark in made["turned by EXIF"].remarks)


def test_sixteen_bits_of_grey_are_read(read):
    grey = np.asarray(draw_face(256).convert("L")).astype(np.uint16) * 257
    found = read(Image.fromarray(grey))
    assert any("greyscale" in remark for remark in found.remarks)
    assert (found.pixels[..., 0] == found.pixels[..., 1]).all()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.7 and so on", "a PDF document"),
        (b"", "empty file"),
        (b"words that are no picture", "text"),
    ],
)
def test_what_is_no_photo_is_told(tmp_path, content, words):
    path = tmp_path / "file.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as told:
        photo.read_photo(path, DrawnParser())
    assert str(path) in str(told.value)


def test_icons_and_pictures_without_a_face_are_refused(read, tmp_path):
    with pytest.raises(InputError, match="too small: 10x10"):
        read(draw_face(10))
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    with pytest.raises(InputError, match="no face is found"):
        read(Image.fromarray(noise))
    with pytest.raises(MissingInput):
        photo.read_photo(tmp_path / "none.png", DrawnParser())


def test_a_face_that_the_parser_does_not_see_is_refused(read, monkeypatch):
    monkeypatch.setitem(COLORS, (215, 170, 145), 0)
    with pytest.raises(InputError, match="no eyes, nose and mouth of a person"):
        read(draw_face(256))


def test_what_is_unusual_is_remarked_on(read):
    two = draw_face(320, center=(0.3, 0.5), width=0.13)
    two.paste(draw_face(320, width=0.18).crop((85, 60, 235, 250)), (170, 50))
    found = read(two)
    assert "2 faces: the largest is taken" in found.remarks and found.figures["other_faces"] == 1
    edge = read(draw_face(256, center=(0.12, 0.5)))
    assert any("lies beyond the photo" in remark for remark in edge.remarks)


def test_a_very_large_photo_is_read(read, plain):
    found = read(draw_face(256).resize((7100, 7100)), "large.jpg", quality=80)
    assert found.figures["width"] == 7100
    assert found.figures["eyes_px"] == pytest.approx(plain.figures["eyes_px"] * 7100 / 256, rel=0.05)
    assert np.abs(found.pixels.astype(int) - plain.pixels).mean() < 6


@pytest.fixture
def few_steps(monkeypatch):
    few = partial(map_fit.recipe, 2, 2, 2)
    monkeypatch.setattr(map_fit, "recipe", few)
    monkeypatch.setattr(photo_head, "fit_look", partial(fit_look, steps=(2, 1)))
    monkeypatch.setattr(photo, "load_parser", lambda path, device: DrawnParser())


def test_the_report_says_how_like_the_photo_it_is(few_steps, plain):
    head = photo_head.fit_photo(Engine(small_sof(), small_siw()), plain)
    report = head.report
    small = resize_labels(plain.labels, 32)
    assert set(report["map_iou"]) >= {"background", "skin", "hair"}
    shown = np.array(Image.fromarray(plain.pixels).resize((32, 32), Image.Resampling.LANCZOS))
    off = [one[small == HAIR].mean(0) for one in (shown, head.picture)]
    assert report["region_color_distance"]["hair"] == pytest.approx(np.linalg.norm(off[0] - off[1]), abs=0.1)
    unexplained = {name for name, iou in report["map_iou"].items() if iou < 0.5}
    assert set(report["not_explained"]["classes"]) == unexplained
    assert report["map_miou"] < 0.6 and any("little like the photo's" in one for one in report["remarks"])
    film = head.film(4, 30.0)
    assert film.shape == (4, 32, 32, 3) and (film[0] != film[1]).any() and (film[1] != film[3]).any()
    assert np.abs(film[0].astype(int) - head.picture).mean() < 2  # it begins with the photo's view
    assert head.sheet(30.0).shape == (64, 128, 3)


def test_a_head_unlike_the_photo_is_remarked_on():
    def remarks(miou: float, iou: float = 0.3, **missed: float) -> list[str]:
        ious = dict.fromkeys(missed, iou)
        return photo_head._unlike({"map_miou": miou, "map_iou": ious, "not_explained": {"classes": missed}})

    assert remarks(0.6, earring=0.02) == []
    (poor,) = remarks(0.594)
    assert "mean IoU under 0.6" in poor
    (missed,) = remarks(0.8, hair=0.03, earring=0.01, hat=0.2)
    assert missed == "not where the photo has them: hair, hat (IoU under 0.5)"
    assert remarks(0.8, eye=0.004) == [] and "eye (IoU" in remarks(0.8, 0.1, eye=0.004, earring=0.001)[0]


def test_views_that_are_cut_off_are_remarked_on():
    def seen(yaw: float, pitch: float) -> SimpleNamespace:
        return SimpleNamespace(yaw=yaw, pitch=pitch)

    assert photo_head._turned(seen(40, -39)) == []
    assert "at 55 degrees: views go from -40 to 50" in photo_head._turned(seen(0, 55))[0]
    assert "at -45 degrees: views go from -40 to 50" in photo_head._turned(seen(0, -45))[0]
    other, side = photo_head._turned(seen(100, 0))
    assert "a guess" in other and "at 100 degrees: views go from -90 to 90" in side

    def cut_off(yaw: float, pitch: float, turned: float) -> list[str]:
        engine = SimpleNamespace(fitted=seen(yaw, pitch))
        return photo_head.PhotoHead(engine, None, None).cut_off(turned)

    assert cut_off(50, 0, 35) == [] and cut_off(-20, 59, -35) == []
    assert "at 60 degrees: turned by 35 more the film stands still at 90" in cut_off(60, 0, 35)[0]
    assert "65 degrees up or down: the film shows it from 60" in cut_off(0, -65, 35)[0]


def test_the_verb_writes_film_sheet_and_report(few_steps, tmp_path, capsys):
    models, out = tmp_path / "models", tmp_path / "out"
    (models / "parsers").mkdir(parents=True)
    save_sof(models / "sof_inverted.pt", small_sof())
    save_siw(models / "siw.pt", small_siw())
    draw_face(256).save(tmp_path / "me.png")
    words = ["photo", str(tmp_path / "me.png"), "--models", str(models), "-o", str(out), "--frames", "3"]
    assert command_line.main(words) == 1 and "no parser at" in capsys.readouterr().err
    (models / "parsers/photos.pt").write_bytes(b"of drawn faces")
    assert command_line.main(words) == 0
    report = json.loads((out / "report.json").read_text())
    assert 0 < report["map_miou"] <= 1 and report["arguments"]["frames"] == 3
    assert "fov_degrees" in report["camera"] and "yaw_degrees" in report["photo_camera"]
    assert report["arguments"]["photo_sha256"] == [sha256_file(tmp_path / "me.png")]
    assert report["arguments"]["file"] == "me.png" and str(tmp_path) not in (out / "report.json").read_text()
    with Image.open(out / "turned.webp") as film:
        assert film.n_frames == 3
    again = [*words[:5], str(tmp_path / "again"), *words[6:]]
    assert command_line.main(again) == 0
    for name in ("turned.webp", "sheet.png"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()
    record = read_record(out / "sheet.png")
    assert set(record["models"]) == {"sof_inverted.pt", "siw.pt", "parsers/photos.pt"}
    assert command_line.main(["replay", str(out / "sheet.png"), "--models", str(models)]) == 1
    assert "`sofgan photo` makes them again" in capsys.readouterr().err
    (tmp_path / "list.pdf").write_bytes(b"%PDF-1.7")
    assert command_line.main(["photo", str(tmp_path / "list.pdf"), *words[2:]]) == 1
    assert "a PDF document" in capsys.readouterr().err


def test_a_replay_knows_the_photos_of_styles_and_their_parser(few_steps, workdir, capsys, monkeypatch):
    monkeypatch.setattr(photo, "STEPS", 1)
    (workdir / "models/parsers").mkdir(parents=True)
    save_sof("models/sof_inverted.pt", small_sof())
    save_siw("models/siw.pt", small_siw())
    parser = workdir / "models" / photo.PARSER
    parser.write_bytes(b"of drawn faces")
    draw_face(256).save("me.png")
    where = ["--models", "models", "--threads", "1", "--out"]
    words = ["restyle", "--photos", "me.png", "--regions", "hair", "--size", "32", *where, "hair.png"]
    assert command_line.main(words) == 0
    record = read_record("hair.png")
    assert record["arguments"]["photo_sha256"] == [sha256_file("me.png")]
    assert record["models"][photo.PARSER] == sha256_file(parser)
    replay = ["replay", "hair.png", *where, "again.png"]
    assert command_line.main(replay) == 0 and sha256_file("again.png") == sha256_file("hair.png")
    draw_face(256, width=0.21).save("me.png")
    assert command_line.main(replay) == 1 and "another photo than that of the file" in capsys.readouterr().err
    parser.write_bytes(b"of other faces")
    assert command_line.main(replay) == 1 and f"another {photo.PARSER!r}" in capsys.readouterr().err
    parser.unlink()
    assert command_line.main(replay) == 1 and "no parser at" in capsys.readouterr().err


def test_a_region_that_the_photo_does_not_show_is_told(few_steps, workdir, capsys, monkeypatch):
    monkeypatch.setattr(photo, "STEPS", 1)
    (workdir / "models/parsers").mkdir(parents=True)
    save_sof("models/sof_inverted.pt", small_sof())
    save_siw("models/siw.pt", small_siw())
    (workdir / "models" / photo.PARSER).write_bytes(b"of drawn faces")
    draw_face(256).save("me.png")
    monkeypatch.setattr(Engine, "view", lambda *_: View(np.full((32, 32), EYEGLASS, np.uint8), None))
    words = ["restyle", "--photos", "me.png", "--regions", "eyeglass", "skin", "--models", "models"]
    assert command_line.main(words) == 0
    assert capsys.readouterr().out.splitlines() == [
        "note: the head shows no skin from here, so nothing of that changes",
        "note: me.png shows no eyeglass: that style is a guess",
        "restyled.png",
        "columns: the photo, the look itself, eyeglass, skin, all regions",
    ]


def test_a_region_takes_the_style_of_a_photo(few_steps, tmp_path):
    models, out = tmp_path / "models", tmp_path / "hair.png"
    (models / "parsers").mkdir(parents=True)
    save_sof(models / "sof_inverted.pt", small_sof())
    save_siw(models / "siw.pt", small_siw())
    (models / "parsers/photos.pt").write_bytes(b"of drawn faces")
    draw_face(256).save(tmp_path / "me.png")
    words = [
        "restyle",
        "--regions",
        "hair",
        "background",
        "--photo",
        str(tmp_path / "me.png"),
        "--models",
        str(models),
    ]
    assert command_line.main([*words, "--size", "32", "-o", str(out)]) == 0
    grid = np.asarray(Image.open(out)).astype(int)
    assert grid.shape == (
        32,
        160,
        3,
    )  # the photo, the look itself, its hair and background restyled, all restyled
    assert (grid[:, :32] == photo.read_photo(tmp_path / "me.png", DrawnParser()).shown(32)).all()
    grid = grid[:, 32:]
    plain, hair, back, whole = grid.reshape(32, 4, 32, 3).swapaxes(0, 1)
    engine = Engine.load(models)
    labels = engine.view(engine.head("0"), engine.camera(0, 0, 32)).labels
    changed = np.abs(hair - plain).sum(2) > 0
    assert changed[labels == HAIR].mean() > 0.5 and (whole != hair).any()
    look = photo.photo_look(engine, photo.read_photo(tmp_path / "me.png", DrawnParser()))
    assert (np.abs(engine.paint(labels, look) - whole) <= 1).all()
    own = engine.look(0, 0.7)
    assert (labels == HAIR).mean() < LEAST_SHARE  # too little to settle a style on
    assert (np.abs(engine.paint(labels, own.restyled("hair", look)) - hair) <= 1).all()
    aligned = photo.read_photo(tmp_path / "me.png", DrawnParser())
    wanted = region_colors(aligned.shown(32), resize_labels(aligned.labels, 32))["background"]
    found = (back, engine.paint(labels, own.restyled("background", look)))
    off = [np.linalg.norm(region_colors(one, labels)["background"] - wanted) for one in found]
    assert off[0] < off[1] - 1
