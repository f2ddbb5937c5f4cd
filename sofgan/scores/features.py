"""Feature extractors for distribution distances, each with its fixed resize and normalisation.

An extractor's name is the name of its metric: `fd_lite0` is EfficientNet-lite0's pooled last convolution
(1,280 numbers) of images resized to 96x96 (antialiased bilinear) and normalised with ImageNet's mean and
deviation; `fd_lite2` the same of lite2 at 64x64. "FID" is the name of one extractor only
(`sofgan.scores.inception`).
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from sofgan.images import resize
from sofgan.networks.efficientnet import FrozenLite


class LiteFeatures(nn.Module):
    """`lite0` at 96 pixels, `lite2` at 64: the settings of the project's published numbers."""

    SIZES = {"lite0": 96, "lite2": 64}

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.net = FrozenLite(kind)
        self.size = self.SIZES[kind]
        self.name = f"fd_{kind}"
        self.dim = self.net.dim

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, dim)."""
        return self.net(resize(images, self.size))


class NetworkFeatures(nn.Module):
    """Features of any network through a function of it, such as a parser's pooled last layer.

    An extractor outside the family of a training loss's feature network: a distance whose extractor is in
    the loss is biased.
    """

    def __init__(self, name: str, function: Callable[[Tensor], Tensor], size: int) -> None:
        super().__init__()
        self.name = name
        self.function = function
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, d)."""
        return self.function(resize(images, self.size))


@torch.inference_mode()
def extract(
    batches: Iterable[Tensor], extractors: Iterable[nn.Module], device: torch.device | str = "cpu"
) -> dict[str, np.ndarray]:
    """Features of every image by every extractor, reading the images once.

    Args:
        batches: tensors (B, 3, H, W) in [-1, 1].
        extractors: modules with a `name`, already on `device`.

    Returns:
        {name: (N, d) float32}.
    """
    extractors = list(extractors)
    features: dict[str, list[np.ndarray]] = {extractor.name: [] for extractor in extractors}
    for images in batches:
        images = images.to(device)
        for extractor in extractors:
            features[extractor.name].append(extractor(images).float().cpu().numpy())
    if not any(features.values()):
        raise ValueError("no images to take features of")
    return {name: np.concatenate(parts) for name, parts in features.items()}
