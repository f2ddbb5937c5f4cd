"""Inversion: a known camera is found again, modules stay frozen until released, resumes to the same result."""

import dataclasses

import numpy as np
import pytest
import torch

from sofgan import cameras, runtime, shares
from sofgan.images import reframe
from sofgan.scores.segmentation import batch_mean_iou
from sofgan.session import Checkpoints, Session
from sofgan.sof.config import InvertMasks
from sofgan.sof.inversion import fit
from sofgan.sof.inversion.cameras import FramingCameras, PositionCameras
from sofgan.sof.inversion.device_groups import invert_dealt
from sofgan.sof.inversion.fit import Recipe
from sofgan.sof.inversion.invert import extend, invert, join, part, release
from sofgan.sof.inversion.scores import frontal_views, score_other_views
from sofgan.sof.inversion.start import face_moments, search_start
from sofgan.sof.sof import SofFile, load_sof, save_sof
from sofgan.sof.train import validate
from sofgan.sof.view_set import read_views, view_files
from tests import scenes

CONFIG = InvertMasks(
    preset="fast",
    maps=2,
    parsed_maps=0,
    least_miou=0.0,
    new_heads=0,
    size=32,
    encoder_steps=0,
    starts=4,
    start_yaws=(-0.5, 0.0, 0.5),
    blend=2,
    steps=60,
    camera_only_share=0.3,
    rays_per_map=96,
    maps_per_step=4,
    autocast=True,
    adam_beta2=0.99,
    warmup_share=0.05,
    clip_gradient_norm=5.0,
    code_space="known",
    code_learning_rate=2e-2,
    camera_learning_rate=2e-2,
    code_weight=0.001,
    camera_weight=0.0,
    released_steps=0,
    rehearsal_instances=2,
    module_learning_rate=1e-3,
    released_code_learning_rate=1e-2,
    released_camera_learning_rate=1e-3,
    checkpoint_every_steps=20,
)
YAW, PITCH, ZOOM, SHIFT = (-0.35, 0.3), (0.1, -0.1), (1.25, 0.9), ((0.05, 0.02), (0.0, -0.04))


@pytest.fixture(scope="module")
def maps(trained):
    """Two of the field's own views from known cameras, cropped like portraits."""
    values = torch.tensor([[y, p, np.log(z), *s] for y, p, z, s in zip(YAW, PITCH, ZOOM, SHIFT)]).float()
    views = FramingCameras(values, trained.radius, trained.intrinsics)
    with torch.no_grad():
        cropped = views(torch.arange(2), 32)
    rendered = [trained.render(trained.codes[i + 1], cropped[i]) for i in range(2)]
    return torch.stack([view.labels for view in rendered])


def test_known_cameras_are_found_again(trained, maps, tiny_training):
    found = invert(trained, maps, Recipe(CONFIG, tiny_training), seed=0)
    assert found.views.NAMES == ("yaw", "pitch", "log_zoom", "shift_x", "shift_y")
    yaw, pitch, log_zoom, *shift = found.views.values.detach().T
    assert torch.allclose(yaw, torch.tensor(YAW), atol=0.15)
    assert torch.allclose(pitch, torch.tensor(PITCH), atol=0.2)
    assert torch.allclose(log_zoom.exp(), torch.tensor(ZOOM), atol=0.15)
    assert torch.allclose(torch.stack(shift, 1), torch.tensor(SHIFT), atol=0.05)
    assert found.miou.min() > 0.5
    assert found.fitted.shape == (2, 32, 32)
    before = trained.model.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in found.model.state_dict().items())


class Kill(Checkpoints):
    """Stops, as a kill would, once a state of a step was saved."""

    def __init__(self, folder, at):
        super().__init__(folder, ["x"])
        self.at = at

    def save(self, step, state):
        super().save(step, state)
        if step >= self.at:
            raise KeyboardInterrupt


def same_weights(first, second):
    others = second.state_dict()
    return all(torch.equal(value, others[name]) for name, value in first.state_dict().items())


@pytest.fixture(scope="module")
def known(views_folder):
    return read_views(view_files(views_folder, ["synthetic"]))


def test_threads_change_no_bit_and_shares_round_alone(trained, maps, known, monkeypatch, tiny_training):
    config = dataclasses.replace(CONFIG, steps=6, released_steps=3)

    def run(threads: int) -> list[torch.Tensor]:
        runtime.use_cpu(threads)
        found = invert(trained, maps, Recipe(config, tiny_training), seed=0)
        found = release(trained, found, maps, Recipe(config, tiny_training, known=known), 0)
        return [found.codes, found.views.values.detach(), *found.model.state_dict().values()]

    monkeypatch.setattr(fit, "LEAST_SHARE", 1)
    one, two = run(1), run(2)
    assert all(torch.equal(a, b) for a, b in zip(one, two))
    monkeypatch.setattr(shares, "MOST_SHARES", 1)
    plain = run(1)
    assert not all(torch.equal(a, b) for a, b in zip(one, plain))  # There were shares.
    assert torch.cat([(a - b).abs().flatten() for a, b in zip(one, plain)]).mean() < 1e-4


def test_released_modules_change_and_the_known_field_never(trained, maps, known, tiny_training):
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    config = dataclasses.replace(CONFIG, steps=2, released_steps=3)
    found = release(
        trained,
        invert(trained, maps, Recipe(config, tiny_training), seed=0),
        maps,
        Recipe(config, tiny_training, known=known),
        0,
    )
    changed = [n for n, v in found.model.state_dict().items() if not torch.equal(v, before[n])]
    assert {"field.base", "codes"} <= set(changed)
    assert all(torch.equal(value, before[name]) for name, value in trained.model.state_dict().items())


def test_with_a_rehearsal_released_modules_fit_maps_and_go_on_showing_known_heads(
    trained, known, tmp_path, tiny_training
):
    scenes.make_views(tmp_path / "new", heads=7, views=2, held_out=0, size=32)
    maps = read_views(view_files(tmp_path, ["new"])).labels[8::2]  # three heads that the field does not know
    config = dataclasses.replace(CONFIG, steps=20, released_steps=60, rehearsal_instances=4)
    frozen = invert(trained, maps, Recipe(config, tiny_training), seed=0)
    scores = []
    for rehearsed in (known, None):
        found = release(trained, frozen, maps, Recipe(config, tiny_training, known=rehearsed), 0)
        assert found.miou.mean() > frozen.miou.mean() + 0.05
        scores.append(validate(found.model, known, None)[0].miou())
    kept, lost = scores
    assert kept > validate(trained.model, known, None)[0].miou() - 0.03
    assert kept > lost + 0.03


def test_killed_and_resumed_inversion_finds_the_same(trained, maps, tmp_path, tiny_training):
    config = dataclasses.replace(
        CONFIG,
        steps=8,
        maps_per_step=1,
        starts=1,
        start_yaws=(0.0,),
        rays_per_map=32,
        checkpoint_every_steps=3,
    )
    whole = invert(trained, maps, Recipe(config, tiny_training), seed=0)
    for at in (3, 14, 16):  # amid the first group, amid the second, at the end
        with pytest.raises(KeyboardInterrupt):
            invert(trained, maps, Recipe(config, tiny_training), 0, Session(states=Kill(tmp_path, at)))
    again = invert(
        trained, maps, Recipe(config, tiny_training), 0, Session(states=Checkpoints(tmp_path, ["x"]))
    )
    assert torch.equal(whole.codes, again.codes)
    assert torch.equal(whole.views.values, again.views.values)


def test_killed_and_resumed_release_ends_the_same(trained, maps, known, tmp_path, tiny_training):
    config = dataclasses.replace(CONFIG, steps=2, released_steps=7, maps_per_step=1, checkpoint_every_steps=3)
    frozen = invert(trained, maps, Recipe(config, tiny_training), seed=0)
    recipe = Recipe(config, tiny_training, known=known)
    whole = release(trained, frozen, maps, recipe, 0)
    for at in (3, 7):
        with pytest.raises(KeyboardInterrupt):
            release(trained, frozen, maps, recipe, 0, Session(states=Kill(tmp_path, at)))
    again = release(trained, frozen, maps, recipe, 0, Session(states=Checkpoints(tmp_path, ["x"])))
    assert torch.equal(whole.codes, again.codes)
    assert same_weights(whole.model, again.model)


def test_known_framing_leaves_zoom_and_shift(trained, maps, tiny_training):
    config = dataclasses.replace(CONFIG, steps=6, camera_only_share=0.0, camera_weight=1.0)
    found = invert(trained, maps, Recipe(config, tiny_training), seed=0, known_framing=True)
    values = found.views.values.detach()
    assert torch.equal(values[:, 2:], torch.zeros(2, 3))
    assert (values[:, 1].abs() > 1e-4).all()
    other = invert(trained, maps[:1], Recipe(config, tiny_training), seed=0)
    both = join(found, other)
    assert both.views.free.tolist() == [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]
    assert torch.equal(part(both, slice(2, None)).codes, other.codes)


def test_other_views_of_a_frontal_map_are_scored(trained, views_folder, tiny_training):
    views = read_views(view_files(views_folder, ["synthetic"]))
    frontal = frontal_views(views)
    assert frontal.tolist() == [0, 8, 16, 24]
    config = dataclasses.replace(CONFIG, steps=1)
    found = invert(trained, views.labels[frontal], Recipe(config, tiny_training), seed=0, known_framing=True)
    known = dataclasses.replace(found, codes=trained.codes)
    other = torch.tensor([view for view in range(32) if view % 8])
    assert score_other_views(known, views).counts.sum() == other.numel() * 32 * 32
    expected = validate(
        trained.model, dataclasses.replace(views, held_out=torch.ones(32, dtype=bool)).subset(other), None
    )
    assert (score_other_views(known, views).counts == expected[0].counts).all()


def test_inverted_codes_are_appended_and_marked(trained, maps, tmp_path, tiny_training):
    found = invert(trained, maps, Recipe(dataclasses.replace(CONFIG, steps=2), tiny_training), seed=0)
    save_sof(tmp_path / "x.pt", extend(trained, found, ["a", "b"], seed=0))
    loaded = load_sof(tmp_path / "x.pt")
    assert loaded.instance_names == [*trained.instance_names, "a", "b"]
    assert loaded.rounds == [1, 1, 1, 1, 2, 2]
    assert torch.equal(loaded.codes[:4], trained.codes)
    assert torch.equal(loaded.codes[4:], found.codes)


def test_position_cameras_look_at_the_head_with_finite_gradients():
    intrinsics = torch.from_numpy(cameras.intrinsics_from_fov(29.0)).float()
    views = PositionCameras(torch.tensor([[0.3, 0.1, 4.0]]), (0.0, 0.0, 0.0), intrinsics)
    pose = views(torch.tensor([0]), 32).cam2world
    ahead = pose[0, :3, 3] + pose[0, :3, 2] * views.values[0].norm()
    assert torch.allclose(ahead, torch.zeros(3), atol=1e-5)
    assert torch.allclose(pose[0, :3, :3].T @ pose[0, :3, :3], torch.eye(3), atol=1e-5)
    pose.sum().backward()
    assert views.values.grad.isfinite().all()


def test_start_finds_code_and_framing_of_a_map(trained, maps):
    codes, values = search_start(trained, maps, CONFIG, seed=0)
    assert codes.shape == (2, 8)
    assert torch.allclose(values[:, 2].exp(), torch.tensor(ZOOM), atol=0.2)
    assert (values[0, 0] < 0) and (values[1, 0] > 0)


def test_reframing_and_scores_are_exact():
    maps = torch.zeros(1, 8, 8, dtype=torch.uint8)
    maps[0, 2:4, 2:6] = 1
    same = reframe(maps, torch.ones(1), torch.zeros(1, 2), 8)
    assert torch.equal(same, maps)
    moved = reframe(maps, torch.ones(1), torch.tensor([[0.25, 0.125]]), 8)
    expected = torch.zeros_like(maps)
    expected[0, 3:5, 4:8] = 1
    assert torch.equal(moved, expected)
    centre, extent = face_moments(maps)
    assert torch.allclose(centre, torch.tensor([[0.5, 0.375]]))
    assert extent.item() == pytest.approx((8 / 64) ** 0.5)
    zoomed = reframe(maps, torch.tensor([2.0]), torch.zeros(1, 2), 8)
    assert face_moments(zoomed)[1].item() == pytest.approx(2 * extent.item())
    assert batch_mean_iou(maps, maps[0]).item() == pytest.approx(1.0)
    half = maps.clone()
    half[0, 2, 2:6] = 0  # 4 of 8 left; background 56 of 60
    assert batch_mean_iou(half, maps[0]).item() == pytest.approx((4 / 8 + 56 / 60) / 2)


def test_groups_that_are_dealt_are_those_of_one_process(trained, tiny_training, tmp_path):
    """Each group draws by its number among all, and a stopped inversion keeps the groups that are done."""
    save_sof(tmp_path / "sof.pt", trained)
    values = torch.tensor([[0.1 * i, 0.0, 0.0, 0.0, 0.0] for i in range(3)])
    views = FramingCameras(values, trained.radius, trained.intrinsics)
    with torch.no_grad():
        turned = views(torch.arange(3), 32)
    maps = torch.stack([trained.render(trained.codes[i], turned[i]).labels for i in range(3)])
    config = dataclasses.replace(CONFIG, steps=6, maps_per_step=2)
    whole = invert(trained, maps, Recipe(config, tiny_training), 0)
    worked, file = [], SofFile(tmp_path / "sof.pt", "")

    def mapper(task, items):
        for number, group in items:
            worked.append(number)
            yield task((number, group))
            if stopping:
                raise KeyboardInterrupt

    how = (Recipe(config, tiny_training), 0, mapper)
    stopping = True
    with pytest.raises(KeyboardInterrupt):
        invert_dealt(file, maps, *how, Session(states=Checkpoints(tmp_path / "states", "f")))
    stopping = False
    dealt = invert_dealt(file, maps, *how, Session(states=Checkpoints(tmp_path / "states", "f")))
    assert worked == [0, 1]
    assert torch.equal(dealt.codes, whole.codes) and torch.equal(dealt.views.values, whole.views.values)
    assert (dealt.fitted == whole.fitted).all() and (dealt.miou == whole.miou).all()
