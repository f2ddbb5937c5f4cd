"""Random numbers are the CPU's on every device. `meta` stands for a GPU: it knows shapes and no numbers."""

import ast
from pathlib import Path

import pytest
import torch

from sofgan import distributed
from sofgan.siw.critics import augment
from sofgan.sof import volume_marcher
from sofgan.sof.config import MarcherConfig, RaySampling
from sofgan.sof.data import RayBatch, known_points
from sofgan.sof.inversion.map_encoder import portrait_crops
from sofgan.sof.lstm_marcher import LstmMarcher
from sofgan.sof.rays import Rays

SOURCES = Path(distributed.__file__).parent
DRAWERS = {"rand", "randn", "randint", "randperm", "multinomial", "normal", "bernoulli", "poisson"}


def rays(device):
    return Rays(torch.zeros(2, 3, 3, device=device), torch.ones(2, 3, 3, device=device))


def ray_batch(device):
    ones = torch.ones(2, 3, device=device)
    return RayBatch(torch.arange(2, device=device), rays(device), ones.long(), ones, ones)


def pictures(device):
    return torch.zeros(2, 3, 8, 8, device=device)


DRAWS = {
    "points": lambda device, g: known_points(ray_batch(device), RaySampling(), g)[0],
    "samples": lambda device, g: volume_marcher.stratified(*torch.ones(2, 2, 3, device=device), 4, g),
    "starts": lambda device, g: LstmMarcher(MarcherConfig(kind="lstm", hidden=4), 4).start(rays(device), g),
    "crops": lambda device, g: portrait_crops(torch.zeros(2, 8, 8, dtype=torch.uint8, device=device), g)[1],
    "color": lambda device, g: augment.color(pictures(device), g),
    "translation": lambda device, g: augment.translation(pictures(device), g),
    "cutout": lambda device, g: augment.cutout(pictures(device), g),
    "some": lambda device, g: augment.augment_some(
        pictures(device), ("color",), torch.ones((), device=device), g
    ),
    "randn": lambda device, g: distributed.randn((3, 4), g, device),
}


@pytest.mark.parametrize("name", DRAWS)
def test_every_device_takes_the_same_numbers_of_the_cpu(name):
    left = []
    for device in ("cpu", "meta"):
        generator = torch.Generator().manual_seed(3)
        before = generator.get_state()
        assert DRAWS[name](device, generator).device.type == device
        left.append(generator.get_state())
        assert not torch.equal(before, left[-1])
    assert torch.equal(*left)


def test_a_large_draw_for_a_gpu_is_its_own_by_a_seed_of_the_cpu(monkeypatch):
    seeds = []

    class Own:
        def __init__(self, device):
            assert device == torch.device("meta")

        def manual_seed(self, seed):
            seeds.append(seed)
            return self

    def draw(shape, generator, device=None, dtype=None):
        assert isinstance(generator, Own) == (device is not None)
        return torch.zeros(shape, device=device or "cpu")

    generator = torch.Generator().manual_seed(3)
    monkeypatch.setattr(distributed.torch, "Generator", Own)
    monkeypatch.setattr(distributed, "MOST_FROM_CPU", 12)
    meta = torch.device("meta")
    assert distributed._drawn(draw, (3, 4), generator, meta, None).shape == (3, 4) and not seeds
    with distributed.shared_draws(6, slice(0, 3)):  # Who has half of them draws as one who has all.
        assert distributed._drawn(draw, (3, 4), generator, meta, None).shape == (3, 4)
    distributed._drawn(draw, (13,), generator, meta, None)
    assert len(set(seeds)) == 2
    distributed._drawn(draw, (13,), generator, torch.device("cpu"), None)
    assert len(seeds) == 2


@pytest.mark.parametrize("path", sorted(SOURCES.rglob("*.py")), ids=lambda path: path.stem)
def test_nothing_else_draws_on_a_device(path):
    """A draw with a generator and a device of its own would need a GPU's generator, whose numbers are others."""
    if path == Path(distributed.__file__):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        named = {keyword.arg for keyword in node.keywords}
        if name in {f"torch.{drawer}" for drawer in DRAWERS} and "generator" in named:
            on_own = ast.unparse(
                next((k.value for k in node.keywords if k.arg == "device"), ast.Constant(None))
            )
            assert on_own in ("None", "generator.device"), (
                f"{path}:{node.lineno}: use sofgan.distributed.{name[6:]}"
            )
        assert name != "torch.Generator" or not (node.args or node.keywords), f"{path}:{node.lineno}"
