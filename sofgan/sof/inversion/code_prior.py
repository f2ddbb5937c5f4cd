"""Prior of codes: a Gaussian over those of known heads, and coordinates in which it is round."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sofgan.errors import InputError

DEVIATION_FLOOR = 0.05  # of the largest one: directions in which known heads hardly differ stay open


@dataclass(frozen=True)
class CodePrior:
    """Codes as mean + white @ axes, where `white` is standard normal over known heads.

    Attributes:
        mean: (Z,).
        axes: (D, Z), orthogonal, each as long as its deviation.
    """

    mean: Tensor
    axes: Tensor

    def codes(self, white: Tensor) -> Tensor:
        """white (..., D) to codes (..., Z); differentiable."""
        return self.mean + white @ self.axes

    def white(self, codes: Tensor) -> Tensor:
        """Codes (..., Z) to their coordinates (..., D); what lies outside of the axes' span is lost."""
        return (codes - self.mean) @ (self.axes / self.axes.square().sum(1, keepdim=True)).T


def fit_prior(codes: Tensor) -> CodePrior:
    """The Gaussian over codes (N, Z) of known heads, of rank min(N - 1, Z).

    Raises:
        InputError: there are fewer than two codes.
    """
    if len(codes) < 2:
        raise InputError(f"a prior over codes needs at least two heads, not {len(codes)}")
    mean = codes.mean(0)
    _, lengths, directions = torch.linalg.svd(codes - mean, full_matrices=False)
    rank = min(len(codes) - 1, codes.shape[1])
    deviations = lengths[:rank] / (len(codes) - 1) ** 0.5
    deviations = deviations.clamp_min(DEVIATION_FLOOR * deviations[0])
    return CodePrior(mean, deviations[:, None] * directions[:rank])


def open_prior(codes: Tensor) -> CodePrior:
    """A Gaussian that is alike in all Z directions, as wide as the codes (N, Z) of known heads are on average.

    Its codes need not be combinations of known heads'.

    Raises:
        InputError: there are fewer than two codes.
    """
    if len(codes) < 2:
        raise InputError(f"a prior over codes needs at least two heads, not {len(codes)}")
    mean = codes.mean(0)
    deviation = ((codes - mean).square().sum() / ((len(codes) - 1) * codes.shape[1])).sqrt()
    return CodePrior(mean, deviation * torch.eye(codes.shape[1], device=codes.device))
