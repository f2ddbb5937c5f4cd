"""A trained SIW generator: load it, draw styles, paint label maps, restyle regions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan.config import from_mapping, to_mapping
from sofgan.labels import NUM_CLASSES, check_ids, resize
from sofgan.siw.config import GeneratorConfig
from sofgan.siw.generator import Generator, noise_of
from sofgan.siw.mixing import one_hot, two_style_weights
from sofgan.siw.portrait_camera import Framing
from sofgan.training import load_model, save_model


class Siw:
    """Paints label maps with styles. All tensors live on `device`; nothing is trained.

    Attributes:
        resolution: side of the painted pictures, pixels.
        z_dim, w_dim: lengths of codes and styles.
        framing: cameras under which a semantic field is framed as the training's portraits; None if unknown.
    """

    def __init__(self, generator: Generator, device: torch.device | str, framing: Framing | None = None):
        self.framing = framing
        self.device = torch.device(device)
        self.generator = generator.to(self.device, memory_format=torch.channels_last).eval()
        self.resolution = generator.config.resolution
        self.z_dim, self.w_dim = generator.config.z_dim, generator.config.w_dim

    def sample_z(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, z_dim) random codes; drawn where `generator` lives, so a CPU one gives the same anywhere."""
        return torch.randn((count, self.z_dim), generator=generator, device=generator.device).to(self.device)

    @torch.inference_mode()
    def map_styles(self, z: Tensor, psi: float = 1.0) -> Tensor:
        """Codes (B, z_dim) to styles (B, w_dim), pulled towards the average style: psi 1 not at all, 0 fully."""
        w = self.generator.mapping(z.to(self.device))
        return self.generator.w_average.lerp(w, psi)

    @torch.inference_mode()
    def paint(
        self,
        labels: Tensor | np.ndarray,
        w: Tensor,
        similarity: Tensor | None = None,
        noise_seed: int | Sequence[int] = 0,
    ) -> Tensor:
        """Paint each map with one style, or with two mixed by region.

        Args:
            labels: (B, H, W) class ids, of any square size (brought to the generator's by nearest neighbour).
            w: (B, w_dim), or (B, 2, w_dim) with `similarity`; one row serves all maps if B is 1 there. With a
                further axis of layers before w_dim, a style a layer.
            similarity: the share of the first style: (17,) or (B, 17) a class, or (B, H, W) a pixel.
            noise_seed: the same seed is the same noise, so frames of a video don't flicker; a seed for all maps, or
                one for each, where pictures shall differ as in training.

        Returns:
            (B, 3, R, R) float32 in [-1, 1].

        Raises:
            ValueError: shapes don't fit, or `labels` holds a value that is no class.
        """
        labels = maps_to_paint(labels, self.generator.config.label_size, self.device)
        w = w.to(self.device)
        if similarity is None:
            w = w[:, None]
            weights = None
        else:
            if w.dim() < 3 or w.shape[1] != 2:
                raise ValueError(f"a similarity map mixes two styles (B, 2, w_dim), not {tuple(w.shape)}")
            weights = self._weights(labels, similarity.to(self.device))
        w = w.expand(len(labels), *w.shape[1:])
        noise = noise_of(self.generator, noise_seed, len(labels))
        return self.generator.synthesize(one_hot(labels), w, weights, noise).clamp(-1, 1)

    def restyle(
        self,
        labels: Tensor | np.ndarray,
        w: Tensor,
        w_new: Tensor,
        classes,
        noise_seed: int | Sequence[int] = 0,
    ) -> Tensor:
        """Paint with style `w`, but the regions of `classes` (ids) with `w_new`; both (B or 1, w_dim).

        Returns:
            (B, 3, R, R) float32 in [-1, 1].
        """
        similarity = torch.ones(NUM_CLASSES, device=self.device)
        similarity[list(classes)] = 0.0
        pair = torch.stack(torch.broadcast_tensors(w.to(self.device), w_new.to(self.device)), 1)
        return self.paint(labels, pair, similarity, noise_seed)

    def _weights(self, labels: Tensor, similarity: Tensor) -> Tensor:
        if similarity.dim() == 3:
            size = self.generator.config.label_size
            first = F.interpolate(similarity[:, None].float(), (size, size), mode="nearest-exact")[:, 0]
            first = first.expand(len(labels), -1, -1)
            return torch.stack((first, 1 - first), 1)
        if similarity.shape[-1] != NUM_CLASSES:
            raise ValueError(f"similarity is (17,), (B, 17) or (B, H, W), not {tuple(similarity.shape)}")
        return two_style_weights(labels, similarity.float().expand(len(labels), -1))


def maps_to_paint(labels: Tensor | np.ndarray, size: int, device: torch.device) -> Tensor:
    """Label maps (B, H, H) of any size as those that condition a generator: (B, size, size) long, on a device.

    Raises:
        ValueError: maps aren't square, or hold a value that is no class.
    """
    if isinstance(labels, np.ndarray):
        labels = torch.from_numpy(np.ascontiguousarray(labels))
    if labels.dim() != 3 or labels.shape[1] != labels.shape[2]:
        raise ValueError(f"label maps are (B, H, H), not {tuple(labels.shape)}")
    check_ids(labels.cpu().numpy(), "maps to paint")
    return resize(labels.to(device), size).long()


def save_siw(path: str | Path, siw: Siw) -> None:
    """Write the generator with its configuration and framing; equal generators are equal bytes."""
    framing = siw.framing.to_mapping() if siw.framing is not None else None
    config = {"generator": to_mapping(siw.generator.config), "framing": framing}
    save_model(path, siw.generator.state_dict(), config)


def load_siw(path: str | Path, device: torch.device | str = "cpu") -> Siw:
    """The generator that `save_siw` wrote, ready to paint.

    Raises:
        FileNotFoundError: the file is not there.
        ConfigError: it is of another kind.
    """
    state, config = load_model(path, device)
    generator = Generator(from_mapping(GeneratorConfig, config.get("generator", {}), str(path)))
    generator.load_state_dict(state)
    framing = Framing(**config["framing"]) if config.get("framing") else None
    return Siw(generator.requires_grad_(False), device, framing)


def to_uint8(images: Tensor) -> np.ndarray:
    """(B, 3, H, W) in [-1, 1] to (B, H, W, 3) uint8."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
