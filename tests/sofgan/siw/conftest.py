import dataclasses

import numpy as np
import pytest
import torch

from sofgan.config import from_mapping
from sofgan.labels import NUM_CLASSES
from sofgan.siw.config import DiscriminatorConfig, GeneratorConfig, TrainSiw

TINY = GeneratorConfig(
    resolution=16, label_size=16, start_size=4, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128,
    channel_max=8, encoder_channels=(6, 8), spade_sizes=(8, 16), spade_hidden=4, spade_max_size=8,
)  # fmt: skip


@pytest.fixture
def tiny():
    """Makes a tiny generator configuration with some fields changed."""
    return lambda **changes: dataclasses.replace(TINY, **changes)


@pytest.fixture
def tiny_training():
    """Makes a tiny training configuration; nested changes go by `generator` and `discriminator`."""

    def make(generator=None, discriminator=None, **changes) -> TrainSiw:
        values = {
            "kimg": 0.032, "trial": 0, "batch": 4,
            "learning_rate_generator": 0.002, "learning_rate_discriminator": 0.002,
            "cooldown": 0.3, "two_style_probability": 0.9, "soft_mix_probability": 0.5,
            "mix_by": "groups", "r1_gamma": 1.0,
            "r1_every": 2, "path_length_weight": 2.0, "path_length_every": 2,
            "consistency_rate": 0.0, "consistency_every": 0, "consistency_by": "difference",
            "photo_sets": ["ffhq"], "photo_proportions": {},
            "share_fakes": True, "growth": [], "accumulate": 1, "augment_kimg": 0,
            "augment_target": 0.6, "compile": False, "scale_max": 1.3, "mirror": True, "ema_halflife_kimg": 0.01,
            "ema_rampup": 0.5, "map_proportions": {"parsed": 1.0}, "memory_limit_gb": 1.0,
            "generator": {"label_size": 64, "encoder_channels": [32, 64]},
            "discriminator": {"palette_weight": 0.0, "projected_augment": []},
            "report_every_kimg": 0.016, "sample_grid": [2, 2],
            "scores": {"every_kimg": 0, "images": 2, "keep_all": False},
            "autocast": False,
        }  # fmt: skip
        config = from_mapping(TrainSiw, values, "test")
        critic = DiscriminatorConfig(
            kind="residual",
            channel_base=64,
            channel_max=8,
            projected_size=32,
            projected_channels=4,
            palette_weight=0.0,
            projected_augment=("color", "translation", "cutout"),
        )
        return dataclasses.replace(
            config,
            generator=dataclasses.replace(TINY, **(generator or {})),
            discriminator=dataclasses.replace(critic, **(discriminator or {})),
            **changes,
        )

    return make


@pytest.fixture
def photos():
    return np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def maps():
    """Blocky maps of all classes."""
    blocks = np.random.default_rng(1).integers(0, NUM_CLASSES, (5, 4, 4), dtype=np.uint8)
    return blocks.repeat(8, 1).repeat(8, 2)


@pytest.fixture
def seeded():
    torch.manual_seed(0)
