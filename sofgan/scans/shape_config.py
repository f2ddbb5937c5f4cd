"""Parameters of the stage that trains a parser of bare shapes. Imports no torch."""

from dataclasses import dataclass

from sofgan.faces.config import Augmentation, ParserConfig, Pretrained, TrainParser

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

    people: int
    held_out_people: int
    validation_people: int
    views_per_person: int
    parser: ParserConfig
    steps: int
    batch: int
    learning_rate: float
    weight_decay: float
    class_balance: float
    dice_weight: float
    auxiliary_weight: float
    ema_halflife_images: float
    score_every_steps: int
    checkpoint_every_steps: int
    small_share: float
    augmentation: Augmentation

    def __post_init__(self):
        if self.people < 0 or min(self.held_out_people, self.validation_people, self.views_per_person) < 1:
            raise ValueError(
                "people is at least 0, held_out_people, validation_people and views_per_person at least 1"
            )
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
