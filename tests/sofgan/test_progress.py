"""What is told of a computation, rates, and stopwatches that leave out their pauses."""

import subprocess
import sys

from sofgan import progress
from sofgan.progress import SILENT, Part, Progress, Stopwatch, Throughput


class Recorder(Progress):
    """Keeps what it is told."""

    def __init__(self):
        self.told = []

    def items(self, done, total, unit="items", note=""):
        self.told.append((done, total, unit, note))

    def scalars(self, step, values):
        self.told.append((step, values))


def test_a_listener_overrides_what_it_wants():
    recorder = Recorder()
    for listener in (SILENT, recorder):
        listener.items(1, 2)
        listener.text("on the way")
        listener.scalars(3, {"loss": 0.5})
        listener.images(3, {})
    assert recorder.told == [(1, 2, "items", ""), (3, {"loss": 0.5})]


def test_items_of_a_part_are_told_as_ones_of_the_whole():
    recorder = Recorder()
    part = Part(recorder, 10, 40)
    part.items(2, 5, "photos", "slow")
    part.scalars(7, {"loss": 0.5})
    assert recorder.told == [(12, 40, "photos", "slow"), (7, {"loss": 0.5})]


def test_rates_leave_out_what_was_done_before(monkeypatch):
    now = [50.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    loop = Throughput(100, done=40)
    assert loop.line("steps of 3 groups") == "40/100 steps of 3 groups"
    now[0] += 5
    loop.update(50)
    assert loop.line("steps of 3 groups") == "50/100 steps of 3 groups  2.0 steps/s  0:25 left"


def test_it_needs_no_torch():
    code = "import sys, sofgan.progress; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_pauses_take_no_time():
    now = [100.0]
    watch = Stopwatch(lambda: now[0])
    now[0] += 2
    with watch.paused():
        now[0] += 50
    now[0] += 1
    with watch.paused():
        now[0] += 7
    assert watch.seconds == 3
