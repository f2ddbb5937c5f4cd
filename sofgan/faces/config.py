"""Configuration of the photo and parsing stages. Imports no torch."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class PhotoSource:
    """One photo set.

    Attributes:
        source: folder; its layout is recognised (`sofgan.faces.sources`).
        held_out_share: share of people kept from all training, by the hash of who they are, between 0 and 1; where
            the source does not tell people apart, of photos.
        validation_share: share by which trainings choose their best state, and which none of them scores itself on.
        limit: photos at most; 0 takes all.
        align: `none` where photos are aligned already and stay as they are; `ffhq` cuts out the face as in FFHQ.
        align_size_px: side of what `ffhq` cuts out.
        void_ids: ids of merged masks that mark no part and count as background.
    """

    source: str
    held_out_share: float
    limit: int
    align: Literal["none", "ffhq"] = "none"
    align_size_px: int = 1024
    void_ids: tuple[int, ...] = ()
    validation_share: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.held_out_share < 1 or not 0 <= self.validation_share < 1 - self.held_out_share:
            raise ValueError(
                "held_out_share is more than 0, as scores are of people that nothing was trained on; "
                "validation_share is 0 or more, and both together less than 1"
            )
        if self.limit < 0:
            raise ValueError("limit is at least 0")
        if not 16 <= self.align_size_px <= 4096:
            raise ValueError("align_size_px is within 16 and 4096")
        if not all(0 <= number <= 65535 for number in self.void_ids):
            raise ValueError("void_ids are within 0 and 65535")


@dataclasses.dataclass(frozen=True)
class ImportPhotos:
    """`import_photos`: two sets, the second with masks.

    Attributes:
        min_side_px: photos with a shorter side are left out.
        weights: folder of facexlib's face detector and landmark network, needed to align only.
        landmarks: what to align by: the detector's own `5` points, or eyes and mouth among the `98` of a second
            network that looks at each face.
    """

    min_side_px: int
    ffhq: PhotoSource
    celebamask: PhotoSource
    weights: str = "data/weights"
    landmarks: Literal["5", "98"] = "5"


@dataclasses.dataclass(frozen=True)
class ParserConfig:
    """A parser, as its weights file describes it.

    Attributes:
        arch: the network (`sofgan.faces.networks`).
        size: side in pixels at which the network sees photos.
        width: channels of `lite_unet` and `unet`; the facexlib networks have their own.
        order: the class order that the network answers in: `17` directly, or one of facexlib's with 19.
    """

    arch: Literal["bisenet", "parsenet", "lite_unet", "unet"]
    size: int
    width: int = 64
    order: Literal["17", "bisenet", "parsenet"] = "17"


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random changes of a training photo; 0 turns one off.

    Attributes:
        mirror: probability of a left-right flip (with the labels' halves swapped).
        zoom: scale by a factor in [1 / (1 + zoom), 1 + zoom].
        shift: up to this share of the side, each way.
        rotation_degrees: up to this, each way.
        colour: strength of brightness, contrast, saturation and tint changes, 0..1.
        blur: probability of losing detail to a random lower resolution.
        noise: deviation of pixel noise on half of the photos, in units of [-1, 1].
    """

    mirror: float = 0.5
    zoom: float = 0.2
    shift: float = 0.06
    rotation_degrees: float = 12.0
    colour: float = 0.3
    blur: float = 0.2
    noise: float = 0.03


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Official facexlib weights to use instead of training.

    Attributes:
        path: the file; empty trains a parser instead.
        sha256: its digest; empty accepts any file.
    """

    path: str = ""
    sha256: str = ""


@dataclasses.dataclass(frozen=True)
class TrainParser:
    """`train_parser`.

    Attributes:
        parser: what is trained.
        pretrained: weights that replace training.
        steps, batch: length of the training, and photos a step.
        learning_rate: peak, after a warm-up of 5 % and before a cosine to 0.
        weight_decay: of AdamW.
        class_balance: class weights are the classes' shares to the power of minus this: 0 none, 1 all.
        repeat_below: photos that show a class which fewer than this share of photos show are drawn more often
            (repeat-factor sampling, Gupta et al. 2019); 0 draws all alike.
        small_share: of the steps, at first, that see photos at half the size, at a quarter of the cost.
        dice_weight: of a soft Dice loss beside the cross-entropy.
        auxiliary_weight: of the auxiliary heads' cross-entropy.
        ema_halflife_images: of the averaged weights, which are the result.
        score_every_steps: how often the validation photos are scored; the best state is kept.
        patience: scorings without a better one before training stops; 0 never stops early.
        checkpoint_every_steps: how often a state to resume from is written.
    """

    parser: ParserConfig
    pretrained: Pretrained
    steps: int
    batch: int
    learning_rate: float
    weight_decay: float
    class_balance: float
    dice_weight: float
    auxiliary_weight: float
    ema_halflife_images: float
    score_every_steps: int
    patience: int
    checkpoint_every_steps: int
    augmentation: Augmentation
    repeat_below: float = 0.0
    small_share: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.repeat_below <= 1 or not 0 <= self.small_share <= 1:
            raise ValueError("repeat_below and small_share are shares, 0 to 1")


@dataclasses.dataclass(frozen=True)
class ParseFaces:
    """`parse_faces`.

    Attributes:
        batch: photos at once.
        label_size: side of the label maps in pixels.
        mirror: average with the mirrored photo, at twice the cost.
        scales: average over these scales of the network's size.
        autocast: bfloat16 on CUDA.
    """

    batch: int
    label_size: int
    mirror: bool
    scales: tuple[float, ...]
    autocast: bool

    def __post_init__(self) -> None:
        if self.batch < 1 or self.label_size < 1 or not self.scales:
            raise ValueError("batch and label_size are at least 1, scales has one entry at least")
