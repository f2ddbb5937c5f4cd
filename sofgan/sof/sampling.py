"""The geometric sampling space: new heads from the codes of known ones (paper, section 4.3)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sofgan.errors import InputError
from sofgan.seeds import torch_generator
from sofgan.sof.config import Sampling

FEATURES_PER_KIND = 16384  # numbers of a tensor, at most
FEATURE_NUMBERS = (
    1 << 26
)  # of all codes together, at most: 256 MiB; of many codes fewer numbers each are kept
CODES_PER_CHUNK = 16
HEADS_PER_BLOCK = 256  # whose distances from all others are in memory at a time
EM_ITERATIONS = 100
EM_STARTS = 8
VARIANCE_FLOOR = 1e-2  # of the whitened codes' variance, which is 1
SHRINKAGE = 0.3  # of a component's variances towards the mean of all: components see few codes
DEFAULT_SAMPLING = Sampling()


def combine(codes: Tensor, weights: Tensor) -> Tensor:
    """Linear combinations of codes, eq. 6: weights (..., B) that add up to 1, codes (..., B, Z) to (..., Z).

    Raises:
        ValueError: some weights don't add up to 1.
    """
    sums = weights.sum(-1)
    if not torch.allclose(sums, torch.ones_like(sums), atol=1e-4):
        raise ValueError(f"weights of codes must add up to 1, not {sums.flatten()[0].item():.4f}")
    return (weights[..., None] * codes).sum(-2)


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
    return combine(codes[chosen.to(codes.device)], weights)


def neighbour_codes(
    codes: Tensor,
    features: Tensor,
    count: int,
    bases: int,
    concentration: float,
    neighbours: int,
    generator: torch.Generator,
) -> Tensor:
    """(count, Z) Dirichlet combinations of a random one of codes (N, Z) and bases - 1 of its nearest.

    Heads that are alike have their parts at the same places, so that these outlive the averaging.

    Args:
        features: (N, F), such as `shape_features`: what is near is decided by them.
        neighbours: the others are drawn from so many nearest ones.
    """
    neighbours = min(neighbours, len(codes) - 1)
    bases = min(bases, neighbours + 1)
    first = torch.randint(len(codes), (count,), generator=generator)
    drawn, row = first.unique(return_inverse=True)
    nearest = nearest_heads(features, drawn, neighbours)[row]
    others = [torch.randperm(neighbours, generator=generator)[: bases - 1] for _ in range(count)]
    chosen = torch.cat([first[:, None], nearest.gather(1, torch.stack(others))], 1)
    weights = dirichlet_weights(count, bases, concentration, generator).to(codes)
    return combine(codes[chosen.to(codes.device)], weights)


def nearest_heads(features: Tensor, heads: Tensor, neighbours: int) -> Tensor:
    """(H, neighbours) int64, on the CPU: those of features (N, F) that are nearest to each of heads (H,), without it.

    Distances of HEADS_PER_BLOCK heads are in memory at a time.
    """
    found = []
    for block in heads.to(features.device).split(HEADS_PER_BLOCK):
        distance = torch.cdist(features[block], features)
        distance.scatter_(1, block[:, None], -1.0)  # first of its own neighbours, whatever the rounding
        found.append(distance.topk(neighbours + 1, dim=1, largest=False).indices[:, 1:].cpu())
    return torch.cat(found)


def ease(fraction: Tensor, sharpness: float = 2.0) -> Tensor:
    """Fractions 0..1 eased by a Gaussian's cumulative distribution: slow, fast, slow; the ends stay."""
    half = math.erf(sharpness / 2)
    return (torch.erf((fraction - 0.5) * sharpness) / half + 1) / 2


def interpolate(codes: Tensor, frames: int) -> Tensor:
    """An eased walk through codes (K, Z), `frames` a leg and the last code at the end: ((K-1)*frames + 1, Z)."""
    fraction = ease(torch.arange(frames, device=codes.device) / frames).to(codes)[:, None]
    legs = [a + fraction * (b - a) for a, b in zip(codes[:-1], codes[1:])]
    return torch.cat([*legs, codes[-1:]])


@torch.no_grad()
def shape_features(generate: Callable[[Tensor], dict[str, Tensor]], codes: Tensor) -> Tensor:
    """(N, F) float32 numbers that tell the heads of codes (N, Z) apart by what a field makes of them.

    Codes themselves tell heads apart badly: most of what they differ by is where training started them, in directions
    that the field does not look at.

    Args:
        generate: of a `Sof` or a `SofModel`. Kinds of tensors that it returns count alike; of large ones every k-th
            number is taken: of FEATURES_PER_KIND and, over all codes and kinds, FEATURE_NUMBERS at most.
    """
    kinds: dict[str, list[Tensor]] = {}
    for chunk in codes.split(CODES_PER_CHUNK):
        made = generate(chunk)
        most = max(1, min(FEATURES_PER_KIND, FEATURE_NUMBERS // (len(codes) * len(made))))
        for name, value in made.items():
            flat = value.flatten(1)
            kinds.setdefault(name, []).append(flat[:, :: -(-flat.shape[1] // most)].float().cpu())
    features = []
    while kinds:
        values = torch.cat(kinds.pop(next(iter(kinds))))
        offsets = values - values.mean(0)
        features.append(offsets / offsets.square().sum(1).mean().sqrt().clamp_min(1e-12))
    return torch.cat(features, 1)


def fit_mixture(
    codes: Tensor, components: int, dimensions: int, seed: int, features: Tensor | None = None
) -> dict[str, Tensor]:
    """A Gaussian mixture with diagonal covariances over whitened principal components of the heads of codes (N, Z).

    Components and dimensions are cut to what N codes can carry. Seeded; computed on the CPU in float64.

    Args:
        features: (N, F), whose principal components are taken, such as `shape_features`; an axis is then the
            combination of codes that is most like the component. None: those of the codes.

    Returns:
        mean (Z,), axes (D, Z) (scaled to unwhiten), weights (C,), centres (C, D), deviations (C, D), float32.
    """
    codes = codes.detach().double().cpu()
    count = len(codes)
    mean = codes.mean(0)
    offsets = codes - mean
    seen = offsets if features is None else features.detach().double().cpu()
    seen = seen - seen.mean(0)
    dimensions = max(1, min(dimensions, count - 1, codes.shape[1], seen.shape[1]))
    components = max(1, min(components, count // 4))
    _, vectors = torch.linalg.eigh(seen @ seen.T)
    white = vectors.flip(1)[:, :dimensions] * math.sqrt(max(count - 1, 1))  # unit variance, uncorrelated
    axes = white.T @ offsets / max(count - 1, 1)
    sign = torch.sign(axes.gather(1, axes.abs().argmax(1, keepdim=True)))
    white, axes = white * sign.T, axes * sign
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
    sof, count: int, generator: torch.Generator, sampling: Sampling = DEFAULT_SAMPLING
) -> Tensor:
    """(count, Z) codes of new heads, on the field's device.

    Args:
        sof: a `sofgan.sof.sof.Sof`.
        generator: on the CPU.

    Raises:
        InputError: people have a share, but the field has fewer than two of them.
        ValueError: another method.
    """
    method, people_share = sampling.method, sampling.people_share
    if method == "mixture":
        return sample_mixture(sof.space, count, generator, sampling.spread).to(sof.device)
    if method not in ("random", "neighbours"):
        raise ValueError(f"method must be neighbours, random or mixture, not {method!r}")

    def combined(rows: Tensor | slice, number: int) -> Tensor:
        codes, bases, concentration = sof.codes[rows], sampling.bases, sampling.concentration
        if method == "neighbours" and len(codes) > 1:
            features, near = (
                sof.features()[rows.cpu() if isinstance(rows, Tensor) else rows],
                sampling.neighbours,
            )
            return neighbour_codes(codes, features, number, bases, concentration, near, generator)
        return combined_codes(codes, number, bases, concentration, generator)

    if not people_share:
        return combined(slice(None), count)
    inverted = torch.nonzero(torch.tensor(sof.rounds) == 2)[:, 0]
    if len(inverted) < 2:
        raise InputError(
            f"people have a share of {people_share} in sample_conditions.sampling, but the field has {len(inverted)} "
            "inverted heads: more maps in invert_masks, or a lower least_miou there"
        )
    of_people = torch.rand(count, generator=generator) < people_share
    found = sof.codes.new_empty(count, sof.codes.shape[1])
    for chosen, rows in ((of_people, inverted.to(sof.device)), (~of_people, slice(None))):
        if number := int(chosen.sum()):
            found[chosen.to(sof.device)] = combined(rows, number)
    return found
