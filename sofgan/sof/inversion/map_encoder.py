"""A small network from a label map to a head and a camera: where an inversion starts."""

import math
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sofgan import distributed, runtime
from sofgan.images import reframe
from sofgan.labels import NAMES, NUM_CLASSES, VOID, mirror, resize
from sofgan.seeds import derive_seed, torch_generator
from sofgan.session import UNWATCHED, Session
from sofgan.shares import add_gradients, share_slices
from sofgan.sof.inversion.code_prior import CodePrior
from sofgan.sof.view_set import ViewSet
from sofgan.training import warmup_cosine

INPUT_SIZE = 64  # pixels
CHANNELS = (24, 48, 96, 128)
CAMERA_SIZE = 5  # yaw, pitch, log zoom, shift x, y: as `FramingCameras` has them
CAMERA_UNITS = (
    0.3,
    0.15,
    0.2,
    0.1,
    0.1,
)  # radians, log, image widths: what counts as much as a deviation of a code
CODE_WEIGHT = 0.3  # of the mean squared error of a code's coordinates against that of the camera
BATCH = 48
LEAST_SHARE = 12  # maps that a thread takes
ESTIMATED_AT_ONCE = 128  # maps, so that memory does not grow with their number
LEARNING_RATE = 2e-3
STATE_EVERY_STEPS = 500  # to go on from
ZOOM_RANGE = (-0.25, 0.45)  # log: portraits are cropped closer than scans are rendered
SHIFT = 0.12  # image widths either way
CLOTH_SHARE = 0.3  # of maps that get clothes below: portraits have shoulders, which the field's ball cuts off
LOST_SHARE = 0.3  # of maps that lose a small part to the skin: parsers miss some, and people hide theirs
SMALL_PARTS = ("brow", "eye", "eyeglass", "ear", "earring", "mouth", "u_lip", "l_lip", "necklace")
BACKGROUND, SKIN, CLOTH = (NAMES.index(name) for name in ("background", "skin", "cloth"))


@dataclass(frozen=True)
class Estimate:
    """Estimates for M maps: coordinates (M, D) in the prior's axes, and camera values (M, 5) of `FramingCameras`."""

    white: Tensor
    cameras: Tensor


class MapEncoder(nn.Module):
    """Strided convolutions over one-hot maps, then two linear layers."""

    def __init__(self, code_dimensions: int):
        super().__init__()
        widths = (NUM_CLASSES, *CHANNELS)
        self.convolutions = nn.Sequential(
            *[
                layer
                for i, o in zip(widths[:-1], widths[1:])
                for layer in (nn.Conv2d(i, o, 3, stride=2, padding=1), nn.GroupNorm(8, o), nn.ReLU())
            ]
        )
        cells = (INPUT_SIZE >> len(CHANNELS)) ** 2
        self.hidden = nn.Linear(cells * CHANNELS[-1], 256)
        self.output = nn.Linear(256, code_dimensions + CAMERA_SIZE)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.register_buffer("units", torch.tensor(CAMERA_UNITS))

    def forward(self, maps: Tensor) -> Estimate:
        """Label maps (M, 64, 64) uint8."""
        void = maps == VOID  # of no class
        one_hot = (
            F.one_hot(maps.long().masked_fill(void, BACKGROUND), NUM_CLASSES).permute(0, 3, 1, 2).float()
        )
        one_hot = one_hot.masked_fill(void[:, None], 0.0)
        features = F.relu(self.hidden(self.convolutions(one_hot).flatten(1)))
        made = self.output(features)
        return Estimate(made[:, :-CAMERA_SIZE], made[:, -CAMERA_SIZE:] * self.units)

    @torch.no_grad()
    def estimate(self, maps: Tensor) -> Estimate:
        """Label maps (M, H, W) uint8 of any size; the mean of what the map and its mirror image say of the camera."""
        sign = torch.tensor([-1.0, 1, 1, -1, 1], device=maps.device)
        white, cameras = [], []
        for some in resize(maps, INPUT_SIZE).split(ESTIMATED_AT_ONCE):
            plain, mirrored = self(some), self(mirror(some))
            white.append(plain.white)
            cameras.append((plain.cameras + sign * mirrored.cameras) / 2)
        return Estimate(torch.cat(white), torch.cat(cameras))


def train_encoder(
    views: ViewSet,
    codes: Tensor,
    prior: CodePrior,
    steps: int,
    seed: int,
    session: Session = UNWATCHED,
) -> MapEncoder:
    """An encoder of label maps from the views that a field was trained on, cropped like portraits.

    Args:
        views: of the field's own instances, in the order of its codes; held-out views stay unseen. Their cameras
            look at the head's centre.
        codes: (S, Z) of those instances.
        prior: whose coordinates are learned.

    Returns:
        The encoder on the views' device, in evaluation mode.
    """
    device = views.labels.device
    targets = prior.white(codes.to(device))[views.instance]
    angles = camera_angles(views.cam2world)
    training = torch.nonzero(~views.held_out)[:, 0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "sof encoder"))
        encoder = MapEncoder(targets.shape[1]).to(device).train()
    parameters = list(encoder.parameters())
    optimizer = torch.optim.Adam(parameters, LEARNING_RATE, (0.9, 0.99))
    shares = share_slices(BATCH, least=LEAST_SHARE, device=device)
    first, state = session.resume()
    if state:
        encoder.load_state_dict(state["encoder"])
        optimizer.load_state_dict(state["optimizer"])
    for step in range(first, steps):
        generator = torch_generator(seed, "sof encoder", step)
        drawn = torch.randint(len(training), (BATCH,), generator=generator)
        chosen = training[drawn.to(device, non_blocking=True)]
        maps, framing = portrait_crops(views.labels[chosen], generator)
        cameras = torch.cat([angles[chosen], framing], 1)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * warmup_cosine(step, steps, steps // 20 + 1)
        optimizer.zero_grad(set_to_none=True)
        learn_share = partial(_gradients, encoder, maps, cameras, targets[chosen], parameters)
        for gradients in runtime.map_pieces(learn_share, shares, device):
            add_gradients(parameters, gradients)
        optimizer.step()
        if (step + 1) % 50 == 0:
            session.progress.items(step + 1, steps, "steps of the encoder")
        session.keep(
            step + 1,
            STATE_EVERY_STEPS,
            steps,
            lambda: {"encoder": encoder.state_dict(), "optimizer": optimizer.state_dict()},
        )
    return encoder.eval().requires_grad_(False)


def _gradients(
    encoder: MapEncoder,
    maps: Tensor,
    cameras: Tensor,
    targets: Tensor,
    parameters: list[Tensor],
    share: slice,
) -> tuple[Tensor | None, ...]:
    """Contribution of some of a batch's maps to its gradients."""
    made = encoder(maps[share])
    camera_error = ((made.cameras - cameras[share]) / encoder.units).square().mean()
    loss = camera_error + CODE_WEIGHT * (made.white - targets[share]).square().mean()
    return torch.autograd.grad(loss * (len(made.white) / len(maps)), parameters)


def camera_angles(cam2world: Tensor) -> Tensor:
    """(T, 2) yaw and pitch, radians, of roll-free cameras (T, 4, 4) that look at the origin."""
    position = F.normalize(cam2world[:, :3, 3], dim=-1)
    return torch.stack([torch.atan2(position[:, 0], position[:, 2]), position[:, 1].asin()], -1)


def portrait_crops(maps: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Label maps (M, H, W) as portraits show heads: closer, off the middle, with clothes, a part lost.

    Returns:
        maps (M, 64, 64), and their log zoom and shift (M, 3).
    """
    count, device = len(maps), maps.device
    draw = distributed.rand((count, 6), generator, device)
    low, high = ZOOM_RANGE
    zoom = low + (high - low) * draw[:, 0]
    shift = SHIFT * (2 * draw[:, 1:3] - 1)
    made = reframe(maps, zoom.exp(), shift, INPUT_SIZE)
    # Clothes over the background from a height on, wherever the map's own begin or lower.
    row = torch.arange(INPUT_SIZE, device=device)[None, :, None] / INPUT_SIZE
    column = torch.arange(INPUT_SIZE, device=device)[None, None] / INPUT_SIZE - 0.5
    top = (0.75 + 0.2 * draw[:, 3])[:, None, None] + 0.5 * column**2
    dressed = (draw[:, 4] < CLOTH_SHARE)[:, None, None] & (row > top) & (made == BACKGROUND)
    made = torch.where(dressed, CLOTH, made)
    parts = torch.tensor([NAMES.index(name) for name in SMALL_PARTS], device=device)
    lost = parts[torch.randint(len(parts), (count,), generator=generator).to(device, non_blocking=True)]
    lost = torch.where(draw[:, 5] < LOST_SHARE, lost, -1)
    made = torch.where(made == lost[:, None, None], SKIN, made)
    return made.to(torch.uint8), torch.cat([zoom[:, None], shift], 1)


def angle_errors(estimate: Estimate, views: ViewSet) -> tuple[float, float]:
    """Mean absolute errors of yaw and pitch, degrees, of an estimate from the maps of views."""
    error = (estimate.cameras[:, :2] - camera_angles(views.cam2world)).abs().mean(0)
    return tuple(math.degrees(value) for value in error.tolist())
