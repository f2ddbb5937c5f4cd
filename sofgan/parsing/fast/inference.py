"""A face parser made ready to parse many photos: the same answers in less time.

Its network is fused (`sofgan.parsing.fast.rewriting`), and where a label map is larger than the network's answer,
scores are interpolated only where a border runs.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sofgan.images import resize
from sofgan.parsing.fast.rewriting import fuse
from sofgan.parsing.networks import BiSeNetParser
from sofgan.parsing.parser import MIRROR_TABLES, FaceParser


class InferenceParser(FaceParser):
    """A parser made ready by `prepare_for_inference`, with the interface of `FaceParser`."""

    def __init__(self, parser: FaceParser) -> None:
        nn.Module.__init__(self)  # A parser's own would build another network.
        self.config, self.num_classes = parser.config, parser.num_classes
        self.register_buffer("mean", parser.mean.clone(), persistent=False)
        self.register_buffer("std", parser.std.clone(), persistent=False)
        swap = torch.from_numpy(MIRROR_TABLES[self.config.order].astype(np.int64))
        self.register_buffer("swap", swap.to(parser.mean.device), persistent=False)
        # BiSeNet enlarges its scores by 8 at its end; that part stays out of the network here.
        self.enlarges = isinstance(parser.network, BiSeNetParser)
        self.network = fuse(_BiSeNetScores(parser.network) if self.enlarges else parser.network)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Logits of (B, 3, H, W) in [-1, 1], as `FaceParser.forward`."""
        scores = self._scores(images)
        if not self.enlarges:
            return [scores]
        return [F.interpolate(scores, images.shape[-2:], mode="bilinear", align_corners=True)]

    def features(self, images: Tensor) -> Tensor:
        """Left to `FaceParser`.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("a parser prepared for inference gives label maps only")

    def class_ids(
        self, images: Tensor, size: int, mirror: bool = False, scales: tuple[float, ...] = (1.0,)
    ) -> Tensor:
        """Class ids as of `FaceParser.class_ids`, with scores interpolated at borders only."""
        if mirror or tuple(scales) != (1.0,):
            total = 0
            for scale in scales:
                total = total + self._resized_logits(images, size, scale).softmax(1)
                if mirror:
                    mirrored = self._resized_logits(images.flip(-1), size, scale).softmax(1)
                    total = total + mirrored[:, self.swap].flip(-1)
            return total.argmax(1).to(torch.uint8)
        images = resize(images, self.config.size)
        if self.enlarges and size == self.config.size:
            return argmax_enlarged(self._scores(images).float(), size, align_corners=True)
        return argmax_enlarged(self(images)[0].float(), size, align_corners=False)

    def _scores(self, images: Tensor) -> Tensor:
        answer = self.network(self._normalise(images))
        return answer if isinstance(answer, Tensor) else answer[0]


def prepare_for_inference(parser: FaceParser) -> InferenceParser:
    """A parser with the same answers as `parser` up to rounding, on its device; `parser` itself is not changed.

    Raises:
        ValueError: `parser` is in training mode.
    """
    return InferenceParser(parser).eval().requires_grad_(False)


def argmax_enlarged(scores: Tensor, size: int, align_corners: bool) -> Tensor:
    """The argmax over channels of scores (B, C, h, w) resized bilinearly: (B, size, size) uint8.

    Between four scores of which the same class is highest it is highest everywhere, the weights being positive
    and of sum 1. So on a CPU only the pixels between differing winners are interpolated. On a GPU, which would
    wait for their number to be known, and where maps shrink, all are.
    """
    height, width = scores.shape[2:]
    if (height, width) == (size, size):
        return scores.argmax(1).to(torch.uint8)
    if scores.device.type != "cpu" or size < max(height, width):
        scores = F.interpolate(scores, (size, size), mode="bilinear", align_corners=align_corners)
        return scores.argmax(1).to(torch.uint8)
    winners = scores.argmax(1).to(torch.uint8)
    top, bottom, down = _neighbours(height, size, align_corners)
    left = _neighbours(width, size, align_corners)[0]
    beside = torch.cat([winners[:, :, 1:], winners[:, :, -1:]], 2)
    same = winners == beside
    same[:, :-1] &= (winners[:, :-1] == winners[:, 1:]) & (winners[:, :-1] == beside[:, 1:])
    labels = winners.index_select(1, top).index_select(2, left)
    border = ~same.index_select(1, top).index_select(2, left)
    image, row, column = border.nonzero(as_tuple=True)
    # Along rows for whole rows, as most of those scores are needed above and below; then down at the border.
    rows = F.interpolate(scores, (height, size), mode="bilinear", align_corners=align_corners)
    rows = rows.permute(0, 2, 3, 1).reshape(-1, scores.shape[1])
    above = rows.index_select(0, (image * height + top[row]) * size + column)
    below = rows.index_select(0, (image * height + bottom[row]) * size + column)
    labels[image, row, column] = torch.lerp(above, below, down[row, None]).argmax(1).to(torch.uint8)
    return labels


class _BiSeNetScores(nn.Module):
    """BiSeNet without its last, enlarging step, and without its auxiliary heads."""

    def __init__(self, network: BiSeNetParser) -> None:
        super().__init__()
        self.network = network
        self.train(network.training)

    def forward(self, x: Tensor) -> Tensor:
        return self.network.net.conv_out.conv_out(self.network._penultimate(x))


def _neighbours(count: int, size: int, align_corners: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Neighbours of each of `size` pixels: the two of `count` that it lies between, and its nearness to the second."""
    pixels = torch.arange(size, dtype=torch.float64)
    if align_corners:
        places = pixels * ((count - 1) / max(1, size - 1))
    else:
        places = ((pixels + 0.5) * (count / size) - 0.5).clamp_min(0)
    first = places.floor().long().clamp_max(count - 1)
    return first, (first + 1).clamp_max(count - 1), (places - first).float()
