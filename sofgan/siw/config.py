"""Configuration of the SIW StyleGAN and its training; imports no torch."""

import math
from dataclasses import dataclass
from typing import Literal

MAP_SOURCES = ("parsed", "celebamask", "sof")


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes and switches of the generator. The switches are the paper's ablations (6.3) and eq. 7 / eq. 8."""

    resolution: int = 64  # pixels
    label_size: int = 64  # pixels of the one-hot map that conditions it
    start_size: int = 16  # pixels where synthesis starts
    z_dim: int = 128
    w_dim: int = 128
    mapping_layers: int = 4
    channel_base: int = 1024  # channels at r pixels: min(channel_max, channel_base / r)
    channel_max: int = 64
    # From the one-hot map to `start_size`: SIW styled blocks (the paper's), residual blocks without style
    # (the released code's), or none at all: StyleGAN2's learned constant.
    encoder: Literal["styled", "plain", "constant"] = "styled"
    encoder_channels: tuple[int, ...] = (32, 64)  # one a halving block
    # input: each region's modulation applied before one shared convolution (eq. 7 made cheap); output: whole
    # convolutions mixed (eq. 8); layerwise: StyleGAN2's, two styles split by layer; none: one style a picture.
    mixing: Literal["input", "output", "layerwise", "none"] = "input"
    # transposed: StyleGAN2's stride-2 transposed convolution and blur; bilinear: convolve, then interpolate.
    upsample: Literal["bilinear", "transposed"] = "bilinear"
    spade_sizes: tuple[int, int] = (32, 64)  # smallest and largest layer with SPADE, pixels
    spade_hidden: int = 24
    spade_max_size: int = 64  # gain and shift are computed at most at this size, then interpolated
    # after the activation (the released code), or on the mixed convolutions, before noise and bias (eq. 8).
    spade_at: Literal["activation", "convolution"] = "activation"
    spade_gain: float = 0.5  # the gain stays within 1 +- this: rare classes don't glow
    noise: bool = True
    conv_clamp: float = 256.0  # magnitude limit of activations under reduced precision

    def __post_init__(self) -> None:
        for name in ("resolution", "label_size", "start_size", "spade_max_size"):
            if not _power_of_two(getattr(self, name)):
                raise ValueError(f"{name} is a power of two, not {getattr(self, name)}")
        if self.start_size > self.resolution:
            raise ValueError(f"start_size {self.start_size} is above resolution {self.resolution}")
        if self.encoder == "constant":
            return
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
        """Every resolution of the synthesis, from `start_size` up."""
        sizes = [self.start_size]
        while sizes[-1] < self.resolution:
            sizes.append(2 * sizes[-1])
        return tuple(sizes)


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Which discriminators judge, and their sizes."""

    # residual: StyleGAN2's on pixels; projected: heads on frozen EfficientNet-lite0 features; hybrid: both.
    kind: Literal["residual", "projected", "hybrid"] = "hybrid"
    # Weight of a further verdict, on regions: whether each place shows what the map says. 0: no such critic. It
    # looks at the projected critic's features, so `kind` must have one.
    region_weight: float = 0.0
    region_channels: int = 32
    palette_weight: float = 0.0  # of a further verdict, on the mean colours of regions; 0: no such critic
    palette_channels: int = 64
    channel_base: int = 1024  # residual: channels at r pixels as in the generator
    channel_max: int = 128
    minibatch_group: int = 4  # pictures whose spread is compared; must divide the batch
    projected_size: int = (
        64  # pixels that the frozen network sees, at most twice the pictures'; a multiple of 32
    )
    projected_channels: int = 64  # of the fixed random projections and the heads
    projected_augment: tuple[Literal["color", "translation", "cutout"], ...] = (
        "color",
        "translation",
        "cutout",
    )
    # Adaptive, see TrainSiw.augment_kimg; none: it sees pictures as they are.
    residual_augment: tuple[Literal["color", "translation", "cutout"], ...] = ()
    residual_weight: float = 1.0  # of the residual discriminator's verdict in a hybrid

    def __post_init__(self) -> None:
        if self.projected_size % 32:
            raise ValueError(f"projected_size is a multiple of 32, not {self.projected_size}")
        if self.region_weight < 0 or (self.region_weight and self.kind == "residual"):
            raise ValueError(f"region_weight is 0 or more, and 0 for kind residual, not {self.region_weight}")


@dataclass(frozen=True)
class FramingConfig:
    """Cameras of the SOF views that are painted: uniform yaw and pitch around a frontal portrait."""

    yaw_degrees: float = 25.0  # largest, either side
    pitch_degrees: float = 8.0
    reference_maps: int = 200  # label maps of photos whose eye and mouth places are matched
    reference_heads: int = 8  # SOF heads that are measured


@dataclass(frozen=True)
class TrainSiw:
    """The block `train_siw` of params.yaml."""

    kimg: float  # thousands of real photos shown
    batch: int
    learning_rate_generator: float
    learning_rate_discriminator: float
    cooldown: float  # last share of the run over which the learning rates fall to a tenth
    two_style_probability: float
    soft_mix_probability: float  # of a similarity map with values between 0 and 1, else hard regions
    r1_gamma: float
    r1_every: int  # steps; 0: off
    path_length_weight: float
    path_length_every: int  # steps; 0: off
    photo_sets: tuple[Literal["ffhq", "celebamask"], ...]  # photo stores that are real
    share_fakes: bool  # one batch of fakes a step for both updates, else one each
    growth: tuple[tuple[int, float], ...]  # sizes that pictures grow through, each with its share of the run
    accumulate: int  # parts in which a step's batch is worked off, by all processes, to save memory
    augment_kimg: float  # thousand photos over which discriminator.residual_augment may rise by 1; 0: never
    augment_target: float  # mean sign of the residual critic's verdicts on photos that it is held at
    compile: bool  # torch.compile of the generator's forward pass
    scale_max: float  # photos and maps are enlarged by 1.0 to this and cropped
    mirror: bool
    ema_halflife_kimg: float
    ema_rampup: float  # the half-life is at most this share of the pictures shown so far
    map_proportions: dict[str, float]  # parsed, celebamask, sof
    memory_limit_gb: float  # a set of photos or maps above it is read from its store at every use
    sof_maps: int  # views of the SOF space, rendered once at the start
    framing: FramingConfig
    generator: GeneratorConfig
    discriminator: DiscriminatorConfig
    report_every_kimg: float
    sample_grid: tuple[int, int]  # rows of maps, columns of styles
    autocast: bool  # bfloat16 on CUDA

    def __post_init__(self) -> None:
        for name in self.map_proportions:
            if name not in MAP_SOURCES:
                raise ValueError(f"map_proportions: '{name}' is none of {', '.join(MAP_SOURCES)}")
        if not self.map_proportions or min(self.map_proportions.values()) < 0:
            raise ValueError("map_proportions: shares of at least one source, none negative")
        if sum(self.map_proportions.values()) <= 0:
            raise ValueError("map_proportions are all zero")
        if self.scale_max < 1:
            raise ValueError(f"scale_max is at least 1, not {self.scale_max}")
        if self.accumulate < 1 or self.batch % self.accumulate:
            raise ValueError(f"accumulate divides batch {self.batch}, which {self.accumulate} does not")
        part, group = self.batch // self.accumulate, self.discriminator.minibatch_group
        if self.discriminator.kind != "projected" and part % min(group, self.batch):
            raise ValueError(f"{part} pictures at a time are not a multiple of minibatch_group {group}")
        if self.accumulate > 1 and self.path_length_every and part % 2:
            raise ValueError(f"path lengths take every second picture, so parts of {part} must be even")
        smaller, grown = self.generator.sizes()[:-1], [size for size, _ in self.growth]
        if not set(grown) <= set(smaller) or sorted(set(grown)) != grown:
            raise ValueError(f"growth goes up through sizes of {', '.join(map(str, smaller))}, not {grown}")
        shares = [share for _, share in self.growth]
        if any(share <= 0 for share in shares) or sum(shares) >= 1:
            raise ValueError(f"growth: shares are more than 0, and less than 1 in all, not {shares}")

    def sharers(self, asked: int) -> int:
        """The most processes, `asked` at most, that can share a step and stay one that learns the same: each takes
        whole groups of the pictures that critics compare, and pairs where every second one's path length counts."""

        def can(count: int) -> bool:
            return self.batch % (count * self.parts(count) * self.inseparable) == 0

        return next((count for count in range(asked, 1, -1) if can(count)), 1)

    def parts(self, processes: int) -> int:
        """Parts in which each of so many processes works off its share of a batch: `accumulate` are all of theirs."""
        return -(-self.accumulate // processes)

    @property
    def inseparable(self) -> int:
        """Pictures that stay together where a batch is divided."""
        group = 1
        if self.discriminator.kind != "projected" or self.discriminator.palette_weight:
            group = min(self.discriminator.minibatch_group, self.batch)
        return math.lcm(group, 2 if self.path_length_every else 1)

    def resolution_at(self, seen: int) -> int:
        """Pixels of the pictures in a step before which so many photos were seen."""
        end = 0.0
        for size, share in self.growth:
            end += 1000 * self.kimg * share
            if seen < end:
                return size
        return self.generator.resolution
