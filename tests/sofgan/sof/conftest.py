"""Views of ellipsoid heads (`tests.scenes`), and fields that were trained on them or are spheres."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sofgan import cameras
from sofgan.sof.config import FieldConfig, MarcherConfig, RaySampling, SofConfig, SofLoss, TrainSof
from sofgan.sof.model import new_model
from sofgan.sof.sof import Sof
from sofgan.sof.train import finish, train_sof
from sofgan.sof.view_set import read_views, view_files
from tests import scenes


@pytest.fixture(scope="session")
def views_folder(tmp_path_factory) -> Path:
    """Four heads, 6 + 2 views of 32x32, under one batch folder."""
    root = tmp_path_factory.mktemp("views")
    scenes.make_views(root / "synthetic", heads=4, views=6, held_out=2, size=32)
    return root


TINY_TRAINING = TrainSof(
    field=FieldConfig(
        code_size=8,
        channels=8,
        base_size=16,
        basis_size=16,
        basis=4,
        local_basis=1,
        local_grid=1,
        warp_size=4,
        decoder_hidden=16,
    ),
    marcher=MarcherConfig(samples=4, surface_samples=4),
    loss=SofLoss(cross_entropy=1.0, points=0.5, code=1e-3, negative_depth=0.0, roughness=0.0),
    rays=RaySampling(),
    held_out_instances=0,
    fit_steps=4,
    steps=300,
    points_only_share=0.8,
    instances_per_step=4,
    views_per_instance=4,
    rays_per_view=48,
    autocast=True,
    learning_rate=1e-2,
    code_learning_rate=1e-2,
    code_init_std=1.0,
    warmup_steps=5,
    clip_gradient_norm=5.0,
    adam_beta2=0.99,
    validate_every_steps=150,
    validate_views=2,
    checkpoint_every_steps=1000,
    memory_limit_gb=1.0,
    space_components=2,
    space_dimensions=3,
)


@pytest.fixture(scope="session")
def trained(views_folder):
    """A small field of the four heads, trained for a few seconds."""
    views = read_views(view_files(views_folder, ["synthetic"]))
    model, _ = train_sof(views, TINY_TRAINING, 0, "cpu")
    sof = finish(model, views, TINY_TRAINING, 0)
    sof.model.eval().requires_grad_(False)
    return sof


@pytest.fixture(scope="session")
def tiny_training():
    return TINY_TRAINING


@pytest.fixture
def sphere_model():
    """A model whose field is the sphere."""
    model = new_model(
        SofConfig(FieldConfig("hyper", code_size=4, phi_hidden=4, hyper_hidden=4)), 1, 0.1, seed=0
    )
    model.field = scenes.SphereField()
    return model


@pytest.fixture
def sphere_sof(sphere_model):
    """The sphere as a trained field, its upper half hair."""
    sphere_model.field.hair_above = True
    poses = torch.from_numpy(cameras.orbit(np.array([0.0]), 0.0, scenes.RADIUS)).float()
    intrinsics = torch.from_numpy(cameras.intrinsics_from_fov(scenes.FOV_DEGREES)).float()
    return Sof(sphere_model.requires_grad_(False), ["sphere"], [1], {}, poses, intrinsics)
