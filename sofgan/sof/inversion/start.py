"""Starts of an inversion: the best of many codes and yaws, framed like the map, or an encoder's estimate."""

import torch
from torch import Tensor

from sofgan import cameras, runtime
from sofgan.cameras import Camera
from sofgan.images import reframe
from sofgan.labels import NAMES, VOID, resize
from sofgan.scores.segmentation import batch_mean_iou
from sofgan.seeds import torch_generator
from sofgan.sof.config import InvertMasks
from sofgan.sof.inversion.cameras import FramingCameras
from sofgan.sof.inversion.code_prior import fit_prior
from sofgan.sof.inversion.map_encoder import MapEncoder
from sofgan.sof.render import render_view
from sofgan.sof.sof import Sof

SEARCH_SIZE = 48  # pixels of the candidates' renders
# What frames a face in any crop: hair, neck and clothes are cut differently from portrait to portrait.
FACE = ("skin", "brow", "eye", "r_nose", "l_nose", "mouth", "u_lip", "l_lip", "eyeglass")


def face_moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Centre (M, 2), in image widths, and radius (M,) of the face in label maps (M, H, W).

    A map without a face is framed by all that is not background, and an empty one by the whole image. Void counts
    as face: it is what wasn't told apart there.
    """
    ids = torch.tensor([*(NAMES.index(name) for name in FACE), VOID], device=maps.device)
    face = torch.isin(maps.int(), ids.int())
    face = torch.where(face.any((1, 2), keepdim=True), face, maps > 0)
    face = torch.where(face.any((1, 2), keepdim=True), face, torch.ones_like(face)).float()
    size = maps.shape[-1]
    axis = (torch.arange(size, device=maps.device) + 0.5) / size
    mass = face.sum((1, 2))
    centre = torch.stack([(face.sum(1) @ axis) / mass, (face.sum(2) @ axis) / mass], -1)
    return centre, (mass / size**2).sqrt()


@torch.no_grad()
def search_start(
    sof: Sof,
    maps: Tensor,
    config: InvertMasks,
    seed: int,
    encoder: MapEncoder | None = None,
    known_framing: bool = False,
) -> tuple[Tensor, Tensor]:
    """Codes and cameras to start from, one for each map (M, H, W).

    Searched: the blend of the codes whose views from some yaws, framed like the map, are most like it. Where there
    is an encoder its camera is tried with that blend too, and with its own code; what is most like the map is taken.
    With `config.starts` 0 nothing is searched: code and camera are the encoder's, some milliseconds a map.

    Args:
        known_framing: the maps have the framing of the field's own views: zoom and shift are 0.

    Returns:
        codes (M, Z), and camera values (M, 5) for `FramingCameras`.
    """
    if encoder is not None:
        made = encoder.estimate(maps)
        cameras_estimated = made.cameras.clone()
        if known_framing:
            cameras_estimated[:, 2:] = 0
        estimated = fit_prior(sof.codes).codes(made.white)
        if not config.starts:
            return estimated, cameras_estimated
    codes, values = _searched(sof, maps, config, seed, known_framing)
    if encoder is None:
        return codes, values
    candidates = [(codes, values), (codes, cameras_estimated), (estimated, cameras_estimated)]
    scores = torch.stack([_start_scores(sof, *candidate, maps) for candidate in candidates])
    best, rows = scores.argmax(0), torch.arange(len(maps), device=maps.device)
    return tuple(torch.stack(column)[best, rows] for column in zip(*candidates))


def _start_scores(sof: Sof, codes: Tensor, values: Tensor, maps: Tensor) -> Tensor:
    """(M,) mean IoU of maps and the views of codes (M, Z) from cameras (M, 5), at the search's size."""
    small = resize(maps, min(maps.shape[-1], SEARCH_SIZE))
    views = FramingCameras(values, sof.radius, sof.intrinsics.to(maps.device))
    seen_from = views(torch.arange(len(codes), device=codes.device), small.shape[-1])

    @torch.no_grad()
    def score(one: tuple[Tensor, Camera, Tensor]) -> Tensor:
        code, camera, truth = one
        rendered = render_view(sof.model, sof.model.generate(code[None]), camera).labels
        return batch_mean_iou(rendered[None], truth)[0]

    return torch.stack(list(runtime.map_pieces(score, zip(codes, seen_from, small), maps.device)))


def _searched(sof: Sof, maps: Tensor, config: InvertMasks, seed: int, known_framing: bool):
    """Codes (M, Z) and camera values (M, 5) by trying `starts` codes from `start_yaws`."""
    device = maps.device
    order = torch.randperm(len(sof.codes), generator=torch_generator(seed, "inversion starts"))
    tried = sof.codes[order[: config.starts].to(device)]
    yaws = torch.tensor(config.start_yaws, device=device)
    poses = cameras.orbit(yaws, torch.zeros_like(yaws), sof.radius)
    around = Camera(poses, sof.intrinsics, SEARCH_SIZE)
    views = runtime.map_pieces(lambda code: sof.render_views(code, around), tried, device)
    renders = torch.stack([view.labels for of_code in views for view in of_code])  # (codes * yaws, S, S)
    centre, extent = face_moments(renders)
    map_centre, map_extent = face_moments(maps)
    small = resize(maps, min(maps.shape[-1], SEARCH_SIZE))

    @torch.no_grad()
    def start(index: int) -> tuple[Tensor, Tensor]:
        zoom = (map_extent[index] / extent).clamp(0.25, 4.0)
        shift = (map_centre[index] - 0.5) - zoom[:, None] * (centre - 0.5)
        if known_framing:
            zoom, shift = torch.ones_like(zoom), torch.zeros_like(shift)
        framed = reframe(renders, zoom, shift, small.shape[-1])
        scores = batch_mean_iou(framed, small[index]).reshape(len(tried), len(yaws))
        best_of_code, yaw_of_code = scores.max(1)
        blend = best_of_code.topk(min(config.blend, len(tried)))
        weights = (blend.values / 0.02).softmax(0)
        best = int(best_of_code.argmax())
        flat = best * len(yaws) + int(yaw_of_code[best])
        camera = torch.stack([yaws[yaw_of_code[best]], torch.zeros((), device=device), zoom[flat].log()])
        return weights @ tried[blend.indices], torch.cat([camera, shift[flat]])

    starts, values = zip(*runtime.map_pieces(start, range(len(maps)), device))
    return torch.stack(starts), torch.stack(values)
