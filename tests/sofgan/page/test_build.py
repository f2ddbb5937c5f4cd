"""What the page refuses, and how heads and painters are packed."""

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest

from sofgan.apps import results
from sofgan.apps.quick_view import QuickHead
from sofgan.errors import InputError
from sofgan.page import build, heads, painter
from sofgan.siw.config import GeneratorConfig

DEFAULT = GeneratorConfig(label_size=128, encoder_channels=(16, 32, 64))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"encoder": "plain"}, "its encoder is plain, not styled"),
        ({"downsample": "strided"}, "its downsample is strided, not areas"),
        ({"upsample": "transposed"}, "its upsample is transposed, not bilinear"),
        ({"spade_at": "convolution"}, "its spade_at is convolution, not activation"),
        ({"mixing": "output"}, "its mixing is output, not input"),
        (
            {"resolution": 512, "label_size": 512, "start_size": 64},
            "up to 256 pixels; this generator's pictures have 512",
        ),
        ({"resolution": 256}, "label_size 128"),
        ({"start_size": 2, "encoder_channels": (8,) * 6}, "start_size 2"),
    ],
)
def test_painters_of_other_kinds_are_refused(changes, told):
    painter.check(DEFAULT)
    with pytest.raises(InputError, match=told):
        painter.check(replace(DEFAULT, **changes))


def test_a_part_that_looks_like_a_place_stays_as_it_is():
    parts = {"title": "[[script]]", "script": "run()"}
    assert (
        build.fill("<h1>[[title]]</h1>[[script]][[unknown]]", parts) == "<h1>[[script]]</h1>run()[[unknown]]"
    )


def test_a_record_can_neither_end_nor_comment_out_its_element():
    title = "</script><!--<script>"
    page = results.encode(results.Page("<p><!--record--></p>"), ".html", {"title": title}).decode()
    assert page.count("<") == 4 and "<!--" not in page
    assert json.loads(results._record_text(page.encode(), ".html"))["title"] == title


def test_numbers_lie_where_their_places_say():
    numbers = painter.Numbers()
    places = [numbers.add(np.arange(6.0).reshape(2, 3)), numbers.add(np.array([7.0]))]
    assert places == [[0, 6], [6, 1]]
    assert numbers.halves().tolist() == [0, 1, 2, 3, 4, 5, 7]


def ball_of_two_classes(side: int) -> QuickHead:
    """A ball, class 1 at its left and class 2 at its right, with rows at its surface alone."""
    steps = (np.arange(side) + 0.5) * 2 / side - 1
    z, y, x = np.meshgrid(steps, steps, steps, indexing="ij")
    log_odds = (20 * (0.6 - np.sqrt(x * x + y * y + z * z))).astype(np.float32)
    near = np.abs(log_odds) < 4
    index = np.zeros(near.shape, np.int32)
    index[near] = np.arange(1, near.sum() + 1)
    rows = np.zeros((near.sum() + 1, 2), np.float32)
    rows[1:, 0] = np.where(x[near] < 0, -0.1, -5.0)
    rows[1:, 1] = np.where(x[near] < 0, -5.0, -0.1)
    free = np.zeros((6, 6, 6), np.uint8)
    return QuickHead(log_odds, index, rows, (rows.argmax(1) + 1).astype(np.uint8), free)


def test_a_packed_head_has_what_a_walk_needs():
    side = 16
    head = ball_of_two_classes(side)
    data = np.frombuffer(zlib.decompress(heads.pack(head)), np.uint8)
    nodes, cells = side**3, head.free.size
    odds = data[:nodes].view(np.int8).reshape(head.log_odds.shape) * heads.ODDS_STEP
    limited = head.log_odds.clip(-heads.ODDS_LIMIT, heads.ODDS_LIMIT)
    assert np.abs(odds - limited).max() <= heads.ODDS_STEP / 2 + 1e-6
    best = data[nodes : 2 * nodes].reshape(head.index.shape)
    has_row, best = best & heads.HAS_ROW > 0, best % heads.HAS_ROW
    assert (best == np.where(head.index > 0, head.best[head.index], 0)).all()
    # Rows where the halves meet, and nowhere else.
    columns = np.flatnonzero(has_row.any((0, 1)))
    assert columns.tolist() == [side // 2 - 1, side // 2]
    rows = data[2 * nodes + cells :].reshape(-1, 2)
    assert len(rows) == has_row.sum() and set(rows.flat) == {0, round(4.9 / heads.SCORE_STEP)}


def test_a_page_that_would_be_too_large_is_refused(monkeypatch):
    from sofgan.apps.engine import Engine

    monkeypatch.setattr(build, "MOST_BYTES", 1_000_000)
    with pytest.raises(InputError, match=r"1\.\d MB, of which 1 may be: name fewer --heads"):
        build.build(Engine.starter(), build.Content(["0"], 2))


def test_far_too_many_heads_are_refused_after_the_first(monkeypatch):
    from sofgan.apps.engine import Engine

    baked, engine = [], Engine.starter()
    plain = engine.baked
    monkeypatch.setattr(engine, "baked", lambda code: baked.append(code) or plain(code))
    with pytest.raises(InputError, match=r"the page would have \d+\.\d MB, of which 12 may be"):
        build.build(engine, build.Content([str(seed) for seed in range(40)], 2))
    assert len(baked) == 1


def test_a_first_look_that_is_not_there_is_refused():
    from sofgan.apps.engine import Engine

    with pytest.raises(InputError, match="opens with look 3, but carries those from 0 to 1"):
        build.build(Engine.starter(), build.Content(["0"], 2, look=3))
