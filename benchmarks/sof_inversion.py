"""Heads from one label map: the fit of the map, and the other sides that it doesn't show.

    python -m benchmarks.sof_inversion --model .work/benchmarks/field-300.pt [--masks FOLDER] [--count 50] [--check]

Inverts the frontal maps of 16 avatars that the field has not seen, whose other views are known, and with --masks, the
root of a CelebAMask-HQ set in any of its layouts, so many of its maps, spread over the set, by params.yaml's
invert_masks (--steps, --released-steps, --encoder-steps and --rays in place of its own). First with the field frozen,
then released with all maps together and a rehearsal of the field's own heads. Printed are means over maps of each
map's mean IoU, over the classes in either, one confusion of all maps, the other views before and after the release,
and seconds a map, the encoder's training aside. Limits, once released: the input is 0.78, the other views 0.66, masks
0.7, and a map takes 30 s. --pictures DIR writes map, fit and new sides.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks import harness
from benchmarks.inputs.avatar_views import HEADS, NEW_HEADS, avatar_views
from benchmarks.inputs.portraits import mask_maps
from sofgan import cameras
from sofgan.cameras import Camera
from sofgan.files import write_png
from sofgan.labels import colorize, resize
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.sof.inversion.code_prior import fit_prior
from sofgan.sof.inversion.fit import Recipe
from sofgan.sof.inversion.invert import Inversion, invert, join, part, release
from sofgan.sof.inversion.map_encoder import angle_errors, train_encoder
from sofgan.sof.inversion.scores import frontal_views, score_other_views
from sofgan.sof.render import render_view
from sofgan.sof.sof import load_sof
from sofgan.sof.train import validate
from sofgan.sof.view_set import read_views

LEAST_INPUT, LEAST_OTHER, LEAST_MASKS, MOST_SECONDS = 0.78, 0.66, 0.7, 30.0
YAWS = (-0.5, 0.0, 0.5)  # radians of the new sides


def sides(found: Inversion, maps: torch.Tensor, intrinsics: torch.Tensor, radius: float) -> np.ndarray:
    """(H, W, 3) picture: maps, fits and new sides from above to below."""
    poses = torch.from_numpy(cameras.orbit(np.array(YAWS), np.zeros(len(YAWS)), radius)).float()
    columns = []
    for label_map, fitted, code in zip(maps.numpy(), found.fitted, found.codes):
        made = found.model.generate(code[None])
        views = [
            render_view(found.model, made, camera).labels.cpu().numpy()
            for camera in Camera(poses.to(code.device), intrinsics, len(fitted))
        ]
        columns.append(np.concatenate([label_map, fitted, *views]))
    return colorize(np.concatenate(columns, 1))


def told(found: Inversion, maps: torch.Tensor) -> str:
    """The fit of maps in words."""
    confusion = ConfusionMatrix().update(torch.from_numpy(found.fitted), maps)
    return f"mean of maps {found.miou.mean():.3f}, worst {found.miou.min():.3f}, one confusion {confusion.miou():.3f}"


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=2, device=True, seed=0)
    found.add_argument(
        "--model", type=Path, required=True, help="a field of the batch field-300's first heads"
    )
    found.add_argument("--masks", type=Path, help="root of a CelebAMask-HQ set")
    found.add_argument("--count", type=int, default=50, help="masks at most")
    found.add_argument("--steps", type=int)
    found.add_argument("--released-steps", type=int)
    found.add_argument("--encoder-steps", type=int)
    found.add_argument("--rays", type=int, dest="rays_per_map", help="of a map in each step")
    found.add_argument("--pictures", type=Path)
    return found


def main(arguments) -> list[bool]:
    seed, training = arguments.seed, harness.block("train_sof")
    named = ("steps", "released_steps", "encoder_steps", "rays_per_map")
    given = {name: getattr(arguments, name) for name in named if getattr(arguments, name) is not None}
    config = harness.block("invert_masks", None, given)
    sof = load_sof(arguments.model, arguments.device)
    known = read_views(avatar_views(*HEADS)[: len(sof.training_codes)]).to(sof.device)
    new_heads = read_views(avatar_views(*NEW_HEADS))
    frontal = frontal_views(new_heads)
    maps = resize(new_heads.labels[frontal], config.size)

    began = time.perf_counter()
    encoder = train_encoder(known, sof.codes, fit_prior(sof.codes), config.encoder_steps, seed)
    angles = angle_errors(encoder.estimate(new_heads.labels.to(sof.device)), new_heads.to(sof.device))
    print(
        f"encoder: {config.encoder_steps} steps in {time.perf_counter() - began:.0f} s; of all views of new heads ",
        end="",
    )
    print(f"yaw {angles[0]:.1f}, pitch {angles[1]:.1f} degrees off")
    recipe = Recipe(config, training, encoder, known)
    began = time.perf_counter()
    found = invert(sof, maps, recipe, seed, known_framing=True)
    print(f"{len(maps)} new heads, frozen: input {told(found, maps)}")
    print(f"  other views: {score_other_views(found, new_heads).miou():.3f}", flush=True)
    everything = maps
    if arguments.masks:
        masks = mask_maps(arguments.masks, arguments.count, config.size)
        found_masks = invert(sof, masks, recipe, seed)
        print(f"{len(masks)} masks, frozen: {told(found_masks, masks)}", flush=True)
        found, everything = join(found, found_masks), torch.cat([maps, masks])
    before = validate(sof.model, known, 96)[0].miou()
    found = release(sof, found, everything, recipe, seed)
    seconds = (time.perf_counter() - began) / len(everything)
    heads = part(found, slice(len(maps)))
    other = score_other_views(heads, new_heads)
    print(f"released: input {told(heads, maps)}")
    print(f"  other views: {other.miou():.3f} {other.per_class()}")
    verdicts = [
        ("mIoU of the map given", {"value": heads.miou.mean(), "at_least": LEAST_INPUT}),
        ("mIoU of the other views", {"value": other.miou(), "at_least": LEAST_OTHER}),
    ]
    if arguments.pictures:
        intrinsics = sof.intrinsics.to(sof.device)
        write_png(arguments.pictures / "sof_new_heads.png", sides(heads, maps, intrinsics, sof.radius))
    if arguments.masks:
        people = part(found, slice(len(maps), None))
        print(f"released: masks {told(people, masks)}")
        verdicts.append(("mIoU of masks", {"value": people.miou.mean(), "at_least": LEAST_MASKS}))
        if arguments.pictures:
            picture = sides(part(people, slice(16)), masks[:16], intrinsics, sof.radius)
            write_png(arguments.pictures / "sof_masks.png", picture)
    print(
        f"known heads' held-out views: {before:.3f} before, {validate(found.model, known, 96)[0].miou():.3f} after"
    )
    print(f"seed {seed}")
    verdicts.append(("seconds a map", {"value": seconds, "at_most": MOST_SECONDS}))
    return [harness.verdict(name, **limit) for name, limit in verdicts]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
