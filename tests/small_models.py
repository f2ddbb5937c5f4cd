"""An untrained field and painter, small enough for tests."""

import numpy as np
import torch

from sofgan import cameras
from sofgan.siw.config import GeneratorConfig
from sofgan.siw.generator import Generator
from sofgan.siw.model import Siw
from sofgan.siw.portrait_camera import Framing
from sofgan.sof.config import FieldConfig, MarcherConfig, SofConfig
from sofgan.sof.model import new_model
from sofgan.sof.sof import Sof


def small_sof(background_bias: float = 0.0) -> Sof:
    """An untrained field of four heads, of which about half of the ball is solid."""
    field = FieldConfig(
        code_size=16, channels=4, base_size=16, basis_size=8, basis=8, local_basis=0, warp_size=0,
        decoder_hidden=8, background_bias=background_bias,
    )  # fmt: skip
    model = new_model(SofConfig(field, MarcherConfig()), 4, 1.0, seed=0)
    with torch.no_grad():  # An untrained field is nearly the same everywhere.
        for parameter in (model.field.base, model.field.basis):
            parameter.mul_(30)
    model.eval().requires_grad_(False)
    poses = torch.from_numpy(cameras.orbit(np.zeros(1), 0.0, 4.0)).float()
    intrinsics = torch.from_numpy(cameras.intrinsics_from_fov(29.0)).float()
    return Sof(model, ["a", "b", "c", "d"], [1, 1, 1, 2], {}, poses, intrinsics)


def small_siw(**changes) -> Siw:
    """An untrained painter, with changes of its configuration."""
    torch.manual_seed(0)
    config = GeneratorConfig(**{
        "resolution": 32, "label_size": 32, "start_size": 8, "z_dim": 8, "w_dim": 8, "mapping_layers": 2,
        "channel_base": 256, "channel_max": 8, "encoder_channels": (6, 8), "spade_sizes": (16, 32), "spade_hidden": 4,
        "spade_max_size": 16,
    } | changes)  # fmt: skip
    return Siw(Generator(config).requires_grad_(False), "cpu", Framing(29.0, 0.0, 4.0))
