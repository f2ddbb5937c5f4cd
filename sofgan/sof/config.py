"""Parameters of the semantic occupancy field, its training and its inversion. Imports no torch."""

from dataclasses import dataclass
from math import pi as PI
from typing import Annotated, Literal

from sofgan.config import (
    NOT_EMPTY,
    Count,
    Positive,
    Rate,
    Share,
    Weight,
    Whole,
    from_to_below,
    within,
)

FIELD_KINDS = ("triplane", "hyper")
MARCHER_KINDS = ("volume", "lstm")
START_POLICIES = ("srn", "sphere")


@dataclass(frozen=True)
class FieldConfig:
    """Kind and sizes of the field that is generated from a code. Defaults of `hyper` are the paper's."""

    kind: str = "triplane"  # triplane (fast) | hyper (the paper's hypernetwork)
    code_size: Count = 256
    num_classes: Count = 17
    # triplane: planes = base + sums of basis planes weighted from the code, then a small decoder.
    channels: Count = 16
    base_size: Count = 64  # texels along a side of the ball's box
    basis_size: Count = 32
    basis: Count = 64  # sets of planes that cover everything, weighted by the code's first part
    local_basis: Whole = 4  # sets whose weights, the code's rest, differ from place to place; 0: none
    local_grid: Count = 4  # nodes along a side of a plane that have weights of their own
    warp_size: Whole = 16  # texels along a side of the planes that move points; 0: no warp
    focus: Weight = 0.6  # planes are 1 + focus times as fine in the middle; 0: even
    # texels of the random planes at the start: smooth ones leave no specks in new heads
    initial_size: Count = 8
    decoder_hidden: Count = 64
    mapping_hidden: Whole = 0  # 0: weights linear in the code, and so in combinations of codes (eq. 6)
    background_bias: float = 5.5  # logit: empty space at the start, so that rays pass
    # hyper: one small network a layer of Phi makes that layer's weights.
    phi_layers: Count = 4
    phi_hidden: Count = 256
    hyper_hidden: Count = 256
    head_hidden: Whole = 0  # hidden layers of the classifier: 0 (paper's text) or 5 (its checkpoints)

    def __post_init__(self):
        if self.kind not in FIELD_KINDS:
            raise ValueError(f"field.kind must be one of {FIELD_KINDS}, not {self.kind!r}")
        if self.kind == "triplane" and self.global_size < 1:
            local = self.code_size - self.global_size
            raise ValueError(
                f"field.local_basis and local_grid want {local} of the code's {self.code_size} numbers: "
                "some must be left for the whole head"
            )

    @property
    def global_size(self) -> int:
        """Count of a code's first numbers, which say what goes together in a head (triplane); the rest are local."""
        return self.code_size - 3 * self.local_basis * self.local_grid**2


@dataclass(frozen=True)
class MarcherConfig:
    """Settings by which a field is projected to an image."""

    kind: str = "volume"  # volume (fast) | lstm (the paper's)
    # volume
    samples: Count = 4  # along a ray's chord of the ball, in training
    surface_samples: Whole = 6  # more of them around the known depth, in training
    surface_width: Positive = 0.12  # head units around the known depth
    # lstm
    steps: Count = 10
    hidden: Count = 16
    start: str = "sphere"  # srn: depth N(0.05, 5e-4) | sphere: where the ray enters the ball

    def __post_init__(self):
        if self.kind not in MARCHER_KINDS:
            raise ValueError(f"marcher.kind must be one of {MARCHER_KINDS}, not {self.kind!r}")
        if self.start not in START_POLICIES:
            raise ValueError(f"marcher.start must be one of {START_POLICIES}, not {self.start!r}")


@dataclass(frozen=True)
class SofConfig:
    """A whole model: what is stored beside its weights."""

    field: FieldConfig = FieldConfig()
    marcher: MarcherConfig = MarcherConfig()


@dataclass(frozen=True)
class SofLoss:
    """Weights of the loss' terms (the paper's and its code's: 200, 1, 10; reference spec 1.2)."""

    cross_entropy: Weight  # of projected class probabilities
    points: Weight  # of points in free space and just behind the surface, whose class is known
    code: Weight  # mean of squared codes
    negative_depth: Weight  # mean of squared depths behind the camera (lstm)
    roughness: Weight  # mean of squared differences between neighbouring texels (triplane)


@dataclass(frozen=True)
class RaySampling:
    """Shares of the rays of a view that are drawn in each way. They add up to at most 1; the rest is uniform."""

    border_share: Share = 0.35  # near borders of labels
    rare_share: Share = 0.3  # on classes in proportion to area ** -rare_power
    rare_power: Weight = 0.5
    correction: Share = 0.5  # 1: weights make the loss the uniform mean; 0: drawn rays count alike
    replacement: bool = True  # False: no pixel of a view twice in a step; both shares are then 0
    free_points: Whole = 4  # per ray, between the ball's edge and the surface
    surface_points: Whole = 2  # per ray, just behind the surface
    surface_width: Positive = 0.1  # head units: half of the free points lie so close before the surface
    surface_thickness: Positive = 0.06  # head units: how far behind the surface its class is taken as known

    def __post_init__(self):
        if 1 - self.border_share - self.rare_share < 0:
            raise ValueError("rays.border_share and rare_share add up to more than 1")
        if not self.replacement and self.border_share + self.rare_share > 0:
            raise ValueError("rays.replacement can be off only where rays.border_share and rare_share are 0")


@dataclass(frozen=True)
class WarmStart:
    """An earlier field that training goes on from (`sofgan.sof.warm_start`)."""

    field: str = ""  # its file; empty: from the start
    sha256: str = ""  # of the file, by which the stage knows that it is another one
    steps: Count = 820  # of training, in place of all
    instances_per_step: Count = 4  # in place of as many as anew: steps count for more than their size
    rate: Rate = 0.4  # the modules' learning rate by the full one
    code_rate: Positive = 2.0  # and the codes': where modules are slow, codes of new heads have farther to go
    added_draws: Whole = 60  # of each head that is new, while points only are judged
    added_share: Annotated[float, from_to_below(0, 1)] = 0.6  # of a step's instances, at most, then

    def __post_init__(self):
        if self.field and not self.sha256:
            raise ValueError(f"warm_start.field is {self.field}, but warm_start.sha256 is empty")


@dataclass(frozen=True)
class TrainSof:
    """Stage train_sof."""

    field: FieldConfig
    marcher: MarcherConfig
    loss: SofLoss
    rays: RaySampling
    held_out_instances: Whole  # never trained on, to score new heads by; at most a fifth of all
    fit_steps: Whole  # of their codes, fitted while the field stays as it is
    steps: Count
    points_only_share: Share  # of the steps: before it no ray is projected (volume marcher only)
    instances_per_step: Count
    views_per_instance: Count
    rays_per_view: Count
    autocast: bool  # bfloat16 on CUDA, in wide layers alone (sofgan.sof.precision)
    learning_rate: Rate
    code_learning_rate: Rate
    code_init_std: Positive
    warmup_steps: Whole
    clip_gradient_norm: Weight  # 0: not clipped
    adam_beta2: Annotated[float, from_to_below(0, 1)]
    validate_every_steps: Count
    validate_views: Count  # held-out views looked at during training; all of them at the end
    checkpoint_every_steps: Count
    memory_limit_gb: Weight  # of views, in each process; above it they are read from files as steps need them
    space_components: Count  # of the Gaussian mixture over codes
    space_dimensions: Count  # of the PCA before it
    warm_start: WarmStart = WarmStart()


@dataclass(frozen=True)
class InvertMasks:
    """Stage invert_masks."""

    preset: str  # fast | paper
    maps: Whole  # of the set with masks, spread over it
    parsed_maps: Whole  # of the FFHQ-like set, as the parser sees them, spread over it
    least_miou: Share  # of a fit; heads of worse ones do not join the field
    new_heads: Whole  # frontal maps of scans that the field has not seen, whose other views are scored
    size: Count  # pixels: maps are fitted at this size
    encoder_steps: Whole  # of training the network that estimates starts (fast); 0: none
    starts: (
        Whole  # codes tried as starting points (fast); 0: none is searched, the encoder's estimate is taken
    )
    start_yaws: Annotated[tuple[Annotated[float, within(-PI, PI)], ...], NOT_EMPTY]  # radians (fast)
    blend: Count  # best codes averaged into the start (fast)
    steps: Count  # with the modules frozen, for each group of maps (fast) or for all together (paper)
    camera_only_share: Share  # of the steps, at first: a code that moves under a wrong camera moves astray
    rays_per_map: Count
    maps_per_step: Count  # fitted together
    autocast: bool  # as of train_sof
    adam_beta2: Annotated[float, from_to_below(0, 1)]
    warmup_share: Share  # of the steps: the frozen ones and the released ones (fast), or of all (paper)
    clip_gradient_norm: Weight  # of released modules; 0: not clipped
    code_space: str  # known (codes are combinations of those of known heads) | all (any)
    code_learning_rate: Rate  # in deviations of known heads
    camera_learning_rate: Rate
    code_weight: Weight  # of the mean squared distance to the mean code, in deviations of known heads
    camera_weight: Weight  # of the mean squared distance to the start's camera
    released_steps: Whole  # then, of all maps together with the modules released; 0: never
    rehearsal_instances: Whole  # known heads in each of those steps, to go on showing; 0: the paper's
    module_learning_rate: Rate
    released_code_learning_rate: Rate
    released_camera_learning_rate: Rate
    checkpoint_every_steps: Count

    def __post_init__(self):
        if self.preset not in ("fast", "paper"):
            raise ValueError(f"invert_masks.preset must be fast or paper, not {self.preset!r}")
        if self.code_space not in ("known", "all"):
            raise ValueError(f"invert_masks.code_space must be known or all, not {self.code_space!r}")
        if self.maps + self.parsed_maps < 1:
            raise ValueError("invert_masks wants a map at least: maps or parsed_maps above 0")
        if self.preset == "fast" and not self.starts and not self.encoder_steps:
            raise ValueError(
                "invert_masks.starts is above 0 where encoder_steps is 0: something must find a start"
            )
        if not 0 < self.adam_beta2 < 1 or not 0 <= self.warmup_share < 1 or self.clip_gradient_norm < 0:
            raise ValueError(
                "invert_masks wants an adam_beta2 between 0 and 1, a warmup_share from 0 to below 1 and a "
                f"clip_gradient_norm from 0, not {self.adam_beta2}, {self.warmup_share} and "
                f"{self.clip_gradient_norm}"
            )
        if min(self.maps_per_step, self.rays_per_map) < 1 or min(self.steps, self.released_steps) < 0:
            raise ValueError("invert_masks wants a map and a ray a step at least, and steps from 0")


@dataclass(frozen=True)
class Sampling:
    """How codes of new heads are drawn from those of known ones (paper, eq. 5 and 6)."""

    # combinations of alike heads, of any (the paper's), or a Gaussian mixture over principal components
    method: Literal["neighbours", "random", "mixture"] = "neighbours"
    bases: Count = 3  # heads in a combination
    concentration: Positive = (
        1.0  # of the Dirichlet distribution of their weights; 1: all weights are as likely
    )
    neighbours: Count = 8  # nearest heads of the first one, out of which `neighbours` draws the others
    people_share: Share = (
        0.0  # of heads whose bases are inverted people's alone (round 2); a mixture has no bases
    )
    spread: Positive = 1.0  # factor of the mixture's deviations
