"""Verbs on tiny models: what they write, that a replay writes the same bytes, and what they refuse."""

import argparse
import errno
import importlib
import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image, ImageSequence, PngImagePlugin

from sofgan import cameras
from sofgan.__main__ import main
from sofgan.apps import camera_paths, edit, results
from sofgan.apps.edited_heads import MARK
from sofgan.apps.engine import Engine, View
from sofgan.apps.results import Film, encode, read_record
from sofgan.commands import VERBS, common
from sofgan.errors import InputError
from sofgan.files import sha256_file
from sofgan.labels import HAIR, PALETTE, SKIN
from sofgan.siw.config import GeneratorConfig
from sofgan.siw.generator import Generator
from sofgan.siw.model import Siw, save_siw
from sofgan.siw.portrait_camera import Framing
from sofgan.sof.config import FieldConfig, MarcherConfig, SofConfig
from sofgan.sof.model import new_model
from sofgan.sof.sof import Sof, save_sof

ROOT = Path(__file__).parents[3]
# Arguments of each verb and the file that they make.
RUNS = {
    "generate": (["--heads", "2", "--looks", "3", "--maps", "--size", "16"], "heads.png"),
    "orbit": (["--frames", "4", "--looks", "0", "1", "--map", "--size", "16"], "orbit.webp"),
    "morph": (["--heads", "1", "b", "--looks", "3", "--frames", "2", "--size", "16"], "morph.gif"),
    "restyle": (["--others", "1", "--regions", "hair", "skin+lips", "--size", "16"], "restyled.png"),
    "mesh": (["--cells", "16"], "head.glb"),
    "volume": (["--size", "16"], "volume.png"),
    "page": (["--heads", "1", "b", "--looks", "2", "--size", "16", "--title", "</script>"], "page.html"),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    field = FieldConfig(
        code_size=16, channels=4, base_size=16, basis_size=8, basis=8, local_basis=0, warp_size=0,
        decoder_hidden=8, background_bias=0.0,
    )  # fmt: skip
    model = new_model(SofConfig(field, MarcherConfig()), 3, 1.0, seed=0)
    with torch.no_grad():
        for parameter in (model.field.base, model.field.basis):
            parameter.mul_(30)
    poses = torch.from_numpy(cameras.orbit(np.zeros(1), 0.0, 4.0)).float()
    intrinsics = torch.from_numpy(cameras.intrinsics_from_fov(29.0)).float()
    save_sof(folder / "sof_inverted.pt", Sof(model, ["a", "b", "c"], [1, 1, 2], {}, poses, intrinsics))
    torch.manual_seed(0)
    config = GeneratorConfig(
        resolution=16, label_size=16, start_size=4, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128,
        channel_max=8, encoder_channels=(6, 8), spade_sizes=(8, 16), spade_hidden=4, spade_max_size=8,
    )  # fmt: skip
    save_siw(folder / "siw.pt", Siw(Generator(config).requires_grad_(False), "cpu", Framing(29.0, 0.0, 4.0)))
    return folder


def run(verb: str, models: Path, out: Path, *more: str) -> int:
    return main([verb, "--models", str(models), "--threads", "1", "--out", str(out), *more])


@pytest.mark.parametrize("verb", RUNS)
def test_a_replay_writes_the_same_bytes(verb, models, workdir):
    arguments, name = RUNS[verb]
    out = workdir / name
    assert run(verb, models, out, *arguments) == 0
    record = read_record(out)
    assert record["verb"] == verb and set(record["camera"]) == {"fov_degrees", "target_y", "distance"}
    assert record["models"] == {path.name: sha256_file(path) for path in models.iterdir()}
    assert run("replay", models, workdir / f"again{out.suffix}", str(out)) == 0
    assert (workdir / f"again{out.suffix}").read_bytes() == out.read_bytes()


def test_sizes_and_frames_are_as_asked(models, workdir):
    for verb, (arguments, name) in RUNS.items():
        assert run(verb, models, workdir / name, *arguments) == 0
    assert Image.open("heads.png").size == (4 * 16, 2 * 16)
    assert Image.open("restyled.png").size == (4 * 16, 16)
    film = Image.open("orbit.webp")
    assert film.n_frames == 4 and film.size == (3 * 16, 16) and film.info["loop"] == 0
    assert Image.open("morph.gif").n_frames == 4
    (solid,) = trimesh.load("head.glb").geometry.values()
    assert len(solid.faces) > 100 and len(np.unique(solid.visual.vertex_attributes["color"], axis=0)) > 1


def test_a_textured_mesh_has_the_colors_of_pictures(models, workdir):
    assert run("mesh", models, workdir / "painted.glb", "--textured") == 0
    (solid,) = trimesh.load("painted.glb").geometry.values()
    assert len(np.unique(solid.visual.vertex_attributes["color"], axis=0)) > 100


def test_a_film_of_mp4_has_its_record_too(models, workdir):
    cv2 = pytest.importorskip("cv2")
    out = workdir / "orbit.mp4"
    assert run("orbit", models, out, "--frames", "4", "--size", "16") == 0
    assert read_record(out)["arguments"]["frames"] == 4
    film = cv2.VideoCapture(str(out))
    assert [film.read()[0] for _ in range(5)] == [True] * 4 + [False]


def test_a_replay_with_other_models_is_refused(models, workdir, capsys):
    assert run("volume", models, workdir / "volume.png", "--size", "16") == 0
    others = Path(shutil.copytree(models, workdir / "others"))
    run_on = ("replay", others, workdir / "again.png", "volume.png")
    assert run(*run_on) == 0
    state = torch.load(others / "siw.pt", weights_only=True)
    state["state_dict"]["w_average"] += 1
    torch.save(state, others / "siw.pt")
    (workdir / "again.png").unlink()
    assert run(*run_on) == 1 and not (workdir / "again.png").exists()
    assert "made with another 'siw.pt' than" in capsys.readouterr().err


def test_a_result_that_can_not_be_written_is_told(models, workdir, capsys, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(common, "write_bytes", full)
    assert run("volume", models, workdir / "volume.png", "--size", "16") == 1
    told = capsys.readouterr().err
    assert "volume.png can't be written: No space left on device" in told and "Traceback" not in told


def viewed(**more) -> dict:
    """The record of a picture that was saved in the viewer, with other values."""
    return {"verb": "view", "arguments": {"scene": {}, "kind": "picture", "size": 16, "views": []} | more}


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ([], "no verb, arguments"),
        ({"verb": "volume"}, "no verb, arguments"),
        ({"verb": "volume", "arguments": {"heads": "1"}}, "has 'heads': another version made it"),
        (
            {"verb": "view", "arguments": {"scene": {"heads": "1"}, "kind": "picture"}},
            "no scene of this version has 'heads'",
        ),
        (
            {"verb": "view", "arguments": {"scene": {"yaw": "far"}, "kind": "picture"}},
            "yaw of a scene is no 'far'",
        ),
        ({"verb": "view", "arguments": {"scene": {}, "kind": "song"}}, "not 'song'"),
        (
            {"verb": "view", "arguments": {"scene": {}, "kind": ["picture"]}},
            "kind of the record in other.png can't be ['picture']",
        ),
        (viewed(scene=[]), "scene of the record in other.png can't be []"),
        (viewed(scene={"yaw": float("nan")}), "yaw of a scene is no nan"),
        (viewed(scene={"look": True}), "look of a scene is no True"),
        (viewed(scene={"regions": {"hair": [1]}}), "regions of a scene is no [1]"),
        (viewed(scene={"features": {"smile": "x"}}), "features of a scene is no 'x'"),
        (viewed(scene={"photo_look": True}), "fitted to a photo"),
        (viewed(size="x"), "size of the record in other.png can't be 'x'"),
        (viewed(size=0), "not 0"),
        (viewed(kind="film", views="ab"), "views of the record in other.png can't be 'ab'"),
        (viewed(kind="film", views=[[0, 0, 0]]), "yaw, pitch and zoom of each"),
        (viewed(scene={"zoom": 1e9}), "zoom of a scene is no 1000000000.0"),
    ],
)
def test_a_record_of_others_is_told(models, workdir, capsys, record, told):
    if isinstance(record, dict) and "arguments" in record:
        record = {"models": {}, "version": "9", "commit": "unknown"} | record
    info = PngImagePlugin.PngInfo()
    info.add_text("sofgan", json.dumps(record))
    Image.new("RGB", (4, 4)).save("other.png", pnginfo=info)
    assert run("replay", models, workdir / "again.png", "other.png") == 1
    error = capsys.readouterr().err
    assert told in error and "Traceback" not in error


def test_a_file_of_others_holds_no_record(models, workdir, capsys):
    content = b'{"scenes":[]}   '
    header = struct.pack("<4sIIII", b"glTF", 2, 20 + len(content), len(content), 0x4E4F534A)
    Path("other.glb").write_bytes(header + content)
    assert run("replay", models, workdir / "again.glb", "other.glb") == 1
    assert "other.glb holds no record" in capsys.readouterr().err


def test_a_record_without_a_scene_holds_no_edited_head(models, workdir, capsys):
    record = viewed(scene=[1]) | {"models": {}, "version": "9", "commit": "unknown"}
    info = PngImagePlugin.PngInfo()
    info.add_text("sofgan", json.dumps(record))
    Image.new("RGB", (4, 4)).save("other.png", pnginfo=info)
    with pytest.raises(SystemExit):
        run("volume", models, workdir / "again.png", "--head", "other.png")
    assert "other.png holds no edited head" in capsys.readouterr().err


@pytest.fixture
def painted_map(models, workdir, monkeypatch) -> Path:
    """The map of head 3, with a stripe painted into it."""
    for name, value in {"CODE_STEPS": 2, "PLANE_STEPS": 3, "POINTS": 300}.items():
        monkeypatch.setattr(edit, name, value)
    path = workdir / "map.png"
    start = ["edit", str(path), "--models", str(models), "--threads", "1", "--head", "3", "--size", "16"]
    assert main([*start, "--start"]) == 0
    pixels = np.array(Image.open(path).convert("RGB"))
    assert pixels.shape == (512, 512, 3) and read_record(path)["arguments"]["start"]
    pixels[:, 192:224] = PALETTE[HAIR]
    Image.fromarray(pixels).save(path)
    return path


def test_a_painted_map_makes_a_head_that_other_verbs_take(models, workdir, painted_map, capsys):
    words = (str(painted_map), "--head", "3", "--size", "16")
    assert run("edit", models, workdir / "edited.png", *words) == 0
    assert Image.open("edited.png").size == (5 * 16, 5 * 16) and "note:" not in capsys.readouterr().out
    arguments = read_record("edited.png")["arguments"]
    assert arguments["edited"].startswith(MARK) and arguments["head"] == "3"
    painted_map.unlink()
    assert run("replay", models, workdir / "again.png", "edited.png") == 0  # from the head that was found
    assert Path("again.png").read_bytes() == Path("edited.png").read_bytes()
    few = ("--frames", "2", "--size", "16")
    assert run("orbit", models, workdir / "edited.webp", "--head", "edited.png", *few) == 0
    assert run("orbit", models, workdir / "plain.webp", "--head", "3", *few) == 0
    frames = [np.array(Image.open(name)) for name in ("edited.webp", "plain.webp")]
    assert (frames[0] != frames[1]).any()
    page = ("--heads", "edited.png", "1", "--looks", "1", "--size", "16")
    assert run("page", models, workdir / "page.html", *page) == 0
    assert '"heads":["edited","1"]' in Path("page.html").read_text()
    Path("edited.png").unlink()
    assert run("replay", models, workdir / "again.webp", "edited.webp") == 0
    assert (
        run("morph", models, workdir / "morph.gif", "--heads", "1", "edited.webp", "--looks", "0", *few) == 0
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--head", "5"], "nearer to that of --head 3:"), (["--head", "3", "--yaw", "-40"], "of --yaw 0:")],
)
def test_a_map_of_another_head_or_side_is_told(models, workdir, painted_map, capsys, words, told):
    run(
        "edit", models, workdir / "edited.png", str(painted_map), *words, "--size", "16"
    )  # may be refused, too
    assert told in capsys.readouterr().out


def test_an_unpainted_map_is_told(models, workdir, painted_map, capsys):
    words = ("--head", "3", "--size", "16")
    assert run("edit", models, workdir / "edited.png", "none.png", *words) == 1
    assert "no file none.png: the same command with --start" in capsys.readouterr().err
    painted_map.unlink()
    assert run("edit", models, workdir / "edited.png", str(painted_map), *words, "--start") == 0
    assert run("edit", models, workdir / "edited.png", str(painted_map), *words) == 1
    assert "nothing was painted" in capsys.readouterr().err
    assert not Path("edited.png").exists()


def test_what_was_painted_is_not_overwritten(models, workdir, painted_map, capsys):
    before = painted_map.read_bytes()
    assert run("edit", models, workdir / "edited.png", str(painted_map), "--start") == 1
    assert "may have been painted in" in capsys.readouterr().err and painted_map.read_bytes() == before


def test_an_ending_that_no_sheet_has_is_refused_before_the_fit(
    models, workdir, painted_map, capsys, monkeypatch
):
    monkeypatch.setattr("sofgan.commands.edit.edit_head", None)
    assert run("edit", models, workdir / "edited.gif", str(painted_map), "--head", "3", "--size", "16") == 1
    assert "ends in .png, not '.gif'" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "wide"])
@pytest.mark.parametrize(("verb", "option"), [("edit", "--yaw"), ("orbit", "--pitch"), ("page", "--psi")])
def test_what_is_no_number_is_refused(verb, option, word, models, workdir, capsys):
    with pytest.raises(SystemExit):
        run(verb, models, workdir / "out.png", *(["map.png"] if verb == "edit" else []), f"{option}={word}")
    assert f"'{word}' is no number" in capsys.readouterr().err


def test_a_head_of_a_file_that_is_missing_is_told(models, workdir, capsys):
    with pytest.raises(SystemExit):
        run("orbit", models, workdir / "o.webp", "--head", "edited.png")
    assert "there is no file edited.png" in capsys.readouterr().err


def test_a_file_without_an_edited_head_is_no_head(models, workdir, capsys):
    assert run("volume", models, workdir / "volume.png", "--size", "16") == 0
    Image.new("RGB", (4, 4)).save("plain.png")
    for name, told in (("volume.png", "holds no edited head"), ("plain.png", "holds no record")):
        with pytest.raises(SystemExit):
            run("orbit", models, workdir / "o.webp", "--head", name)
        assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["generate", "--size", "1025"], "1025 is more than 1024"),
        (["generate", "--seed", "9" * 5000], "a number of 5000 digits"),
        (["generate", "--pitch", "90"], "90 is not within -85 and 85 degrees"),
        (["volume", "--yaw", "1e9"], "not within -360 and 360 degrees"),
        (["restyle", "--psi", "1e300"], "not within -10 and 10"),
        (["orbit", "--fps", "121"], "121 is more than 120"),
        (["mesh", "--cells", "513"], "513 is more than 512"),
        (["page", "--threads", "1000000"], "1000000 is more than 256"),
        (["page", "--title", "\udcff"], "no text in UTF-8"),
    ],
)
def test_what_is_too_large_is_refused(words, told, capsys):
    with pytest.raises(SystemExit):
        main(words)
    assert told in capsys.readouterr().err


def test_a_path_that_swings_beyond_its_keyframes_stays_where_cameras_stand():
    far = camera_paths.keyframes_of(
        [{"pitch": 85, "zoom": 10}, {"pitch": 85, "zoom": 0.1}, {"pitch": -85}] * 2, "here"
    )
    for angle in camera_paths.through(far, 60):
        assert abs(angle.pitch) <= 85 and 0.1 <= angle.zoom <= 10


def test_keyframes_are_held_by_what_is_made_of_them(models, workdir):
    Path("path.yaml").write_text("[{yaw: -30}, {yaw: 30, zoom: 1.5}]")
    words = ["--keyframes", "path.yaml", "--frames", "2", "--size", "16"]
    assert run("orbit", models, workdir / "orbit.gif", *words) == 0
    Path("path.yaml").unlink()
    assert run("replay", models, workdir / "again.gif", "orbit.gif") == 0
    assert Path("again.gif").read_bytes() == Path("orbit.gif").read_bytes()


def test_frames_that_a_format_can_not_hold_are_told():
    film = Film(np.zeros((1, 2, 16_400, 3), np.uint8), 24)
    for suffix in (".webp", ".mp4"):
        with pytest.raises(InputError, match="16400 x 2 pixels are too large"):
            encode(film, suffix, {})


@pytest.mark.parametrize(
    ("words", "name", "told"),
    [
        (
            ["orbit", "--looks", *map(str, range(2000))],
            "film.webp",
            "32000 x 16 pixels are too large for .webp",
        ),
        (
            ["orbit", "--looks", *map(str, range(1023)), "--map"],
            "film.webp",
            "16384 x 16 pixels are too large",
        ),
        (["orbit", "--fps", "51"], "film.GIF", "51 frames a second are too many for .gif"),
        (["morph", "--fps", "60"], "film.gif", "60 frames a second are too many for .gif"),
    ],
)
def test_what_a_format_can_not_hold_is_told_before_it_is_painted(
    models, workdir, capsys, monkeypatch, words, name, told
):
    monkeypatch.setattr(Engine, "pictures", lambda *_: pytest.fail("it was painted"))
    assert run(words[0], models, workdir / name, *words[1:], "--frames", "2", "--size", "16") == 1
    assert told in capsys.readouterr().err


def test_a_film_that_a_full_disk_cuts_off_is_told(monkeypatch):
    pytest.importorskip("cv2")
    monkeypatch.setattr(results, "_count_frames", lambda path: 1)
    with pytest.raises(InputError, match="only 1 of 3 frames could be written"):
        encode(Film(np.zeros((3, 16, 16, 3), np.uint8), 24), ".mp4", {})


def test_an_interrupt_ends_in_a_word(monkeypatch, capsys):
    def stopped(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(common, "engine_of", stopped)
    assert main(["volume"]) == 130
    assert capsys.readouterr().err == "stopped\n"


def test_a_name_of_bytes_that_are_no_text_is_told_as_it_can(models, workdir, capsys):
    out = workdir / os.fsdecode(b"\xff.png")
    assert run("volume", models, out, "--size", "16") == 0 and out.is_file()
    assert "\\udcff.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["orbit", "--head", "nobody"], "'nobody' is neither a seed"),
        (["restyle", "--regions", "nose"], "no region 'nose'"),
        (["morph", "--looks", "1", "2"], "2 looks for 3 heads"),
        (["orbit", "--keyframes", "none.yaml"], "no file none.yaml"),
        (["orbit", "--out", "film.png"], "ends in .gif or .webp or .mp4, not '.png'"),
        (["mesh", "--out", "head.obj"], "ends in .glb, not '.obj'"),
        (["orbit", "--keyframes", "steep.yaml"], "pitch of keyframe 1 is a number from -85 to 85, not 90"),
        (["orbit", "--keyframes", "far.yaml"], "zoom of keyframe 2 is a number from 0.1 to 10, not 0"),
        (["orbit", "--keyframes", "deep.yaml"], "nested too deep"),
        (["orbit", "--head", "x" * 300 + ".png"], "x.png can't be used: File name too long"),
        (["orbit", "--head", "9" * 5000], "is neither a seed"),
        (["generate", "--heads", "200", "--looks", "200"], "40,000 pictures: one file has 10,000 at most"),
        (["generate", "--out", "x" * 300 + ".png"], "x.png can't be used: File name too long"),
        (["mesh", "--models", "damaged"], "damaged/siw.pt"),
        (["replay", "none.png"], "no file none.png"),
        (["volume", "--out", "file/volume.png"], "--out file is no folder"),
        (["volume", "--out", "folder.png"], "--out folder.png is a folder: name a file"),
        (["photo", "a.jpg", "--out", "file/photo"], "--out file is no folder"),
        (["photo", "a.jpg", "--out", "film.webp"], "--out film.webp ends in .webp, but a folder is wanted"),
        (["photo", "."], ". is a folder: a photo is wanted"),
        (["page", "--photo", "."], ". is a folder: a photo is wanted"),
        (["restyle", "--photos", "."], ". is a folder: a photo is wanted"),
        (["replay", "."], ". is a folder: a file that a command has written is wanted"),
        (["volume", "--device", "cuda:7"], "--device cuda:7 is not there: `make doctor` shows"),
        (["volume", "--device", "gpu"], "--device is auto, cpu, cuda or cuda:N, not 'gpu'"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(models, workdir, capsys, words, told):
    Path("file").write_text("")
    Path("folder.png").mkdir()
    Path("steep.yaml").write_text("[{pitch: 90}, {yaw: 1}]")
    Path("far.yaml").write_text("[{yaw: 1}, {zoom: 0}]")
    Path("deep.yaml").write_text("[" * 3000 + "]" * 3000)
    damaged = Path(shutil.copytree(models, "damaged"), "siw.pt")
    state = torch.load(damaged, weights_only=True)
    del state["state_dict"]["w_average"]
    torch.save(state, damaged)
    assert main([*words[:1], "--models", str(models), *words[1:]]) == 1
    error = capsys.readouterr().err
    assert told in error and "Traceback" not in error


def test_a_missing_model_says_how_it_is_made(workdir, capsys):
    assert main(["generate", "--models", "models"]) == 1
    error = capsys.readouterr().err
    assert "models/sof_inverted.pt and models/siw.pt" in error and "make demo" in error


@pytest.mark.parametrize("heads", [["1"], ["1", "b", "2", "3"]])
def test_a_morph_has_a_look_for_each_of_any_number_of_heads(models, workdir, heads):
    few = ["--frames", "1", "--size", "16"]
    looks = [str(number) for number in range(len(heads))]
    assert run("morph", models, workdir / "default.gif", "--heads", *heads, *few) == 0
    assert run("morph", models, workdir / "named.gif", "--heads", *heads, "--looks", *looks, *few) == 0
    frames = [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(Image.open("default.gif"))]
    named = [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(Image.open("named.gif"))]
    assert len(frames) == len(heads) and np.array_equal(frames, named)


def test_a_region_that_the_head_does_not_show_is_told(models, workdir, capsys, monkeypatch):
    labels = np.zeros((16, 16), np.uint8)
    labels[4:12] = SKIN
    monkeypatch.setattr(Engine, "view", lambda *_: View(labels, None))
    words = ["--regions", "skin", "hat+eyeglass+background", "--others", "1", "--size", "16"]
    assert run("restyle", models, workdir / "restyled.png", "--head", "b", *words) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "note: the head shows no eyeglass and no hat from here, so nothing of that changes"
    assert told[1].endswith("restyled.png")


@pytest.mark.parametrize("verb", VERBS)
def test_what_a_verb_writes_by_default_is_not_committed(verb):
    parser = argparse.ArgumentParser()
    importlib.import_module(VERBS[verb][0]).add_arguments(parser)
    if (out := parser.get_default("out")) is None:
        return  # `score` prints, `view` saves in the browser.
    name = "photo/sheet.png" if verb == "photo" else str(out).replace(".*", ".png")
    ignored = subprocess.run(["git", "check-ignore", "--quiet", "--no-index", name], cwd=ROOT, check=False)
    assert ignored.returncode == 0


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0 and "--device" in capsys.readouterr().out
