"""Parameters of the stage that trains a parser of bare shapes. Imports no torch."""

from dataclasses import dataclass

from sofgan.config import Count, Positive, Rate, Share, Weight, Whole
from sofgan.parsing.config import Augmentation, ParserConfig, Pretrained, TrainParser, check_halved

NO_PARSER = b"none\n"  # what is in the file of a parser that is not wanted


@dataclass(frozen=True)
class TrainShapeParser:
    """`train_shape_parser`: a parser of scans that have neither labels nor colours.

    Attributes:
        people: generated people to learn from; 0 trains no parser, and such scans are refused.
        held_out_people: further people, to score on.
        validation_people: and others again, by whom the best state is chosen.
        views_per_person: pictures of each.
        parser: what is trained.
        steps, batch, learning_rate, weight_decay, class_balance, dice_weight, auxiliary_weight, ema_halflife_images,
        score_every_steps, checkpoint_every_steps, small_share: as of `TrainParser`.
        augmentation: of pictures, which can't be turned or recoloured: their colours are directions.
    """

    people: Whole
    held_out_people: Count
    validation_people: Count
    views_per_person: Count
    parser: ParserConfig
    steps: Count
    batch: Count
    learning_rate: Rate
    weight_decay: Weight
    class_balance: Share
    dice_weight: Weight
    auxiliary_weight: Weight
    ema_halflife_images: Positive
    score_every_steps: Count
    checkpoint_every_steps: Count
    small_share: Share
    augmentation: Augmentation

    def __post_init__(self):
        check_halved(self)
        if self.augmentation.rotation_degrees or self.augmentation.colour:
            raise ValueError(
                "pictures of shapes can't be turned or recoloured: rotation_degrees and colour are 0"
            )
        if self.parser.order != "17":
            raise ValueError('the parser of shapes answers in the 17 classes: parser.order is "17"')

    def training(self) -> TrainParser:
        """The same as a training of a parser of photos has it."""
        shared = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in ("people", "held_out_people", "validation_people", "views_per_person")
        }
        return TrainParser(pretrained=Pretrained(), patience=0, **shared)
