"""Memory of a GPU and operations that stages need with params.yaml as it is, counted on tensors without contents.

    python -m stages.execution.rehearsing.needs params.yaml...

Prints JSON, a line a file: by stage `device`, the bytes that it holds on the GPU at its worst moment, `operations` of
all its work, `step`, those of one step (or picture), and `of`, what was counted. A stage that would fail has `fault`
instead. Trainings run their own code on fake tensors: two steps of each kind, so that the optimisers' states are there.

A stage is added by a function in `COUNTS`, which gets the blocks of params.yaml and the sizes of the data sets.
"""

import dataclasses
import gc
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import yaml

from sofgan.config import ConfigError
from sofgan.counting import Ledger, fake_tensors
from sofgan.errors import sentence
from stages import params

SHIFTED = 15  # pictures by which it is told how a head in a style moves with its map
RENDERED_SIZE, LARGER_SIZE = 32, 48  # pixels of the views by which a ray's needs are counted
BFLOAT16 = {"dtype": torch.bfloat16}


def once(count: Callable) -> Callable:
    """A count that is kept, by its arguments' text: profiles have most in common."""
    kept: dict[str, object] = {}

    def counted(*arguments):
        key = repr(arguments)
        if key not in kept:
            kept[key] = count(*arguments)
        return kept[key]

    counted.__doc__ = count.__doc__
    return counted


class Blocks:
    """Blocks of a params.yaml by name, and how many photos and scans there are."""

    def __init__(self, path: Path):
        self.path, self.document = path, yaml.safe_load(path.read_text())
        self.sets = self.document.pop("sets", {})

    def __getattr__(self, name: str):
        return params.block_of(self.document[name], name, self.path)


def train_parser(blocks: Blocks) -> dict:
    """A step of the parser's training."""
    config = blocks.train_parser
    if config.pretrained.path:
        return {"device": 0, "operations": 0, "step": 0, "of": "nothing: pretrained weights"}
    held, each = _parser_step(dataclasses.replace(config, steps=1, checkpoint_every_steps=1))
    of = f"a step of {config.batch} photos of {config.parser.size} px"
    return _need(held, each, config.steps, of)


@once
def _parser_step(config) -> tuple[float, int]:
    """Bytes at the most, and operations, of a step of the parser's training."""
    from unittest import mock

    from sofgan.parsing.train import ParserTraining

    training = ParserTraining.start(config, 0, "cpu")  # Its first weights are read from a file.
    held = 2 * _bytes_of(training.parser)  # and their average
    size, batch = config.parser.size, config.batch
    with fake_tensors(), Ledger() as ledger, mock.patch("sofgan.parsing.train.dice_loss", _dice_loss):
        images = torch.zeros(batch, 3, size, size)
        labels = torch.zeros(batch, size, size, dtype=torch.long)
        weights = torch.zeros(17)
        for _ in range(2):
            ledger.operations = 0
            training.optimizer.zero_grad(set_to_none=True)
            training.learn(images, labels, weights, config)
            training.optimizer.step()
    return held + ledger.peak, ledger.operations


def _dice_loss(probabilities, labels):
    """Loss as `sofgan.parsing.train.dice_loss`, of all classes, as it is not known here which of them occur."""
    import torch.nn.functional as F

    truth = F.one_hot(labels, probabilities.shape[1]).movedim(-1, 1)
    overlap = torch.where(truth.bool(), probabilities, 0.0).sum((0, 2, 3))
    return (1 - 2 * overlap / (probabilities.sum((0, 2, 3)) + truth.sum((0, 2, 3)))).mean()


def parse_faces(blocks: Blocks) -> dict:
    """A batch of photos parsed."""
    config, parsing = blocks.train_parser.parser, blocks.parse_faces
    held, each = _parsing(config, parsing)
    of = f"{parsing.batch} photos at {config.size} px, maps of {parsing.label_size} px"
    return _need(held, each, blocks.sets["ffhq"], of)


@once
def _parsing(config, parsing) -> tuple[float, float]:
    """Bytes at the most, and operations a photo, of a batch of photos parsed."""
    from sofgan.parsing.parser import FaceParser

    parser = FaceParser(config).eval().requires_grad_(False)
    with fake_tensors(), Ledger() as ledger, torch.no_grad(), torch.autocast("cpu", **BFLOAT16):
        images = torch.zeros(parsing.batch, 3, config.size, config.size)
        parser.class_ids(images, parsing.label_size, parsing.mirror, parsing.scales)
    # A batch ahead is on its way.
    return 2 * ledger.peak + _bytes_of(parser), ledger.operations / parsing.batch


def train_sof(blocks: Blocks) -> dict:
    """A step of the field's training."""
    config = blocks.train_sof
    heads, rays = config.instances_per_step, config.views_per_instance * config.rays_per_view
    held, each = _field_step(_network_of(config), heads, rays, blocks.sets["scans"])
    return _need(held, each, config.steps, f"a step of {heads} heads by {rays} rays")


def invert_masks(blocks: Blocks) -> dict:
    """A step with the modules released: as one of the field's training on as many maps and rays."""
    config, field = blocks.invert_masks, blocks.train_sof
    maps = min(config.maps, blocks.sets["celebamask"]) + min(config.parsed_maps, blocks.sets["ffhq"])
    held, each = _field_step(_network_of(field), config.maps_per_step, config.rays_per_map, maps)
    steps = config.steps * (1 if config.preset == "paper" else -(-maps // config.maps_per_step))
    if config.rehearsal_instances:
        rays = field.views_per_instance * field.rays_per_view
        more, rehearsed = _field_step(
            _network_of(field), config.rehearsal_instances, rays, blocks.sets["scans"]
        )
        held = max(held, more)
    else:
        rehearsed = 0
    of = f"a step of {config.maps_per_step} maps by {config.rays_per_map} rays"
    need = _need(held, each, steps + config.released_steps, of)
    need["operations"] += rehearsed * config.released_steps
    need["operations"] += (
        2 * maps * config.size**2 * ray_operations(blocks.train_sof)
    )  # each map drawn after either part
    return need


def _network_of(config):
    """A field's training with what changes no step's needs left out, so that profiles are alike."""
    return dataclasses.replace(config, steps=1, warm_start=type(config.warm_start)())


@once
def _field_step(config, heads: int, rays: int, instances: int) -> tuple[float, int]:
    """Bytes at the most, and operations, of a step of the field's training."""
    from unittest import mock

    from sofgan.sof import train
    from sofgan.sof.config import SofConfig
    from sofgan.sof.data import RayBatch
    from sofgan.sof.model import new_model
    from sofgan.sof.rays import Rays

    def mixed(*_args, **_options):
        return torch.autocast("cpu", **BFLOAT16)

    with fake_tensors(), mock.patch.object(train, "mixed_precision", mixed), Ledger() as ledger:
        model = new_model(SofConfig(config.field, config.marcher), instances, config.code_init_std, 0)
        optimizer = train.make_optimizer(model, config)
        learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
        batch = RayBatch(
            torch.zeros(heads, dtype=torch.long),
            Rays(torch.zeros(heads, rays, 3), torch.ones(heads, rays, 3)),
            torch.zeros(heads, rays, dtype=torch.long),
            torch.zeros(heads, rays),
            torch.zeros(heads, rays),
        )
        for _ in range(2):
            ledger.operations = 0
            optimizer.zero_grad(set_to_none=True)
            draws = torch.Generator().manual_seed(0)
            train.learn(learned, train.share_tasks(model, batch, config, True, draws, learned), "cpu")
            optimizer.step()
    return ledger.peak, ledger.operations


def ray_operations(config) -> float:
    """Operations of one ray of a view of the field, all along it where the field is a volume."""
    return _field_view(config.field, config.marcher, RENDERED_SIZE)[1]


def view_bytes(config, size: int) -> float:
    """At the most, for a view of the field of that size, which is drawn in chunks: by those of two small ones."""
    small, larger = (
        _field_view(config.field, config.marcher, side)[0] for side in (RENDERED_SIZE, LARGER_SIZE)
    )
    rays = [side**2 - RENDERED_SIZE**2 for side in (size, LARGER_SIZE)]
    return small + (larger - small) * max(0.0, rays[0] / rays[1])


@once
def _field_view(field, marcher, size: int) -> tuple[float, float]:
    """Bytes at the most, and operations a ray, of a view of the field, all along its rays where it is a volume."""
    from sofgan.cameras import Camera
    from sofgan.sof.config import SofConfig
    from sofgan.sof.model import new_model
    from sofgan.sof.render import project_dense

    with fake_tensors(), torch.no_grad(), Ledger() as ledger:
        model = new_model(SofConfig(field, marcher), 1, 1.0, 0)
        made = model.generate(model.codes)
        ledger.operations = 0
        project_dense(model, made, Camera(torch.zeros(4, 4), torch.ones(3, 3), size))
    return ledger.peak, ledger.operations / size**2


def sample_conditions(blocks: Blocks) -> dict:
    """A view of a sampled head, drawn as large as it is kept; heads are judged by smaller ones."""
    from sofgan.siw.condition_views import JUDGED

    config, network = blocks.sample_conditions, blocks.train_sof
    maps = config.evaluation_maps + (config.maps if blocks.train_siw.needs_heads else 0)
    rays = config.size_px**2 + len(JUDGED.yaws) * JUDGED.size**2
    of = f"a view of {config.size_px} px"
    return _need(view_bytes(network, config.size_px), rays * ray_operations(network), maps, of)


def train_siw(blocks: Blocks) -> dict:
    """Steps of the generator's training, plain and with each regulariser, the pictures of a report, and scores."""
    config = blocks.train_siw
    # One part stands for all of a step; of those that come after the first, gradients are there twice.
    part, parted = config.batch // config.accumulate, config.accumulate > 1
    alike = {"kimg": 1.0, "ema_halflife_kimg": 1.0, "growth": (), "memory_limit_gb": 1.0}
    alike |= {"report_every_kimg": 1.0, "compile": False, "cooldown": 0.0}
    alike |= {"scores": dataclasses.replace(config.scores, every_kimg=float(config.scores.every_kimg > 0))}
    alike |= {"batch": part, "accumulate": 1, "share_fakes": config.share_fakes and not parted}
    held, each, plain, gradients, scored = _generator_steps(dataclasses.replace(config, **alike))
    held += gradients * parted
    of = f"parts of {part} pictures of {config.generator.resolution} px in a step"
    if scored > held:
        held, of = (
            scored,
            f"{_scored_at_once(config)} pictures of {config.generator.resolution} px scored at once",
        )
    return _need(held, each, 1000 * config.kimg, of) | {"step": plain}


def generator_operations(config, batch: int = 4) -> float:
    """Operations of the generator's training for each photo that is shown, regularisers as often as they come."""
    parts = {"batch": batch, "growth": (), "accumulate": 1, "compile": False}
    return _generator_steps(dataclasses.replace(config, **parts))[1]


@once
def _generator_steps(config) -> tuple[float, float, float, float, float]:
    """Bytes at the most; operations a picture, of all kinds of steps as often as they come, and of a plain one; bytes
    of a network's gradients; bytes at the most while it is scored."""
    from sofgan.scores.features import LiteFeatures
    from sofgan.siw.data import Batch
    from sofgan.siw.training_step import SiwTraining
    from sofgan.siw.view_pairs import ViewPairs
    from sofgan.warping import Warp

    size, maps = config.generator.resolution, config.generator.label_size
    shares = _shares_of_steps(
        config.r1_every, config.path_length_every, config.consistency_every * config.compares_views
    )
    judge = LiteFeatures("lite0").eval() if config.scores.every_kimg else None
    with fake_tensors(), Ledger() as ledger:
        training = SiwTraining(config, 0, "cpu", config.autocast)
        heads = (config.batch + 1) // 2
        batch = Batch(
            torch.zeros(config.batch, 3, size, size),
            torch.zeros(1 if config.share_fakes else 2, config.batch, maps, maps, dtype=torch.long),
            torch.zeros(config.batch, maps, maps, dtype=torch.long),
            ViewPairs(
                torch.zeros(heads, 2, maps, maps, dtype=torch.long),
                torch.zeros(heads, size, size, dtype=torch.long),
                Warp(torch.zeros(heads, size, size, 2), torch.ones(heads, size, size, dtype=torch.bool)),
            ),
        )
        total, plain = 0.0, 0
        # Those with regularisers come last: then all states of optimisers are there.
        for step, share in sorted(shares.items(), reverse=True):
            before = ledger.operations
            training.step(step, batch)
            done = ledger.operations - before
            plain = min(plain, done) if plain else done
            total += share * done / config.batch
        rows = config.sample_grid[0]
        with torch.no_grad():
            _paint(training.ema, rows, 1)
            _paint(training.ema, rows, 2)
        steps, ledger.peak = ledger.peak, ledger.live
        if judge:
            with torch.no_grad():
                judge(_paint(training.ema, _scored_at_once(config), 1))
        networks = [sum(4 * value.numel() for value in own) for own in (training.learned, training.painted)]
    judging = ledger.peak + (_bytes_of(judge) if judge else 0)
    return steps, total, plain / config.batch, max(networks), judging


def _scored_at_once(config) -> int:
    from sofgan.siw import running_scores

    return min(running_scores.BATCH, config.scores.images)


def _shares_of_steps(*every: int) -> dict[int, float]:
    """The number of a step of each kind, by which regularisers it has, and the share of steps of that kind.

    Args:
        every: steps between those with a regulariser, of each; 0: none have it.
    """
    kinds: dict[tuple[bool, ...], list[int]] = {}
    period = math.lcm(*(number for number in every if number), 1)
    for step in range(period):
        kind = tuple(bool(number) and step % number == 0 for number in every)
        kinds.setdefault(kind, []).append(step)
    return {steps[0]: len(steps) / period for steps in kinds.values()}


def evaluate(blocks: Blocks) -> dict:
    """Pictures painted and judged, a batch at a time."""
    config, network = blocks.evaluate, blocks.train_siw.generator
    # Those of the grid and of the turntable are few, and painted in one go.
    few = config.grid[0], len(config.turntable_yaws_degrees), config.turntable_frames
    at_once, mixed = max(config.batch, *few), min(config.restyled_maps, config.batch)
    parser, lites = blocks.train_parser.parser, tuple(config.extractors)
    held, painted, judged, parsed = _judging(network, parser, lites, config.batch, at_once, mixed)
    sides = [min(config.images, blocks.sets[name]) for name in ("ffhq", "celebamask")]
    of = f"{at_once} pictures of {network.resolution} px painted at once"
    need = _need(held, painted, sum(sides) + config.sof_images, of)
    need["operations"] += (judged + parsed) * (sum(sides) + config.sof_images) + judged * sum(sides)
    views = config.held_out_views or blocks.sets["scans"] * blocks.render_views.held_out_views
    need["operations"] += views * blocks.render_views.size_px**2 * ray_operations(blocks.train_sof)
    orbits, heads = len(config.orbit_yaws_degrees), config.orbit_heads
    need["operations"] += heads * config.orbit_styles * (orbits + SHIFTED) * painted
    # Each view, and a frontal one that is twice as wide and as high.
    need["operations"] += heads * (orbits + 4) * network.label_size**2 * ray_operations(blocks.train_sof)
    return need


@once
def _judging(network, seen_by, names, batch: int, at_once: int, mixed: int) -> tuple[float, ...]:
    """Bytes at the most; operations of a picture that is painted, of its features, and of its parsed map.

    Args:
        names: of the extractors.
        at_once, mixed: pictures painted together, in one style and in two.
    """
    from sofgan.parsing.parser import FaceParser
    from sofgan.scores.features import LiteFeatures
    from sofgan.siw.generator import Generator

    parser = FaceParser(seen_by).eval().requires_grad_(False)
    lites = [LiteFeatures(name).eval() for name in names if name != "parser"]
    held = sum(map(_bytes_of, [parser, *lites]))
    with fake_tensors(), torch.no_grad(), Ledger() as ledger:
        generator = Generator(network)
        if at_once > batch:
            _paint(generator, at_once, 1)
        _paint(generator, mixed, 2)
        ledger.operations = 0
        images = _paint(generator, batch, 1)
        painted, ledger.operations = ledger.operations / batch, 0
        for lite in lites:
            lite(images)
        if "parser" in names:
            parser.features(torch.nn.functional.interpolate(images, (seen_by.size,) * 2))
        judged, ledger.operations = ledger.operations / batch, 0
        parser.class_ids(images, network.resolution)
        parsed = ledger.operations / batch
    return held + ledger.peak, painted, judged, parsed


def _paint(generator, pictures: int, styles: int):
    size = generator.config.label_size
    maps, w = torch.zeros(pictures, 17, size, size), torch.zeros(pictures, styles, generator.config.w_dim)
    weights = torch.zeros(pictures, styles, size, size) if styles > 1 else None
    noise = [torch.zeros(1, 1, side, side) for side in generator.noise_sizes]
    return generator.synthesize(maps, w, weights, noise)


def _bytes_of(module: torch.nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in (*module.parameters(), *module.buffers()))


def _need(device: float, step: float, steps: float, of: str) -> dict:
    return {"device": device, "operations": step * steps, "step": step, "of": of}


COUNTS: dict[str, Callable[[Blocks], dict]] = {
    "train_parser": train_parser,
    "parse_faces": parse_faces,
    "train_sof": train_sof,
    "invert_masks": invert_masks,
    "sample_conditions": sample_conditions,
    "train_siw": train_siw,
    "evaluate": evaluate,
}


def needs(path: Path) -> dict[str, dict]:
    """Needs of the stages; those that need no GPU are left out. `ray` has the operations of a ray of the field."""
    blocks, found = Blocks(path), {}
    for name, count in COUNTS.items():
        try:
            found[name] = count(blocks)
        except ConfigError:
            raise
        except Exception as error:  # Whatever it is, the stage would meet it too.
            found[name] = {"fault": f"{type(error).__name__}: {sentence(error)}"}
        gc.collect()
    return found


def main() -> None:
    """Print the needs of each of the files, each as soon as it is counted."""
    for path in sys.argv[1:]:
        print(json.dumps(needs(Path(path))), flush=True)


if __name__ == "__main__":
    main()
