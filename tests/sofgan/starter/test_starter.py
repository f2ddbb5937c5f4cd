"""The starter: 8 bits lose little, its files are as its card says, it shows heads and is used where no model is."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from sofgan.__main__ import main
from sofgan.apps.engine import Engine
from sofgan.apps.results import read_record
from sofgan.errors import InputError, MissingInput
from sofgan.files import read_json
from sofgan.images import to_network_range
from sofgan.labels import CLOTH, EYE, HAIR, NECK, SKIN
from sofgan.parsing.parser import load_parser, save_parser
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.seeds import torch_generator
from sofgan.siw.model import save_siw
from sofgan.sof.sof import save_sof
from sofgan.starter import make, train_parser
from sofgan.starter.files import (
    CARD,
    FIELD,
    FOLDER,
    PAINTER,
    PARSER,
    load_starter,
    load_starter_parser,
)
from sofgan.starter.quantize import HIGHEST, quantized, restored, row_shape
from sofgan.training import load_model, save_model


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.starter()


@pytest.mark.parametrize("shape", [(64, 48, 10, 10), (64, 64, 3, 3), (32, 128), (5000,), (300, 20)])
def test_each_number_is_off_by_half_a_scale_at_most(shape):
    value = torch.randn(shape, generator=torch_generator(0, "test"))
    value *= torch.logspace(-4, 4, shape[0]).reshape(-1, *[1] * (len(shape) - 1))  # rows of unlike size
    again = restored(quantized({"x": value}))["x"]
    assert again.shape == value.shape and again.dtype == torch.float32
    rows, length = row_shape(shape)
    error = (again - value).abs().reshape(rows, length).amax(1)
    highest = value.abs().reshape(rows, length).amax(1)
    assert (error <= 0.501 * highest / HIGHEST).all()


def test_small_and_whole_arrays_stay_as_they_are():
    state = {"few": torch.randn(8, 8), "ids": torch.arange(9000), "zeros": torch.zeros(100, 100)}
    small = quantized(state)
    assert (
        small["few"] is state["few"] and small["ids"] is state["ids"] and small["zeros"].dtype == torch.int8
    )
    assert all((value == state[name]).all() for name, value in restored(small).items())


def test_the_files_are_small_and_their_losses_are_told():
    card = read_json(FOLDER / CARD)
    assert card["bytes"] == {name: (FOLDER / name).stat().st_size for name in (FIELD, PAINTER, PARSER)}
    assert sum(card["bytes"].values()) < make.LIMIT
    figures = card["figures"]
    assert figures["painter_psnr_db"] > 40 and figures["map_agreement"] > 0.995
    assert figures["parser_agreement"] > 0.99 and figures["parser_held_out_miou"] > 0.6


def test_it_shows_heads(engine):
    camera = engine.camera(0, 0, 64)
    look, other = engine.look(0), engine.look(1)
    for seed in range(3):
        labels = engine.view(engine.head(seed), camera).labels
        shares = {name: (labels == name).mean() for name in (SKIN, HAIR, EYE, NECK, CLOTH)}
        assert 0.1 < shares[SKIN] < 0.4 and min(shares[HAIR], shares[CLOTH]) > 0.02
        side = engine.view(engine.head(seed), engine.camera(30, 0, 64)).labels
        assert (side != labels).mean() > 0.03
        pictures = [engine.paint(labels, one).astype(float) for one in (look, other)]
        assert pictures[0].std() > 20 and np.abs(pictures[0] - pictures[1]).mean() > 8


@pytest.mark.parametrize(("name", "load"), [(PAINTER, load_starter), (PARSER, load_starter_parser)])
def test_other_files_are_refused(tmp_path, name, load):
    shutil.copytree(FOLDER, tmp_path / "starter")
    content = bytearray((tmp_path / "starter" / name).read_bytes())
    content[5000] ^= 1
    (tmp_path / "starter" / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} is not the starter's file"):
        load(folder=tmp_path / "starter")


def test_it_is_made_of_models(tmp_path, engine, monkeypatch, capsys):
    monkeypatch.setattr(make, "HEADS", 3)
    out, tmp_path = tmp_path / "out", tmp_path / "models"
    tmp_path.mkdir()
    save_sof(tmp_path / "sof_inverted.pt", engine.sof)
    save_siw(tmp_path / "siw.pt", engine.siw)
    known = tmp_path.parent / "data/raw/scans/avatars-000/avatars.json"
    known.parent.mkdir(parents=True)
    known.write_text('{"avatar_0000": {"hat": "cap"}}')
    # All that the folder lacks has to be made.
    assert make.main(["--models", str(tmp_path), "--out", str(out)]) == 1 and not out.exists()
    assert "has no parser.pt" in capsys.readouterr().err
    save_parser(tmp_path / "parser.pt", load_starter_parser())
    words = ["--models", str(tmp_path), "--parser", str(tmp_path / "parser.pt"), "--out", str(out)]
    assert make.main(words) == 1
    assert "parser.json: the parser's figures are wanted" in capsys.readouterr().err
    (tmp_path / "parser.json").write_text('{"sha256": "0f"}')
    assert make.main(words) == 1 and "parser.json has no figures" in capsys.readouterr().err
    (tmp_path / "parser.json").write_text('{"held_out_miou": 0.7}')
    assert make.main(words) == 0
    assert (out / "scans/avatars-000/avatars.json").read_text() == known.read_text()
    figures = read_json(out / CARD)["figures"]
    assert figures["parser_agreement"] > 0.999 and figures["parser_held_out_miou"] == 0.7
    # 8 bits already: nothing is lost.
    assert figures["map_agreement"] > 0.999 and figures["painter_psnr_db"] > 55
    assert "painter_psnr_db" in capsys.readouterr().out
    again = load_starter(folder=out)
    assert torch.allclose(again.sof.codes, engine.sof.codes, rtol=1e-5)
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert before.keys() == {FIELD, PAINTER, PARSER, CARD}
    state, config = load_model(tmp_path / "sof_inverted.pt")  # Another field, of which nothing must be left.
    next(value for value in state.values() if value.is_floating_point()).add_(1)
    save_model(tmp_path / "sof_inverted.pt", state, config)
    with pytest.raises(InputError, match="1000 at most"):
        make.make(out, tmp_path, limit=1000)
    (tmp_path / "siw.pt").rename(tmp_path / "other.pt")
    with pytest.raises(MissingInput):
        make.make(out, tmp_path)
    assert before == {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    # What is not asked for stays, with what is known of it.
    (tmp_path / "other.pt").rename(tmp_path / "siw.pt")
    old, card = read_json(out / CARD), make.make(out, tmp_path)
    assert (out / PARSER).read_bytes() == before[PARSER] and (out / FIELD).read_bytes() != before[FIELD]
    assert {key for key in old["sha256"] if old["sha256"][key] != card["sha256"][key]} == {FIELD}
    assert card["figures"]["parser_held_out_miou"] == 0.7 and load_starter(folder=out)


def test_the_parser_is_learned_from_rendered_portraits(tmp_path):
    small = train_parser.RECIPE
    training = replace(
        small.training,
        parser=replace(small.training.parser, size=32, width=8),
        steps=2,
        batch=4,
        score_every_steps=1,
        checkpoint_every_steps=1,
    )
    portraits = replace(small.portraits, celebamask_photos=6, photos_per_identity=1, size_px=64)
    selection = replace(small.selection, held_out_share=0.2, validation_share=0.2)
    recipe = train_parser.Recipe(portraits, selection, training)
    path = train_parser.train(tmp_path, recipe)
    learned = load_parser(path)
    assert learned.config.encoder == "norms" and path.stat().st_size < 1e6
    assert set(read_json(path.with_suffix(".json"))) == {"held_out_miou", "held_out_photos"}
    content = path.read_bytes()
    path.unlink()
    assert train_parser.train(tmp_path, recipe) == path and path.read_bytes() == content


def test_its_parser_sees_faces_of_people_that_it_never_saw(engine):
    """Of avatars that the starter paints: no photograph is in this repository."""
    parser, camera = load_starter_parser(), engine.camera(0, 0, 128)
    confusion = ConfusionMatrix()
    for seed in range(6):
        labels = engine.view(engine.head(seed), camera).labels
        picture = engine.paint(labels, engine.look(seed))
        confusion.update(parser.parse(to_network_range(picture[None]), 128)[0], labels)
    ious = confusion.per_class()
    assert min(ious[name] for name in ("skin", "hair", "background")) > 0.6
    assert min(ious[name] for name in ("eye", "r_nose", "l_lip")) > 0.3


def test_what_is_lost_is_measured(engine, monkeypatch):
    """Figures of models that differ say so."""
    monkeypatch.setattr(make, "HEADS", 3)
    worse = Engine.starter()
    with torch.no_grad():
        worse.siw.generator.blocks[-1].to_rgb.weight.mul_(1.5)
        worse.sof.model.field.base.mul_(0.9)
    lost = make.figures((engine.sof, engine.siw), (worse.sof, worse.siw))
    assert lost["painter_psnr_db"] < 35 and lost["map_agreement"] < 0.999
    assert lost["picture_psnr_db"] < lost["painter_psnr_db"] + 1


def test_models_are_taken_where_both_are_there(workdir, engine):
    assert Engine.open().source.endswith("(models/ has no sof_inverted.pt and no siw.pt)")
    (workdir / "models").mkdir()
    save_siw("models/siw.pt", engine.siw)
    assert Engine.open().source.endswith("(models/ has no sof_inverted.pt)")
    save_sof("models/sof_inverted.pt", engine.sof)
    assert Engine.open().source == "models" and set(Engine.open().digests) == {"sof_inverted.pt", "siw.pt"}
    assert set(Engine.open("starter").digests) == {FIELD, PAINTER}


def test_verbs_use_it_and_say_so(workdir, capsys):
    words = ["generate", "--heads", "1", "--looks", "1", "--size", "64", "--threads", "1"]
    assert main(words) == 0
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "the starter model of the package" in told and "no siw.pt" in told
    digests = read_json(FOLDER / CARD)["sha256"]
    assert read_record("heads.png")["models"] == {name: digests[name] for name in (FIELD, PAINTER)}
    assert main(["replay", "heads.png", "--models", "starter", "--threads", "1"]) == 0
    assert capsys.readouterr().err == ""
