import dataclasses
import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from sofgan import distributed, runtime, shares
from sofgan.config import from_mapping, to_mapping
from sofgan.progress import Progress
from sofgan.session import Checkpoints, Session
from sofgan.siw.config import TrainSiw
from sofgan.siw.data import ArraySource, Batches, Sources
from sofgan.siw.loop import TrainingDiverged
from sofgan.siw.mixing import one_hot
from sofgan.siw.model import load_siw, save_siw
from sofgan.siw.operators import upsample2
from sofgan.siw.train import train
from sofgan.siw.training_step import SiwTraining
from tests.sofgan.siw.heads import write_heads

# A small rate: where a gradient is none but for rounding, Adam's first step may go either way.
COMPARED = {"consistency_rate": 0.005, "consistency_every": 2}


def run(config, photos, maps, folder, name="siw.pt", stop_after=None, seed=0, heads=None):
    reports = []

    class Reports(Progress):
        def images(self, step, pictures):
            reports.append((step, pictures))
            if stop_after is not None and len(reports) > stop_after:
                raise KeyboardInterrupt

    sources = Sources(ArraySource(photos), {"parsed": ArraySource(maps)}, heads=heads)
    states = Checkpoints(folder / "state", seed)
    siw, rows = train(sources, maps[:2], config, seed, "cpu", Session(Reports(), states))
    save_siw(folder / name, siw)
    return (folder / name).read_bytes(), rows, reports


def first_batch(config, photos, maps, photo_labels=None, heads=None):
    labels = None if photo_labels is None else ArraySource(photo_labels)
    sources = Sources(ArraySource(photos), {"parsed": ArraySource(maps)}, labels, heads)
    return Batches(config, sources, 0)(0)


def test_a_killed_and_resumed_training_writes_the_same_bytes(tiny_training, photos, maps, tmp_path):
    config = tiny_training(discriminator={"kind": "hybrid"}, **COMPARED)
    run_on = functools.partial(run, config, photos, maps, heads=write_heads(tmp_path / "heads"))
    whole, rows, reports = run_on(tmp_path / "whole")
    assert [step for step, _ in reports] == [4, 8] and len(rows) == 2
    assert reports[0][1]["samples/grid"].shape == (32, 48, 3)
    assert reports[0][1]["samples/restyle"].shape == (32, 7 * 16, 3)
    with pytest.raises(KeyboardInterrupt):
        run_on(tmp_path / "cut", stop_after=1)
    resumed, resumed_rows, later = run_on(tmp_path / "cut")
    assert [step for step, _ in later] == [8]  # It did resume.
    assert resumed == whole and resumed_rows == rows and "view_difference" in rows[1]
    again, _, _ = run_on(tmp_path / "again")
    assert again == whole
    other, _, _ = run_on(tmp_path / "other", seed=1)
    assert other != whole


def test_a_saved_generator_paints_the_same(tiny_training, photos, maps, tmp_path):
    config = tiny_training(kimg=0.008)
    sources = Sources(ArraySource(photos), {"parsed": ArraySource(maps)})
    siw, _ = train(sources, maps[:2], config, 0, "cpu")
    save_siw(tmp_path / "siw.pt", siw)
    loaded = load_siw(tmp_path / "siw.pt")
    w = siw.map_styles(siw.sample_z(1, torch.Generator().manual_seed(0)))
    torch.testing.assert_close(siw.paint(maps, w), loaded.paint(maps, w))


def test_divergence_stops_with_the_last_good_state_kept(tiny_training, photos, maps, tmp_path, monkeypatch):
    config = tiny_training()
    step = SiwTraining.step

    def poisoned(self, number, batch):
        scalars = step(self, number, batch)
        return {**scalars, "loss_g": scalars["loss_g"] * float("nan")} if number == 6 else scalars

    monkeypatch.setattr(SiwTraining, "step", poisoned)
    with pytest.raises(TrainingDiverged, match="step 8"):
        run(config, photos, maps, tmp_path)
    assert [path.name.split("-")[1] for path in (tmp_path / "state").glob("*.pt")] == ["000000004.pt"]


def test_which_thread_does_what_changes_no_bit(tiny_training, photos, maps, monkeypatch):
    """Each thread numbers its operations for itself, and torch goes back through them by their numbers: fakes that one
    thread has painted, after much else, are judged by another one that is new."""
    critics = {"kind": "hybrid", "region_weight": 1.0, "region_channels": 8, "palette_weight": 1.0}
    config = tiny_training(batch=8, generator={"mixing": "input"}, discriminator=critics)
    labels = ArraySource(np.concatenate((maps, maps[:1])))
    sources = Sources(ArraySource(photos), {"parsed": ArraySource(maps)}, labels, None)

    def counted_on() -> None:
        value = torch.zeros(1, requires_grad=True)
        for _ in range(5000):
            value = value + 0

    def trained() -> list[torch.Tensor]:
        training, batches = SiwTraining(config, 0, "cpu"), Batches(config, sources, 0)
        for step in range(2):
            training.step(step, batches(step))
        return list(training.generator.state_dict().values())

    def by_new_threads(_, tasks):
        for task in tasks:
            with ThreadPoolExecutor(1) as thread:
                if task.func.__name__ == "_learn_critics":
                    thread.submit(counted_on).result()
                yield thread.submit(task).result()

    plain = trained()
    monkeypatch.setattr(SiwTraining, "_work_off", by_new_threads)
    assert all(torch.equal(a, b) for a, b in zip(plain, trained(), strict=True))


@pytest.mark.parametrize("share_fakes", [True, False])
def test_a_step_by_threads_is_the_step_of_one_and_its_plain_twin(
    tiny_training, photos, maps, share_fakes, monkeypatch, tmp_path
):
    """Two shares of four pictures: the same bits by one thread as by two, and eight at once but for rounding."""
    labels, heads = np.concatenate((maps, maps[:1])), write_heads(tmp_path / "heads")
    config = tiny_training(
        batch=8, share_fakes=share_fakes, path_length_every=2, r1_every=2, generator={"mixing": "input"},
        discriminator={"kind": "hybrid", "region_weight": 1.0, "region_channels": 8, "palette_weight": 1.0},
        **COMPARED,
    )  # fmt: skip

    def trained(threads: int) -> tuple[dict, list[torch.Tensor], int]:
        runtime.use_cpu(threads)
        training = SiwTraining(config, 0, "cpu")
        sources = Sources(ArraySource(photos), {"parsed": ArraySource(maps)}, ArraySource(labels), heads)
        batches = Batches(config, sources, 0)
        scalars = {}
        for step in range(3):
            scalars |= training.step(step, batches(step))
        state = training.state_dict()
        weights = [value for part in ("ema", "critics") for value in state[part].values()]
        return scalars, weights, len(list(training._parts(batches(0))))

    one, two = trained(1), trained(2)
    monkeypatch.setattr(shares, "MOST_SHARES", 1)
    plain = trained(1)
    assert (one[2], two[2], plain[2]) == (2, 2, 1)
    assert all(torch.equal(a, b) for a, b in zip(one[1], two[1]))
    assert {"r1", "path_length", "view_difference", "palette_fake", "regions_fake", "projected_real"} <= one[
        0
    ].keys()
    for name, value in plain[0].items():
        torch.testing.assert_close(one[0][name], value, rtol=2e-3, atol=2e-4, msg=name)
    differences = [(a - b).abs().float().flatten() for a, b in zip(one[1], plain[1])]
    assert torch.cat(differences).mean() < 5e-5  # a weight's way so far: 6e-3


@pytest.mark.parametrize("share_fakes", [True, False])
def test_a_step_in_parts_is_the_step(tiny_training, photos, maps, share_fakes, tmp_path):
    """Two parts of four pictures, one after another, train what eight at once train."""
    labels, heads = np.concatenate((maps, maps[:1])), write_heads(tmp_path / "heads")
    trained = []
    for parts in (1, 2):
        config = tiny_training(
            batch=8, accumulate=parts, share_fakes=share_fakes, augment_kimg=0.1, generator={"mixing": "input"},
            discriminator={
                "kind": "hybrid", "region_weight": 1.0, "region_channels": 8, "residual_augment": ("cutout",),
            },
            **COMPARED,
        )  # fmt: skip
        training = SiwTraining(config, 0, "cpu")
        sources = Sources(ArraySource(photos), {"parsed": ArraySource(maps)}, ArraySource(labels), heads)
        batches = Batches(config, sources, 0)
        scalars = [training.step(step, batches(step)) for step in range(2)]
        trained.append((training, scalars))
    (whole, expected), (parted, scalars) = trained
    assert expected[0].keys() == scalars[0].keys() >= {"path_length", "r1", "view_difference"}
    for one, other in zip(expected, scalars):
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=2e-3, atol=2e-4, msg=name)
    # Adam's first steps are nearly signs, so a gradient of rounding errors alone may go either way: here and there a
    # weight, which in a noise's strength or a small bias isn't averaged away.
    differences = [
        (one - other).abs().flatten() for one, other in zip(whole.ema.parameters(), parted.ema.parameters())
    ]
    assert max(float(difference.mean()) for difference in differences) < 2e-4
    assert torch.cat(differences).mean() < 5e-5


def test_the_generator_compiles_whole_and_trains_the_same(tiny_training, photos, maps, monkeypatch, tmp_path):
    """Traced and differentiated as for a GPU, but run as it is: generating code takes minutes."""
    compiler = functools.partial(torch.compile, backend="aot_eager", fullgraph=True)
    monkeypatch.setattr(torch, "compile", compiler)
    steps, heads = [], write_heads(tmp_path / "heads")
    for compiled in (False, True):
        config = tiny_training(compile=compiled, **COMPARED)
        training = SiwTraining(config, 0, "cpu")
        scalars = training.step(0, first_batch(config, photos[:5], maps, heads=heads))
        steps.append((scalars, training.ema))
    for name, value in steps[0][0].items():
        torch.testing.assert_close(steps[1][0][name], value, rtol=1e-4, atol=1e-5, msg=name)
    for one, other in zip(steps[0][1].parameters(), steps[1][1].parameters()):
        assert (one - other).abs().mean() < 1e-4


def test_small_pictures_train_what_they_use(tiny_training, photos, maps, tmp_path):
    config = tiny_training(growth=((8, 0.125),), path_length_every=0, **COMPARED)
    training, heads = SiwTraining(config, 0, "cpu"), write_heads(tmp_path / "heads")
    batches = Batches(config, Sources(ArraySource(photos), {"parsed": ArraySource(maps)}, heads=heads), 0)
    last = training.generator.blocks[-1]
    before = [parameter.clone() for parameter in last.parameters()]
    assert all(torch.isfinite(value) for value in training.step(0, batches(0)).values())
    assert all(torch.equal(a, b) for a, b in zip(before, last.parameters()))
    labels, draws = torch.from_numpy(maps[:2, ::2, ::2].astype(np.int64)), torch.Generator().manual_seed(0)
    w = training.generator.mapping(torch.randn((2, 1, 8), generator=draws))
    fine = training.generator.synthesize(one_hot(labels), w)
    coarse = training.generator.synthesize(one_hot(labels), w, resolution=8)
    torch.testing.assert_close(fine, upsample2(coarse))  # What was not trained adds nothing.
    assert all(torch.isfinite(value) for value in training.step(1, batches(1)).values())
    assert not all(torch.equal(a, b) for a, b in zip(before, last.parameters()))


def test_all_critics_see_small_pictures(tiny_training, photos, maps):
    config = tiny_training(
        growth=((8, 0.125),), path_length_every=0,
        discriminator={"kind": "hybrid", "region_weight": 1.0, "palette_weight": 1.0, "projected_size": 64},
    )  # fmt: skip
    training = SiwTraining(config, 0, "cpu")
    sources = Sources(ArraySource(photos[:5]), {"parsed": ArraySource(maps)}, ArraySource(maps))
    batches = Batches(config, sources, 0)
    for step, size in enumerate((8, 16)):
        batch = batches(step)
        seen = training.critics.look(batch.photos, one_hot(batch.photo_labels), torch.Generator())
        assert seen.images.shape[-1] == size and seen.augmented.shape[-1] == 32  # twice 16, and the least
        assert all(torch.isfinite(value) for value in training.step(step, batch).values())


def test_region_critic_needs_and_gets_the_photos_maps(tiny_training, photos, maps, tmp_path):
    config = tiny_training(discriminator={"kind": "hybrid", "region_weight": 1.0, "region_channels": 8})
    with pytest.raises(ValueError, match="own label maps"):
        run(config, photos, maps, tmp_path)
    scalars = SiwTraining(config, 0, "cpu").step(0, first_batch(config, photos[:5], maps, maps))
    assert {"regions_real", "regions_painted", "regions_fake"} <= scalars.keys()


@pytest.mark.parametrize("kind", ["residual", "projected", "hybrid"])
def test_each_kind_trains_what_it_names(tiny_training, photos, maps, kind):
    config = tiny_training(discriminator={"kind": kind})
    training = SiwTraining(config, 0, "cpu")
    before = {name: value.clone() for name, value in training.critics.state_dict().items()}
    scalars = training.step(0, first_batch(config, photos, maps))
    assert ("logit_real" in scalars) == (kind != "projected")
    assert ("projected_real" in scalars) == (kind != "residual")
    assert ("r1" in scalars) == (kind != "projected")
    moved = {
        name.split(".")[0]
        for name, value in training.critics.state_dict().items()
        if not value.equal(before[name])
    }
    assert (
        moved
        == {"residual": {"residual"}, "projected": {"projected"}, "hybrid": {"residual", "projected"}}[kind]
    )
    assert all(torch.isfinite(value) for value in scalars.values())


@pytest.mark.parametrize("mixing", ["input", "output", "layerwise", "none"])
def test_each_mixing_trains_with_one_or_two_batches_of_fakes(tiny_training, photos, maps, mixing):
    for share in (True, False):
        config = tiny_training(generator={"mixing": mixing}, share_fakes=share)
        training = SiwTraining(config, 0, "cpu")
        before = [p.clone() for p in training.generator.parameters()]
        training.step(0, first_batch(config, photos, maps))
        after = list(training.generator.parameters())
        assert sum(not torch.equal(a, b) for a, b in zip(before, after)) > 0.8 * len(before)


def test_average_has_its_half_life_in_photos_and_copies_buffers(tiny_training, photos, maps):
    """With the weights held still, the distance to them halves in `ema_halflife_kimg`."""
    config = tiny_training(
        learning_rate_generator=0.0, ema_halflife_kimg=0.008, ema_rampup=100.0, path_length_every=0
    )
    training = SiwTraining(config, 0, "cpu")
    with torch.no_grad():
        for parameter in training.ema.parameters():
            parameter.add_(1.0)
    batch = first_batch(config, photos, maps)
    for step in range(2):  # 8 photos
        training.step(step, batch)
    for average, value in zip(training.ema.parameters(), training.generator.parameters()):
        torch.testing.assert_close(average - value, torch.full_like(value, 0.5), atol=1e-5, rtol=1e-4)
    assert training.generator.w_average.abs().sum() > 0
    assert torch.equal(training.ema.w_average, training.generator.w_average)


def test_a_step_under_bfloat16_is_finite(tiny_training, photos, maps, tmp_path):
    """And views are compared in full precision, in which places of pixels need to be."""
    config = tiny_training(discriminator={"kind": "hybrid"}, generator={"upsample": "transposed"}, **COMPARED)
    heads = write_heads(tmp_path / "heads")
    batch, told = first_batch(config, photos, maps, heads=heads), []
    for autocast in (False, True):
        training = SiwTraining(config, 0, "cpu", autocast=autocast)
        told.append(training._learn_consistency(next(training._parts(batch)), 0).scalars["view_difference"])
    assert told[1].dtype == torch.float32 and told[1].item() == pytest.approx(told[0].item(), rel=0.05)
    for step in range(2):
        scalars = training.step(step, batch)
    assert all(torch.isfinite(value) for value in scalars.values())
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in training.generator.parameters())


def test_learning_rates_cool_down_at_the_end(tiny_training):
    config = tiny_training(kimg=0.1, cooldown=0.5)
    training = SiwTraining(config, 0, "cpu")
    rates = []
    for seen in (0, 49, 75, 100):
        training.seen = seen
        training._set_learning_rates()
        rates.append(training.optimizer_g.param_groups[0]["lr"] / 0.002)
    np.testing.assert_allclose(rates, [1.0, 1.0, 0.55, 0.1], atol=1e-9)


def test_a_batch_of_one_trains(tiny_training, photos, maps, tmp_path):
    config, heads = tiny_training(batch=1, **COMPARED), write_heads(tmp_path / "heads")
    scalars = SiwTraining(config, 0, "cpu").step(0, first_batch(config, photos, maps, heads=heads))
    assert scalars["view_difference"] > 0 and all(torch.isfinite(value) for value in scalars.values())


def test_impossible_trainings_are_refused(tiny_training):
    config = tiny_training()
    with pytest.raises(ValueError, match="multiple of minibatch_group"):
        dataclasses.replace(config, batch=6)
    with pytest.raises(ValueError, match="none of"):
        dataclasses.replace(config, map_proportions={"scans": 1.0})
    with pytest.raises(ValueError, match="accumulate"):
        dataclasses.replace(config, accumulate=3)
    odd = {"batch": 6, "accumulate": 2, "path_length_every": 0, "discriminator": {"kind": "projected"}}
    tiny_training(**odd, consistency_rate=0.0, consistency_every=1)
    with pytest.raises(ValueError, match="parts of 3 must be even"):
        tiny_training(**odd, **COMPARED)
    for growth in (((12, 0.5),), ((16, 0.5),), ((8, 0.1), (8, 0.2)), ((8, 1.0),)):
        with pytest.raises(ValueError, match="growth"):
            dataclasses.replace(config, growth=growth)
    with pytest.raises(ValueError, match="region_weight"):
        tiny_training(discriminator={"region_weight": 1.0})
    for wrong in ({"scale_max": 0.5}, {"growth": [[8, 0.0]]}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            from_mapping(TrainSiw, to_mapping(config) | wrong, "train_siw")


def test_processes_that_can_share_a_step_take_whole_groups(tiny_training, monkeypatch):
    demo = tiny_training(batch=8)
    assert demo.discriminator.minibatch_group == 4
    assert [demo.sharers(asked) for asked in (1, 2, 3, 8)] == [1, 2, 2, 2]
    # Parts that save memory are those of all: where each process has one, nothing is left to divide.
    assert [tiny_training(batch=32, accumulate=parts).sharers(8) for parts in (1, 2, 8)] == [8, 8, 8]
    assert tiny_training(batch=32, accumulate=8).sharers(3) == 2
    assert (
        tiny_training(batch=32, accumulate=8).parts(8) == 1
        and tiny_training(batch=32, accumulate=8).parts(3) == 3
    )
    monkeypatch.setattr(distributed, "world_size", lambda: 8)
    with pytest.raises(ValueError, match="whole groups of 4"):
        SiwTraining(demo, 0, "cpu")
