"""Whether a head's texture stays on it while the camera goes around, and which part of the generator moves it.

    python -m benchmarks.view_consistency --siw models/siw.pt --sof models/sof_inverted.pt [--heads 8] [--sheet FILE]

Warp error: views of one style, 10 and 20 degrees of yaw apart, warped onto each other by the field's depth; the mean
absolute difference, by that between styles. Shifts: the label map is moved by whole pixels of the picture, the picture
moved back; PSNR in dB, by multiples of the pixel where synthesis starts, and between them. All with intervals of 95
percent over heads.

Then parts are taken out or made smoother, without training anew, so a part's share is what the figures gain; how far a
change goes, by the difference between styles, stands beside it: where that is much, the generator works with what it
has never seen, and the row says little; --as-trained leaves these rows out. All rows from the third on are without
noise and painted on a canvas half as wide again, so that no border of zeros is near, and what they change is told
against the third.

The floor is of rendered avatars, whose texture is fixed to them. With --identity the distance of dlib's face
descriptors over the orbit stands beside that between styles and between heads, where `face-recognition-models` and
`dlib-bin` are installed. --sheet writes warped views: the source, the source warped, the target, and their difference.
"""

import argparse
import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import harness
from benchmarks.inputs.identity import describe
from sofgan.evaluation.avatar_orbits import avatar_orbit, measure_avatars
from sofgan.evaluation.equivariance import (
    crop,
    equivariance,
    measure_shifts,
    paint_without_noise,
    shifts,
    wide_camera,
    wide_maps,
)
from sofgan.evaluation.view_consistency import (
    GAPS_DEGREES,
    Orbit,
    head_styles,
    measure_heads,
    paint_orbit,
    render_orbits,
    warp_errors,
)
from sofgan.files import write_png
from sofgan.images import sheet
from sofgan.labels import colorize, resize
from sofgan.rendering.gl_platform import GLFailure
from sofgan.runtime import use_gpu
from sofgan.seeds import torch_generator
from sofgan.siw import generator as generator_module
from sofgan.siw import operators, styled_conv
from sofgan.siw.condition_views import HeadSampling, draw_view, sample_heads, training_reference
from sofgan.siw.encoder import StyledEncoder
from sofgan.siw.mixing import one_hot
from sofgan.siw.model import Siw, load_siw, to_uint8
from sofgan.siw.spade import Spade
from sofgan.sof.sof import load_sof
from sofgan.warping import find_warp, neighbours

CANVAS_BORDER = 4  # share of a map's side that a canvas has more on each side, by which it is divided
SMOOTHING_STEP = 4  # of the encoder's stride: so many places along each axis, either side, are averaged
Wrap = Callable[[Callable], Callable]


def blurred(x: Tensor) -> Tensor:
    """(B, C, H, W) by [1, 2, 1] / 4 along both axes, borders repeated."""
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    x = (x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]) / 4
    return (x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]) / 4


@dataclass(frozen=True)
class Part:
    """A part of the generator, and what is put in its place.

    Attributes:
        name: of the row.
        place: module or class, and the name of the function in it.
        wrap: of the old function, gives the new one.
    """

    name: str
    place: tuple[object, str]
    wrap: Wrap

    @contextmanager
    def changed(self) -> Iterator[None]:
        """The generator's code has the new function while this lasts."""
        owner, name = self.place
        with mock.patch.object(owner, name, self.wrap(getattr(owner, name))):
            yield


def smooth_encoder(original: Callable) -> Callable:
    """Mean of the encoder's features over places of the map within one of its strides: a triangle, so that what is too
    fine for the pixels where synthesis starts is gone before they are taken."""

    def forward(self: StyledEncoder, x: Tensor, w, weights) -> Tensor:
        step = 2 ** len(self.blocks)
        places = [(step * i) // SMOOTHING_STEP for i in range(-SMOOTHING_STEP + 1, SMOOTHING_STEP)]
        total = 0
        for down in places:
            for right in places:
                share = (1 - abs(down) / step) * (1 - abs(right) / step)
                total = total + share * original(self, x.roll((down, right), (2, 3)), w, weights)
        return total / sum(1 - abs(place) / step for place in places) ** 2

    return forward


def parts() -> list[Part]:
    """All changes, each alone."""

    def after(change: Callable[[Tensor], Tensor]) -> Wrap:
        return lambda original: lambda *given: change(original(*given))

    def gains(change: Callable[[Tensor], Tensor]) -> Wrap:
        return lambda original: lambda *given: tuple(change(each) for each in original(*given))

    def finer(original: Callable) -> Callable:
        return lambda x: operators.downsample2(original(operators.upsample2(x)))

    return [
        Part(
            "encoder: what is finer than its stride is averaged", (StyledEncoder, "forward"), smooth_encoder
        ),
        Part("encoder: low-passed by [1, 2, 1] at its end", (StyledEncoder, "forward"), after(blurred)),
        Part("upsampling: low-passed by [1, 2, 1]", (styled_conv, "upsample2"), after(blurred)),
        Part("nonlinearity: at twice the pixels", (styled_conv, "leaky_relu"), finer),
        Part("SPADE: gain and shift low-passed", (Spade, "gain_and_shift"), gains(blurred)),
        Part("ToRGB: coarser pictures low-passed", (generator_module, "upsample2"), after(blurred)),
    ]


def on_canvas(siw: Siw, border: int) -> Siw:
    """The same generator for maps that are larger by `border` on each side; its sizes are all as much larger."""
    wide = copy.copy(siw)
    wide.generator = copy.deepcopy(siw.generator)
    before = siw.generator.config.label_size
    for module in wide.generator.modules():
        if isinstance(module, Spade):
            module.size, module.map_size = (
                size * (before + 2 * border) // before for size in (module.size, module.map_size)
            )
    return wide


@torch.inference_mode()
def paint_canvas(wide: Siw, labels: np.ndarray, w: Tensor) -> Tensor:
    """The middle (B, 3, R, R) of what `on_canvas`'s generator paints without noise of maps with their borders."""
    maps = torch.from_numpy(labels).to(wide.device).long()
    styles = w.to(wide.device)[:, None].expand(len(maps), 1, -1)
    images = wide.generator.synthesize(one_hot(maps), styles).clamp(-1, 1)
    border = (images.shape[-1] - wide.resolution) // 2
    return images[..., border:-border, border:-border]


def wide_orbit_maps(sof, codes: Tensor, siw: Siw, yaws) -> list[np.ndarray]:
    """A head each, (V, 2 S, 2 S) uint8: views of an orbit with all that is around them."""
    angles = np.radians(np.asarray(yaws, np.float64))
    size = siw.generator.config.label_size
    views = wide_camera(siw.framing.camera(angles, np.zeros_like(angles), size))
    found = []
    for code in codes:
        ready = sof.prepare(code)
        found.append(np.stack([draw_view(sof, ready, view)[0] for view in views]))
    return found


@dataclass
class Measurement:
    """What all rows are measured on.

    Attributes:
        siw: the generator.
        orbits: of the heads.
        around: wide maps (V, 2 S, 2 S) of these views, a head each.
        fronts: (heads, 2 S, 2 S) wide frontal maps.
        styles, batch, seed: as `measure_heads` has them.
    """

    siw: Siw
    orbits: list[Orbit]
    around: list[np.ndarray]
    fronts: np.ndarray
    styles: int
    batch: int
    seed: int

    def figures(self, paint, border: int = 0) -> dict[str, float]:
        """Warp errors and shifts of a painter whose maps have so much of a border."""
        given = self.siw, self.styles, self.seed, self.batch
        orbits = [
            replace(orbit, labels=np.stack([crop(view, 0, 0, border) for view in views]))
            for orbit, views in zip(self.orbits, self.around)
        ]
        figures = warp_errors(measure_heads(orbits, *given, paint))
        measured = measure_shifts(self.fronts, *given, paint, border)
        for d, value in zip((d for group in shifts(self.siw).values() for d in group), measured.mean(0)):
            figures[f"rms_{d}"] = float(np.sqrt(value))
        return figures | equivariance(measured, self.siw)

    def painted(self) -> Iterator[tuple[Tensor, np.ndarray]]:
        """Pictures (V, K, 3, R, R) and maps (V, S, S) of each head."""
        for head, orbit in enumerate(self.orbits):
            w = head_styles(self.siw, self.styles, self.seed, head)
            yield paint_orbit(self.siw.paint, orbit.labels, w, self.batch), orbit.labels

    def pictures(self, paint, border: int = 0) -> Tensor:
        """Frontal pictures (heads, K, 3, R, R)."""
        maps = np.stack([crop(view, 0, 0, border) for view in self.fronts])
        images = []
        with torch.inference_mode():
            for head, labels in enumerate(maps):
                w = head_styles(self.siw, self.styles, self.seed, head)
                images.append(paint_orbit(paint, labels[None], w, self.batch)[0])
        return torch.stack(images)


def with_interval(figures: dict[str, float], name: str, digits: int) -> str:
    """A figure and its bounds as text."""
    value, low, high = (f"{figures[name + end]:.{digits}f}" for end in ("", "_low", "_high"))
    return f"{value} ({low} to {high})"


def by_style(images: Tensor, others: Tensor) -> float:
    """Mean absolute difference of pictures (heads, K, 3, R, R), by that between styles."""
    between = (others[:, :-1] - others[:, 1:]).abs().mean()
    return float((images - others).abs().mean() / between)


def warped_sheet(siw: Siw, orbit: Orbit, w: Tensor) -> np.ndarray:
    """Sources, warped sources, targets and differences, of the map and of the picture: (H, W, 3) uint8."""
    sources, targets = neighbours(orbit.yaws_degrees, GAPS_DEGREES[1])
    warp = find_warp(orbit.depth, orbit.cameras, sources, targets)
    images = paint_orbit(siw.paint, orbit.labels, w, 32)[:, 0]
    maps = torch.from_numpy(colorize(resize(orbit.labels, siw.resolution))).movedim(-1, 1) / 127.5 - 1
    rows = []
    for shown, mode in ((maps.float().to(images.device), "nearest"), (images, "bilinear")):
        moved = torch.where(warp.seen[:, None], warp.apply(shown[sources], mode), -1.0)
        apart = (moved - shown[targets]).abs() * warp.seen[:, None] - 1
        rows += [to_uint8(part) for part in (shown[sources], moved, shown[targets], apart)]
    return sheet(np.concatenate(rows), len(sources))


def drawn(avatars: int, work: Measurement, yaws) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Pictures and maps of avatars, as `Measurement.painted` has them of painted heads."""
    fov = work.siw.framing.fov_degrees
    for avatar in range(avatars):
        images, orbit = avatar_orbit(avatar, work.styles, yaws, fov, work.siw.resolution, work.seed)
        yield images, orbit.labels


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=2, device=True, seed=0, check=False)
    found.add_argument("--siw", type=Path, default=Path("models/siw.pt"), help="the generator")
    found.add_argument("--sof", type=Path, default=Path("models/sof_inverted.pt"), help="the field")
    found.add_argument("--heads", type=int, default=8)
    found.add_argument("--styles", type=int, default=4)
    found.add_argument("--avatars", type=int, default=8, help="of the floor; 0: none")
    found.add_argument("--workers", type=int, default=2, help="processes that draw these")
    found.add_argument("--batch", type=int, default=16, help="pictures at once")
    found.add_argument("--identity", action="store_true", help="distances of face descriptors too")
    found.add_argument("--as-trained", action="store_true", help="no part is changed: the first row alone")
    found.add_argument("--sheet", type=Path, help="PNG of warped views")
    return found


def main(arguments) -> None:
    seed, styles = arguments.seed, arguments.styles
    use_gpu(arguments.device, exact=True)
    yaws = harness.block("evaluate").orbit_yaws_degrees
    sof, siw = load_sof(arguments.sof, arguments.device), load_siw(arguments.siw, arguments.device)
    size, label_size = siw.resolution, siw.generator.config.label_size
    sampling = harness.block("sample_conditions").sampling
    reference = training_reference(sof) if sampling.judged else None
    stream = torch_generator(seed, "benchmark", "orbits")
    codes = sample_heads(sof, HeadSampling(sampling.sampling(), reference), arguments.heads, stream)
    harness.tell(f"orbits of {len(codes)} heads")
    work = Measurement(
        siw, render_orbits(sof, codes, siw, yaws), wide_orbit_maps(sof, codes, siw, yaws),
        wide_maps(sof, codes, siw.framing, label_size), styles, arguments.batch, seed,
    )  # fmt: skip
    if arguments.sheet:
        write_png(arguments.sheet, warped_sheet(siw, work.orbits[0], head_styles(siw, 1, seed, 0)))

    border = label_size // CANVAS_BORDER
    quiet, canvas = partial(paint_without_noise, siw), partial(paint_canvas, on_canvas(siw, border))
    rows = [("as trained", None, siw.paint, 0)]
    rows += [("without noise", None, quiet, 0), ("and without borders", None, canvas, border)]
    rows += [
        (part.name, part, canvas, border)
        for part in parts()
        if part.place[0] is not StyledEncoder or isinstance(siw.generator.encoder, StyledEncoder)
    ]
    if arguments.as_trained:
        rows = rows[:1]
    names = [f"warp_error_{gap}" for gap in GAPS_DEGREES]
    decibels = [f"shift_db_{name}" for name in shifts(siw)]
    print(f"{size}x{size}, {len(codes)} heads, {styles} styles, {len(yaws)} views, seed {seed}")
    print(harness.head("part", *(f"warp error, {gap} degrees" for gap in GAPS_DEGREES),
                       *(f"shifts, {name}, dB" for name in shifts(siw)), "changes a picture by"))  # fmt: skip
    plain, quiet_images, found = work.pictures(siw.paint), None, {}
    for name, part, paint, wide in rows:
        with ExitStack() as stack:
            if part is not None:
                stack.enter_context(part.changed())
            found[name] = figures = work.figures(paint, wide)
            images = work.pictures(paint, wide)
        # Each row against the one that it is a change of.
        before = plain if quiet_images is None else quiet_images
        cells = [with_interval(figures, key, 3) for key in names]
        cells += [with_interval(figures, key, 1) for key in decibels]
        print(harness.row(name, *cells, f"{by_style(images, before):.2f}"), flush=True)
        if wide and quiet_images is None:
            quiet_images = images
    if arguments.avatars:
        try:
            measured = measure_avatars(
                arguments.avatars, styles, yaws, siw.framing.fov_degrees, size, seed, arguments.workers
            )
            floor = warp_errors(measured)
            cells = [with_interval(floor, key, 3) for key in names]
            print(harness.row(f"floor: {arguments.avatars} avatars", *cells, *[""] * (len(decibels) + 1)))
        except GLFailure as error:
            harness.tell(f"no floor: {error}")
    print()
    distances = sorted(int(key.removeprefix("rms_")) for key in found["as trained"] if key.startswith("rms_"))
    print(harness.head("root mean square after a shift of", *(f"{d} px" for d in distances)))
    for name, figures in found.items():
        print(harness.row(name, *(f"{figures[f'rms_{d}']:.4f}" for d in distances)))
    if arguments.identity:
        print()
        describe({"painted heads": work.painted(), "avatars": drawn(arguments.avatars, work, yaws)}, yaws)


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
