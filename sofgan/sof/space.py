"""The geometric sampling space: new heads from the codes of known ones (paper, section 4.3)."""

import math

import torch
from torch import Tensor

from sofgan.seeds import torch_generator

EM_ITERATIONS = 100
EM_STARTS = 8
VARIANCE_FLOOR = 1e-2  # of the whitened codes' variance, which is 1
SHRINKAGE = 0.3  # of a component's variances towards the mean of all: components see few codes


def combine(codes: Tensor, weights: Tensor) -> Tensor:
    """Linear combinations of codes, eq. 6: weights (..., B) that add up to 1, codes (B, Z) to (..., Z).

    Raises:
        ValueError: some weights don't add up to 1.
    """
    sums = weights.sum(-1)
    if not torch.allclose(sums, torch.ones_like(sums), atol=1e-4):
        raise ValueError(f"weights of codes must add up to 1, not {sums.flatten()[0].item():.4f}")
    return weights @ codes


def dirichlet_weights(count: int, bases: int, concentration: float, generator: torch.Generator) -> Tensor:
    """(count, bases) random weights >= 0 that add up to 1; concentration 1 is uniform over the simplex."""
    shape = torch.full((count, bases), float(concentration))
    drawn = torch._standard_gamma(shape, generator=generator).clamp_min(1e-20)
    return drawn / drawn.sum(-1, keepdim=True)


def combined_codes(
    codes: Tensor, count: int, bases: int, concentration: float, generator: torch.Generator
) -> Tensor:
    """(count, Z) Dirichlet combinations, each of `bases` different codes drawn from codes (N, Z)."""
    bases = min(bases, len(codes))
    chosen = torch.stack([torch.randperm(len(codes), generator=generator)[:bases] for _ in range(count)])
    weights = dirichlet_weights(count, bases, concentration, generator).to(codes)
    return (weights[..., None] * codes[chosen.to(codes.device)]).sum(1)


def ease(fraction: Tensor, sharpness: float = 2.0) -> Tensor:
    """Fractions 0..1 eased by a Gaussian's cumulative distribution: slow, fast, slow; the ends stay."""
    half = math.erf(sharpness / 2)
    return (torch.erf((fraction - 0.5) * sharpness) / half + 1) / 2


def interpolate(codes: Tensor, frames: int) -> Tensor:
    """An eased walk through codes (K, Z), `frames` a leg and the last code at the end: ((K-1)*frames + 1, Z)."""
    fraction = ease(torch.arange(frames, device=codes.device) / frames).to(codes)[:, None]
    legs = [a + fraction * (b - a) for a, b in zip(codes[:-1], codes[1:])]
    return torch.cat([*legs, codes[-1:]])


def fit_mixture(codes: Tensor, components: int, dimensions: int, seed: int) -> dict[str, Tensor]:
    """A Gaussian mixture with diagonal covariances over the whitened principal components of codes (N, Z).

    Components and dimensions are cut to what N codes can carry. Seeded; computed on the CPU in float64.

    Returns:
        mean (Z,), axes (D, Z) (scaled to unwhiten), weights (C,), centres (C, D), deviations (C, D), float32.
    """
    codes = codes.detach().double().cpu()
    count = len(codes)
    mean = codes.mean(0)
    dimensions = max(1, min(dimensions, count - 1, codes.shape[1]))
    components = max(1, min(components, count // 4))
    _, singular, right = torch.linalg.svd(codes - mean, full_matrices=False)
    sign = torch.sign(right[:dimensions].gather(1, right[:dimensions].abs().argmax(1, keepdim=True)))
    scale = (singular[:dimensions] / math.sqrt(max(count - 1, 1))).clamp_min(1e-8)
    axes = right[:dimensions] * sign * scale[:, None]
    white = (codes - mean) @ (right[:dimensions] * sign).T / scale
    weights, centres, variances = _fit_diagonal_mixture(white, components, seed)
    fitted = {
        "mean": mean,
        "axes": axes,
        "weights": weights,
        "centres": centres,
        "deviations": variances.sqrt(),
    }
    return {name: value.float().contiguous() for name, value in fitted.items()}


def _fit_diagonal_mixture(points: Tensor, components: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Expectation maximisation on points (N, D), the likeliest of several starts: weights (C,), centres (C, D),
    variances (C, D)."""
    generator = torch_generator(seed, "sof mixture")
    fits = [_maximise_expectation(points, components, generator) for _ in range(EM_STARTS)]
    return max(fits, key=lambda fit: fit[0])[1]


def _maximise_expectation(points: Tensor, components: int, generator: torch.Generator):
    centres = points[torch.randperm(len(points), generator=generator)[:components]].clone()
    variances = points.var(0, unbiased=False).clamp_min(VARIANCE_FLOOR).expand(components, -1).clone()
    weights = torch.full((components,), 1 / components, dtype=points.dtype)
    for _ in range(EM_ITERATIONS):
        distance = (points[:, None] - centres) ** 2 / variances
        scores = weights.log() - 0.5 * (distance + variances.log()).sum(-1)
        share = scores.softmax(1)  # (N, C)
        mass = share.sum(0).clamp_min(1e-6)
        weights = mass / mass.sum()
        centres = share.T @ points / mass[:, None]
        own = (share[..., None] * (points[:, None] - centres) ** 2).sum(0) / mass[:, None]
        shared = (weights[:, None] * own).sum(0)
        variances = ((1 - SHRINKAGE) * own + SHRINKAGE * shared).clamp_min(VARIANCE_FLOOR)
    return float(scores.logsumexp(1).sum()), (weights, centres, variances)


def sample_mixture(
    space: dict[str, Tensor], count: int, generator: torch.Generator, spread: float = 1.0
) -> Tensor:
    """(count, Z) codes from the mixture that `fit_mixture` returned; `spread` scales its deviations:
    below 1 heads vary less and are cleaner."""
    component = torch.multinomial(space["weights"].cpu(), count, replacement=True, generator=generator)
    noise = torch.randn((count, space["centres"].shape[1]), generator=generator)
    white = space["centres"].cpu()[component] + spread * noise * space["deviations"].cpu()[component]
    return space["mean"].cpu() + white @ space["axes"].cpu()


def sample_codes(
    sof,
    count: int,
    generator: torch.Generator,
    method: str = "mixture",
    bases: int = 4,
    concentration: float = 1.0,
) -> Tensor:
    """(count, Z) codes of new heads, on the field's device.

    Args:
        sof: a `sofgan.sof.model.Sof`.
        generator: on the CPU.
        method: "mixture" (PCA + Gaussian mixture) or "dirichlet" (eq. 6 over `bases` random codes).
    """
    if method == "mixture":
        return sample_mixture(sof.space, count, generator).to(sof.device)
    if method == "dirichlet":
        return combined_codes(sof.codes, count, bases, concentration, generator)
    raise ValueError(f"method must be mixture or dirichlet, not {method!r}")
