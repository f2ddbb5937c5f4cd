"""Styles by region from one photo: those whose painted picture is like the photo, found by optimization.

Each region begins with that of some hundred random styles whose painted region has nearly the photo's mean color; then
styles, one a region and layer, are fitted, and at last the painter's own weights, as Roich et al. do (pivotal tuning,
arXiv 2106.05744). A picture is compared by its pixels, its regions' mean colors, and the features of a network that was
trained on ImageNet (`sofgan.networks.efficientnet`).
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan import images
from sofgan.apps.looks import REGION_NAMES, Look
from sofgan.labels import BROW, EYE, L_LIP, L_NOSE, MOUTH, NUM_CLASSES, R_NOSE, U_LIP, resize
from sofgan.networks.efficientnet import FrozenLite
from sofgan.progress import SILENT, Progress
from sofgan.seeds import torch_generator
from sofgan.siw.generator import Generator, fixed_noise
from sofgan.siw.mixing import class_to_group, class_weights, one_hot
from sofgan.siw.model import Siw

TRIED = 128  # random styles
TRIED_PSI = 0.8  # of their truncation: outer styles are painted worse
STEPS, PAINTER_STEPS = 100, 40
STYLE_RATE, PAINTER_RATE = 0.05, 1e-3  # of Adam
# Of the loss: mean absolute difference of pixels, of pictures of an eighth of the side, of regions' mean colors, of
# features; and of styles' squared distance to their start, which keeps them where the painter has learned to paint.
PIXELS, COARSE, COLORS, FEATURES, NEARNESS = 1.0, 1.0, 1.0, 1.0, 0.02
# By which a face's parts are known: their pixels count more than others.
PARTS, PARTS_WEIGHT = (BROW, EYE, R_NOSE, L_NOSE, MOUTH, U_LIP, L_LIP), 3.0
LEAST_SHARE = 0.002  # of the picture: smaller regions keep the style of the whole


@dataclass(frozen=True)
class FittedLook:
    """A look found from a photo.

    Attributes:
        siw: the painter, whose weights have learned the photo.
        look: a style for each region and layer.
        distances: loss of pixels, by name of what was done: of the start, after styles, after the painter.
    """

    siw: Siw
    look: Look
    distances: dict[str, float]


class Comparison:
    """Distance of a picture from a photo, both of one label map.

    Args:
        photo: (1, 3, R, R) in [-1, 1].
        labels: (R, R) uint8 of what the picture shows.
    """

    def __init__(self, photo: Tensor, labels: np.ndarray):
        self.photo, self.features = photo, FrozenLite("lite0").to(photo.device)
        self.coarse_size = max(1, photo.shape[-1] // 8)
        groups = class_to_group("cpu")[torch.from_numpy(labels).long()]
        shares = F.one_hot(groups, len(REGION_NAMES)).permute(2, 0, 1).float().to(photo.device)
        areas = shares.mean((1, 2))
        self.shown = areas >= LEAST_SHARE
        weights = 1 + (PARTS_WEIGHT - 1) * torch.from_numpy(np.isin(labels, PARTS)).to(areas)
        self.weights = weights / weights.mean()
        self.means = shares[self.shown] / areas[self.shown, None, None]
        with torch.no_grad():
            self.seen = self.features_of(photo)
            self.coarse, self.colors = images.resize(photo, self.coarse_size), self.colors_of(photo)

    def features_of(self, picture: Tensor) -> list[Tensor]:
        """Unit features of a picture at strides 4, 8 and 16."""
        size = max(32, picture.shape[-1] // 32 * 32)
        return [
            F.normalize(found, dim=1)
            for found in self.features.feature_maps(images.resize(picture, size))[:3]
        ]

    def colors_of(self, picture: Tensor) -> Tensor:
        """(G, 3) mean colors of the regions that are shown."""
        return (picture * self.means[:, None]).mean((2, 3))

    def pixels(self, picture: Tensor) -> Tensor:
        """Mean absolute difference of pixels, in [-1, 1]'s unit."""
        return (picture - self.photo).abs().mean()

    def __call__(self, picture: Tensor) -> Tensor:
        """The distance of a picture (1, 3, R, R) in [-1, 1]."""
        coarse = (images.resize(picture, self.coarse_size) - self.coarse).abs().mean()
        colors = (self.colors_of(picture) - self.colors).abs().mean()
        seen = [(a - b).square().sum(1).mean() for a, b in zip(self.features_of(picture), self.seen)]
        return (
            PIXELS * self.pixels(picture)
            + COARSE * coarse
            + COLORS * colors
            + FEATURES * sum(seen) / len(seen)
        )


class Canvas:
    """A label map ready to be painted again and again by one generator."""

    def __init__(self, generator: Generator, labels: np.ndarray):
        size, device = generator.config.label_size, generator.w_average.device
        ids = torch.from_numpy(np.ascontiguousarray(resize(labels, size))).to(device).long()[None]
        self.generator, self.hot = generator, one_hot(ids)
        self.weights = class_weights(ids, class_to_group(device), len(REGION_NAMES))
        self.noise = fixed_noise(generator, 0)

    def paint(self, w: Tensor, spade_maps=None) -> Tensor:
        """Paint with styles (12, w_dim) or (12, layers, w_dim): (1, 3, R, R)."""
        return self.generator.synthesize(self.hot, w[None], self.weights, self.noise, spade_maps)


def look_up(siw: Siw, labels: np.ndarray, photo: Tensor, seed: int = 0) -> Look:
    """The look whose regions have that of `TRIED` random styles which paints each in the color most like the photo's.

    Args:
        labels: (S, S) uint8 of the head.
        photo: (1, 3, R, R) in [-1, 1].
    """
    groups = class_to_group("cpu")[torch.from_numpy(resize(labels, photo.shape[-1])).long()]
    w = siw.map_styles(siw.sample_z(TRIED, torch_generator(seed, "apps", "styles tried")), TRIED_PSI)
    with torch.inference_mode():
        hot = one_hot(torch.from_numpy(resize(labels, siw.generator.config.label_size)).long()[None])
        spade, noise = siw.generator.spade_maps(hot.to(siw.device)), fixed_noise(siw.generator, 0)
        painted = torch.cat(
            [siw.generator.synthesize(hot.to(siw.device), one[None, None], None, noise, spade) for one in w]
        )
    chosen = []
    differences = (painted - photo).abs().mean((1, 2, 3))
    for group in range(len(REGION_NAMES)):
        region = (groups == group).to(photo.device)
        if region.float().mean() < LEAST_SHARE:
            chosen.append(int(differences.argmin()))
            continue
        colors, wanted = (picture[:, :, region].mean(2) for picture in (painted, photo))
        chosen.append(int((colors - wanted).square().sum(1).argmin()))
    return Look(w[chosen].clone())


def fit_look(
    siw: Siw,
    labels: np.ndarray,
    photo: np.ndarray,
    start: Look | None = None,
    steps: tuple[int, int] = (STEPS, PAINTER_STEPS),
    progress: Progress = SILENT,
) -> FittedLook:
    """The look in which a head's view is like a photo.

    Args:
        siw: a painter; it stays as it is.
        labels: (S, S) uint8 view of the head.
        photo: (R, R, 3) uint8, of the painter's resolution.
        start: styles to begin with; None: `look_up`.
        steps: of styles alone, and then with the painter's weights.
    """
    wanted = images.to_network_range(photo[None], siw.device)
    start = start or look_up(siw, labels, wanted)
    generator = copy.deepcopy(siw.generator).requires_grad_(False)
    canvas, compare = Canvas(generator, labels), Comparison(wanted, resize(labels, photo.shape[0]))
    layers = generator.layers
    first = start.w.detach().clone()
    w = (first[:, None].expand(-1, layers, -1) if first.dim() == 2 else first).clone().requires_grad_(True)
    first = w.detach().clone()
    deviation = siw.map_styles(siw.sample_z(256, torch_generator(0, "apps", "deviation"))).std().item()
    with torch.no_grad():
        distances, spade = {"start": compare.pixels(canvas.paint(w)).item()}, generator.spade_maps(canvas.hot)
    learned = [
        parameter for name, parameter in generator.named_parameters() if not name.startswith("mapping.")
    ]
    for name, count in zip(("styles", "painter"), steps):
        painter = name == "painter"
        if painter:
            for parameter in learned:
                parameter.requires_grad_(True)
        groups = [{"params": [w], "lr": 0.0}] + ([{"params": learned, "lr": 0.0}] if painter else [])
        rates = (STYLE_RATE * deviation * (0.3 if painter else 1.0), PAINTER_RATE)
        optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
        for step in range(count):
            factor = min(1.0, (step + 1) / 5) * 0.5 * (1 + np.cos(np.pi * step / count))
            for group, rate in zip(optimizer.param_groups, rates):
                group["lr"] = rate * factor
            optimizer.zero_grad(set_to_none=True)
            loss = compare(canvas.paint(w, None if painter else spade))
            loss = loss + NEARNESS * ((w - first) / deviation).square().mean()
            loss.backward()
            optimizer.step()
            progress.items(step + 1, count, f"steps of {name}")
        with torch.no_grad():
            distances[name] = compare.pixels(canvas.paint(w)).item()
    generator.zero_grad(
        set_to_none=True
    )  # Of the last step: as large as the painter, for as long as that is kept.
    return FittedLook(
        Siw(generator.requires_grad_(False), siw.device, siw.framing), Look(w.detach()), distances
    )


def region_colors(picture: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Mean colors (3,) in [0, 255] of the regions that a picture (R, R, 3) uint8 shows enough of, by their names.

    Args:
        labels: (R, R) uint8.
    """
    groups = class_to_group("cpu").numpy()[labels.clip(0, NUM_CLASSES - 1)]
    found = {name: groups == index for index, name in enumerate(REGION_NAMES)}
    return {name: picture[at].mean(0) for name, at in found.items() if at.mean() >= LEAST_SHARE}
