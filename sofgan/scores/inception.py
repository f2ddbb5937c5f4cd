"""The one network whose distance is called FID."""

from pathlib import Path

import torch
from torch import Tensor, nn

from sofgan.errors import InputError, MissingInput
from sofgan.files import sha256_file
from sofgan.scores.inception_weights import INCEPTION, INCEPTION_SHA256


class InceptionFeatures(nn.Module):
    """The 2,048 features of FID, by torch-fidelity from a weights file on disk.

    Args:
        weights: path of the file that `sofgan.scores.inception_weights.INCEPTION` names.

    Raises:
        MissingInput: there is no such file. Nothing is ever downloaded.
        InputError: it is another file, whose distances would be no FID.
    """

    name = "fid"
    dim = 2048

    def __init__(self, weights: str | Path) -> None:
        super().__init__()
        check_inception(weights)
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        self.net = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, 2048); it resizes to 299x299 itself, the TensorFlow way."""
        return self.net((images * 127.5 + 128).clamp(0, 255).to(torch.uint8))[0]


def check_inception(weights: str | Path) -> None:
    """See that a file is that of FID's network.

    Raises:
        MissingInput: there is no such file. Nothing is ever downloaded.
        InputError: it is another file, whose distances would be no FID.
    """
    if not Path(weights).is_file():
        raise MissingInput(
            f"evaluate.inception_weights: {weights} is not there: `python -m pipelines weights --arch inception` "
            "fetches it into data/weights, and empty leaves FID out"
        )
    if sha256_file(weights) != INCEPTION_SHA256:
        raise InputError(
            f"evaluate.inception_weights: {weights} is not {INCEPTION}, the network of FID: its sha256 is another"
        )
