"""The projected discriminator: small heads on the features of a frozen network (arXiv 2111.01007).

The features are EfficientNet-lite0's at strides 4 to 32, sent through fixed random projections, so that no
head can dwell on a few channels. Only the heads learn.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrizations import spectral_norm

from sofgan.errors import InputError
from sofgan.networks.efficientnet import FrozenLite
from sofgan.parsing.networks import LiteUnet
from sofgan.parsing.parser import load_parser
from sofgan.siw.config import DiscriminatorConfig


class Head(nn.Module):
    """Features of one scale to a map of logits, spectrally normalised."""

    def __init__(self, inputs: int, width: int, halvings: int):
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(halvings):
            layers += [
                spectral_norm(nn.Conv2d(inputs if index == 0 else width, width, 4, 2, 1)),
                nn.LeakyReLU(0.2),
            ]
        if halvings == 0:
            layers += [spectral_norm(nn.Conv2d(inputs, width, 1)), nn.LeakyReLU(0.2)]
        layers.append(spectral_norm(nn.Conv2d(width, 1, 1)))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, n) logits, one a place."""
        return self.layers(x).flatten(1)


class ProjectedDiscriminator(nn.Module):
    """Frozen features, fixed projections across channels and from coarse to fine, a head a scale.

    Args:
        backbone: whose features are judged; None: ImageNet's EfficientNet-lite0.
        size: pixels that it sees; None: `projected_size`.
    """

    def __init__(
        self, config: DiscriminatorConfig, backbone: FrozenLite | None = None, size: int | None = None
    ):
        super().__init__()
        self.size = size or config.projected_size
        width = config.projected_channels
        self.backbone = backbone or FrozenLite("lite0")
        _fold_batch_norms(self.backbone.net)
        self.across = nn.ModuleList(
            nn.Conv2d(channels, width, 1, bias=False) for channels in self.backbone.channels
        )
        for projection in self.across:
            nn.init.normal_(projection.weight, std=1 / math.sqrt(projection.in_channels))
        self.across.requires_grad_(False)
        sides = [self.size // stride for stride in (4, 8, 16, 32)]
        # Each head sees about the same place of the picture: fine scales halve down to 4x4 places.
        self.heads = nn.ModuleList(
            Head(width, width, max(0, int(math.log2(max(1, side // 4))))) for side in sides
        )

    def features(self, images: Tensor) -> list[Tensor]:
        """Projected feature maps of (B, 3, P, P) in [-1, 1], finest first, at P / 4; they depend on no trained weight.

        P is a multiple of 32: `size`, or less where pictures are small.
        """
        images = images.contiguous(memory_format=torch.channels_last)
        maps = [project(x) for project, x in zip(self.across, self.backbone.feature_maps(images))]
        mixed = [maps[-1]]
        for fine in reversed(maps[:-1]):  # Each finer scale also gets what the coarser ones see.
            coarse = F.interpolate(mixed[0], fine.shape[-2:], mode="bilinear", align_corners=False)
            mixed.insert(0, (fine + coarse) * math.sqrt(0.5))
        return mixed

    def judge(self, features: list[Tensor]) -> list[Tensor]:
        """A (B, n) tensor of logits for each scale's features; always in full precision."""
        with torch.autocast(features[0].device.type, enabled=False):
            return [head(x.float()) for head, x in zip(self.heads, features)]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Logits of every scale for pictures of the size that the network sees."""
        return self.judge(self.features(images))

    def state_dict(self, *args, **kwargs):
        """Without the backbone, whose weights are in a package."""
        full = super().state_dict(*args, **kwargs)
        prefix = kwargs.get("prefix", args[1] if len(args) > 1 else "") + "backbone."
        for name in [name for name in full if name.startswith(prefix)]:
            del full[name]
        return full


def parser_backbone(file: str) -> FrozenLite:
    """EfficientNet-lite0 as the encoder of a face parser has it.

    Raises:
        InputError: the parser is no `lite_unet`.
    """
    network = load_parser(file).network
    if not isinstance(network, LiteUnet):
        raise InputError(f"{file} is no parser of the kind lite_unet, whose features a critic can see")
    lite = FrozenLite("lite0")
    lite.net._conv_stem, lite.net._bn0 = network.stem[0], network.stem[1]
    lite.net._blocks = network.blocks
    return lite.eval().requires_grad_(False)


def _fold_batch_norms(net: nn.Module) -> None:
    """Put each batch norm of a frozen EfficientNet into the convolution before it: the same, a quarter faster."""
    pairs = [(net, "_conv_stem", "_bn0")]
    for block in net._blocks:
        pairs += [
            (block, conv, norm)
            for conv, norm in (
                ("_expand_conv", "_bn0"),
                ("_depthwise_conv", "_bn1"),
                ("_project_conv", "_bn2"),
            )
            if hasattr(block, conv)
        ]
    for module, conv, norm in pairs:
        setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
        setattr(module, norm, nn.Identity())
    net.requires_grad_(False)
