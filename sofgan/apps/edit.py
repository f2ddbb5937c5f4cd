"""A head that follows its edited map: someone paints into one view's label map, and all sides of the head agree.

Two steps. First the code alone is fitted to the edited view, as a combination of known heads that is likely; other
views are held where the edit says nothing. What comes out has the hair that was painted, on all sides, as known heads
have such hair, but the face of somebody else. So the second step takes from it only what the edit is about, where the
edit may reach, and all else from the head as it was: numbers are added to the planes of the code
(`sofgan.apps.edited_heads`) until views and points of space show that.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from sofgan import cameras
from sofgan.apps import edit_scope, edited_heads
from sofgan.apps.edit_views import EditLoss, ViewTargets, chances, crosses, descend, pixels_of
from sofgan.apps.engine import Engine
from sofgan.cameras import Camera
from sofgan.errors import InputError
from sofgan.labels import CLOTH
from sofgan.progress import SILENT, Progress
from sofgan.seeds import numpy_generator, torch_generator
from sofgan.siw.shoulders import add_shoulders, shoulder_depth
from sofgan.sof.field import Representation
from sofgan.sof.inversion.code_prior import fit_prior
from sofgan.sof.render import RenderedView

# Views that are held: as far to the sides as fields are trained on.
HELD = (
    (-50.0, 0.0),
    (-25.0, 0.0),
    (0.0, 0.0),
    (25.0, 0.0),
    (50.0, 0.0),
    (-25.0, 20.0),
    (25.0, 20.0),
)  # degrees
REACH = 2  # pixels beyond the painted ones that an edit may change
MOST_CHANGED = 0.5  # share of a map's pixels
CODE_STEPS, CODE_RATE = 50, 0.15
HELD_IN_CODE, FREE = (
    0.2,
    0.05,
)  # weight of held views, and chance of pixels that the edit may change, in the first step
LIKELY = 0.05  # weight of the squared distance from the head's code, in deviations of known heads
PLANE_STEPS, PLANE_RATE = 70, 0.04
TAKEN = 3.0  # chance of held pixels that the edit changes, by that of others
POINTS, POINTS_PER_STEP, POINT_WEIGHT = 60_000, 4096, 4.0
SPREAD, SHELL = (
    0.05,
    0.04,
)  # head units: of points about surfaces; behind what the edited view sees that it holds
SMOOTH, SMALL = (
    1e-4,
    1e-4,
)  # weights of squared differences between what is added at neighboring places, and of itself


@dataclass(frozen=True)
class Edit:
    """An edited head.

    Attributes:
        head: what goes wherever a code goes, see `sofgan.apps.edited_heads`.
        labels: (S, S) uint8 of the edited view, as the head has it.
        changed: (S, S) bool: pixels that were painted.
        followed: share of these that show what was painted.
        kept: share of the others that show what they did.
    """

    head: Tensor
    labels: np.ndarray
    changed: np.ndarray
    followed: float
    kept: float


def edit_head(
    engine: Engine,
    head: Tensor,
    camera: Camera,
    wanted: np.ndarray,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Edit:
    """The head whose view from a camera is an edited map.

    Args:
        head: (Z,), or an edited one.
        camera: one, of arrays, of S pixels.
        wanted: (S, S) uint8: the head's view from there, with its shoulders, into which something was painted.
        seed: of what is drawn.

    Raises:
        InputError: nothing was painted, or so much that it is no edit of this view; or the field has no planes.
    """
    if not edited_heads.can_edit(engine.sof):
        raise InputError("this field can't be edited: only heads of a field of planes (kind: triplane) can")
    scene = _Scene.of(engine, head, camera, wanted)
    total, done = CODE_STEPS + PLANE_STEPS, 0
    code, addition = edited_heads.parts(engine.sof, head)
    suggested, steps = _suggest(engine, code, addition, scene, seed)
    for done in steps:
        progress.items(done, total, "steps")
    found, steps = _take(engine, head, suggested(), scene, seed)
    for done in steps:
        progress.items(CODE_STEPS + done, total, "steps")
    made = edited_heads.edited(code, edited_heads.rounded(found()))
    labels, changed = engine.view(made, camera).labels, scene.changed
    followed, kept = (labels == wanted)[changed].mean(), (labels == scene.shown)[~changed].mean()
    return Edit(made, labels, changed, float(followed), float(kept))


@dataclass(frozen=True)
class _Scene:
    """What is known before anything is fitted.

    Attributes:
        camera, shown, wanted: of the edited view; its map with shoulders, before and after.
        changed: (S, S) bool.
        own: the edited view before, without shoulders.
        held: (V,) cameras, and `views` from them, before.
        free: (V, S, S) bool: held pixels that the edit may change.
        shoulders: (3,) their shape.
    """

    camera: Camera
    shown: np.ndarray
    wanted: np.ndarray
    changed: np.ndarray
    own: RenderedView
    held: Camera
    views: list[RenderedView]
    free: np.ndarray
    shoulders: tuple[float, ...]

    @classmethod
    def of(cls, engine: Engine, head: Tensor, camera: Camera, wanted: np.ndarray) -> "_Scene":
        if wanted.shape != (camera.size, camera.size):
            raise ValueError(f"a map of {wanted.shape} for a camera of {camera.size} pixels")
        prepared = engine.prepared(head)
        own = engine.sof.render(prepared, camera)
        shown = add_shoulders(own.labels.cpu().numpy(), camera, engine.shoulders)
        changed = wanted != shown
        if not changed.any():
            raise InputError("the map is the head's own: nothing was painted into it")
        if changed.mean() > MOST_CHANGED:
            raise InputError(
                f"{changed.mean():.0%} of the map are not as this head has them from this camera: is it the map of "
                "another head or view?"
            )
        yaws, pitches = np.radians(np.array(HELD)).T
        held = engine.framing.camera(yaws, pitches, camera.size)
        views = engine.sof.render_views(prepared, held)
        cone = ndimage.binary_dilation(changed, iterations=REACH)
        free = [crosses(c, v.depth.cpu().numpy(), cone, camera) for c, v in zip(held, views)]
        return cls(camera, shown, wanted, changed, own, held, views, np.stack(free), engine.shoulders)

    @property
    def labels(self) -> np.ndarray:
        """(V, S, S) of the held views, before."""
        return np.stack([view.labels.cpu().numpy() for view in self.views])

    @property
    def kept_parts(self) -> np.ndarray:
        """Small parts of which painting has left the most: hair in a frontal view that leaves the ears leaves them."""
        return np.array(
            [
                part
                for part in edit_scope.PARTS
                if 2 * ((self.shown == part) & ~self.changed).sum() > (self.shown == part).sum()
            ],
            np.uint8,
        )

    def targets(self, labels: np.ndarray, factors: np.ndarray, weight: float) -> ViewTargets:
        """What the edited view and held ones are to show.

        Args:
            labels: (V, S, S) of held views.
            factors: (V, S, S) of their pixels' chances.
            weight: of the held views together; what was painted has 1, what wasn't too.
        """
        own = self.own.labels.cpu().numpy()
        edited = np.where(self.changed, self.wanted, own)
        body = shoulder_depth(self.camera, self.shoulders) > 0
        either = self.changed & body & (self.wanted == CLOTH)
        likely = chances(edited[None])[0]
        count = len(self.held)
        return ViewTargets(
            Camera(
                np.concatenate([self.camera.cam2world[None]] * 2 + [self.held.cam2world]),
                np.concatenate([self.camera.intrinsics[None]] * 2 + [self.held.intrinsics[None]] * count),
                self.camera.size,
            ),
            np.concatenate([edited[None], edited[None], labels]),
            np.concatenate([[self.changed * 1.0, ~self.changed * likely], factors * chances(labels)]),
            np.array([1.0, 1.0, *[weight / count] * count]),
            np.concatenate([[either, either], np.zeros(labels.shape, bool)]),
        )


def _suggest(engine: Engine, code: Tensor, addition: Tensor | None, scene: _Scene, seed: int):
    """The first step: a function that gives a head by its code, and what is to be iterated before it is called."""
    sof, prior = engine.sof, fit_prior(engine.sof.codes)
    white = torch.zeros(len(prior.axes), device=sof.device, requires_grad=True)
    targets = scene.targets(scene.labels, np.where(scene.free, FREE, 1.0), HELD_IN_CODE)

    def made() -> Representation:
        found = sof.model.generate((code + white @ prior.axes)[None])
        return found if addition is None else edited_heads.with_addition(found, addition)

    def suggested() -> Tensor:
        moved = code + white.detach() @ prior.axes
        return moved if addition is None else edited_heads.edited(moved, addition)

    loss = EditLoss(sof.model, targets, seed)
    steps = descend(white, made, loss, CODE_STEPS, CODE_RATE, penalty=lambda: LIKELY * white.square().sum())
    return suggested, steps


def _take(engine: Engine, head: Tensor, suggested: Tensor, scene: _Scene, seed: int):
    """The second step: a function that gives what is added to the planes, and what is to be iterated before."""
    sof = engine.sof
    code, before = edited_heads.parts(sof, head)
    base, other = sof.generate(code), edited_heads.representation(sof, suggested)
    classes = edit_scope.about(scene.shown[scene.changed], scene.wanted[scene.changed])
    prepared = engine.prepared(suggested)
    views = sof.render_views(prepared, scene.held)
    theirs, labels = np.stack([view.labels.cpu().numpy() for view in views]), scene.labels
    known = np.union1d(np.unique(labels), np.unique(scene.wanted))
    what = (classes, known, scene.kept_parts)
    taken = scene.free & edit_scope.takes(labels, theirs, *what)
    targets = scene.targets(np.where(taken, theirs, labels), np.where(taken, TAKEN, 1.0), 1.0)
    both = (engine.prepared(head).representation, prepared.representation)
    points, teacher = _points(engine, scene, both, views, what, seed)
    added = F.interpolate(
        (other["planes"] - base["planes"]).flatten(1, 2), edited_heads.addition_shape(sof)[1:], mode="area"
    )[0].requires_grad_()

    def made() -> Representation:
        return edited_heads.with_addition(base, added)

    def more(found: Representation, leaves: list[Tensor], step: int) -> Iterable:
        def task():
            generator = torch_generator(seed, "edit points", step)
            index = torch.randint(len(teacher), (POINTS_PER_STEP,), generator=generator).to(sof.device)
            logs = sof.model.field.logits(found, points[None, index])[0].log_softmax(-1)
            loss = -POINT_WEIGHT * (teacher[index] * logs).sum(-1).mean()
            return torch.autograd.grad(loss, leaves, allow_unused=True), {"points": loss.detach()}

        return [task]

    def penalty() -> Tensor:
        change = added if before is None else added - before
        rough = change.diff(dim=-1).square().sum() + change.diff(dim=-2).square().sum()
        return SMOOTH * rough + SMALL * change.square().sum()

    loss = EditLoss(sof.model, targets, seed)
    return added.detach, descend(added, made, loss, PLANE_STEPS, PLANE_RATE, more, penalty)


@torch.no_grad()
def _points(engine: Engine, scene: _Scene, made, views: list[RenderedView], takes, seed: int):
    """Points (P, 3) of the ball, most of them about surfaces, and the probabilities (P, K) that they are to have.

    Args:
        made: representations, before and of the suggested head.
        views: held ones of the suggested head.
        takes: what `edit_scope.takes` wants to know beside the classes of both.
    """
    rng, device = numpy_generator(seed, "edit points"), engine.sof.device
    about_surfaces = np.concatenate([_surface(scene.held, some) for some in (scene.views, views)])
    chosen = about_surfaces[rng.integers(len(about_surfaces), size=POINTS * 2 // 3)]
    anywhere = rng.normal(size=(POINTS // 3, 3))
    anywhere *= rng.random((len(anywhere), 1)) ** (1 / 3) / np.linalg.norm(anywhere, axis=1, keepdims=True)
    points = np.concatenate([chosen + rng.normal(0, SPREAD, chosen.shape), anywhere])
    points = points[(points**2).sum(1) < 1]
    placed = torch.from_numpy(points).float().to(device)
    logs = [engine.sof.model.field.logits(one, placed[None])[0].log_softmax(-1) for one in made]
    ours, theirs = (one.argmax(-1).cpu().numpy() for one in logs)
    depth = _seen_to(scene.own)
    reach, distance = pixels_of(points, scene.camera, depth)
    painted = pixels_of(points, scene.camera, scene.changed)[0]
    fixed = (distance < reach + SHELL) & ~painted
    taken = torch.from_numpy(edit_scope.takes(ours, theirs, *takes) & ~fixed).to(device)
    return placed, torch.where(taken[:, None], logs[1], logs[0]).exp()


def _seen_to(view: RenderedView) -> np.ndarray:
    """Camera depth (S, S) up to which a view looks: infinite where nothing is hit."""
    depth = view.depth.cpu().numpy().astype(np.float64)
    return np.where(depth > 0, depth, np.inf)


def _surface(held: Camera, views: list[RenderedView]) -> np.ndarray:
    """Points (N, 3) that views show."""
    found = []
    for camera, view in zip(held, views):
        origin, directions = cameras.rays(camera)
        depth = view.depth.cpu().numpy()
        found.append((origin + depth[..., None] * directions)[depth > 0])
    return np.concatenate(found)
