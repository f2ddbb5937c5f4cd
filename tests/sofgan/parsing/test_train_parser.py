import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sofgan import runtime, shares
from sofgan.images import to_network_range
from sofgan.labels import EYE, HAIR, PALETTE
from sofgan.parsing import parse_store as parsing
from sofgan.parsing import train
from sofgan.parsing.config import Augmentation, ParseFaces, ParserConfig, Pretrained, TrainParser
from sofgan.parsing.data import LabelledPhotos, class_weights, draw_plan, repeat_factors, splits_of
from sofgan.parsing.parse_store import parse_store
from sofgan.parsing.parser import save_parser
from sofgan.parsing.train import ParserTraining, dice_loss, train_parser
from sofgan.photos.store import HELD_OUT, TRAIN, VALIDATION, PhotoStore, PhotoStoreWriter
from sofgan.pieces import Pieces
from sofgan.progress import Progress
from sofgan.session import Checkpoints, Session

CONFIG = TrainParser(
    parser=ParserConfig("unet", 32, 8),
    pretrained=Pretrained(),
    steps=12,
    batch=4,
    learning_rate=1e-2,
    weight_decay=1e-2,
    class_balance=0.5,
    dice_weight=0.5,
    auxiliary_weight=0.4,
    ema_halflife_images=20,
    score_every_steps=4,
    patience=0,
    checkpoint_every_steps=5,
    augmentation=Augmentation(
        mirror=0.5, zoom=0.2, shift=0.06, rotation_degrees=12.0, colour=0.3, blur=0.2, noise=0.03
    ),
)
PARSE = ParseFaces(batch=3, label_size=32, mirror=False, scales=(1.0,), autocast=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Photos that show their labels' colours: circles on a ground, easy to learn."""
    path = tmp_path_factory.mktemp("faces") / "store"
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :32]
    with PhotoStoreWriter(path, 8) as writer:
        for i in range(20):
            labels = np.zeros((32, 32), np.uint8)
            for label in (HAIR, EYE):
                row, column = generator.integers(8, 24, 2)
                labels[(rows - row) ** 2 + (columns - column) ** 2 < 60] = label
            photo = PALETTE[labels] + generator.integers(0, 8, (32, 32, 3), dtype=np.uint8)
            # The last five are held out, two before them choose the best state.
            split = HELD_OUT if i >= 15 else VALIDATION if i >= 13 else TRAIN
            writer.add(f"{i}", _png(photo), labels, split)
    return PhotoStore(path)


def _png(pixels):
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


class Killed(Exception):
    pass


class Kill(Progress):
    """Stops a computation when so many items are done."""

    def __init__(self, at):
        self.at = at

    def items(self, done, total, unit="items", note=""):
        if done == self.at:
            raise Killed


def test_a_killed_training_resumes_to_the_same_bytes(store, tmp_path):
    whole = train_parser(splits_of(store, 32), CONFIG, seed=0)
    states = Checkpoints(tmp_path / "states", "f")
    with pytest.raises(Killed):
        train_parser(splits_of(store, 32), CONFIG, seed=0, session=Session(Kill(9), states), workers=2)
    assert states.latest()[0] == 5
    scored = []

    class Scores(Progress):
        def scalars(self, step, values):
            scored.append(step)

    resumed = train_parser(splits_of(store, 32), CONFIG, seed=0, session=Session(Scores(), states))
    assert scored == [8, 12] and resumed.step == whole.step
    assert [row["step"] for row in resumed.curve] == [4, 8, 12] and resumed.curve == whole.curve
    save_parser(tmp_path / "whole.pt", whole.parser)
    save_parser(tmp_path / "resumed.pt", resumed.parser)
    assert (tmp_path / "whole.pt").read_bytes() == (tmp_path / "resumed.pt").read_bytes()
    other = train_parser(splits_of(store, 32), dataclasses.replace(CONFIG, steps=4), seed=1)
    assert not torch.equal(other.parser.network.head.weight, whole.parser.network.head.weight)


def test_threads_change_no_bit(store):
    """Shares of four photos: one thread or two work them off."""
    config, weights = dataclasses.replace(CONFIG, batch=8, steps=4), []
    for threads in (1, 2):
        runtime.use_cpu(threads)
        weights.append(train_parser(splits_of(store, 32), config, seed=0).parser.state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_step_is_the_mean_over_its_shares(store, monkeypatch):
    """Gradients, loss and the statistics of batch norms; weights of classes are one so that means are comparable."""
    config = dataclasses.replace(CONFIG, batch=8)
    images, labels = LabelledPhotos(store, np.arange(8), 32).load(range(8))
    images, labels = to_network_range(images), torch.from_numpy(labels).long()
    shared = ParserTraining.start(config, 0, "cpu")
    loss = float(shared.learn(images, labels, torch.ones(17), config))
    assert shared.shares == [slice(0, 4), slice(4, 8)]
    losses, gradients, statistics = [], [], []
    for rows in shared.shares:
        monkeypatch.setattr(shares, "MOST_SHARES", 1)
        alone = ParserTraining.start(config, 0, "cpu")
        half = dataclasses.replace(config, batch=4)
        losses.append(float(alone.learn(images[rows], labels[rows], torch.ones(17), half)))
        gradients.append([parameter.grad for parameter in alone.parser.parameters()])
        statistics.append([b for b in alone.parser.buffers() if b.is_floating_point()])
    assert loss == pytest.approx(sum(losses) / 2, rel=1e-5)
    for parameter, one, other in zip(shared.parser.parameters(), *gradients):
        torch.testing.assert_close(parameter.grad, (one + other) / 2, rtol=1e-4, atol=1e-6)
    for twin in shared.twins:
        for buffer, one, other in zip((b for b in twin.buffers() if b.is_floating_point()), *statistics):
            torch.testing.assert_close(buffer, (one + other) / 2, rtol=1e-5, atol=1e-6)


def test_it_learns_what_colours_tell(store):
    still = Augmentation(0.5, 0.1, 0.05, 5, 0, 0, 0)
    config = dataclasses.replace(CONFIG, steps=60, score_every_steps=20, augmentation=still)
    trained = train_parser(splits_of(store, 32), config, seed=0, workers=2)
    assert trained.confusion.miou() > 0.8
    assert trained.confusion.counts.sum() == 5 * 32 * 32


def test_convolutions_of_the_encoder_stay_where_norms_alone_learn(store, tmp_path):
    parser = ParserConfig("lite_unet", 32, 8, encoder="norms")
    config = dataclasses.replace(CONFIG, parser=parser, batch=8, steps=3, score_every_steps=3)
    trained = train_parser(splits_of(store, 32), config, seed=0).parser.network
    start = ParserTraining.start(config, 0, "cpu").parser.network
    stays = {"stem.0.weight"} | {f"blocks.{i}._project_conv.weight" for i in range(len(start.blocks))}
    before = dict(start.state_dict())
    same = {name for name, value in trained.state_dict().items() if torch.equal(value, before[name])}
    assert stays <= same
    assert not same & {"stem.1.weight", "stem.1.running_mean", "laterals.0.weight", "head.weight"}


def test_it_stops_early_and_keeps_the_best(store):
    config = dataclasses.replace(CONFIG, steps=40, learning_rate=0.0, score_every_steps=2, patience=2)
    trained = train_parser(splits_of(store, 32), config, seed=0)
    assert len(trained.curve) < 20
    assert trained.step == max(trained.curve, key=lambda row: row["validation_miou"])["step"]


def test_what_scores_a_parser_chooses_nothing(store, monkeypatch):
    """The best step is that of validation photos, and the score that of held-out ones in it."""
    seen, mious = [], iter([0.3, 0.9, 0.5])

    class Scored:
        def __init__(self, miou):
            self.value = miou

        def miou(self):
            return self.value

    def score(parser, photos):
        seen.append(photos.indices.tolist())
        return Scored(next(mious, -1.0)), np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr(train, "score_parser", score)
    loaded = []
    load = LabelledPhotos.load
    monkeypatch.setattr(
        LabelledPhotos, "load", lambda self, rows: loaded.extend(self.indices[list(rows)]) or load(self, rows)
    )
    trained = train_parser(splits_of(store, 32), CONFIG, seed=0)
    assert trained.step == 8 and trained.confusion.miou() == -1.0
    assert seen == [[13, 14]] * 3 + [[15, 16, 17, 18, 19]] and max(loaded) < 13


def test_the_averages_half_life_grows_to_its_own(store, monkeypatch):
    halflives, beta = [], train.ema_beta
    monkeypatch.setattr(train, "ema_beta", lambda *how: halflives.append(how) or beta(*how))
    train_parser(splits_of(store, 32), dataclasses.replace(CONFIG, steps=6, ema_halflife_images=1.8), seed=0)
    # A tenth of the photos shown so far, four a step.
    assert halflives == [(4, pytest.approx(value)) for value in (0.4, 0.8, 1.2, 1.6, 1.8, 1.8)]


def test_class_weights_and_dice():
    class Maps:
        def __len__(self):
            return 1

        def labels(self, position):
            return np.array([[0, 0, 0, 1]], np.uint8)

    weights = class_weights(Maps(), 0.5)
    assert weights[1] / weights[0] == pytest.approx(np.sqrt(3)) and weights.dtype == np.float32
    assert 0.75 * weights[0] + 0.25 * weights[1] == pytest.approx(1)
    assert np.allclose(class_weights(Maps(), 0.0), 1)
    labels = torch.tensor([[[0, 1], [2, 2]]])
    exact = F.one_hot(labels, 17).movedim(-1, 1).float()
    assert dice_loss(exact, labels) == pytest.approx(0, abs=1e-5)
    # Everything called 2: Dice 0 for 0 and 1, and 2 * 2 / (4 + 2) for 2.
    all_two = F.one_hot(torch.full_like(labels, 2), 17).movedim(-1, 1).float()
    assert dice_loss(all_two, labels) == pytest.approx(1 - (2 / 3) / 3, abs=1e-5)


def test_uncached_photos_are_the_cached_ones(store):
    cached = LabelledPhotos(store, np.arange(20), 16)
    uncached = LabelledPhotos(store, np.arange(20), 16, cache_bytes=0)
    for _ in range(2):
        for one, two in zip(cached.load([3, 7]), uncached.load([3, 7])):
            assert (one == two).all()


def test_stores_without_maps_or_held_out_photos_are_refused(tmp_path):
    with PhotoStoreWriter(tmp_path / "bare") as writer:
        writer.add("a", b"x")
    with pytest.raises(ValueError, match="without label maps"):
        splits_of(PhotoStore(tmp_path / "bare"), 32)
    with PhotoStoreWriter(tmp_path / "one") as writer:
        writer.add("a", b"x", np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match="raise its validation_share"):
        splits_of(PhotoStore(tmp_path / "one"), 32)
    with PhotoStoreWriter(tmp_path / "two") as writer:
        for name, split in (("a", TRAIN), ("b", VALIDATION)):
            writer.add(name, b"x", np.zeros((2, 2), np.uint8), split)
    with pytest.raises(ValueError, match="raise its held_out_share"):
        splits_of(PhotoStore(tmp_path / "two"), 32)


def test_a_killed_parsing_resumes_by_block_to_the_same_bytes(store, tmp_path, monkeypatch):
    monkeypatch.setattr(parsing, "BLOCK_PHOTOS", 8)
    photos = splits_of(store, 32)
    parser = train_parser(photos, dataclasses.replace(CONFIG, steps=4), seed=0).parser
    assert parse_store(store, parser, tmp_path / "whole", PARSE, Pieces(tmp_path / "w1")) == 20

    with pytest.raises(Killed):
        stopped = Pieces(tmp_path / "w2", progress=Kill(11))
        parse_store(store, parser, tmp_path / "out", PARSE, stopped, workers=2)
    assert not (tmp_path / "out").exists()
    assert parse_store(store, parser, tmp_path / "out", PARSE, Pieces(tmp_path / "w2"), workers=2) == 12
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "out" / file.name).read_bytes()
    labels = PhotoStore(tmp_path / "out")
    assert labels.keys() == store.keys() and (labels.splits() == store.splits()).all()
    assert labels.labels(19).shape == (32, 32)


def test_photos_with_rare_classes_are_drawn_more_often(store):
    photos = LabelledPhotos(store, np.arange(20), 32)
    shown = np.array([[label in photos.labels(i) for label in (HAIR, EYE)] for i in range(20)])
    assert (repeat_factors(photos, 0.0) == 1).all()
    factors = repeat_factors(photos, 1.0)
    expected = np.where(shown, shown.mean(0) ** -0.5, 1).max(1)
    assert factors == pytest.approx(np.maximum(expected, 1))

    # Every epoch draws each photo as often as its factor says, within one.
    repeats = np.array([1.0, 3.0, 1.0, 2.5, 1.0])
    drawn = np.concatenate(list(draw_plan(repeats, 1, seed=0, start=0, steps=80))).reshape(
        -1, 8
    )  # 8 or 9 long
    counts = np.bincount(np.concatenate(list(draw_plan(repeats, 1, 0, 0, 800))), minlength=5) / 800
    assert counts == pytest.approx(repeats / repeats.sum(), abs=0.01)
    assert set(range(5)) <= set(drawn[:4].ravel())
    # Without repeats every epoch is a permutation, and a later start continues the same plan.
    plan = np.concatenate(list(draw_plan(np.ones(5), 2, 0, 0, 10)))
    assert all(sorted(epoch) == list(range(5)) for epoch in plan.reshape(4, 5).tolist())
    assert (np.concatenate(list(draw_plan(np.ones(5), 2, 0, 4, 10))) == plan[8:]).all()


def test_half_the_size_at_first_is_another_training_and_resumes(store, tmp_path):
    config = dataclasses.replace(CONFIG, small_share=0.5, repeat_below=0.9)

    sizes = []
    whole = train_parser(splits_of(store, 32), config, seed=0)
    hook = torch.nn.modules.module.register_module_forward_pre_hook(
        lambda module, inputs: sizes.append(inputs[0].shape[-1]) if type(module).__name__ == "Unet" else None
    )
    states = Checkpoints(tmp_path / "states", "f")
    try:
        with pytest.raises(Killed):
            train_parser(splits_of(store, 32), config, seed=0, session=Session(Kill(7), states))
    finally:
        hook.remove()
    assert sizes[0] == 16 and sizes[-1] == 32
    resumed = train_parser(splits_of(store, 32), config, seed=0, session=Session(states=states))
    assert resumed.curve == whole.curve
    assert resumed.curve != train_parser(splits_of(store, 32), CONFIG, seed=0).curve
