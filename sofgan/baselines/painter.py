"""Trained baselines: load them, draw styles, paint label maps, as evaluation asks of ours."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sofgan.baselines.config import PairedConfig
from sofgan.baselines.pix2pixhd import Pix2PixHDGenerator
from sofgan.baselines.sean import SeanGenerator
from sofgan.baselines.spade import SpadeGenerator
from sofgan.config import from_mapping, to_mapping
from sofgan.siw.generator import noise_of
from sofgan.siw.mixing import one_hot
from sofgan.siw.model import Siw, load_siw, maps_to_paint, save_siw
from sofgan.training import load_model, save_model

GENERATORS = {"spade": SpadeGenerator, "sean": SeanGenerator, "pix2pixhd": Pix2PixHDGenerator}


class PairedPainter:
    """Paints label maps with styles as `sofgan.siw.model.Siw` does; nothing is trained.

    Attributes:
        resolution: side of the painted pictures, pixels.
        z_dim: length of codes.
    """

    def __init__(self, generator: nn.Module, device: torch.device | str):
        self.device, self.generator = torch.device(device), generator.to(device).eval()
        self.resolution, self.z_dim = generator.config.resolution, generator.config.z_dim

    def sample_z(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, z_dim) random codes, drawn where `generator` lives."""
        return torch.randn((count, self.z_dim), generator=generator, device=generator.device).to(self.device)

    @torch.inference_mode()
    def map_styles(self, z: Tensor, psi: float = 1.0) -> Tensor:
        """Codes (B, z_dim) to styles as the method has them, pulled towards the average one: psi 1 not at all, 0
        fully."""
        return self.generator.w_average.lerp(self.generator.style_of(z.to(self.device)), psi)

    @torch.inference_mode()
    def paint(self, labels: Tensor | np.ndarray, w: Tensor, noise_seed: int | Sequence[int] = 0) -> Tensor:
        """Paint each map with a style.

        Args:
            labels: (B, H, W) class ids, of any square size.
            w: styles of `map_styles`; one row serves all maps if there is one only.
            noise_seed: of the noise, of methods that have any: for all maps, or one for each.

        Returns:
            (B, 3, R, R) float32 in [-1, 1].

        Raises:
            ValueError: shapes don't fit, or `labels` holds a value that is no class.
        """
        labels = maps_to_paint(labels, self.generator.config.label_size, self.device)
        noise = noise_of(self.generator, noise_seed, len(labels))
        w = w.to(self.device)
        return self.generator(one_hot(labels), w.expand(len(labels), *w.shape[1:]), noise)


Painter = PairedPainter | Siw  # Siw is StyleGAN2's, and ours


def save_painter(path: str | Path, painter: Painter) -> None:
    """Write a generator with its configuration; equal generators are equal bytes."""
    if isinstance(painter, Siw):
        save_siw(path, painter)
        return
    config = {"baseline": to_mapping(painter.generator.config)}
    save_model(path, painter.generator.state_dict(), config)


def load_painter(path: str | Path, device: torch.device | str = "cpu") -> Painter:
    """The method that `save_painter` wrote, ready to paint.

    Raises:
        MissingInput: the file is not there.
        ConfigError: it is of another kind.
    """
    state, found = load_model(path, device)
    if "baseline" not in found:
        return load_siw(path, device)
    config = from_mapping(PairedConfig, found["baseline"], str(path))
    generator = GENERATORS[config.method](config)
    generator.load_state_dict(state)
    return PairedPainter(generator.requires_grad_(False), device)
