"""Styles settled on a head: those of several references together, until each region has its reference's color there.

A style that is found in one picture stands there among that picture's other styles. On another head, beside styles from
elsewhere, a region is painted in a somewhat different color, small regions most, since a painter's layers look beyond
their borders.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from sofgan.apps.looks import REGION_NAMES, Look
from sofgan.apps.style_fit import LEAST_SHARE, STYLE_RATE, Canvas
from sofgan.labels import resize
from sofgan.progress import SILENT, Progress
from sofgan.seeds import torch_generator
from sofgan.siw.mixing import class_to_group
from sofgan.siw.model import Siw

STEPS = 40  # of each map
NEARNESS = 0.005  # weight of styles' squared distance to where they began, in deviations of styles


def settle(
    siw: Siw,
    look: Look,
    maps: Sequence[np.ndarray],
    colors: Mapping[str, np.ndarray],
    steps: int = STEPS,
    progress: Progress = SILENT,
) -> Look:
    """The look in which regions have given mean colors on given maps, as near as it comes to them.

    Args:
        siw: a painter; it stays as it is.
        look: where to begin; styles of regions stay that have no color, or that no map shows.
        maps: (S, S) uint8 each, in turns.
        colors: (3,) in [0, 255] by the region's name.
        steps: of each map.
    """
    generator, first = siw.generator, look.w.detach()
    if first.dim() == 2:
        first = first[:, None].expand(-1, generator.layers, -1)
    rows = torch.tensor([REGION_NAMES.index(name) for name in colors], device=siw.device)
    if not len(rows):
        return look
    group_of, size = class_to_group("cpu"), siw.resolution
    groups = [group_of[torch.from_numpy(resize(labels, size)).long()].to(siw.device) for labels in maps]
    shares = torch.stack([(group == rows[:, None, None]).float().mean((1, 2)) for group in groups], 1)
    shown = torch.from_numpy(shown_on(shares.cpu().numpy())).to(siw.device)
    if not shown.any():
        return Look(first.clone())
    wanted = torch.tensor(np.stack([*colors.values()]), dtype=torch.float32, device=siw.device) / 127.5 - 1
    rows, wanted, count = rows[shown], wanted[shown], len(rows)
    deviation = siw.map_styles(siw.sample_z(256, torch_generator(0, "apps", "deviation"))).std().item()
    canvases = [Canvas(generator, labels) for labels in maps]
    with torch.no_grad():
        spades = [generator.spade_maps(canvas.hot) for canvas in canvases]
    moved = torch.zeros_like(first[rows], requires_grad=True)
    optimizer, total = torch.optim.Adam([moved], lr=0.0, betas=(0.9, 0.99)), steps * len(maps)
    for step in range(total):
        number = step % len(maps)
        optimizer.param_groups[0]["lr"] = STYLE_RATE * deviation * 0.5 * (1 + np.cos(np.pi * step / total))
        optimizer.zero_grad(set_to_none=True)
        picture = canvases[number].paint(first.index_add(0, rows, moved), spades[number])[0]
        # As if regions that are not shown took part, which stay: each has the same weight beside others.
        loss = NEARNESS * (moved / deviation).square().mean() * (len(rows) / count)
        for row, color in zip(rows, wanted):
            inside = groups[number] == row
            if inside.float().mean() >= LEAST_SHARE:
                loss = loss + (picture[:, inside].mean(1) - color).abs().mean()
        loss.backward()
        optimizer.step()
        progress.items(step + 1, total, "steps of settling")
    return Look(first.index_add(0, rows, moved.detach()))


def shown_on(shares: np.ndarray) -> np.ndarray:
    """(K,) bool: regions that a map shows, by their shares (K, M) of M maps."""
    return (shares >= LEAST_SHARE).any(1)
