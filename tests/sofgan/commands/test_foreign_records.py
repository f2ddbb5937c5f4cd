"""Records that no command has written: whatever they say, a replay ends in a sentence."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from sofgan.__main__ import main
from sofgan.apps import edit
from sofgan.apps.drawn_maps import packed
from sofgan.apps.edited_heads import MARK, edited, rounded, to_text
from sofgan.apps.engine import Engine
from sofgan.apps.mesh import HeadMesh
from sofgan.apps.results import KEY, PAGE_PLACE, Page, read_record
from sofgan.commands import common, replay
from sofgan.viewer.scene import Scene
from tests.small_models import small_siw, small_sof

SIZE = 16
COMMANDS = {
    "generate": (["--heads", "1", "--looks", "1", "--maps", "--size", "16"], "heads.png"),
    "orbit": (["--frames", "2", "--keyframes", "path.yaml", "--size", "16"], "orbit.gif"),
    "morph": (["--heads", "1", "b", "--looks", "3", "--frames", "1", "--size", "16"], "morph.gif"),
    "restyle": (["--others", "1", "--regions", "hair", "--size", "16"], "restyled.png"),
    "mesh": (["--cells", "16"], "head.glb"),
    "volume": (["--size", "16"], "volume.png"),
    "page": (["--heads", "1", "--looks", "2", "--size", "16"], "page.html"),
}
DEEP = json.loads("[" * 200 + "]" * 200)
WRONG = (
    None, True, -5, 0, 10**30, 1e308, float("nan"), "", "x", "\ud800", "a" * 5000 + ".png", "/dev/zero", "9" * 5000,
    f"{MARK}AAAA", "style:AAAA", [], {}, [[1]], {"a": 1}, ["x", None], [1e308, -5], DEEP,
)  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(small_sof(), small_siw())


@pytest.fixture(autouse=True)
def in_few_steps(engine, workdir, monkeypatch):
    """One engine for all, few steps, and results that nothing is computed for."""

    def nothing(sof, prepared, camera, shoulders):  # noqa: ARG001
        return np.zeros((camera.size, camera.size), np.uint8), np.zeros(
            (camera.size, camera.size), np.float32
        )

    monkeypatch.setattr("sofgan.apps.engine.draw_view", nothing)
    corner = HeadMesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]]), np.ones(3, np.uint8))
    for name, made in (("mesh.extract_mesh", corner), ("mesh.painted_mesh", corner), ("page.build", Page(PAGE_PLACE)),
                       ("volume.volume_picture", np.ones((4, 4, 3), np.uint8))):  # fmt: skip
        monkeypatch.setattr(f"sofgan.commands.{name}", lambda *_, made=made: made)
    monkeypatch.setattr(common, "engine_of", lambda arguments: engine)
    monkeypatch.setattr(replay, "version", lambda: {"version": "2", "commit": "unknown"})  # asks git
    for name, value in {"CODE_STEPS": 1, "PLANE_STEPS": 1, "POINTS": 300}.items():
        monkeypatch.setattr(edit, name, value)
    Path("path.yaml").write_text("[{yaw: -30}, {yaw: 30, zoom: 1.5}]")


def records(verb: str, engine: Engine) -> dict:
    """The record of a file that a verb has written."""
    made_by = {"models": {}, "version": "1", "commit": "unknown"}
    if verb == "view":
        labels = engine.view(engine.head(0), engine.camera(0, 0, SIZE)).labels
        scene = Scene(regions=(("hair", 1),), drawn=packed(labels), yaw=5.0).to_mapping()
        asked = {"scene": scene | {"features": {"smile": 1.0}}, "kind": "picture", "size": SIZE, "views": []}
        return made_by | {"verb": verb, "arguments": asked}
    if verb == "edit":
        sof = engine.sof
        addition = sof.codes.new_zeros(12, 8, 8)
        asked = {
            "map": "map.png",
            "start": False,
            "head": "0",
            "yaw": 0.0,
            "pitch": 0.0,
            "look": 0,
            "seed": 0,
        }
        asked |= {"size": SIZE, "psi": 0.7, "head_psi": 1.0}
        labels = engine.view(engine.head(0), engine.camera(0, 0, SIZE)).labels.copy()
        labels[:4, :4] = 13
        asked |= {"wanted": packed(labels), "edited": to_text(sof, edited(sof.codes[0], rounded(addition)))}
        return made_by | {"verb": verb, "arguments": asked}
    words, out = COMMANDS[verb]
    assert main([verb, "--out", out, *words]) == 0
    return read_record(out)


def write(record) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text(KEY, json.dumps(record))
    Image.new("RGB", (4, 4)).save("other.png", pnginfo=info)


def changed(record: dict):
    """That record with each of its values wrong in each way, or missing."""
    tables = {"arguments": record["arguments"]}
    if "scene" in record["arguments"]:
        tables["scene"] = record["arguments"]["scene"]
    for what, table in tables.items():
        for name in table:
            others = [table | {name: value} for value in WRONG]
            if isinstance(table[name], dict):
                others += [table | {name: {key: value}} for key in table[name] for value in WRONG]
            for one in (*others, {key: value for key, value in table.items() if key != name}):
                scene = record["arguments"] | {"scene": one}
                yield record | {"arguments": one if what == "arguments" else scene}


def test_a_record_of_wrong_parts_ends_in_a_sentence(engine, capsys):
    record = records("volume", engine)
    for name, value in itertools.product(record, WRONG):
        write(record | {name: value})
        capsys.readouterr()
        assert main(["replay", "--out", "again.png", "other.png"]) in (0, 1)
        assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("verb", [*COMMANDS, "view", "edit"])
def test_a_replay_of_a_foreign_record_ends_in_a_sentence(verb, engine, capsys):
    record, told = records(verb, engine), set()
    capsys.readouterr()
    for other in changed(record):
        write(other)
        status = main(["replay", "--out", "again.png", "other.png"])
        error = capsys.readouterr().err
        assert status == 1 and 0 < len(error) < 500 and error.count("\n") == 1, (other, error)
        told.add(error)
    assert len(told) > 10 and not Path("again.png").exists()
