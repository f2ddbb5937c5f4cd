"""Configuration of the photo and parsing stages. Imports no torch."""

import dataclasses
from typing import Annotated, Literal

from sofgan.config import (
    NOT_EMPTY,
    Count,
    Positive,
    Rate,
    Share,
    Weight,
    Whole,
    above_up_to,
    at_least,
    within,
)

# The least side in pixels that each network can halve as often as it does, at half of it where a training has a share
# of such steps.
LEAST_SIZES = {"lite_unet": 32, "parsenet": 32, "unet": 8, "bisenet": 8}


@dataclasses.dataclass(frozen=True)
class ParserConfig:
    """A parser, as its weights file describes it.

    Attributes:
        arch: the network (`sofgan.parsing.networks`).
        size: side in pixels at which the network sees photos.
        width: channels of `lite_unet` and `unet`; the facexlib networks have their own.
        order: the class order that the network answers in: `17` directly, or one of facexlib's with 19.
        encoder: how much of `lite_unet`'s encoder learns: all (`tuned`), or its batch norms alone (`norms`), while its
            convolutions stay ImageNet's. A file then holds no convolutions of it, and a training step needs less time.
    """

    arch: Literal["bisenet", "parsenet", "lite_unet", "unet"]
    size: Annotated[int, within(8, 4096)]
    width: Annotated[int, at_least(4)] = 64
    order: Literal["17", "bisenet", "parsenet"] = "17"
    encoder: Literal["tuned", "norms"] = "tuned"

    def __post_init__(self) -> None:
        least = LEAST_SIZES[self.arch]
        if self.size < least:
            raise ValueError(f"size is at least {least} for {self.arch}, not {self.size}")
        if self.encoder == "norms" and self.arch != "lite_unet":
            raise ValueError(f"encoder norms is of lite_unet: {self.arch} has no weights from ImageNet")


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
        scenery: probability that random shapes and colours stand behind the person, and, drawn apart, that such are
            on the clothes. For portraits that were rendered, whose backgrounds and clothes are fewer than people's.
    """

    mirror: Share
    zoom: Weight
    shift: Share
    rotation_degrees: Annotated[float, within(0, 180)]
    colour: Share
    blur: Share
    noise: Weight
    scenery: Share = 0.0


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
    steps: Count
    batch: Count
    learning_rate: Rate
    weight_decay: Weight
    class_balance: Share
    dice_weight: Weight
    auxiliary_weight: Weight
    ema_halflife_images: Positive
    score_every_steps: Count
    patience: Whole
    checkpoint_every_steps: Count
    augmentation: Augmentation
    repeat_below: Share = 0.0
    small_share: Share = 0.0

    def __post_init__(self) -> None:
        check_halved(self)


def check_halved(config) -> None:
    """Refuse a training that begins with pictures at half the size, where its network needs larger ones.

    Args:
        config: has `parser` and `small_share`.

    Raises:
        ValueError: its network can't see pictures so small.
    """
    least = 2 * LEAST_SIZES[config.parser.arch]
    if config.small_share and config.parser.size < least:
        raise ValueError(
            f"with a small_share parser.size is at least {least} for {config.parser.arch}, not {config.parser.size}"
        )


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

    batch: Count
    label_size: Annotated[int, within(1, 16384)]
    mirror: bool
    scales: Annotated[tuple[Annotated[float, above_up_to(0, 8)], ...], NOT_EMPTY]
    autocast: bool
