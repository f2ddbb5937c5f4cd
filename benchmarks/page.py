"""How soon `sofgan page` shows a head in a browser, and how near its pictures are to torch's.

    python -m benchmarks.page [--models starter] [--size 128] [--frames 24] [--check]

Debian's Chromium without a screen or a GPU opens a page with one head and goes around it: a frame is a new view, its
map and its picture, drawn; `restyled` is the same view in another style. The page's worker computes in WebAssembly with
vectors, and in plain JavaScript to compare; all take turns. Figures are of the fastest of three rounds. Beside them
stands what the browser's processes computed, which other work on the machine changes less. Pictures of the page are
compared with torch's, of the same maps and of a style of its own in each region; its maps with the engine's.
"""

import argparse
import contextlib
import json
import sys

import numpy as np
import psutil

from benchmarks import harness
from benchmarks.inputs.browser import opened_page
from sofgan.apps.camera_paths import orbit
from sofgan.apps.engine import Engine
from sofgan.apps.looks import REGION_NAMES
from sofgan.page.build import Content, build

LEAST_FRAMES = 5.0  # a second
MOST_DIFFERENCE = 2  # of 255
ROUNDS, VIEWS, LOOKS = 3, 6, 8
WINDOW = (1240, 900)
SECONDS = 100  # that a script in the page may take
# Waits for the page to be at rest, then shows one frame after another; gives the seconds of all.
FRAMES = """
const [changes, plain, done] = arguments;
(async () => {
  await sofganPage.restart(plain);
  await sofganPage.change({ yaw: 0, pitch: 0, look: 0 });
  const began = performance.now();
  for (const change of changes) await sofganPage.change(change);
  return (performance.now() - began) / 1000;
})().then(done, (error) => done(String(error)));
"""
PAINT = """
const [labels, side, styles, done] = arguments;
sofganPage.paint(labels, side, styles).then(({ picture }) => done([...picture]), (error) => done(String(error)));
"""
VIEW = """
const [yaw, pitch, done] = arguments;
sofganPage.change({ yaw, pitch }).then(() => done([...sofganPage.shown().labels]), (error) => done(String(error)));
"""


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=1)
    found.add_argument("--models", default="starter", help="folder of the models, or starter")
    found.add_argument("--size", type=int, default=128, help="pixels of the maps")
    found.add_argument("--frames", type=int, default=24)
    return found


def main(arguments) -> list[bool]:
    engine = Engine.open(arguments.models)
    page = build(engine, Content([0], LOOKS, size=arguments.size, turns=False)).html
    resolution = engine.siw.resolution
    print(f"page of one head: {len(page.encode()) / 1e6:.2f} MB; pictures of {resolution} pixels")
    with opened_page(page, WINDOW, SECONDS) as driver:
        rates = measure(driver, arguments.frames)
        difference, alike = compare(driver, engine, arguments.size)
    print(f"maps that are as the engine's quick ones: {alike:.4f} of the pixels")
    return [
        harness.verdict("frames a second", rates["turned"], at_least=LEAST_FRAMES),
        harness.verdict("largest difference to torch, of 255", difference, at_most=MOST_DIFFERENCE),
    ]


def measure(driver, frames: int) -> dict[str, float]:
    """Frames a second of each kind by the page's usual way, after those of all ways are printed."""
    kinds = {
        "turned": [{"yaw": angle.yaw, "pitch": angle.pitch} for angle in orbit(frames, 40.0, 8.0)],
        "restyled": [{"look": 1 + index % 2} for index in range(frames)],
    }
    ways = {"plain JavaScript": True, "WebAssembly with vectors": False}
    wall, cpu = {}, {}
    for _ in range(ROUNDS):
        for way, plain in ways.items():
            for kind, changes in kinds.items():
                began = cpu_seconds(driver)
                seconds = _told(driver.execute_async_script(FRAMES, changes, plain))
                wall.setdefault((way, kind), []).append(seconds / frames)
                cpu.setdefault((way, kind), []).append((cpu_seconds(driver) - began) / frames)
    for way, kind in wall:
        least, busy = min(wall[way, kind]), min(cpu[way, kind])
        print(
            f"{way}, {kind}: {1 / least:.1f} frames/s, {1000 * busy:.0f} ms of the CPU a frame, browser and all"
        )
    times = driver.execute_script("return JSON.stringify(sofganPage.shown().times)")
    print("last frame, ms:", ", ".join(f"{name} {value:.0f}" for name, value in json.loads(times).items()))
    return {kind: 1 / min(wall[way, kind]) for kind in kinds}


def cpu_seconds(driver) -> float:
    """Seconds that all processes of the browser have computed so far."""
    found = 0.0
    for process in psutil.Process(driver.service.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # It ended since.
            times = process.cpu_times()
            found += times.user + times.system
    return found


def compare(driver, engine: Engine, size: int) -> tuple[int, float]:
    """Largest difference of a color to torch's picture, of 255; share of the maps' pixels that are the engine's."""
    differences, alike = [], []
    for view, angle in enumerate(orbit(VIEWS, 40.0, 8.0)):
        labels = engine.quick_view(engine.head(0), engine.camera(angle.yaw, angle.pitch, size)).labels
        look = engine.look(100 * view)
        for region, name in enumerate(REGION_NAMES):
            look = look.restyled(name, engine.look(100 * view + region))
        styles = look.w.flatten().tolist()
        painted = np.array(_told(driver.execute_async_script(PAINT, labels.ravel().tolist(), size, styles)))
        expected = engine.paint(labels, look).astype(int)
        difference = np.abs(painted.reshape(*expected.shape[:2], 4)[..., :3] - expected)
        differences.append(difference)
        shown = _told(driver.execute_async_script(VIEW, angle.yaw, angle.pitch))
        alike.append((np.array(shown).reshape(size, size) == labels).mean())
    print(f"mean difference to torch: {np.mean(differences):.4f} of 255")
    return int(np.max(differences)), float(np.mean(alike))


def _told(found):
    if isinstance(found, str):
        raise RuntimeError(found)
    return found


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
