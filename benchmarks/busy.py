"""Speed of CPU work on an idle machine and beside a busy process: by threads that share a step, and by OpenMP's.

    python -m benchmarks.busy [--seconds 5] [--rounds 2] [--threads 0] [--work train_siw ...] [--set batch=16] [--check]

Each line is one kind of work of params.yaml on made-up data: whole training steps of the generator, gradients of the
parser and of the field, and pictures painted and judged, as the stages do them. Each is measured two ways, each in
processes of its own: `openmp` does a step at once, by so many threads of OpenMP (--threads, 0: one a core); `pieces` in
shares that as many threads of one core each work off (`sofgan.runtime`). Both are measured on the machine as it is, and
beside one process that does nothing but count; ways and loads take turns, and the fastest of --rounds counts, which
other work disturbs least. --set changes a key of the work's block (batch=16). Limits: beside the other process `pieces`
keep 0.6 of their idle speed, and on the idle machine they are as fast as `openmp`.
"""

import argparse
import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from benchmarks import harness
from benchmarks.inputs.portraits import random_batch
from sofgan import runtime, shares
from sofgan.errors import InputError
from sofgan.labels import NUM_CLASSES
from sofgan.networks.efficientnet import FrozenLite
from sofgan.parsing.config import TrainParser
from sofgan.parsing.train import ParserTraining
from sofgan.siw.config import TrainSiw
from sofgan.siw.generator import Generator
from sofgan.siw.model import Siw
from sofgan.siw.training_step import SiwTraining
from sofgan.sof.config import SofConfig, TrainSof
from sofgan.sof.data import RayBatch
from sofgan.sof.model import new_model
from sofgan.sof.rays import Rays
from sofgan.sof.train import learn, share_tasks

LEAST_KEPT, LEAST_BY_OPENMP = 0.6, 1.0
WAYS, LOADS = ("openmp", "pieces"), ("idle", "busy")
PAINTED = 64  # pictures in a call of `evaluate`
WARM_UP = 2  # calls before time is taken

Work = tuple[Callable[[int], None], int]  # a step by its number, and what it counts: pictures, photos, rays


def train_siw(config: TrainSiw) -> Work:
    """Steps of the generator's training."""
    training, batch = SiwTraining(config, 0, "cpu"), random_batch(config, "cpu")
    return lambda step: training.step(step, batch), config.batch


def train_parser(config: TrainParser) -> Work:
    """Gradients of a parser's batch."""
    training, draws = ParserTraining.start(config, 0, "cpu"), torch.Generator().manual_seed(0)
    size = config.parser.size
    photos = torch.rand((config.batch, 3, size, size), generator=draws) * 2 - 1
    labels = torch.randint(NUM_CLASSES, (config.batch, size // 8, size // 8), generator=draws)
    labels, weights = labels.repeat_interleave(8, 1).repeat_interleave(8, 2), torch.ones(NUM_CLASSES)

    def step(_: int) -> None:
        training.optimizer.zero_grad()
        training.learn(photos, labels, weights, config)

    return step, config.batch


def train_sof(config: TrainSof) -> Work:
    """Gradients of a field's batch of rays."""
    draws = torch.Generator().manual_seed(0)
    instances, rays = config.instances_per_step, config.views_per_instance * config.rays_per_view
    model = new_model(SofConfig(config.field, config.marcher), instances, config.code_init_std, 0).train()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    directions = torch.rand((instances, rays, 3), generator=draws) * 0.4 - 0.2
    directions[..., 2] = -1
    origins = torch.tensor([0.0, 0.0, 4.0]).expand_as(directions)
    batch = RayBatch(
        torch.arange(instances),
        Rays(origins, directions),
        torch.randint(NUM_CLASSES, (instances, rays), generator=draws),
        3.5 + 0.5 * torch.rand((instances, rays), generator=draws),
        torch.ones((instances, rays)),
    )

    def step(number: int) -> None:
        for parameter in learned:
            parameter.grad = None
        # As many steps project rays as in the training.
        project = number % 10 >= 10 * config.points_only_share
        learn(learned, share_tasks(model, batch, config, project, draws, learned), "cpu")

    return step, instances * rays


def evaluate(config: TrainSiw) -> Work:
    """Pictures painted, and features of them."""
    siw, lite = Siw(Generator(config.generator), "cpu"), FrozenLite("lite0")
    labels = np.random.default_rng(0).integers(0, NUM_CLASSES, (PAINTED, 8, 8), dtype=np.uint8)
    w = siw.map_styles(siw.sample_z(PAINTED, torch.Generator().manual_seed(0)))
    pieces = [slice(start, start + 8) for start in range(0, PAINTED, 8)]

    @torch.inference_mode()
    def piece(rows: slice) -> None:
        lite(siw.paint(labels[rows].repeat(16, 1).repeat(16, 2), w[rows]))

    def step(_: int) -> None:
        for _ in runtime.map_pieces(piece, pieces):
            pass

    return step, PAINTED


WORK = {"train_siw": train_siw, "train_parser": train_parser, "train_sof": train_sof, "evaluate": evaluate}


def speed(name: str, way: str, threads: int, seconds: float, changes: list[str]) -> float:
    """What a kind of work gets done a second, in this process."""
    runtime.use_cpu(threads if way == "pieces" else 1)
    if way == "openmp":
        torch.set_num_threads(threads)
        shares.MOST_SHARES = 1
    block = "train_siw" if name == "evaluate" else name
    step, count = WORK[name](harness.block(block, None, *map(harness.change, changes)))
    for number in range(WARM_UP):
        step(number)
    began, number = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        step(number)
        number += 1
    return number * count / (time.perf_counter() - began)


@contextmanager
def load(kind: str) -> Iterator[None]:
    """A process beside, that keeps one core busy; or none."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if kind == "busy" else None
    try:
        yield
    finally:
        if busy is not None:
            busy.kill()
            busy.wait()


def measured(name: str, way: str, arguments) -> float:
    """`speed` of a process of its own: threads of OpenMP go on spinning in one that has used them."""
    command = [sys.executable, "-m", "benchmarks.busy", "--one", way, "--work", name]
    command += ["--seconds", str(arguments.seconds), "--threads", str(arguments.threads)]
    command += ["--set", *arguments.set]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise InputError(f"no speed of {name}: why is said above")
    return float(done.stdout.split()[-1])


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=0)
    found.add_argument("--seconds", type=float, default=5.0, help="of a measurement")
    found.add_argument("--rounds", type=int, default=2)
    found.add_argument("--work", nargs="+", choices=WORK, default=list(WORK))
    found.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="in the work's block")
    found.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    return found


def main(arguments) -> list[bool]:
    if arguments.one:
        name, changes = arguments.work[0], arguments.set
        print(speed(name, arguments.one, arguments.threads, arguments.seconds, changes))
        return []
    print("a second: pictures, photos, rays, pictures")
    columns = [f"{way}, {kind}" for way, kind in itertools.product(WAYS, LOADS)]
    print(harness.head("", *columns, "busy by idle", "idle by openmp"))
    kept, faster = {}, {}
    for name in arguments.work:
        best = dict.fromkeys(itertools.product(WAYS, LOADS), 0.0)
        for _ in range(arguments.rounds):
            for way, kind in best:
                with load(kind):
                    best[way, kind] = max(best[way, kind], measured(name, way, arguments))
        kept[name] = best["pieces", "busy"] / best["pieces", "idle"]
        faster[name] = best["pieces", "idle"] / best["openmp", "idle"]
        cells = [f"{value:.1f}" for value in best.values()]
        print(harness.row(name, *cells, f"{kept[name]:.2f}", f"{faster[name]:.2f}"), flush=True)
    return [
        *(harness.verdict(f"{name}, busy by idle", kept[name], at_least=LEAST_KEPT) for name in kept),
        *(
            harness.verdict(f"{name}, pieces by openmp", faster[name], at_least=LEAST_BY_OPENMP)
            for name in faster
        ),
    ]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
