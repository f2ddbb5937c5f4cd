"""Stopwatches leave out their pauses."""

from sofgan.progress import Stopwatch


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
