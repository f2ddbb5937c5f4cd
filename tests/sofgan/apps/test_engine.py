"""The engine on a small field and painter: kept equals anew, quick nearly equals exact, paths are loops."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sofgan.apps import camera_paths
from sofgan.apps.engine import HEADS_KEPT, Engine, Kept
from sofgan.apps.looks import REGION_NAMES, Look
from sofgan.errors import InputError
from sofgan.labels import EYE, HAIR, SKIN, STYLE_GROUPS
from sofgan.siw.condition_views import draw_view
from sofgan.siw.model import to_uint8
from tests.small_models import small_siw, small_sof


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(small_sof(), small_siw())


def a_map() -> np.ndarray:
    labels = np.zeros((32, 32), np.uint8)
    labels[4:28, 6:26], labels[4:10, 6:26], labels[14:16, 10:13] = SKIN, HAIR, EYE
    return labels


def test_kept_views_and_pictures_equal_those_made_anew(engine):
    code, look, camera = engine.head(3), engine.look(1), engine.camera(20, 5, 32)
    labels, depth = draw_view(engine.sof, code, camera)
    assert len(np.unique(labels)) > 2
    plain = to_uint8(engine.siw.paint(labels[None], look.w[:1]))[0]
    for _ in range(2):
        view = engine.view(code, camera)
        assert (view.labels == labels).all() and np.allclose(view.depth, depth, atol=1e-6)
        painted = engine.paint(view.labels, look).astype(int)
        assert np.abs(painted - plain).max() <= 1


def test_scenes_that_differ_in_their_look_alone_share_a_view(engine, monkeypatch):
    looks = [engine.look(seed) for seed in range(3)]
    places = [(engine.head(head), engine.camera(yaw, 0, 32)) for head in (1, 2) for yaw in range(0, 55, 5)]
    scenes = [(code, look, camera) for code, camera in places for look in looks]
    plain = np.stack([engine.picture(*scene) for scene in scenes])
    views = []
    monkeypatch.setattr(Engine, "view", lambda *args, view=Engine.view: views.append(args) or view(*args))
    counted = []
    progress = SimpleNamespace(items=lambda done, total, unit: counted.append((done, total)))
    assert (engine.pictures(scenes, progress) == plain).all()
    assert len(views) == len(places) > HEADS_KEPT  # in two groups
    assert counted == [(number, len(scenes)) for number in range(1, len(scenes) + 1)]
    order = [5, 0, 40, 1, 5]
    assert (engine.pictures([scenes[number] for number in order]) == plain[order]).all()


def test_another_head_is_not_taken_for_the_kept_one(engine):
    camera = engine.camera(0, 0, 32)
    first, second = (engine.view(engine.head(seed), camera).labels for seed in (0, 5))
    assert (first != second).any()


def test_twelve_looks_of_one_style_are_that_style(engine):
    labels, look = a_map(), engine.look(4)
    w, of_class = look.styles()
    assert len(w) == 1 and (of_class == 0).all()
    mixed = Look(torch.cat([engine.look(seed).w[:1] for seed in range(len(REGION_NAMES))]))
    assert len(mixed.styles()[0]) == len(REGION_NAMES) == len(STYLE_GROUPS)
    assert (engine.paint(labels, mixed) != engine.paint(labels, look)).any()


def test_a_restyled_region_changes_and_others_hardly(engine):
    labels, look = a_map(), engine.look(1)
    before = engine.paint(labels, look).astype(int)
    after = engine.paint(labels, look.restyled("hair", engine.look(2))).astype(int)
    change = np.abs(after - before).mean(-1)
    far = np.zeros_like(labels, bool)
    far[24:] = True  # Below the hair, out of reach of most convolutions.
    assert change[labels == HAIR].mean() > 4 * change[far].mean()


def test_truncation_reaches_the_mean(engine):
    assert torch.allclose(engine.head(3, 0.0), engine.sof.codes.mean(0), atol=1e-6)
    assert torch.allclose(engine.look(3, 0.0).w[0], engine.siw.generator.w_average, atol=1e-6)
    assert (engine.head(3) != engine.head(4)).any() and (engine.head(3) == engine.head("3")).all()


@pytest.mark.parametrize("name", ["nobody", "-1", "1.5"])
def test_a_head_that_is_not_there_is_told(engine, name):
    with pytest.raises(InputError, match="neither a seed.*such as a, b, c"):
        engine.head(name)


def test_a_region_that_is_not_there_is_told(engine):
    with pytest.raises(InputError, match="no region 'nose': regions are background, skin"):
        engine.look(0).restyled("nose", engine.look(1))


def test_few_results_are_kept_and_the_newest():
    kept, made = Kept(2), []
    for key in (1, 2, 1, 3, 1, 2):
        kept.get(key, lambda key=key: made.append(key))
    assert made == [1, 2, 3, 2]


KEYFRAMES = [camera_paths.Angle(-30), camera_paths.Angle(10, 12, 1.2), camera_paths.Angle(30)]


@pytest.mark.parametrize(
    "path",
    [camera_paths.orbit(24, 40, 8), camera_paths.spiral(24, 40, 8), camera_paths.through(KEYFRAMES, 24)],
)
def test_the_last_frame_of_a_path_joins_its_first(path):
    points = np.array([[a.yaw, a.pitch] for a in path])
    steps = np.linalg.norm(np.diff(points, axis=0, append=points[:1]), axis=1)
    assert steps[-1] <= steps[:-1].max() + 1e-9


def test_a_path_goes_through_its_keyframes():
    path = camera_paths.through(KEYFRAMES, 24)
    assert [path[0], path[8], path[16]] == KEYFRAMES


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[{yaw: 1}]", "two or more"),
        ("[{yaw: 1}, {roll: 2}]", "keyframe 2 has 'roll', but a keyframe has yaw, pitch, zoom"),
        ("[{yaw: 1}, {yaw: left}]", "yaw of keyframe 2 is a number from -360 to 360, not 'left'"),
        ("[{yaw: 1}, 3]", "keyframe 2 is a mapping"),
        ("[{yaw: .nan}, {}]", "yaw of keyframe 1 is a number from -360 to 360, not nan"),
        ("[{yaw: 1, zoom: true}, {}]", "zoom of keyframe 1 is a number from 0.1 to 10, not True"),
        (f"[{'{}, ' * 1001}]", "1,001 keyframes, of which there may be 1,000"),
        ("{" + "x" * 1_000_000 + ": 1}", "1,000,005 bytes: keyframes are a short YAML list"),
    ],
)
def test_wrong_keyframes_are_told(tmp_path, text, told):
    path = tmp_path / "path.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        camera_paths.keyframes_of(camera_paths.read_keyframes(path), path)


def test_looks_with_and_without_layers_mix(engine):
    labels, plain, other = a_map(), engine.look(1), engine.look(2)
    layers = Look(other.w[:, None].expand(-1, engine.siw.generator.layers, -1))
    for one, two in ((plain, layers), (layers, plain)):
        same = (
            Look(one.w[:, 0] if one.w.dim() == 3 else one.w),
            Look(two.w[:, 0] if two.w.dim() == 3 else two.w),
        )
        for mixed, expected in (
            (one.restyled("hair", two), same[0].restyled("hair", same[1])),
            (one.towards(two, 0.3), same[0].towards(same[1], 0.3)),
        ):
            difference = engine.paint(labels, mixed).astype(int) - engine.paint(labels, expected)
            assert np.abs(difference).max() <= 1
