"""The fast field: feature planes generated from the code, read where a warp of space sends a point."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sofgan.sof.config import FieldConfig
from sofgan.sof.field import Field, Representation
from sofgan.sof.precision import wide_layers

AXES = ((0, 1), (2, 1), (0, 2))  # of the planes: (x, y), (z, y), (x, z)
INITIAL_SCALE = 0.1  # of the random planes
WARP_SCALE = 0.02  # head units a unit of the warp's parameters: one step of Adam moves a surface by little


class TriplaneField(Field):
    """Phi is a warp of space, three feature planes and a small decoder; the first two are made from z.

    What varies between heads is linear in z, and so in combinations of codes (eq. 6), in two ways:

    - its first part weights `basis` sets of planes that cover everything (what goes together in a head);
    - the rest are `local_basis` coefficients at each node of a coarse grid over each plane, interpolated
      between nodes, that weight as many further sets there. So parts that were never seen together, one
      head's hair and another's glasses, need no head of their own in the training set.

    The warp moves a point before the planes are read: eyes that sit elsewhere are then the same texels, and
    fewer heads say more about new ones. Planes are finer near the middle, where faces have their small parts.
    """

    def __init__(self, config: FieldConfig):
        super().__init__()
        self.config = config
        self.feature_size = config.decoder_hidden
        width = config.mapping_hidden
        hidden = [nn.Linear(config.global_size, width), nn.ReLU()] if width else []
        self.mapping = nn.Sequential(*hidden, nn.Linear(width or config.global_size, config.basis))
        channels, small, warp = 3 * config.channels, config.basis_size, config.warp_size

        def planes(count, size):
            return INITIAL_SCALE * smooth_noise(count, channels, config.initial_size, size)

        self.base = nn.Parameter(planes(1, config.base_size)[0])
        self.basis = nn.Parameter(planes(config.basis, small))
        self.local_basis = nn.Parameter(planes(config.local_basis, small).unflatten(1, (3, -1)))
        self.warp_basis = nn.Parameter(torch.zeros(config.basis, 9, warp, warp))
        self.local_warp_basis = nn.Parameter(torch.zeros(config.local_basis, 3, 3, warp, warp))
        self.decoder = nn.Sequential(
            nn.Linear(config.channels, config.decoder_hidden),
            nn.ReLU(),
            nn.Linear(config.decoder_hidden, config.decoder_hidden),
            nn.ReLU(),
        )
        self.head = nn.Linear(config.decoder_hidden, config.num_classes)
        with torch.no_grad():
            self.head.bias[0] += config.background_bias

    def generate(self, codes: Tensor) -> Representation:
        """codes (B, Z) to `planes` (B, 3, C, S, S) and, where there is a warp, `warp` (B, 3, 3, W, W)."""
        weights = self.mapping(codes[:, : self.config.global_size])
        grid = self.config.local_grid
        local = codes[:, self.config.global_size :].reshape(
            len(codes), -1 if len(self.local_basis) else 0, grid, grid
        )
        planes = _global_sum(weights, self.basis) + _local_sum(local, self.local_basis)
        planes = planes.flatten(1, 2)
        if planes.shape[-1] != self.base.shape[-1]:
            planes = F.interpolate(planes, size=self.base.shape[-2:], mode="bilinear", align_corners=False)
        made = {"planes": (planes + self.base).unflatten(1, (3, -1))}
        if self.config.warp_size:
            warp = _global_sum(weights, self.warp_basis) + _local_sum(local, self.local_warp_basis)
            made["warp"] = WARP_SCALE * warp
        return made

    def features(self, representation: Representation, points: Tensor) -> Tensor:
        if "warp" in representation:
            points = points + read_planes(representation["warp"], points)
        focus = self.config.focus
        points = points * ((1 + focus) / (1 + focus * points.abs()))
        read = read_planes(representation["planes"], points)
        with wide_layers():
            features = self.decoder(read)
        return features.to(read)

    def classify(self, features: Tensor) -> Tensor:
        return self.head(features)

    def roughness(self, representation: Representation) -> Tensor:
        planes = representation["planes"]
        return planes.diff(dim=-1).square().mean() + planes.diff(dim=-2).square().mean()


def read_planes(planes: Tensor, points: Tensor) -> Tensor:
    """Sum of three planes' bilinear readings at the projections of points.

    Args:
        planes: (B, 3, C, S, S), each across [-1, 1]; a point beyond reads the border.
        points: (B, P, 3).

    Returns:
        (B, P, C).
    """
    grid = torch.stack([points[..., axes] for axes in AXES], 1)  # (B, 3, P, 2)
    read = F.grid_sample(
        planes.flatten(0, 1), grid.flatten(0, 1)[:, None], padding_mode="border", align_corners=False
    )
    return read.reshape(len(points), 3, planes.shape[2], points.shape[1]).sum(1).transpose(1, 2)


def _global_sum(weights: Tensor, basis: Tensor) -> Tensor:
    """Sets of planes (K, 3 C, S, S) weighted by (B, K): (B, 3, C, S, S)."""
    return (weights @ basis.flatten(1)).unflatten(1, (3, -1, *basis.shape[2:]))


def _local_sum(coefficients: Tensor, basis: Tensor) -> Tensor:
    """Sets of planes (L, 3, C, S, S) weighted at each texel by what lies between nodes (B, 3 L, G, G)."""
    size = basis.shape[-2:]
    if len(basis) == 0:
        return coefficients.new_zeros(len(coefficients), *basis.shape[1:])
    weights = F.interpolate(coefficients, size=size, mode="bilinear", align_corners=True)
    weights = weights.unflatten(1, (-1, 3, 1))
    return sum(weights[:, index] * planes for index, planes in enumerate(basis))


def smooth_noise(count: int, channels: int, size: int, upsampled: int) -> Tensor:
    """(count, channels, upsampled, upsampled) unit normal noise of `size` texels, interpolated."""
    coarse = torch.randn(count, channels, min(size, upsampled), min(size, upsampled))
    if count == 0:
        return coarse.new_zeros(0, channels, upsampled, upsampled)
    return F.interpolate(coarse, size=(upsampled, upsampled), mode="bicubic", align_corners=False)
