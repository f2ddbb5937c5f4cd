"""Parameters of the semantic occupancy field, its training and its inversion. Imports no torch."""

from dataclasses import dataclass

FIELD_KINDS = ("triplane", "hyper")
MARCHER_KINDS = ("volume", "lstm")
START_POLICIES = ("srn", "sphere")


@dataclass(frozen=True)
class FieldConfig:
    """Which field is generated from a code, and how large. Defaults of `hyper` are the paper's."""

    kind: str = "triplane"  # triplane (fast) | hyper (the paper's hypernetwork)
    code_size: int = 256
    num_classes: int = 17
    # triplane: planes = base + sums of basis planes weighted from the code, then a small decoder.
    channels: int = 16
    base_size: int = 64  # texels along a side of the ball's box
    basis_size: int = 32
    basis: int = 64  # sets of planes that cover everything, weighted by the code's first part
    local_basis: int = 4  # sets whose weights, the code's rest, differ from place to place; 0: none
    local_grid: int = 4  # nodes along a side of a plane that have weights of their own
    warp_size: int = 16  # texels along a side of the planes that move points; 0: no warp
    focus: float = 0.6  # planes are 1 + focus times as fine in the middle; 0: even
    initial_size: int = (
        8  # texels of the random planes at the start: smooth ones leave no specks in new heads
    )
    decoder_hidden: int = 64
    mapping_hidden: int = 0  # 0: weights linear in the code, and so in combinations of codes (eq. 6)
    background_bias: float = 5.5  # logit: empty space at the start, so that rays pass
    # hyper: one small network a layer of Phi makes that layer's weights.
    phi_layers: int = 4
    phi_hidden: int = 256
    hyper_hidden: int = 256
    head_hidden: int = 0  # hidden layers of the classifier: 0 (paper's text) or 5 (its checkpoints)

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
        """How many numbers of a code say what goes together in a head (triplane); the rest are local."""
        return self.code_size - 3 * self.local_basis * self.local_grid**2


@dataclass(frozen=True)
class MarcherConfig:
    """How a field is projected to an image."""

    kind: str = "volume"  # volume (fast) | lstm (the paper's)
    # volume
    samples: int = 4  # along a ray's chord of the ball, in training
    surface_samples: int = 6  # more of them around the known depth, in training
    surface_width: float = 0.12  # head units around the known depth
    # lstm
    steps: int = 10
    hidden: int = 16
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

    cross_entropy: float = 1.0  # of projected class probabilities
    points: float = 0.5  # of points in free space and just behind the surface, whose class is known
    code: float = 1e-3  # mean of squared codes
    negative_depth: float = 0.0  # mean of squared depths behind the camera (lstm)
    roughness: float = 0.0  # mean of squared differences between neighbouring texels (triplane)


@dataclass(frozen=True)
class RaySampling:
    """Which rays of a view are drawn. Shares add up to at most 1; the rest is uniform."""

    border_share: float = 0.35  # near borders of labels
    rare_share: float = 0.3  # on classes in proportion to area ** -rare_power
    rare_power: float = 0.5
    correction: float = 0.5  # 1: weights make the loss the uniform mean; 0: drawn rays count alike
    free_points: int = 4  # per ray, between the ball's edge and the surface
    surface_points: int = 2  # per ray, just behind the surface
    surface_width: float = 0.1  # head units: half of the free points lie so close before the surface
    surface_thickness: float = 0.06  # head units: how far behind the surface its class is taken as known

    def __post_init__(self):
        if min(self.border_share, self.rare_share) < 0 or 1 - self.border_share - self.rare_share < 0:
            raise ValueError("rays.border_share and rare_share add up to more than 1, or are below 0")


@dataclass(frozen=True)
class WarmStart:
    """An earlier field that training goes on from (`sofgan.sof.warm_start`)."""

    field: str = ""  # its file; empty: from the start
    sha256: str = ""  # of the file, by which the stage knows that it is another one
    steps: int = 820  # of training, in place of all
    instances_per_step: int = 4  # in place of as many as anew: steps count for more than their size
    rate: float = 0.4  # the modules' learning rate by the full one
    code_rate: float = 2.0  # and the codes': where modules are slow, codes of new heads have farther to go
    added_draws: int = 60  # of each head that is new, while points only are judged
    added_share: float = 0.6  # of a step's instances, at most, then

    def __post_init__(self):
        if self.steps < 1 or not 0 < self.rate <= 1:
            raise ValueError(f"warm_start wants steps and a rate up to 1, not {self.steps} and {self.rate}")
        if self.code_rate <= 0:
            raise ValueError(f"warm_start.code_rate is above 0, not {self.code_rate}")
        if self.instances_per_step < 1:
            raise ValueError(f"warm_start.instances_per_step is 1 or more, not {self.instances_per_step}")
        if self.added_draws < 0 or not 0 <= self.added_share < 1:
            raise ValueError(
                "warm_start wants added_draws from 0 and an added_share from 0 to below 1, "
                f"not {self.added_draws} and {self.added_share}"
            )
        if self.field and not self.sha256:
            raise ValueError(f"warm_start.field is {self.field}, but warm_start.sha256 is empty")


@dataclass(frozen=True)
class TrainSof:
    """Stage train_sof."""

    field: FieldConfig
    marcher: MarcherConfig
    loss: SofLoss
    rays: RaySampling
    held_out_instances: int  # never trained on, to score new heads by; at most a fifth of all
    fit_steps: int  # of their codes, fitted while the field stays as it is
    steps: int
    points_only_share: float  # of the steps: before it no ray is projected (volume marcher only)
    instances_per_step: int
    views_per_instance: int
    rays_per_view: int
    learning_rate: float
    code_learning_rate: float
    code_init_std: float
    warmup_steps: int
    clip_gradient_norm: float  # 0: not clipped
    adam_beta2: float
    validate_every_steps: int
    validate_views: int  # held-out views looked at during training; all of them at the end
    checkpoint_every_steps: int
    memory_limit_gb: float  # of views, in each process; above it they are read from files as steps need them
    space_components: int  # of the Gaussian mixture over codes
    space_dimensions: int  # of the PCA before it
    warm_start: WarmStart = WarmStart()

    def __post_init__(self):
        for name in ("held_out_instances", "fit_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"train_sof.{name} is 0 or more, not {getattr(self, name)}")


@dataclass(frozen=True)
class InvertMasks:
    """Stage invert_masks."""

    preset: str  # fast | paper
    maps: int  # at most so many of the store, in its order
    new_heads: int  # frontal maps of scans that the field has not seen, whose other views are scored
    size: int  # pixels: maps are fitted at this size
    encoder_steps: int  # of training the network that estimates starts (fast); 0: none
    starts: int  # codes tried as starting points (fast)
    start_yaws: tuple[float, ...]  # radians (fast)
    blend: int  # best codes averaged into the start (fast)
    steps: int  # with the modules frozen, for each group of maps (fast) or for all together (paper)
    camera_only_share: float  # of the steps, at first: a code that moves under a wrong camera moves astray
    rays_per_map: int
    maps_per_step: int  # fitted together
    code_learning_rate: float  # in deviations of known heads
    camera_learning_rate: float
    code_weight: float  # of the mean squared distance to the mean code, in deviations of known heads
    camera_weight: float  # of the mean squared distance to the start's camera
    released_steps: int  # then, of all maps together with the modules released; 0: never
    rehearsal_instances: (
        int  # known heads in each of those steps, which modules must go on showing; 0: the paper's
    )
    module_learning_rate: float
    released_code_learning_rate: float
    released_camera_learning_rate: float
    checkpoint_every_steps: int

    def __post_init__(self):
        if self.preset not in ("fast", "paper"):
            raise ValueError(f"invert_masks.preset must be fast or paper, not {self.preset!r}")
