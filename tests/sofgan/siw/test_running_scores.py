"""Scores of a painter while it learns: their value, when they are taken, and which generators stay."""

import dataclasses

import numpy as np
import pytest
import torch

from sofgan import runtime
from sofgan.images import to_network_range
from sofgan.progress import Progress
from sofgan.scores.features import LiteFeatures
from sofgan.scores.frechet import frechet_distance
from sofgan.session import Checkpoints, Session
from sofgan.siw.config import ScoresConfig
from sofgan.siw.data import ArraySource, LazySource, Sources
from sofgan.siw.generator import Generator
from sofgan.siw.model import Siw, load_siw
from sofgan.siw.painted_sets import paint_all
from sofgan.siw.running_scores import BATCH, Exam, Examiner, RunningScores, best_row, scored_rows
from sofgan.siw.train import train

SEED = 3


def source(array):
    return LazySource(len(array), lambda i: array[i], 1)


@pytest.fixture
def exam():
    draws = np.random.default_rng(0)
    photos = draws.integers(0, 256, (2, 22, 16, 16, 3), dtype=np.uint8)
    maps = {"ffhq": (20, 16, 16), "celebamask": (5, 16, 16)}
    maps = {name: source(draws.integers(0, 17, size, dtype=np.uint8)) for name, size in maps.items()}
    return Exam(source(photos[0]), source(photos[1, :21]), maps, SEED)


def test_scores_are_distances_of_as_many_pictures_as_photos(tiny, seeded, exam):
    """By hand, from all pictures at once; the same by one thread as by two, which take batches in turn."""
    siw = Siw(Generator(tiny()).requires_grad_(False), "cpu")
    lite = LiteFeatures("lite0").eval()

    def features(pictures):
        with torch.inference_mode():
            return lite(pictures).numpy()

    def of_photos(photos, count):
        return features(to_network_range(photos.fetch(np.arange(count))))

    def of_maps(name, count):
        maps = exam.maps[name].fetch(np.arange(count))
        return features(torch.cat([painted for _, painted in paint_all(siw, maps, SEED, name, BATCH)]))

    runtime.use_cpu(1)
    found = RunningScores(exam, 100, "cpu")(siw)
    assert list(found) == [
        "running_fd_lite0",
        "running_fd_lite0_celebamask_maps",
        "running_fd_lite0_celebamask_maps_floor",
        "running_fd_lite0_floor",
    ]
    expected = {
        "running_fd_lite0": frechet_distance(of_maps("ffhq", 20), of_photos(exam.trained_on, 20)),
        "running_fd_lite0_celebamask_maps": frechet_distance(
            of_maps("celebamask", 5), of_photos(exam.trained_on, 5)
        ),
        "running_fd_lite0_celebamask_maps_floor": frechet_distance(  # of as few as its maps are
            of_photos(exam.held_out, 5), of_photos(exam.trained_on, 5)
        ),
        "running_fd_lite0_floor": frechet_distance(
            of_photos(exam.held_out, 21), of_photos(exam.trained_on, 21)
        ),
    }
    assert found == pytest.approx(expected, rel=1e-4)
    runtime.use_cpu(2)
    assert RunningScores(exam, 100, "cpu")(siw) == found
    fewer = RunningScores(exam, 4, "cpu")(siw)
    assert fewer["running_fd_lite0"] == pytest.approx(
        frechet_distance(of_maps("ffhq", 4), of_photos(exam.trained_on, 4)), rel=1e-4
    )


@pytest.mark.parametrize(
    ("every", "expected"),
    [(0, []), (0.02, [2, 4, 5]), (0.04, [4, 5]), (0.001, [2, 4, 5]), (0.05, [4, 5]), (9, [5])],
)
def test_scores_are_taken_with_reports_and_at_the_end(tiny_training, every, expected):
    """Batches of 10, of which every second has a report; five in all."""
    config = tiny_training(
        batch=10, discriminator={"kind": "projected"}, scores=ScoresConfig(every, 2, False)
    )
    assert [step for step in (2, 4, 5) if config.scored_at(step, 2, 5)] == expected


class Stops(Progress):
    """Ends a training at a report, once its state was kept."""

    def __init__(self, after):
        self.left = after

    def scalars(self, step, values):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1


def trained(config, photos, maps, exam, folder, stop_after=-1):
    states = Checkpoints(folder, SEED)
    sources = Sources(ArraySource(photos), {"parsed": ArraySource(maps)})
    siw, rows = train(sources, maps[:2], config, SEED, "cpu", Session(Stops(stop_after), states), exam)
    return siw, rows, {name: path.read_bytes() for name, path in states.kept_beside().items()}


def test_a_score_that_is_no_number_is_not_the_best():
    rows = [{"kimg": at, "running_fd_lite0": score} for at, score in ((1, float("nan")), (2, 3.0), (3, 4.0))]
    assert best_row(rows)["kimg"] == 2


def test_the_best_generator_stays_beside_the_last_whether_stopped_or_not(
    tiny_training, photos, maps, exam, tmp_path, monkeypatch
):
    config = tiny_training(report_every_kimg=0.008, scores=ScoresConfig(0.008, 3, True))
    calls = iter([5.0, 3.0, 3.0, 4.0] + [5.0, 3.0] + [3.0, 4.0])  # two equal ones: the earlier is the best
    monkeypatch.setattr(RunningScores, "__call__", lambda self, painter: {"running_fd_lite0": next(calls)})
    siw, rows, kept = trained(config, photos, maps, exam, tmp_path / "whole")
    assert [row["running_fd_lite0"] for row in rows] == [5.0, 3.0, 3.0, 4.0]
    assert scored_rows(rows)[0] == {"kimg": 0.008, "running_fd_lite0": 5.0}
    assert best_row(rows) == {"kimg": 0.016, "running_fd_lite0": 3.0}
    names = ["best.pt", *(f"kimg-0000.{at}.pt" for at in ("008", "016", "024", "032"))]
    assert list(kept) == names
    assert kept["best.pt"] == kept["kimg-0000.016.pt"] != kept["kimg-0000.032.pt"]
    last = load_siw(tmp_path / "whole" / f"{Checkpoints(tmp_path, SEED).prefix}-kimg-0000.032.pt")
    ours, theirs = siw.generator.state_dict(), last.generator.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)

    with pytest.raises(KeyboardInterrupt):
        trained(config, photos, maps, exam, tmp_path / "cut", stop_after=1)
    # The second report was scored, but its state wasn't kept: it is made again.
    calls = iter([3.0, 3.0, 4.0])
    monkeypatch.setattr(RunningScores, "__call__", lambda self, painter: {"running_fd_lite0": next(calls)})
    _, again, files = trained(config, photos, maps, exam, tmp_path / "cut")
    assert again == rows and files == kept


def test_a_best_generator_that_is_gone_gives_way_to_the_next(tiny, seeded, tmp_path):
    siw = Siw(Generator(tiny()).requires_grad_(False), "cpu")
    states = Checkpoints(tmp_path, SEED)
    scores = iter([2.0, 3.0, 3.0])
    examiner = Examiner(lambda painter: {"running_fd_lite0": next(scores)}, lambda: siw, states)
    rows = [{"kimg": 1.0} | examiner(1.0, [])]
    best = states.beside("best.pt")
    before = best.stat().st_mtime_ns
    examiner(2.0, rows)
    assert best.stat().st_mtime_ns == before
    best.unlink()
    examiner(2.0, rows)
    assert best.is_file()


def test_what_lies_beside_states_stays_with_them(tmp_path):
    states = Checkpoints(tmp_path, "a", keep=1)
    states.folder.mkdir(exist_ok=True)
    states.beside("best.pt").write_bytes(b"1")
    states.save(1, {})
    states.save(2, {})
    assert list(states.kept_beside()) == ["best.pt"] and states.latest()[0] == 2
    Checkpoints(tmp_path, "b").save(1, {})
    assert states.kept_beside() == {}


def test_nothing_is_scored_where_it_is_not_asked_for(
    tiny_training, photos, maps, exam, tmp_path, monkeypatch
):
    monkeypatch.setattr(RunningScores, "__call__", lambda self, painter: pytest.fail("scored"))
    config = dataclasses.replace(tiny_training(kimg=0.008), scores=ScoresConfig(0, 3, True))
    _, rows, kept = trained(config, photos, maps, exam, tmp_path)
    assert scored_rows(rows) == [] and best_row(rows) is None and kept == {}
