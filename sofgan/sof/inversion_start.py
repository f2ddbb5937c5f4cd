"""Where an inversion starts: the best of many codes and yaws, framed like the map."""

import torch
from torch import Tensor

from sofgan import cameras
from sofgan.labels import NAMES, NUM_CLASSES
from sofgan.seeds import torch_generator
from sofgan.sof.config import InvertMasks
from sofgan.sof.model import SofModel
from sofgan.sof.render import render_cameras

SEARCH_SIZE = 48  # pixels of the candidates' renders
# What frames a face in any crop: hair, neck and clothes are cut differently from portrait to portrait.
FACE = ("skin", "brow", "eye", "r_nose", "l_nose", "mouth", "u_lip", "l_lip", "eyeglass")


def face_moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Centre (M, 2), in image widths, and radius (M,) of the face in label maps (M, H, W).

    A map without a face is framed by all that is not background, and an empty one by the whole image.
    """
    ids = torch.tensor([NAMES.index(name) for name in FACE], device=maps.device)
    face = torch.isin(maps.int(), ids.int())
    face = torch.where(face.any((1, 2), keepdim=True), face, maps > 0)
    face = torch.where(face.any((1, 2), keepdim=True), face, torch.ones_like(face)).float()
    size = maps.shape[-1]
    axis = (torch.arange(size, device=maps.device) + 0.5) / size
    mass = face.sum((1, 2))
    centre = torch.stack([(face.sum(1) @ axis) / mass, (face.sum(2) @ axis) / mass], -1)
    return centre, (mass / size**2).sqrt()


def reframe(maps: Tensor, zoom: Tensor, shift: Tensor, size: int) -> Tensor:
    """Label maps (C, H, W) as cameras with that zoom (C,) and shift (C, 2) would see them: (C, size, size)."""
    axis = (torch.arange(size, device=maps.device) + 0.5) / size
    x = (axis[None] - 0.5 - shift[:, :1]) / zoom[:, None] + 0.5
    y = (axis[None] - 0.5 - shift[:, 1:]) / zoom[:, None] + 0.5
    source = maps.shape[-1]
    column, row = (x * source).floor().long(), (y * source).floor().long()
    outside = ((column < 0) | (column >= source))[:, None, :] | ((row < 0) | (row >= source))[:, :, None]
    column, row = column.clamp(0, source - 1), row.clamp(0, source - 1)
    index = torch.arange(len(maps), device=maps.device)[:, None, None]
    return torch.where(outside, 0, maps[index, row[:, :, None], column[:, None, :]])


def batch_miou(predictions: Tensor, truth: Tensor) -> Tensor:
    """Mean IoU (C,) of label maps (C, H, W) against one truth (H, W), over classes in either."""
    a = torch.nn.functional.one_hot(predictions.flatten(1).long(), NUM_CLASSES).float()  # (C, P, K)
    b = torch.nn.functional.one_hot(truth.flatten().long(), NUM_CLASSES).float()
    both = torch.einsum("cpk,pk->ck", a, b)
    either = a.sum(1) + b.sum(0) - both
    return (both / either.clamp_min(1)).sum(1) / (either > 0).sum(1)


@torch.no_grad()
def search_start(
    model: SofModel,
    codes: Tensor,
    maps: Tensor,
    radius: float,
    intrinsics: Tensor,
    config: InvertMasks,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """For each map the blend of its best codes and the camera of the best one.

    Returns:
        codes (M, Z), and camera values (M, 5) for `FramingCameras`.
    """
    device = maps.device
    order = torch.randperm(len(codes), generator=torch_generator(seed, "inversion starts"))[: config.starts]
    tried = codes[order.to(device)]
    yaws = torch.tensor(config.start_yaws, device=device)
    poses = cameras.orbit(yaws, torch.zeros_like(yaws), radius)
    renders = []
    for code in tried:
        representation = model.generate(code[None])
        for pose in poses:
            view = render_cameras(model, representation, pose[None], intrinsics, SEARCH_SIZE)
            renders.append(view.labels)
    renders = torch.stack(renders)  # (codes * yaws, S, S)
    centre, extent = face_moments(renders)
    map_centre, map_extent = face_moments(maps)
    small = maps[:, :: max(1, maps.shape[-1] // SEARCH_SIZE), :: max(1, maps.shape[-1] // SEARCH_SIZE)]
    starts, values = [], []
    for index in range(len(maps)):
        zoom = (map_extent[index] / extent).clamp(0.25, 4.0)
        shift = (map_centre[index] - 0.5) - zoom[:, None] * (centre - 0.5)
        framed = reframe(renders, zoom, shift, small.shape[-1])
        scores = batch_miou(framed, small[index]).reshape(len(tried), len(yaws))
        best_of_code, yaw_of_code = scores.max(1)
        blend = best_of_code.topk(min(config.blend, len(tried)))
        weights = (blend.values / 0.02).softmax(0)
        starts.append(weights @ tried[blend.indices])
        best = int(best_of_code.argmax())
        flat = best * len(yaws) + int(yaw_of_code[best])
        camera = torch.stack([yaws[yaw_of_code[best]], torch.zeros((), device=device), zoom[flat].log()])
        values.append(torch.cat([camera, shift[flat]]))
    return torch.stack(starts), torch.stack(values)
