"""Surfaces of unknown class: they are solid, of whatever class is likely there, from the views to the scores."""

import dataclasses

import numpy as np
import pytest
import torch

from sofgan import labels
from sofgan.files import write_npz
from sofgan.labels import mirror
from sofgan.scores.segmentation import ConfusionMatrix, batch_mean_iou
from sofgan.sof.data import RaySampler, known_points
from sofgan.sof.fitting import fit_codes, score_codes
from sofgan.sof.head_statistics import head_statistics
from sofgan.sof.inversion.map_encoder import MapEncoder
from sofgan.sof.inversion.start import face_moments
from sofgan.sof.losses import picked_classes, point_cross_entropy, sof_loss, weighted_cross_entropy
from sofgan.sof.pixel_density import border_mask, pixel_density
from sofgan.sof.train import rows, train_sof
from sofgan.sof.view_set import read_views, view_files

FACE = (
    labels.SKIN,
    labels.BROW,
    labels.R_NOSE,
    labels.L_NOSE,
    labels.MOUTH,
    labels.U_LIP,
    labels.L_LIP,
    labels.EAR,
)


@pytest.fixture(scope="module")
def known(views_folder):
    return read_views(view_files(views_folder, ["synthetic"]))


@pytest.fixture(scope="module")
def views(views_folder, tmp_path_factory):
    """The same heads, the first one's face unknown in all its views; read from files as any other."""
    folder = tmp_path_factory.mktemp("void") / "some"
    folder.mkdir()
    for number, path in enumerate(view_files(views_folder, ["synthetic"])):
        arrays = dict(np.load(path))
        if number == 0:
            arrays["labels"][np.isin(arrays["labels"], FACE)] = labels.VOID
        write_npz(folder / path.name, **arrays)
    return read_views(view_files(folder.parent, ["some"]))


@pytest.fixture(scope="module")
def config(tiny_training):
    return dataclasses.replace(
        tiny_training,
        steps=8,
        points_only_share=0.5,
        instances_per_step=2,
        views_per_instance=2,
        rays_per_view=24,
        validate_every_steps=4,
        fit_steps=2,
    )


def test_ids_beyond_the_classes_but_void_are_refused(views, tmp_path):
    first = {
        name: np.asarray(value) for name, value in (("labels", views.labels[:2]), ("depth", views.depth[:2]))
    }
    first |= {
        "cam2world": np.asarray(views.cam2world[:2]),
        "intrinsics": np.eye(3),
        "split": np.zeros(2, np.uint8),
    }
    first["labels"] = first["labels"].copy()
    first["labels"][0, 0, 0] = 200
    write_npz(tmp_path / "x.npz", **first)
    with pytest.raises(labels.LabelError, match="200"):
        read_views([tmp_path / "x.npz"])


def test_unknown_classes_share_the_gradient_of_being_there():
    torch.manual_seed(0)
    classes = torch.tensor([[labels.VOID, labels.SKIN, labels.VOID, labels.BACKGROUND]])
    logits = torch.randn(1, 4, 17, requires_grad=True)
    logs = logits.log_softmax(-1)
    logs.retain_grad()
    weights = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    loss = weighted_cross_entropy(logs, classes, weights, void=True)
    loss.backward()
    empty = logs[..., 0].detach().exp()
    expected = -(weights * torch.stack(
        [(1 - empty[0, 0]).log(), logs[0, 1, labels.SKIN], (1 - empty[0, 2]).log(), logs[0, 3, 0]]
    )).mean()  # fmt: skip
    torch.testing.assert_close(loss, expected)
    assert (logs.grad[0, [0, 2], 1:] == 0).all() and (logs.grad[0, [0, 2], 0] > 0).all()
    assert logs.grad[0, 1, labels.SKIN] < 0

    points = torch.randn(5, 17, requires_grad=True)
    classes = torch.tensor([labels.VOID, labels.HAIR, 0, labels.VOID, labels.EYE])
    each = point_cross_entropy(points, classes, void=True)
    chances = points.detach().softmax(-1)
    torch.testing.assert_close(each.detach()[0], -(1 - chances[0, 0]).log())
    torch.testing.assert_close(each.detach()[1], -chances[1, labels.HAIR].log())
    each.sum().backward()
    # Each class is pushed up by its share of what is there. Were background alone pushed down, the void parts of a scan
    # would not become solid, and the field's other heads would get worse.
    shares = chances[:, 1:] / (1 - chances[:, :1])
    expected = -chances[:, :1] * shares
    torch.testing.assert_close(points.grad[[0, 3], 1:], expected[[0, 3]])
    torch.testing.assert_close(points.grad[[0, 3], 0], chances[[0, 3], 0])


def test_losses_are_finite_where_a_void_ray_is_sure_to_be_empty():
    logs = torch.full((1, 1, 17), -16.0)
    logs[..., 0] = 0
    logs.requires_grad_()
    loss = weighted_cross_entropy(logs, torch.tensor([[labels.VOID]]), torch.ones(1, 1), void=True)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logs.grad).all() and loss > 15
    far = torch.zeros(1, 17)
    far[0, 0] = 200.0
    far.requires_grad_()
    point_cross_entropy(far, torch.tensor([labels.VOID]), True).sum().backward()
    assert far.grad[0, 0] == pytest.approx(1)


def test_known_classes_have_the_same_loss_to_the_bit():
    torch.manual_seed(1)
    logs, classes = torch.randn(3, 40, 17).log_softmax(-1), torch.randint(17, (3, 40))
    for void in (False, True):
        one = logs.clone().requires_grad_()
        picked = picked_classes(one, classes, void)
        assert (picked == logs.gather(-1, classes[..., None])[..., 0]).all()
    torch.testing.assert_close(
        point_cross_entropy(logs[0], classes[0], True),
        point_cross_entropy(logs[0], classes[0], False),
        rtol=0,
        atol=0,
    )


def test_a_batch_says_whether_it_may_hold_void(views, known, config):
    assert not RaySampler(known, config.rays).void
    sampler = RaySampler(views, config.rays)
    batch = sampler.draw(torch.arange(4), 2, 64, torch.Generator().manual_seed(0))
    assert batch.void and rows(batch, slice(0, 2)).void
    assert (batch.labels[0] == labels.VOID).any() and not (batch.labels[1:] == labels.VOID).any()
    points, classes = known_points(batch, config.rays, torch.Generator().manual_seed(0))
    behind = classes == labels.VOID
    assert behind.any() and not behind[1:].any()
    # Free space before a void surface is known to be free.
    assert ((classes == 0) & (batch.labels == labels.VOID)[..., None]).any()


def test_what_other_classes_say_of_void_rays_changes_no_loss(views, config, known):
    """The class part of a step's loss is that of the batch without its void rays."""
    sampler = RaySampler(views, config.rays)
    batch = sampler.draw(torch.arange(4), 2, 64, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    logits = torch.randn(*batch.labels.shape, 17)
    void = batch.labels == labels.VOID
    assert void.any()
    mixed = logits.clone()
    mixed[..., 1:] = mixed[..., 1:][..., torch.randperm(16)]  # other classes, as much background
    mixed = torch.where(void[..., None], mixed, logits)
    terms = [
        weighted_cross_entropy(one.log_softmax(-1), batch.labels, batch.weights, True)
        for one in (logits, mixed)
    ]
    torch.testing.assert_close(*terms)


def test_borders_of_void_are_no_borders_of_classes():
    maps = torch.zeros((1, 12, 12), dtype=torch.uint8)
    maps[0, 2:10, 2:10] = labels.SKIN
    maps[0, 6:10, 2:10] = labels.VOID
    border = border_mask(maps)[0]
    assert border[1, 5] and border[2, 5] and border[9, 5] and border[10, 5]  # the head's outline
    assert not border[5:7, 4:8].any()  # skin against void
    whole = maps.where(maps != labels.VOID, labels.SKIN)
    assert (border == border_mask(whole)[0]).all()
    maps[0, 3, 5] = labels.EYE
    assert border_mask(maps)[0, 3, 5] and border_mask(maps)[0, 3, 4]


def test_void_is_drawn_as_ordinary_pixels_and_leaves_rarity_alone(views, known, config):
    without = known.labels[known.instance > 0]
    partly = views.labels[views.instance > 0]
    assert (pixel_density(partly, partly, config.rays) == pixel_density(without, without, config.rays)).all()
    density = pixel_density(views.labels, views.labels, config.rays)
    assert (density >= 1).all()
    all_void = torch.full((1, 8, 8), labels.VOID, dtype=torch.uint8)
    assert len(pixel_density(all_void, all_void, config.rays).unique()) == 1


@pytest.mark.parametrize("kind", ["volume", "lstm"])
def test_a_batch_with_a_partly_void_scan_trains_and_is_scored(kind, views, config):
    config = dataclasses.replace(config, marcher=dataclasses.replace(config.marcher, kind=kind))
    model, curve = train_sof(views, config, 0, "cpu")
    assert len(curve) == 2
    assert all(np.isfinite(value) for row in curve for value in row.values())
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    codes = fit_codes(model, views.of_instances([0, 1]), config, 2, 0, "cpu")
    confusion, picture = score_codes(model, codes, views.of_instances([0, 1]))
    held_out = views.labels[views.held_out & (views.instance < 2)]
    assert confusion.counts.sum() == (held_out != labels.VOID).sum() < held_out.numel()
    assert (picture == np.array(labels.VOID_COLOR)).all(-1).any()


def test_void_makes_a_head_solid(views, config, views_folder):
    """Where a face is unknown the field is pushed to be there."""
    model, _ = train_sof(views, dataclasses.replace(config, steps=2), 0, "cpu")
    batch = RaySampler(views, config.rays).draw(
        torch.zeros(1, dtype=torch.long), 4, 64, torch.Generator().manual_seed(3)
    )
    void = batch.labels == labels.VOID
    only = dataclasses.replace(batch, weights=void.float())
    points = dataclasses.replace(config, loss=dataclasses.replace(config.loss, code=0.0, roughness=0.0))
    loss, terms = sof_loss(model, only, points, False, torch.Generator().manual_seed(0))
    assert terms["points"] > 0
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.field.parameters())


def test_scores_leave_void_out():
    truth = np.array([[1, 255, 3], [255, 0, 1]], np.uint8)
    answer = np.array([[1, 3, 3], [0, 0, 3]], np.uint8)
    for kind in (np.asarray, torch.as_tensor):
        counts = ConfusionMatrix().update(kind(answer), kind(truth)).counts
        assert counts.sum() == 4 and counts[1, 1] == counts[3, 3] == counts[0, 0] == counts[1, 3] == 1
        with pytest.raises(ValueError, match="255"):
            ConfusionMatrix().update(kind(truth), kind(answer))
    a, b = torch.as_tensor(answer), torch.as_tensor(truth)
    assert batch_mean_iou(a[None], b)[0] == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)


def test_inverting_and_judging_maps_with_void(views):
    frontal = views.labels[0]
    plain = torch.where(frontal == labels.VOID, labels.SKIN, frontal)
    assert (face_moments(frontal[None])[0] == face_moments(plain[None])[0]).all()
    flipped = mirror(frontal[None])[0]
    assert ((flipped == labels.VOID) == (frontal == labels.VOID).flip(-1)).all()
    assert (mirror(flipped[None])[0] == frontal).all()
    assert (labels.mirror(frontal.numpy()) == flipped.numpy()).all()
    made = MapEncoder(4).estimate(frontal[None].repeat(2, 1, 1))
    assert torch.isfinite(made.white).all()

    statistics = head_statistics(frontal.numpy()[None])
    whole = head_statistics(plain.numpy()[None])
    assert np.isnan(statistics["part.u_lip"]) and whole["part.u_lip"] == 0
    assert np.isnan(statistics["area.skin.0"]) and statistics["area.hair.0"] == whole["area.hair.0"]
    assert statistics["loose.holes"] == whole["loose.holes"]


def test_the_pictures_show_void_grey():
    maps = np.array([[labels.HAIR, labels.VOID]], np.uint8)
    np.testing.assert_array_equal(labels.colorize(maps), [[labels.PALETTE[labels.HAIR], labels.VOID_COLOR]])
    with pytest.raises(IndexError):
        labels.colorize(np.array([200], np.uint8))
    assert labels.class_areas(maps)[labels.HAIR] == 0.5 and labels.class_areas(maps).sum() == 0.5
