"""A trained or trainable semantic occupancy field: its modules, codes and file."""

import torch
from torch import Tensor, nn

from sofgan.seeds import derive_seed
from sofgan.sof.config import FieldConfig, MarcherConfig, SofConfig
from sofgan.sof.field import Field, Representation
from sofgan.sof.hypernetwork import HyperField
from sofgan.sof.lstm_marcher import LstmMarcher
from sofgan.sof.occupancy import FieldInstance
from sofgan.sof.rays import Projection, Rays
from sofgan.sof.triplane import TriplaneField
from sofgan.sof.volume_marcher import VolumeMarcher


def build_field(config: FieldConfig) -> Field:
    """The field that the configuration names, freshly initialised from torch's global generator."""
    return {"hyper": HyperField, "triplane": TriplaneField}[config.kind](config)


def build_marcher(config: MarcherConfig, feature_size: int) -> nn.Module:
    """The marcher that the configuration names."""
    return VolumeMarcher(config) if config.kind == "volume" else LstmMarcher(config, feature_size)


class SofModel(nn.Module):
    """Field, marcher, and one code an instance."""

    def __init__(self, config: SofConfig, instances: int):
        super().__init__()
        self.config = config
        self.codes = nn.Parameter(torch.zeros(instances, config.field.code_size))
        self.field = build_field(config.field)
        self.marcher = build_marcher(config.marcher, self.field.feature_size)

    def generate(self, codes: Tensor) -> Representation:
        """Representation of the instances of codes (B, Z); keep it to render a code again."""
        return self.field.generate(codes)

    def project(
        self, representation: Representation, rays: Rays, generator=None, depth_hint=None
    ) -> Projection:
        """Projection of rays (B, N) of the B instances."""
        return self.marcher(self.field, representation, rays, generator, depth_hint)


def new_model(config: SofConfig, instances: int, code_std: float, seed: int) -> SofModel:
    """A model initialised from the seed alone; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "sof init"))
        model = SofModel(config, instances)
        with torch.no_grad():
            model.codes.normal_(0.0, code_std)
    return model


def field_instance(model: SofModel, representation: Representation) -> FieldInstance:
    """The head that a representation of one instance stands for."""
    return FieldInstance(model.field, representation, model.config.field.num_classes)
