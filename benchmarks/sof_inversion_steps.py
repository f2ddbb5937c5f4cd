"""The paper's round 2 step by step: its Fig. 5, and how far cameras are from those that maps were seen by.

    python -m benchmarks.sof_inversion_steps --model models/sof.pt [--masks FOLDER | --views data/views] [--count 8]
        [--steps 1000 6000 14000] [--frozen 8000] [--rays 0] [--set KEY=VALUE ...] [--siw models/siw.pt]
        [--picture .work/benchmarks/sof_steps.png]
    python -m benchmarks.sof_inversion_steps --model models/sof.pt --visits 53 --frozen-visits 2 --rays 128

Inverts label maps by invert_masks as profiles/paper.yaml has it: one view each of scans that the field has not seen
(--known: of those that it has), or with --masks those of a CelebAMask-HQ set in any of its layouts. The picture has a
row a map, the map itself at the left and then the fit after so many steps; with --siw each is painted below by one
style. --steps are those of the figure, and modules are released after --frozen of them. With --visits the steps are as
many as visit each map so often, --frozen-visits of them before the release, and the columns lie at a tenth, four tenths
and the end: 53 are the 200,000 steps of 8 of 30,000 maps. --rays of a map in place of all its pixels, where a CPU shall
come to the end; --set changes single keys (module_learning_rate=1e-3).

Printed is, for each column, the mean IoU of maps and fits, and for views whose camera is known, the angle at the head's
centre between it and the camera that was found: mean, median and largest, in degrees, beside that of the start. There
is no limit.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks import harness
from benchmarks.inputs.portraits import mask_maps
from sofgan.errors import InputError
from sofgan.files import write_png
from sofgan.labels import colorize
from sofgan.siw.model import load_siw, to_uint8
from sofgan.sof.inversion.fit import Recipe
from sofgan.sof.inversion.invert import Inversion
from sofgan.sof.inversion.paper_inversion import invert_in_turns
from sofgan.sof.sof import Sof, load_sof
from sofgan.sof.view_set import instance_name, read_views
from stages import paths

FIGURE_STEPS = (1000, 6000, 14000)
VISIT_SHARES = (0.1, 0.4, 1.0)
PSI = 0.7  # of the style


def single_views(
    sof: Sof, folder: Path, count: int, known: bool, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """One label map (M, S, S) each of heads that the field knows or does not, and camera positions (M, 3).

    Any view but the first, which is frontal as the start is.
    """
    files = [
        path
        for path in sorted(folder.glob("*/*.npz"))
        if (instance_name(path) in sof.training_names) == known
    ]
    if not files:
        raise InputError(f"{folder}: no views of heads that the field {'knows' if known else 'has not seen'}")
    views = read_views(files[:count])
    rng = np.random.default_rng(seed)
    chosen = [int(rng.choice(torch.nonzero(views.instance == i)[1:, 0])) for i in range(len(views.names))]
    return views.labels[chosen], views.cam2world[chosen, :3, 3]


def degrees(positions: torch.Tensor, truth: torch.Tensor) -> np.ndarray:
    """(M,) angles at the head's centre between cameras at positions (M, 3)."""
    cosine = torch.nn.functional.cosine_similarity(positions, truth.to(positions), dim=1)
    return torch.rad2deg(cosine.clamp(-1, 1).acos()).cpu().numpy()


def told(angles: np.ndarray) -> str:
    """Angles in words."""
    return f"mean {angles.mean():.1f}, median {np.median(angles):.1f}, largest {angles.max():.1f} degrees off"


def painted(labels: np.ndarray, siw, seed: int) -> np.ndarray:
    """Maps (M, S, S) in colours (M, S, S, 3), each above its painting by one style where there is a generator."""
    rows = colorize(labels)
    if siw is None:
        return rows
    style = siw.map_styles(siw.sample_z(1, torch.Generator().manual_seed(seed)), PSI)
    pictures = torch.cat([siw.paint(label_map[None], style) for label_map in labels])
    side = labels.shape[1:]
    pictures = torch.nn.functional.interpolate(pictures, side, mode="bilinear", antialias=True)
    return np.concatenate([rows, to_uint8(pictures)], 1)


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=1, device=True, seed=0, check=False)
    found.add_argument("--model", type=Path, required=True)
    found.add_argument("--masks", type=Path)
    found.add_argument("--views", type=Path, default=paths.VIEWS)
    found.add_argument("--known", action="store_true")
    found.add_argument("--count", type=int, default=8)
    found.add_argument("--steps", type=int, nargs="+", default=FIGURE_STEPS)
    found.add_argument("--frozen", type=int, default=8000)
    found.add_argument("--visits", type=float)
    found.add_argument("--frozen-visits", type=float, default=2.0)
    found.add_argument("--rays", type=int, default=0)
    found.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    found.add_argument("--siw", type=Path)
    found.add_argument("--picture", type=Path, default=harness.CACHE / "sof_steps.png")
    return found


def main(arguments) -> None:
    seed, training = arguments.seed, harness.block("train_sof", "paper")
    config = harness.block("invert_masks", "paper", *map(harness.change, arguments.set))
    sof, truth = load_sof(arguments.model, arguments.device), None
    if arguments.masks:
        maps = mask_maps(arguments.masks, arguments.count, config.size)
    else:
        maps, truth = single_views(sof, arguments.views, arguments.count, arguments.known, seed)
    per_step = min(config.maps_per_step, len(maps))
    columns, frozen = sorted(set(arguments.steps)), arguments.frozen
    if arguments.visits:
        steps = round(arguments.visits * len(maps) / per_step)
        columns = sorted({max(1, round(share * steps)) for share in VISIT_SHARES})
        frozen = round(arguments.frozen_visits * len(maps) / per_step)
    frozen = min(frozen, columns[-1])
    config = dataclasses.replace(
        config,
        steps=frozen,
        released_steps=columns[-1] - frozen,
        rays_per_map=arguments.rays or config.rays_per_map,
    )
    siw = load_siw(arguments.siw, arguments.device) if arguments.siw else None
    print(
        f"{len(maps)} maps, {per_step} a step, {min(config.rays_per_map, maps[0].numel())} rays each; "
        f"{columns[-1]} steps, the first {frozen} with modules frozen; "
        f"{columns[-1] * per_step / len(maps):.0f} visits a map, {frozen * per_step / len(maps):.0f} frozen"
    )
    if truth is not None:
        print(f"start: {told(degrees(torch.tensor([[0.0, 0.0, 1.0]]).expand_as(truth), truth))}", flush=True)
    shown = [painted(maps.numpy(), siw, seed)]

    def look(step: int, found) -> None:
        if step not in columns:
            return
        now: Inversion = found()
        line = f"step {step}: mean IoU {now.miou.mean():.3f}"
        if truth is not None:
            line += f", cameras {told(degrees(now.views.values.detach(), truth))}"
        print(line, flush=True)
        shown.append(painted(now.fitted, siw, seed))

    invert_in_turns(sof, maps, Recipe(config, training), seed, look=look)
    write_png(arguments.picture, np.concatenate([np.concatenate(list(column)) for column in shown], 1))
    print(f"rows of maps, columns the map and steps {', '.join(map(str, columns))}: {arguments.picture}")


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
