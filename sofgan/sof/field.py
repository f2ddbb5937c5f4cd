"""Fields: S(p; z), class scores of a point of head space for an instance's code.

A field is used in two steps, so that a code's representation is made once and kept:
`representation = field.generate(codes)`, then `field.features(representation, points)` and
`field.classify(features)`, or both at once by `field.logits`.
"""

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sofgan.sof.config import FieldConfig
from sofgan.sof.hypernetwork import Hypernetwork
from sofgan.sof.precision import wide_layers

Representation = dict[str, Tensor]  # what is generated from codes; the first axis of each is the instance


class Field(nn.Module):
    """What every kind of field offers. `feature_size` is the width of `features`."""

    feature_size: int

    def generate(self, codes: Tensor) -> Representation:
        """codes (B, Z) to what stands for the B instances."""
        raise NotImplementedError

    def features(self, representation: Representation, points: Tensor) -> Tensor:
        """points (B, P, 3) in head space to features (B, P, F)."""
        raise NotImplementedError

    def classify(self, features: Tensor) -> Tensor:
        """features (..., F) to class scores (..., K), before the softmax of eq. 3."""
        raise NotImplementedError

    def roughness(self, representation: Representation) -> Tensor:
        """How much the representation varies between neighbouring places; 0 where it has no places."""
        return next(iter(representation.values())).new_zeros(())

    def logits(self, representation: Representation, points: Tensor) -> Tensor:
        """points (B, P, 3) to class scores (B, P, K)."""
        return self.classify(self.features(representation, points))


def select(representation: Representation, index) -> Representation:
    """Some instances of a representation (index or slice over the first axis)."""
    return {name: value[index] for name, value in representation.items()}


class HyperField(Field):
    """The paper's: a four-layer Phi with layer norm, every weight of it made from the code, and a classifier."""

    def __init__(self, config: FieldConfig):
        super().__init__()
        self.feature_size = config.phi_hidden
        sizes = [3] + [config.phi_hidden] * config.phi_layers
        self.hypernetwork = Hypernetwork(config.code_size, config.hyper_hidden, sizes)
        hidden = []
        for _ in range(config.head_hidden):
            linear = nn.Linear(config.phi_hidden, config.phi_hidden)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            hidden += [linear, nn.LayerNorm(config.phi_hidden), nn.ReLU()]
        self.head = nn.Sequential(*hidden, nn.Linear(config.phi_hidden, config.num_classes))

    def generate(self, codes: Tensor) -> Representation:
        made = {}
        for index, (weight, bias) in enumerate(self.hypernetwork(codes)):
            made[f"weight{index}"], made[f"bias{index}"] = weight, bias
        return made

    def features(self, representation: Representation, points: Tensor) -> Tensor:
        values = points
        for index in range(len(representation) // 2):
            weight, bias = representation[f"weight{index}"], representation[f"bias{index}"]
            # The first layer reads coordinates, in full precision.
            with wide_layers() if index else nullcontext():
                values = torch.baddbmm(bias[:, None], values, weight.transpose(1, 2))
            values = F.relu(F.layer_norm(values.to(points), values.shape[-1:]))
        return values

    def classify(self, features: Tensor) -> Tensor:
        with wide_layers():
            features = self.head[:-1](features)
        return self.head[-1](features.to(self.head[-1].weight))


def build_field(config: FieldConfig) -> Field:
    """The field that the configuration names, freshly initialised from torch's global generator."""
    from sofgan.sof.triplane import TriplaneField

    return {"hyper": HyperField, "triplane": TriplaneField}[config.kind](config)
