"""In mixed precision the wide layers alone are bfloat16: what coordinates pass through stays as it is."""

import dataclasses
from contextlib import nullcontext

import pytest
import torch

from sofgan import cameras
from sofgan.cameras import Camera
from sofgan.sof import precision, train
from sofgan.sof.config import FieldConfig, MarcherConfig, SofConfig
from sofgan.sof.data import RaySampler
from sofgan.sof.model import new_model
from sofgan.sof.precision import bfloat16_layers, mixed_precision, wide_layers
from sofgan.sof.rays import camera_rays
from sofgan.sof.triplane import read_planes
from sofgan.sof.view_set import read_views, view_files

HYPER = FieldConfig("hyper", code_size=8, phi_hidden=64, hyper_hidden=64, head_hidden=1)
TRIPLANE = FieldConfig(
    code_size=8, channels=8, base_size=16, basis_size=16, basis=4, local_basis=1, local_grid=1, warp_size=4
)


def products(module: torch.nn.Module, run) -> dict[str, set[torch.dtype]]:
    """Of which kinds the results of the linear layers and LSTM cells of a module are while `run` runs."""
    seen: dict[str, set[torch.dtype]] = {}
    hooks = [
        part.register_forward_hook(
            lambda _part, _given, made, name=name: seen.setdefault(name, set()).add(
                (made[0] if isinstance(made, tuple) else made).dtype
            )
        )
        for name, part in module.named_modules()
        if isinstance(part, (torch.nn.Linear, torch.nn.LSTMCell))
    ]
    run()
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("field", [HYPER, TRIPLANE], ids=["hyper", "triplane"])
def test_codes_coordinates_and_walks_stay_float32(field):
    marcher = MarcherConfig("lstm" if field is HYPER else "volume", steps=3)
    model = new_model(SofConfig(field, marcher), 2, 1.0, seed=0)
    if field is TRIPLANE:
        torch.nn.init.normal_(model.field.warp_basis)
    poses = cameras.orbit(torch.tensor([0.3, -0.2]), torch.zeros(2), 4.0)[:, None]
    intrinsics = torch.from_numpy(cameras.intrinsics_from_fov(29.0)).float()
    rays = camera_rays(Camera(poses, intrinsics, 12))
    seen, results = {}, {}
    for kind in (None, "cpu"):

        def run(kind=kind):
            with bfloat16_layers(kind):
                made = model.generate(model.codes)
                results[kind] = made, model.project(made, rays)

        seen[kind] = products(model, run)
    halved = {name for name, kinds in seen["cpu"].items() if torch.bfloat16 in kinds}
    wide = {"field.head.0"} if field is HYPER else {"field.decoder.0", "field.decoder.2"}
    assert halved == wide
    assert all(kinds == {torch.float32} for kinds in seen[None].values())
    (full, exact), (half, near) = results[None], results["cpu"]
    assert all(torch.equal(full[name], half[name]) for name in full)  # what codes make is the same to the bit
    assert near.log_probabilities.dtype == near.depth.dtype == torch.float32
    assert not torch.equal(exact.log_probabilities, near.log_probabilities)
    assert (exact.depth - near.depth).abs().mean() < 2e-3
    if field is TRIPLANE:  # So is where a point is read.
        points = torch.rand(2, 5, 3)
        with bfloat16_layers("cpu"):
            assert read_planes(half["warp"], points).dtype == torch.float32


def test_the_first_layer_of_phi_tells_points_apart_that_bfloat16_does_not():
    model = new_model(SofConfig(HYPER, MarcherConfig("lstm")), 1, 1.0, seed=0)
    made = {name: value.detach() for name, value in model.generate(model.codes).items()}
    first = {name: made[name] for name in ("weight0", "bias0")}  # a Phi of one layer
    points = torch.tensor([[[0.7, 0.1, 0.2], [0.7005, 0.1, 0.2]]])  # one number in bfloat16
    with bfloat16_layers("cpu"):
        near = model.field.features(first, points)
    assert torch.equal(near, model.field.features(first, points))
    assert not torch.equal(near[:, 0], near[:, 1])


def test_it_is_for_cuda_alone_and_can_be_switched_off(monkeypatch):
    asked = []
    monkeypatch.setattr(precision.torch, "autocast", lambda *how: asked.append(how) or nullcontext())
    for device, on, expected in (
        ("cpu", True, []),
        ("cuda:1", False, []),
        ("cuda:1", True, [("cuda", torch.bfloat16)]),
    ):
        asked.clear()
        with mixed_precision(device, on), wide_layers():
            assert asked == expected
    asked.clear()
    with wide_layers():
        assert asked == []  # as soon as the block has ended


@pytest.mark.parametrize("on", [True, False])
def test_training_follows_its_key(views_folder, tiny_training, monkeypatch, on):
    asked = []

    def told(device, wanted):
        asked.append(wanted)
        return mixed_precision(device, wanted)

    monkeypatch.setattr(train, "mixed_precision", told)
    views = read_views(view_files(views_folder, ["synthetic"]))
    config = dataclasses.replace(tiny_training, autocast=on)
    model = new_model(SofConfig(config.field, config.marcher), 4, 1.0, seed=0)
    generator = torch.Generator().manual_seed(0)
    batch = RaySampler(views, config.rays).draw(torch.arange(2), 1, 8, generator)
    [task() for task in train.share_tasks(model, batch, config, True, generator, [model.codes])]
    assert asked and set(asked) == {on}
