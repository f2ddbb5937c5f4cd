"""A face parser: photos to label maps of the 17 classes, whichever network and class order is inside."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sofgan.config import from_mapping, to_mapping
from sofgan.errors import UserError
from sofgan.files import sha256_file
from sofgan.images import resize
from sofgan.labels import BISENET_TO_17, MIRROR_TABLE, NUM_CLASSES, PARSENET_TO_17, split_nose
from sofgan.parsing.config import ParserConfig
from sofgan.parsing.networks import build_network
from sofgan.training import load_model, save_model

# What the ids of each 19-class order become.
CLASS_TABLES = {"bisenet": BISENET_TO_17, "parsenet": PARSENET_TO_17}
# Ids that a mirrored map swaps, in each order: a 19-class parser tells left from right by the image side.
MIRROR_TABLES = {
    "17": MIRROR_TABLE,
    "bisenet": np.array([0, 1, 3, 2, 5, 4, 6, 8, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18], np.uint8),
    "parsenet": np.array([0, 1, 2, 3, 5, 4, 7, 6, 9, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18], np.uint8),
}


class WeightsError(UserError, ValueError):
    """Pretrained weights are missing, not those expected, or of another network."""


class FaceParser(nn.Module):
    """A segmentation network with its input size, normalisation and class order."""

    def __init__(self, config: ParserConfig) -> None:
        super().__init__()
        self.config = config
        self.num_classes = NUM_CLASSES if config.order == "17" else len(CLASS_TABLES[config.order])
        # Channels last, as every network here takes a quarter to a third less time that way.
        self.network = build_network(config.arch, self.num_classes, config.width, config.encoder)
        # Weights of a package, which don't learn: files do without them.
        self.given = {name for name, weight in self.named_parameters() if not weight.requires_grad}
        self.network.to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(self.network.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(self.network.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Logits of (B, 3, H, W) in [-1, 1] in the network's own order and resolution; the answer first."""
        return self.network(self._normalise(images))

    def features(self, images: Tensor) -> Tensor:
        """The network's last features, pooled: (B, d) of (B, 3, size, size) in [-1, 1]."""
        return self.network.embed(self._normalise(images))

    def logits(
        self, images: Tensor, size: int, mirror: bool = False, scales: tuple[float, ...] = (1.0,)
    ) -> Tensor:
        """Scores of every pixel in the network's order: (B, C, size, size).

        With `mirror` or several `scales` they are log-probabilities averaged as probabilities.

        Args:
            images: (B, 3, H, W) in [-1, 1]; resized to the network's size times each scale.
        """
        if not mirror and tuple(scales) == (1.0,):
            return self._resized_logits(images, size, 1.0)
        total = 0
        swap = torch.from_numpy(MIRROR_TABLES[self.config.order].astype(np.int64)).to(images.device)
        for scale in scales:
            total = total + self._resized_logits(images, size, scale).softmax(1)
            if mirror:
                total = total + self._resized_logits(images.flip(-1), size, scale).softmax(1)[:, swap].flip(
                    -1
                )
        return (total / (len(scales) * (1 + mirror))).clamp_min(1e-12).log()

    def class_probabilities(self, logits: Tensor) -> Tensor:
        """Logits (B, C, H, W) in the network's order to probabilities of the 17 classes, (B, 17, H, W).

        The 19-class orders have one nose: it is all `R_NOSE`.
        """
        own = logits.softmax(1)
        if self.config.order == "17":
            return own
        table = torch.from_numpy(CLASS_TABLES[self.config.order].astype(np.int64)).to(logits.device)
        classes = own.new_zeros(len(own), NUM_CLASSES, *own.shape[2:])
        return classes.index_add_(1, table, own)

    def class_ids(
        self, images: Tensor, size: int, mirror: bool = False, scales: tuple[float, ...] = (1.0,)
    ) -> Tensor:
        """The likeliest class of every pixel in the network's own order: (B, size, size) uint8, on the device.

        Args:
            images, size, mirror, scales: as of `logits`.
        """
        return self.logits(images, size, mirror, scales).argmax(1).to(torch.uint8)

    def to_labels(self, ids: np.ndarray) -> np.ndarray:
        """Maps of the 17 classes of those in the network's order, (B, H, W) uint8; one nose is split."""
        if self.config.order == "17":
            return ids
        return np.stack([split_nose(one) for one in CLASS_TABLES[self.config.order][ids]])

    @torch.inference_mode()
    def parse(
        self,
        images: Tensor,
        size: int | None = None,
        mirror: bool = False,
        scales: tuple[float, ...] = (1.0,),
    ) -> np.ndarray:
        """Label maps of the 17 classes, (B, size, size) uint8; `size` defaults to the images' own.

        The 19-class orders have one nose, which is split here.
        """
        ids = self.class_ids(images, size or images.shape[-1], mirror, scales)
        return self.to_labels(ids.cpu().numpy())

    def _resized_logits(self, images: Tensor, size: int, scale: float) -> Tensor:
        side = max(32, round(self.config.size * scale / 32) * 32) if scale != 1.0 else self.config.size
        logits = self(resize(images, side))[0]
        if logits.shape[-2:] == (size, size):
            return logits.float()
        return F.interpolate(logits.float(), (size, size), mode="bilinear", align_corners=False)

    def _normalise(self, images: Tensor) -> Tensor:
        images = (0.5 * images + 0.5 - self.mean) / self.std
        return images.contiguous(memory_format=torch.channels_last)


def save_parser(path: str | Path, parser: FaceParser) -> None:
    """Write the parser with its configuration."""
    state = {name: value for name, value in parser.state_dict().items() if name not in parser.given}
    save_model(path, state, to_mapping(parser.config))


def load_parser(path: str | Path, device: torch.device | str = "cpu") -> FaceParser:
    """The parser that `save_parser` wrote, ready to parse."""
    state, config = load_model(path, device)
    parser = FaceParser(from_mapping(ParserConfig, config, str(path)))
    # Weights of a package are those that the parser has: all others must be in the file.
    given = {name: value for name, value in parser.state_dict().items() if name in parser.given}
    parser.load_state_dict(given | state)
    return parser.to(device).eval().requires_grad_(False)


def pretrained_parser(config: ParserConfig, path: str | Path, sha256: str = "") -> FaceParser:
    """A parser with facexlib's official weights.

    Raises:
        WeightsError: no such file, another digest, or weights that don't fit `config`.
    """
    if not Path(path).is_file():
        raise WeightsError(f"no parser weights at {path}; `python -m pipelines weights` fetches them")
    if sha256 and sha256_file(path) != sha256:
        raise WeightsError(f"{path} is not the expected file: sha256 {sha256_file(path)}, not {sha256}")
    if config.order != config.arch:
        raise WeightsError(f"official weights need parser.order '{config.arch}', not '{config.order}'")
    parser = FaceParser(config)
    try:
        parser.network.net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path} holds no weights of {config.arch}: {str(error).splitlines()[0]}"
        ) from error
    return parser.eval().requires_grad_(False)
