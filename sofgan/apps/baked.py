"""A code baked into a sparse grid of class scores: views at interactive rates, without the field's network."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan.cameras import Camera
from sofgan.sof.model import field_instance
from sofgan.sof.occupancy import CLOSED, SKIP, Instance, Occupancy, cell_centres, find_occupancy, in_chunks
from sofgan.sof.rays import as_tensors, camera_rays
from sofgan.sof.render import PreparedCode, RenderedView, picture, project_occupied, with_normals
from sofgan.sof.sof import Sof
from sofgan.sof.surface import solid_log_odds
from sofgan.sof.volume_marcher import LOG_FLOOR

RESOLUTION = 128  # nodes along a side of the ball's box
OCCUPANCY_CELLS = 64  # finer than for a single view, as it is made once
SURE_EMPTY = -1e-5  # log of the background's probability: odds have a bound
CLASS_ODDS = (-4.0, 1.0)  # log odds of being solid between which points may be asked for classes


@dataclass(frozen=True)
class BakedCode:
    """Class scores at the nodes of a grid: the centers of N cells a side over [-1, 1], in order z, y, x.

    `log_odds` (N, N, N) float32 are those of being solid. `index` (N, N, N) int32 says which of the rows
    (R, K - 1) float32 has a node's log probabilities of the classes but the background; nodes that no ray
    reaches share row 0, which says nothing.
    """

    log_odds: Tensor
    index: Tensor
    rows: Tensor
    occupancy: Occupancy

    @property
    def num_classes(self) -> int:
        """Number of classes, the background included."""
        return self.rows.shape[-1] + 1

    def log_empty(self, points: Tensor) -> Tensor:
        """(P,) log probability of the background at points (P, 3) of head space; interpolated log odds."""
        grid = points[None, None, None]
        odds = F.grid_sample(self.log_odds[None, None], grid, padding_mode="border", align_corners=False)
        return F.logsigmoid(-odds.flatten())

    def log_classes(self, points: Tensor) -> Tensor:
        """(P, K - 1) log probabilities of the other classes where it isn't the background."""
        side = len(self.index)
        places = ((points + 1) * (side / 2) - 0.5).clamp(0, side - 1)
        first = places.int().clamp_max(side - 2)
        x, y, z = (places - first).T
        steps = [(k * side + j) * side + i for k in (0, 1) for j in (0, 1) for i in (0, 1)]
        node = (first[:, 2] * side + first[:, 1]) * side + first[:, 0]
        corners = self.index.flatten()[node[:, None] + torch.tensor(steps, device=points.device)]
        pairs = torch.stack([(1 - z) * (1 - y), (1 - z) * y, z * (1 - y), z * y], 1)
        shares = torch.stack([pairs * (1 - x[:, None]), pairs * x[:, None]], -1).flatten(1)
        return F.embedding_bag(corners, self.rows, mode="sum", per_sample_weights=shares).log_softmax(-1)

    @torch.no_grad()
    def render(self, camera: Camera, *, probabilities: bool = False, normals: bool = False) -> RenderedView:
        """View from one camera; arguments as of `Sof.render`."""
        camera = as_tensors(camera, self.rows.device)
        view = picture(project_occupied(self, self.occupancy, camera), camera.size, probabilities)
        return with_normals(view, camera_rays(camera), self) if normals else view


@torch.no_grad()
def bake(sof: Sof, code, resolution: int = RESOLUTION) -> BakedCode:
    """Bake one code (Z,), or what `generate` or `prepare` returned for one.

    Raises:
        ValueError: the field has a learned marcher, whose views depend on more than class scores.
    """
    if sof.config.marcher.kind != "volume":
        raise ValueError("only volume fields can be baked: a learned marcher walks by the field's features")
    if isinstance(code, PreparedCode):
        representation = code.representation
    else:
        representation = code if isinstance(code, dict) else sof.generate(torch.as_tensor(code))
    instance = field_instance(sof.model, representation)
    log_odds, reached, occupancy = grid_log_odds(instance, resolution, sof.device)
    nodes = cell_centres(resolution, sof.device)
    # Classes are asked for about surfaces only; a sharp one may lie between two nodes far from it in odds.
    on_surface = reached & _grown(log_odds > CLASS_ODDS[0]) & _grown(log_odds < CLASS_ODDS[1])
    rows = in_chunks(instance.log_classes, nodes[on_surface]).clamp_min(LOG_FLOOR)
    index = torch.zeros(on_surface.shape, dtype=torch.int32, device=sof.device)
    index[on_surface] = torch.arange(1, 1 + len(rows), dtype=torch.int32, device=sof.device)
    return BakedCode(log_odds, index, F.pad(rows, (0, 0, 1, 0)), occupancy)


def grid_log_odds(
    instance: Instance, resolution: int, device: torch.device | str | None = None
) -> tuple[Tensor, Tensor, Occupancy]:
    """Log odds of being solid at the centres of cells over [-1, 1].

    Returns:
        Log odds (N, N, N), order z, y, x, within +-`-LOG_FLOOR`; which of them rays reach and so were asked for,
        (N, N, N) bool, while the others are surely empty or surely solid; and the occupancy that told.
    """
    occupancy = find_occupancy(instance, OCCUPANCY_CELLS, device)
    nodes = cell_centres(resolution, device)
    values = occupancy.at(nodes.movedim(-1, 0))
    # Where rays may pass, and one node further, as a point reads the nodes on all sides of it.
    reached = _grown((values <= 0) & (values > math.log(CLOSED)))
    log_empty = torch.where(values == SKIP, 0.0, LOG_FLOOR)
    log_empty[reached] = in_chunks(instance.log_empty, nodes[reached])
    return solid_log_odds(log_empty.clamp(LOG_FLOOR, SURE_EMPTY)), reached, occupancy


def _grown(chosen: Tensor) -> Tensor:
    return F.max_pool3d(chosen[None].float(), 3, stride=1, padding=1)[0] > 0
