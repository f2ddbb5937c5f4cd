"""A stage's own script, run for a rehearsal: what can't be had with so few of everything is put in its place.

    python -m stages.execution.rehearsing.run ORDER.json stages.train_siw [ARGUMENTS]

ORDER.json holds what `pipelines.rehearsal` decided: `lengths`, the few that stand for many, as {length: [how many it
will be, what they are]}, and whether the generator is too `heavy` for a CPU. Written beside it, with the suffix .told:
the most memory that the stage's tables will need at a time, those that grow most, the faults found, and what was put in
the place of what.

A table (of numpy or torch) whose first axis is one of `lengths` counts as often as that will be: the lengths are unlike
other sizes. What stands in:

- the field's views: its own renderer draws small ones, which are enlarged; where others look at a trained field, as one
  of two steps shows nothing, the label views of a scan take their place;
- the parser's maps, likewise: masks of the labelled photos;
- a training step, a painted picture, a parser's look at 512 pixels, where a CPU can't bear them: the step is left to
  `stages.execution.rehearsing.needs`, the others are done small and enlarged.
"""

import dataclasses
import json
import os
import resource
import runpy
import sys
import threading
import weakref
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np

SEEN_SIZE = 16  # pixels of the view that the field's own renderer draws
FAR = 0.15  # share of the training's distances by which a camera may be nearer or farther
PARSED_SIZE = 128  # pixels at which a large parser looks
SHARD_VIEWS = 4  # conditions in a shard, in place of many
LEAST_BYTES = 1 << 10  # of a table that is counted
MAKERS = ("stack", "concatenate", "empty", "zeros", "ones", "full", "repeat", "tile", "array", "asarray")


class Notebook:
    """Notes on the stage."""

    def __init__(self, lengths: dict[int, tuple[float, str]]):
        self.lengths = lengths
        self.faults: dict[str, None] = {}
        self.instead: dict[str, None] = {}
        self.tables: dict[
            str, tuple[float, str]
        ] = {}  # largest at each place of the code: bytes, and the sentence
        self.views: dict[int, int] = {}  # of the field, by size
        self.live = self.peak = 0.0
        self._known: dict[int, weakref.finalize] = {}
        self._lock = threading.RLock()

    def weigh(self, shape: tuple[int, ...]) -> float:
        """The factor by which a table of that shape counts."""
        if not shape or shape[0] not in self.lengths:
            return 1.0
        factor = self.lengths[shape[0]][0] / shape[0]
        return factor**2 if len(shape) > 1 and shape[1] == shape[0] else factor  # each with each

    def hold(self, owner, size: int, shape: tuple[int, ...], kind: str) -> None:
        """Count a table until it is gone."""
        factor = self.weigh(shape)
        weighed = size * factor
        with self._lock:
            if id(owner) in self._known:
                return
            self._known[id(owner)] = finalize = weakref.finalize(owner, self._free, id(owner), weighed)
            finalize.atexit = False
            self.live += weighed
            self.peak = max(self.peak, self.live)
        if factor > 1:
            count, what = self.lengths[shape[0]]
            sizes = " x ".join(map(str, shape[1:])) or "one number"
            place = _place()
            if weighed > self.tables.get(place, (0.0, ""))[0]:
                text = f"{count:,.0f} {what}, each {sizes} of {kind}, held at once at {place}"
                self.tables[place] = weighed, text

    def _free(self, key: int, size: float) -> None:
        with self._lock:
            self._known.pop(key, None)
            self.live -= size

    def told(self) -> dict:
        """Plain data. `resident` is this process's memory, which the few tables are a part of."""
        return {
            "faults": list(self.faults),
            "instead": list(self.instead),
            "growing": self.peak,
            "tables": sorted(self.tables.values(), reverse=True)[:5],
            "views": self.views,
            "resident": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }


def _place(but: str = "stages/execution/rehearsing") -> str:
    """The innermost line of this project's code, but for that of a folder and what counts."""
    root = Path(__file__).parents[2]
    left_out = (root / but, Path(__file__).parent)
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        inside = path.is_relative_to(root / "sofgan") or path.is_relative_to(root / "stages")
        if inside and not any(path.is_relative_to(folder) for folder in left_out):
            return f"{path.relative_to(root)}:{frame.f_lineno}"
        frame = frame.f_back
    return "outside of this project"


def watch_numpy(notes: Notebook) -> None:
    """Have tables counted that numpy makes."""

    def watched(make: Callable) -> Callable:
        def made(*args, **kwargs):
            table = make(*args, **kwargs)
            if isinstance(table, np.ndarray) and table.base is None and table.nbytes >= LEAST_BYTES:
                notes.hold(table, table.nbytes, table.shape, str(table.dtype))
            return table

        made.__name__ = make.__name__
        return made

    for name in MAKERS:
        setattr(np, name, watched(getattr(np, name)))


def watch_torch(notes: Notebook, _module) -> None:
    """Have tensors counted that the main thread makes from here on."""
    import torch
    from torch.utils import _pytree
    from torch.utils._python_dispatch import TorchDispatchMode

    def tables(values) -> list:
        """Tensors with memory that can be looked at: not those that are packed for a library."""
        if not isinstance(values, torch.Tensor):
            tensors = [value for value in _pytree.tree_leaves(values) if isinstance(value, torch.Tensor)]
        else:
            tensors = [values]
        return [tensor for tensor in tensors if tensor.layout == torch.strided]

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            made = [tensor for tensor in tables(out) if tensor.dim() and tensor.shape[0] in notes.lengths]
            if made:
                given = {id(tensor.untyped_storage()) for tensor in tables((args, kwargs))}
                for tensor in made:
                    storage = tensor.untyped_storage()
                    if id(storage) not in given and storage.nbytes() >= LEAST_BYTES:
                        kind = str(tensor.dtype).removeprefix("torch.")
                        notes.hold(storage, storage.nbytes(), tuple(tensor.shape), kind)
            return out

    Watch().__enter__()


def stand_in_field(notes: Notebook, module) -> None:
    """Views of the field: see this module's docstring. Where it is looked at from is checked."""
    import torch

    own = module.Sof.render_views

    def render_views(sof, code, cameras, **options):
        poses, size = torch.as_tensor(cameras.cam2world, dtype=torch.float32), cameras.size
        if not cameras.orthographic:
            _check_distance(notes, sof, poses)
        notes.views[size] = notes.views.get(size, 0) + len(poses)
        small = own(sof, code, dataclasses.replace(cameras, size=min(size, SEEN_SIZE)), **options)
        notes.instead[
            "views of a scan in place of the field's, which two steps don't teach to show a face"
        ] = None
        return [_like_scan(view, size, float(pose[:3, 3].norm())) for view, pose in zip(small, poses)]

    def _like_scan(view, size: int, distance: float):
        labels, depth, radius = _frontal_view()
        places = ((np.arange(size) + 0.5) * len(labels) / size).astype(int)
        labels, depth = labels[places][:, places], depth[places][:, places].astype(np.float32)
        depth = np.where(depth > 0, depth - radius + distance, 0.0).astype(np.float32)
        more = {}
        if view.probabilities is not None:
            more["probabilities"] = torch.eye(view.probabilities.shape[-1])[torch.from_numpy(labels).long()]
        if view.normals is not None:
            more["normals"] = torch.zeros((size, size, 3))
        return module.RenderedView(torch.from_numpy(labels), torch.from_numpy(depth), **more)

    module.Sof.render_views = render_views


def stand_in_views(notes: Notebook, module) -> None:
    """Views of the field are drawn small, and enlarged: a field of two steps is open everywhere, which takes long."""
    import torch

    own = module.render_view

    def render_view(model, representation, camera, **options):
        size = camera.size
        small = dataclasses.replace(camera, size=min(size, SEEN_SIZE))
        view = own(model, representation, small, **options)
        if size <= SEEN_SIZE:
            return view
        notes.instead[f"views of the field drawn at {SEEN_SIZE} pixels, and enlarged"] = None
        places = torch.arange(size) * SEEN_SIZE // size
        tables = {name: getattr(view, name) for name in ("labels", "depth", "probabilities", "normals")}
        return module.RenderedView(
            **{name: table if table is None else table[places][:, places] for name, table in tables.items()}
        )

    module.render_view = render_view


def _check_distance(notes: Notebook, sof, poses) -> None:
    known = sof.poses[:, :3, 3].norm(dim=-1)
    low, high = float(known.min()), float(known.max())
    for distance in poses[:, :3, 3].norm(dim=-1).tolist():
        if not (1 - FAR) * low <= distance <= (1 + FAR) * high:
            notes.faults[
                f"{_place('sofgan/sof')} looks at the field from {distance:.1f} head units away, "
                f"but it was trained on views from {low:.1f} to {high:.1f}"
            ] = None


def _frontal_view() -> tuple[np.ndarray, np.ndarray, float]:
    """Labels and depths (S, S) of a scan's first view that shows eyes and mouth, and its camera's distance."""
    from sofgan.labels import EYE, L_LIP, U_LIP

    for path in sorted(Path("data/views").glob("*/*.npz")):
        with np.load(path) as file:
            labels, depth, pose = file["labels"][0], file["depth"][0], file["cam2world"][0]
        if np.isin(EYE, labels) and np.isin((U_LIP, L_LIP), labels).any():
            return labels, depth, float(np.linalg.norm(pose[:3, 3]))
    raise RuntimeError("no scan of this rehearsal shows eyes and mouth from the front")


def stand_in_parsing(notes: Notebook, module) -> None:
    """Maps that a parser of two steps gives: masks of the labelled photos."""
    own, turn = module.InferenceParser.parse, [0]

    def parse(self, images, size=None, mirror=False, scales=(1.0,)):
        from sofgan.photos.store import PhotoStore

        answer = own(self, images, size, mirror, scales)
        store = PhotoStore("data/photos/celebamask")
        notes.instead["masks of the labelled photos in place of what a parser of two steps sees"] = None
        for i in range(len(answer)):
            answer[i] = store.labels(turn[0] % len(store), answer.shape[-1])
            turn[0] += 1
        return answer

    module.InferenceParser.parse = parse


def stand_in_parser(notes: Notebook, module) -> None:
    """A large parser looks at small photos."""
    own = module.load_parser

    def load_parser(path, device="cpu"):
        parser = own(path, device)
        if parser.config.arch in ("bisenet", "parsenet") and parser.config.size > PARSED_SIZE:
            notes.instead[f"photos parsed at {PARSED_SIZE} pixels in place of {parser.config.size}"] = None
            parser.config = dataclasses.replace(parser.config, size=PARSED_SIZE)
        return parser

    module.load_parser = load_parser


def stand_in_step(notes: Notebook, module) -> None:
    """Steps of the generator that are counted, not done."""
    import torch

    def step(self, number, batch):
        self.seen += self.config.batch
        notes.instead["steps of the generator's training counted, not done"] = None
        return {"loss_d": torch.zeros(()), "loss_g": torch.zeros(())}

    module.SiwTraining.step = step


def stand_in_paint(notes: Notebook, module) -> None:
    """Pictures painted at the smallest size, and enlarged."""
    import torch.nn.functional as F

    synthesize = module.Generator.synthesize

    def small(self, one_hot, w, weights=None, noise=None, spade_maps=None, resolution=None):
        size = self.config.start_size
        images = synthesize(self, one_hot, w, weights, noise, spade_maps, size)
        notes.instead[f"pictures painted at {size} pixels, and enlarged"] = None
        return F.interpolate(images, size=(resolution or self.config.resolution,) * 2)

    module.Generator.synthesize = small


def stand_in_sources(notes: Notebook, module) -> None:
    """A set is kept in memory if all of it would be."""
    own = module.open_source

    def open_source(count, read, workers, memory_limit_gb):
        return own(count, read, workers, memory_limit_gb / notes.weigh((count,)))

    module.open_source = open_source


def stand_in_shards(notes: Notebook, module) -> None:
    """Shards of conditions stay one of several: no table of a shard is as long as their set."""
    module.SHARD_VIEWS = SHARD_VIEWS


ALWAYS = {
    "sofgan.siw.condition_store": stand_in_shards,
    "sofgan.siw.data": stand_in_sources,
    "sofgan.training": watch_torch,
    "sofgan.sof.sof": stand_in_field,
    "sofgan.sof.render": stand_in_views,
    "sofgan.parsing.fast.inference": stand_in_parsing,
    "sofgan.parsing.parser": stand_in_parser,
}
HEAVY = {"sofgan.siw.training_step": stand_in_step, "sofgan.siw.generator": stand_in_paint}


class Imports(MetaPathFinder):
    """Calls a function on each of some modules once it is loaded."""

    def __init__(self, after: dict[str, Callable]):
        self.after = dict(after)

    def find_spec(self, name, path=None, target=None):
        change = self.after.pop(name, None)
        if change is None:
            return None
        spec = PathFinder.find_spec(name, path)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            change(module)

        spec.loader.exec_module = exec_module
        return spec


def main() -> None:
    """Run the stage; ends as it ends."""
    order = Path(sys.argv[1])
    asked = json.loads(order.read_text())
    lengths = {int(length): (count, what) for length, (count, what) in asked["lengths"].items()}
    notes = Notebook(lengths)
    changes = ALWAYS | (HEAVY if asked.get("heavy") else {})
    sys.meta_path.insert(
        0, Imports({name: lambda module, f=f: f(notes, module) for name, f in changes.items()})
    )
    watch_numpy(notes)
    module, sys.argv = sys.argv[2], sys.argv[2:]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        temporary = order.with_suffix(".told.part")
        temporary.write_text(json.dumps(notes.told()))
        os.replace(temporary, order.with_suffix(".told"))


if __name__ == "__main__":
    main()
