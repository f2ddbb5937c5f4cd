"""Configuration of the SIW StyleGAN and its training; imports no torch."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from sofgan.config import (
    DISTINCT,
    NOT_EMPTY,
    Count,
    Positive,
    PowerOfTwo,
    Rate,
    Share,
    Weight,
    Whole,
    at_least,
    between,
    from_to_below,
    multiple_of,
    within,
)
from sofgan.sof.config import Sampling

MAP_SOURCES = ("parsed", "celebamask", "sof")


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Sizes and switches of the generator. The switches are the paper's ablations (6.3) and eq. 7 / eq. 8."""

    resolution: PowerOfTwo = 64  # pixels
    label_size: PowerOfTwo  # pixels of the one-hot map that conditions it
    start_size: PowerOfTwo = 16  # pixels where synthesis starts behind an encoder
    constant_size: PowerOfTwo = 4  # pixels where it starts from a learned constant
    z_dim: Count = 128
    w_dim: Count = 128
    mapping_layers: Count = 4
    channel_base: Count = 1024  # channels at r pixels: min(channel_max, channel_base / r)
    channel_max: Count = 64
    # From the one-hot map to `start_size`: SIW styled blocks (the paper's), residual blocks without style
    # (the released code's), or none at all: StyleGAN2's learned constant.
    encoder: Literal["styled", "plain", "constant"] = "styled"
    encoder_channels: tuple[Count, ...]  # one a halving block
    # input: each region's modulation applied before one shared convolution (eq. 7 made cheap); output: whole
    # convolutions mixed (eq. 8); layerwise: StyleGAN2's, two styles split by layer; none: one style a picture.
    mixing: Literal["input", "output", "layerwise", "none"] = "input"
    # transposed: StyleGAN2's stride-2 transposed convolution and blur; bilinear: convolve, then interpolate.
    upsample: Literal["bilinear", "transposed"] = "bilinear"
    # strided: the styled encoder's convolutions see the full size, blurred, and have stride 2, as StyleGAN2's; areas:
    # they see shares of classes, averaged over areas of half the size.
    downsample: Literal["areas", "strided"] = "areas"
    spade_sizes: tuple[Count, Count] = (32, 64)  # smallest and largest layer with SPADE, pixels
    spade_hidden: Count = 24
    spade_max_size: PowerOfTwo = 64  # gain and shift are computed at most at this size, then interpolated
    # after the activation (the released code), or on the mixed convolutions, before noise and bias (eq. 8).
    spade_at: Literal["activation", "convolution"] = "activation"
    spade_gain: Weight = 0.5  # the gain stays within 1 +- this: rare classes don't glow; 0: not limited
    # Deviation of SPADE's last weights before training, by that of other layers': faint, so that the map doesn't
    # outshout the styles.
    spade_start: Weight = 0.3
    # The same of the weights that take styles to the channels of ToRGB: full modulation there tints whole pictures,
    # which takes long to unlearn.
    to_rgb_start: Weight = 0.25
    noise: bool = True
    conv_clamp: Positive = 256.0  # magnitude limit of activations under reduced precision

    def __post_init__(self) -> None:
        if self.spade_sizes[0] > self.spade_sizes[1]:
            raise ValueError(f"spade_sizes are the smallest and the largest, not {list(self.spade_sizes)}")
        start = "constant_size" if self.encoder == "constant" else "start_size"
        if getattr(self, start) > self.resolution:
            raise ValueError(f"{start} {getattr(self, start)} is above resolution {self.resolution}")
        if self.encoder == "constant":
            return
        if not self.encoder_channels:
            raise ValueError(f"encoder_channels is not empty where encoder is {self.encoder}")
        first = self.start_size << len(self.encoder_channels)
        if self.encoder == "styled" and first != self.label_size:
            raise ValueError(
                f"{len(self.encoder_channels)} encoder blocks take {first} pixels to start_size "
                f"{self.start_size}, but label_size is {self.label_size}"
            )

    def channels(self, size: int) -> int:
        """Width of the layers at that many pixels."""
        return max(1, min(self.channel_max, self.channel_base // size))

    def sizes(self) -> tuple[int, ...]:
        """Every resolution of the synthesis, from its start up."""
        sizes = [self.constant_size if self.encoder == "constant" else self.start_size]
        while sizes[-1] < self.resolution:
            sizes.append(2 * sizes[-1])
        return tuple(sizes)

    def encoder_sizes(self) -> tuple[int, ...]:
        """Every resolution at which the encoder's convolutions are styled, the finest first."""
        if self.encoder != "styled":
            return ()
        sizes = tuple(self.start_size << i for i in range(len(self.encoder_channels), -1, -1))
        return sizes if self.downsample == "strided" else sizes[1:]


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """Choice of discriminators, and their sizes."""

    # residual: StyleGAN2's on pixels; projected: heads on frozen EfficientNet-lite0 features; hybrid: both.
    kind: Literal["residual", "projected", "hybrid"] = "hybrid"
    # Weight of a further verdict, on regions: whether each place shows what the map says. 0: no such critic. It
    # looks at the projected critic's features, so `kind` must have one.
    region_weight: Weight = 0.0
    region_channels: Count = 32
    palette_weight: Weight  # of a further verdict, on the mean colours of regions; 0: no such critic
    palette_channels: Count = 64
    channel_base: Count = 1024  # residual: channels at r pixels as in the generator
    channel_max: Count = 128
    # residual: strided: a blur and a convolution of stride 2, as StyleGAN2's; areas: means of areas, then a convolution
    # of the half size, as many operations.
    downsample: Literal["areas", "strided"] = "areas"
    minibatch_group: Count = 4  # pictures whose spread is compared; must divide the batch
    # pixels that the frozen network sees, at most twice the pictures'
    projected_size: Annotated[int, multiple_of(32)] = 64
    projected_channels: Count = 64  # of the fixed random projections and the heads
    projected_augment: tuple[Literal["color", "translation", "cutout"], ...]
    projected_cutout: Share = 0.5  # side of the holes that cutout makes, by the picture's
    # Adaptive, see TrainSiw.augment_kimg; none: it sees pictures as they are.
    residual_augment: tuple[Literal["color", "translation", "cutout"], ...] = ()

    def __post_init__(self) -> None:
        if self.region_weight and self.kind == "residual":
            raise ValueError(f"region_weight is 0 for kind residual, not {self.region_weight}")


@dataclass(frozen=True)
class FramingConfig:
    """Cameras of the SOF views that are painted."""

    # uniform yaw and pitch around a frontal portrait, or those of people whose maps were inverted, crop and all
    cameras: Literal["uniform", "people"]
    yaw_balance: Share  # of people: 1: each turn as often as any other; 0: as often as it occurs
    yaw_degrees: Annotated[float, within(0, 180)]  # largest, either side
    pitch_degrees: Annotated[float, from_to_below(0, 90)]
    views_per_head: Count  # to train on; of several the painter learns what a head's other views show
    reference_maps: Count  # label maps of photos whose eye and mouth places are matched
    reference_heads: Count  # SOF heads that are measured


@dataclass(frozen=True)
class SamplingConfig:
    """How codes of new heads are combined from those of known heads (paper, eq. 5 and 6)."""

    method: Literal[
        "neighbours", "random"
    ]  # heads that are combined: those that are alike, or any (the paper's)
    bases: Count  # heads in a combination
    concentration: Positive  # of the Dirichlet distribution of their weights; 1: all weights are as likely
    neighbours: Count  # nearest heads of the first one, out of which `neighbours` draws the others
    people_share: Share  # of heads that are combined from inverted people's alone; the others from all
    judged: bool  # implausible heads are drawn again

    def __post_init__(self):
        if self.judged and 0 < self.people_share < 1:
            raise ValueError(
                "sampling.judged is false where people_share lies between 0 and 1: people are implausible by scans' "
                "statistics more often than others, so that fewer of them would be left"
            )

    def sampling(self) -> Sampling:
        """The same without how heads are judged."""
        return Sampling(self.method, self.bases, self.concentration, self.neighbours, self.people_share)


@dataclass(frozen=True)
class SampleConditions:
    """The block `sample_conditions` of params.yaml."""

    maps: Whole  # views of new heads to train on; 0: none
    evaluation_maps: Count  # of further heads, to score painting by
    size_px: Count  # of the views
    sampling: SamplingConfig
    framing: FramingConfig


@dataclass(frozen=True)
class ScoresConfig:
    """Scores of the averaged generator while it learns."""

    every_kimg: Weight  # thousands of photos between scores, as reports allow, and one at the end; 0: none
    images: Annotated[int, at_least(2)]  # pictures a side, at most
    keep_all: bool  # the generator of each score stays, not the best one alone


@dataclass(frozen=True)
class TrainSiw:
    """The block `train_siw` of params.yaml."""

    kimg: Positive  # thousands of real photos shown
    trial: Whole  # added to the run's seed: another training of the same data
    batch: Count
    learning_rate_generator: Rate
    learning_rate_discriminator: Rate
    cooldown: Share  # last share of the run over which the learning rates fall to a tenth
    two_style_probability: Share
    soft_mix_probability: Share  # of a similarity map with values between 0 and 1, else hard regions
    mix_by: Literal["groups", "classes"]  # what such values are drawn for: style groups, or every class
    r1_gamma: Weight
    r1_every: Whole  # steps; 0: off
    path_length_weight: Weight
    path_length_every: Whole  # steps; 0: off
    # of steps that make two views of a head alike, by the generator's: these have an optimiser of their own
    consistency_rate: Annotated[float, within(0, 1)]
    consistency_every: Whole  # steps; 0: off
    # What those steps lessen: the views' difference, or that of each region by how far its colors lie apart over heads.
    consistency_by: Literal["difference", "spread"]
    # photo stores that are real
    photo_sets: Annotated[tuple[Literal["ffhq", "celebamask"], ...], NOT_EMPTY, DISTINCT]
    # shares of the photos of some folders, by the folder's name in its set; the others have what is left of 1
    photo_proportions: dict[str, Share]
    share_fakes: bool  # one batch of fakes a step for both updates, else one each
    # sizes that pictures grow through, each with its share of the run
    growth: tuple[tuple[int, Annotated[float, between(0, 1)]], ...]
    accumulate: Count  # parts in which a step's batch is worked off, by all processes, to save memory
    augment_kimg: Weight  # thousand photos over which discriminator.residual_augment may rise by 1; 0: never
    # mean sign of the residual critic's verdicts on photos that it is held at
    augment_target: Annotated[float, within(-1, 1)]
    compile: bool  # torch.compile of the generator's forward pass
    scale_max: Annotated[float, at_least(1)]  # photos and maps are enlarged by 1.0 to this and cropped
    mirror: bool
    ema_halflife_kimg: Positive
    ema_rampup: Rate  # the half-life is at most this share of the pictures shown so far
    map_proportions: dict[str, Weight]  # parsed, celebamask, sof
    memory_limit_gb: Weight  # a set of photos or maps above it is read from its store at every use
    generator: GeneratorConfig
    discriminator: DiscriminatorConfig
    report_every_kimg: Positive
    scores: ScoresConfig
    sample_grid: tuple[Count, Count]  # rows of maps, columns of styles
    autocast: bool  # bfloat16 on CUDA

    def __post_init__(self) -> None:
        for name in self.map_proportions:
            if name not in MAP_SOURCES:
                raise ValueError(f"map_proportions: '{name}' is none of {', '.join(MAP_SOURCES)}")
        if self.compares_views and self.consistency_by == "spread" and self.inseparable < 4:
            raise ValueError(
                "consistency_by: spread compares heads, of which pairs of pictures that stay together have one: it "
                "needs discriminator.minibatch_group and batch of 4 or more, and a residual or palette critic"
            )
        if sum(self.photo_proportions.values()) > 1 + 1e-6:
            raise ValueError(f"photo_proportions add up to 1 at most, not {self.photo_proportions}")
        if sum(self.map_proportions.values()) <= 0:
            raise ValueError("map_proportions has a share above 0 of one source at least")
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate divides batch {self.batch}, which {self.accumulate} does not")
        part, group = self.batch // self.accumulate, self.discriminator.minibatch_group
        if self.discriminator.kind != "projected" and part % min(group, self.batch):
            raise ValueError(f"{part} pictures at a time are not a multiple of minibatch_group {group}")
        if self.accumulate > 1 and (self.path_length_every or self.compares_views) and part % 2:
            raise ValueError(
                f"path lengths and consistency take every second picture, so parts of {part} must be even"
            )
        smaller, grown = self.generator.sizes()[:-1], [size for size, _ in self.growth]
        if not set(grown) <= set(smaller) or sorted(set(grown)) != grown:
            raise ValueError(f"growth goes up through sizes of {', '.join(map(str, smaller))}, not {grown}")
        shares = [share for _, share in self.growth]
        if sum(shares) >= 1:
            raise ValueError(f"growth: shares are less than 1 in all, not {shares}")

    def uses(self, source: str) -> bool:
        """Whether maps of that source have a share."""
        return self.map_proportions.get(source, 0) > 0

    def sharers(self, asked: int) -> int:
        """The most processes, `asked` at most, that can share a step and stay one that learns the same: each takes
        whole groups of the pictures that critics compare, and pairs where every second one's path length counts
        or as many heads as half of them are compared."""

        def can(count: int) -> bool:
            return self.batch % (count * self.parts(count) * self.inseparable) == 0

        return next((count for count in range(asked, 1, -1) if can(count)), 1)

    @property
    def compares_views(self) -> bool:
        """Whether two views of a head are compared now and then."""
        return bool(self.consistency_rate and self.consistency_every)

    def compares_views_at(self, step: int) -> bool:
        """Whether a step compares views of heads."""
        return self.compares_views and step % self.consistency_every == 0

    @property
    def needs_heads(self) -> bool:
        """Whether views of the field's heads are trained on: as maps to paint, or compared."""
        return self.uses("sof") or self.compares_views

    def parts(self, processes: int) -> int:
        """Parts in which each of so many processes works off its share of a batch: `accumulate` are all of theirs."""
        return -(-self.accumulate // processes)

    @property
    def inseparable(self) -> int:
        """Pictures that stay together where a batch is divided."""
        group = 1
        if self.discriminator.kind != "projected" or self.discriminator.palette_weight:
            group = min(self.discriminator.minibatch_group, self.batch)
        return math.lcm(group, 2 if self.path_length_every or self.compares_views else 1)

    @property
    def map_size(self) -> int:
        """Pixels at which maps are kept from which windows are cut: so many that enlarged ones stay sharp. A cut is
        `label_size` wide, so twice that holds all that it can show."""
        size = self.generator.label_size
        return min(2 * size, max(size, 2 * self.generator.resolution))

    def scored_at(self, step: int, tick: int, total: int) -> bool:
        """Whether the painter is scored after so many steps, of `total`, of which each `tick` have a report."""
        if not self.scores.every_kimg:
            return False
        reports = max(1, round(1000 * self.scores.every_kimg / (self.batch * tick)))
        return step % (reports * tick) == 0 or step == total

    def resolution_at(self, seen: int) -> int:
        """Pixels of the pictures in a step before which so many photos were seen."""
        end = 0.0
        for size, share in self.growth:
            end += 1000 * self.kimg * share
            if seen < end:
                return size
        return self.generator.resolution
