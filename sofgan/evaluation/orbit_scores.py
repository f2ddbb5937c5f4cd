"""What `evaluate` tells of texture that turns with the head: the warp error with its floor, and shifts."""

from torch import Tensor

from sofgan.evaluation.avatar_orbits import measure_avatars
from sofgan.evaluation.config import Evaluate
from sofgan.evaluation.equivariance import equivariance, measure_shifts, wide_maps
from sofgan.evaluation.view_consistency import measure_heads, render_orbits, warp_errors
from sofgan.parallel import Mapper
from sofgan.progress import SILENT, Progress
from sofgan.rendering.gl_platform import GLFailure
from sofgan.siw.model import Siw
from sofgan.sof.sof import Sof


def scores(
    sof: Sof,
    codes: Tensor,
    siw: Siw,
    config: Evaluate,
    seed: int,
    workers: int | Mapper = 1,
    progress: Progress = SILENT,
) -> dict[str, float]:
    """Warp error at each gap, its floor, and the equivariance to shifts, all with intervals over heads.

    Args:
        codes: (N, Z) of the heads.
        seed: of styles, avatars and intervals.
        workers: processes that draw avatars, as of `map_in_processes`.
        progress: listener.
    """
    count, styles, batch = len(codes), config.orbit_styles, config.batch
    yaws, size = config.orbit_yaws_degrees, siw.resolution
    progress.text(f"orbits of {count} heads, {len(yaws)} views in {styles} styles each")
    orbits = render_orbits(sof, codes, siw, yaws, progress)
    figures = warp_errors(measure_heads(orbits, siw, styles, seed, batch))
    progress.text(f"shifts of {count} heads")
    maps = wide_maps(sof, codes, siw.framing, max(siw.generator.config.label_size, size))
    figures |= equivariance(measure_shifts(maps, siw, styles, seed, batch), siw)
    figures["orbit_heads"] = count
    if config.orbit_avatars:
        progress.text(f"orbits of {config.orbit_avatars} avatars")
        try:
            measured = measure_avatars(
                config.orbit_avatars, styles, yaws, siw.framing.fov_degrees, size, seed, workers
            )
        except GLFailure as error:
            progress.text(f"the warp error has no floor, as no avatar can be drawn: {error}")
        else:
            figures |= warp_errors(measured, end="_floor")
            figures["orbit_avatars"] = config.orbit_avatars
    return figures
