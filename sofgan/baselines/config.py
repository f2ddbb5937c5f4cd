"""Sizes, losses and trainings of the baselines, from those of ours; imports no torch."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from sofgan.config import ConfigError, Count, Positive, PowerOfTwo, Rate, Weight, multiple_of
from sofgan.siw.config import TrainSiw

PAIRED = ("spade", "pix2pixhd", "sean")  # learn from pairs of a photo and its own label map
METHODS = ("stylegan2", *PAIRED)
STYLEGAN2_RATE = 0.002  # Adam's, of both networks (arXiv 1912.04958, appendix B)
PATH_LENGTH_EVERY = 4  # steps between penalties (appendix B)


@dataclass(frozen=True, kw_only=True)
class PairedConfig:
    """Sizes of a paired method's generator, by the parameters that size ours."""

    method: str
    resolution: PowerOfTwo  # pixels
    label_size: PowerOfTwo  # pixels of the label maps
    channel_base: Count  # channels at r pixels: min(channel_max, channel_base / r)
    channel_max: Count
    z_dim: Count  # length of SPADE's code of a picture
    spade_hidden: Count  # channels between a label map and SPADE's gains and shifts
    style_dim: Count  # length of SEAN's code of a region
    reference_photos: Count  # photos kept as codes with SEAN, from which its styles are drawn
    residual_blocks: Count  # of Pix2PixHD, at its smallest size

    def __post_init__(self) -> None:
        if self.method not in PAIRED:
            raise ValueError(f"method is one of {', '.join(PAIRED)}, not {self.method}")
        if self.resolution < 16:
            raise ValueError(f"resolution is at least 16 for {self.method}, not {self.resolution}")

    def channels(self, size: int) -> int:
        """Width of the layers at that many pixels."""
        return max(1, min(self.channel_max, self.channel_base // size))

    @property
    def start_size(self) -> int:
        """Pixels at which SPADE and SEAN begin: five doublings below the picture, 4 to 8."""
        return min(8, max(4, self.resolution // 32))

    def sizes(self) -> tuple[int, ...]:
        """Every resolution of SPADE and SEAN, from the start up."""
        sizes = [self.start_size]
        while sizes[-1] < self.resolution:
            sizes.append(2 * sizes[-1])
        return tuple(sizes)


@dataclass(frozen=True)
class Recipe:
    """Published losses and rates of a paired method."""

    adversarial: Literal["hinge", "least_squares"]
    spectral: bool  # spectral norm in the discriminators
    learning_rate_generator: Rate
    learning_rate_discriminator: Rate
    betas: tuple[float, float]  # Adam's
    constant_share: float  # of the training before the rates fall to 0 along a line
    feature_weight: Weight = 10.0  # of the discriminators' features, which painted pictures match
    perceptual_weight: Weight = 10.0
    divergence_weight: Weight = 0.0  # of the image encoder's distribution from the normal one


# SPADE: arXiv 1903.07291, section 4, appendix A, and its code's default of one rate throughout; SEAN: arXiv
# 1911.12861, section 4; Pix2PixHD: arXiv 1711.11585, section 4 and appendix A.
RECIPES = {
    "spade": Recipe("hinge", True, 1e-4, 4e-4, (0.0, 0.9), 1.0, divergence_weight=0.05),
    "sean": Recipe("hinge", True, 1e-4, 4e-4, (0.0, 0.9), 0.5),
    "pix2pixhd": Recipe("least_squares", False, 2e-4, 2e-4, (0.5, 0.999), 0.5),
}


@dataclass(frozen=True, kw_only=True)
class TrainBaseline:
    """The block `train_baseline` of params.yaml: what paired methods have beside what `train_siw` says of all."""

    z_dim: Count  # length of SPADE's code of a picture
    spade_hidden: Count  # channels between a label map and SPADE's gains and shifts
    style_dim: Count  # length of SEAN's code of a region
    reference_photos: Count  # photos kept as codes with SEAN, from which its styles are drawn
    residual_blocks: Count  # of Pix2PixHD, at its smallest size
    patch_scales: Count  # discriminators, each of which sees half the size of the one before
    patch_layers: Count  # of each, before the one that makes logits
    patch_channels: Count  # of the first of these; each further one has twice as many,
    patch_channel_max: Count  # but not more than these
    perceptual_size: Annotated[int, multiple_of(32)]  # pixels at which the perceptual loss sees pictures
    rates: Positive  # learning rates, by the published ones


@dataclass(frozen=True)
class Baseline:
    """A method at the resolution, the widths, the batches and the length of our training."""

    method: str
    ours: TrainSiw
    sizes: TrainBaseline

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"a baseline is one of {', '.join(METHODS)}, not {self.method}")

    def paired(self) -> PairedConfig:
        """Sizes of a paired method's generator."""
        generator, sizes = self.ours.generator, self.sizes
        return PairedConfig(
            method=self.method, resolution=generator.resolution, label_size=generator.label_size,
            channel_base=generator.channel_base, channel_max=generator.channel_max, z_dim=sizes.z_dim,
            spade_hidden=sizes.spade_hidden, style_dim=sizes.style_dim,
            reference_photos=sizes.reference_photos, residual_blocks=sizes.residual_blocks,
        )  # fmt: skip

    def stylegan2(self) -> TrainSiw:
        """StyleGAN2's training (arXiv 1912.04958): no map, a constant, styles by layer, a residual critic with R1 that
        sees pictures as they are, path lengths, one rate throughout."""
        generator = replace(
            self.ours.generator, encoder="constant", mixing="layerwise", upsample="transposed", spade_sizes=(1, 1),
            to_rgb_start=1.0, noise=True,
        )  # fmt: skip
        critic = replace(
            self.ours.discriminator, kind="residual", downsample="strided", palette_weight=0.0, region_weight=0.0,
            residual_augment=(),
        )  # fmt: skip
        return replace(
            self.ours, generator=generator, discriminator=critic, path_length_every=PATH_LENGTH_EVERY,
            share_fakes=False, consistency_every=0, growth=(), augment_kimg=0.0, cooldown=0.0,
            learning_rate_generator=STYLEGAN2_RATE, learning_rate_discriminator=STYLEGAN2_RATE,
        )  # fmt: skip
