"""What a scan, a photo or a training step costs, and what 100,000 scans and FFHQ at 1024 pixels would: docs/scale.md.

    python -m benchmarks.scale [--scans 100000] [--photos 70000] [--cores 96] [--gpus 8]
    python -m benchmarks.scale --profile paper [--cores 96] [--gpus 8] [--check]

Measured here, one process with one thread: scans ingested and rendered (16 avatars), photos of 1024 pixels imported and
parsed at 512 by facexlib's BiSeNet (16 drawn ones; its weights don't matter for the time), steps of the field's and
the generator's training with params.yaml. Bytes are those of the files written.

Counted: floating-point operations of whole training steps, regularisers with the share of steps that have them; the
generator's on tensors without contents.

Projected: all but the generator by cores that are as fast as this one; the generator by operations, at the rate that
each GPU reached in StyleGAN2's published training (8 A100, 1024 pixels, 14.6 s for a thousand photos), whose operations
are counted in the same way. No GPU was measured.

With --profile: of each stage of that profile the most memory of a process and of a GPU, and hours. The host's memory
is that of a rehearsal (`python -m pipelines rehearse`: all stages with few of everything), in which each table that
grows with their number counts as often as there will be; the GPU's and operations are counted on tensors without
contents. Limit: no stage needs more than 64 GB of a process or 24 GB of a GPU, or fails; which do is said.
"""

import argparse
import dataclasses
import io
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks import harness
from pipelines import rehearsal, rehearsal_params
from sofgan.avatars.batch import make_batch
from sofgan.counting import Ledger
from sofgan.parallel import one_thread_each
from sofgan.parsing.config import ParseFaces, ParserConfig
from sofgan.parsing.parse_store import parse_store
from sofgan.parsing.parser import FaceParser
from sofgan.photos.importing import Selection, import_photos
from sofgan.photos.layouts import find_source
from sofgan.photos.store import PhotoStore
from sofgan.pieces import Pieces
from sofgan.scans.ingestion import ingest_batch
from sofgan.seeds import numpy_generator
from sofgan.siw.config import TrainSiw
from sofgan.sof.train import train_sof
from sofgan.sof.view_set import read_views
from sofgan.views.multiview import render_batch
from stages import params
from stages.execution.rehearsing.needs import generator_operations

SCANS, PHOTOS, PHOTO_SIZE = 16, 16, 1024
STYLEGAN2_PHOTOS_A_SECOND = 8, 1000 / 14.6  # on so many A100, at 1024 pixels
FFHQ_BYTES = 89.1e9 / 70_000  # of a photo as published, PNG of 1024 pixels
SOF_STEPS = 40
RENDERED = 128, 512  # pixels
SCANS_OF_DEMO = 96
A100_OPERATIONS = (
    17.0e12  # a second, in StyleGAN2's published training at 1024 pixels: as printed without --profile
)


def size_of(folder: Path, pattern: str = "*") -> int:
    """Bytes of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob(pattern) if path.is_file())


def timed(work) -> float:
    """CPU seconds of a call: one thread's, whatever else the machine does."""
    began = time.process_time()
    work()
    return time.process_time() - began


def scans(folder: Path) -> dict[str, tuple[float, float]]:
    """Seconds and bytes of a scan: raw, ingested, rendered at each of `RENDERED`."""
    made = timed(lambda: make_batch(folder / "raw", "scale", SCANS, 0))
    found = {"raw": (made / SCANS, size_of(folder / "raw") / SCANS)}
    ingestion = harness.block("ingest_scans", "demo")
    seconds = timed(lambda: ingest_batch(folder / "raw", folder / "scans", ingestion, 1))
    found["ingest"] = seconds / SCANS, size_of(folder / "scans", "*.npz") / SCANS
    views = harness.block("render_views", "demo")
    for size in RENDERED:
        config, out = dataclasses.replace(views, size_px=size), folder / f"views-{size}"
        seconds = timed(lambda config=config, out=out: render_batch(folder / "scans", out, config, 0, 1))
        found[f"render {size}"] = seconds / SCANS, size_of(out, "*.npz") / SCANS
    return found


def photos(folder: Path) -> dict[str, tuple[float, float]]:
    """Seconds and bytes of a photo: imported, parsed to a map of 512 pixels; operations of parsing one."""
    (folder / "photos").mkdir()
    rng = numpy_generator(0, "scale")
    for index in range(PHOTOS):
        small = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        picture, file = Image.fromarray(small).resize((PHOTO_SIZE, PHOTO_SIZE), Image.BICUBIC), io.BytesIO()
        picture.save(file, "JPEG", quality=95)
        (folder / f"photos/{index:05d}.jpg").write_bytes(file.getvalue())
    store = folder / "store"
    seconds = timed(lambda: import_photos(find_source(folder / "photos"), store, Selection(64, 0.0)))
    found = {"import": (seconds / PHOTOS, size_of(store) / PHOTOS)}
    torch.manual_seed(0)
    parser = FaceParser(ParserConfig("bisenet", 512, order="bisenet")).eval()
    config, maps = ParseFaces(4, 512, False, (1.0,), True), folder / "maps"

    def parse() -> None:
        parse_store(PhotoStore(store), parser, maps, config, Pieces(folder / "work"))

    found["parse"] = timed(parse) / PHOTOS, size_of(maps) / PHOTOS
    with torch.no_grad(), Ledger() as operations:
        parser.class_ids(torch.zeros(1, 3, 512, 512), 512)
    found["parse operations"] = operations.operations, 0.0
    return found


def field(folder: Path) -> dict[str, float]:
    """Of a visit of a head in a step (its views, its rays): seconds and operations, over the mix of steps."""
    views = read_views(sorted((folder / f"views-{RENDERED[0]}").glob("*.npz")))
    config = dataclasses.replace(harness.block("train_sof", "demo"), validate_views=1)
    short = dataclasses.replace(config, steps=SOF_STEPS, validate_every_steps=SOF_STEPS)
    visits = SOF_STEPS * min(config.instances_per_step, len(views.names))
    seconds = timed(lambda: train_sof(views, short, 0, "cpu")) / visits
    with Ledger() as operations:
        train_sof(views, short, 0, "cpu")
    return {"seconds": seconds, "operations": operations.operations / visits}


def stylegan2(paper: TrainSiw) -> TrainSiw:
    """StyleGAN2's configuration F at 1024 pixels, as its published speeds are of."""
    network = dataclasses.replace(
        paper.generator, encoder="constant", start_size=4, mixing="none", spade_sizes=(2048, 2048)
    )
    return dataclasses.replace(paper, generator=network, path_length_every=4, r1_every=16)


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=1)
    found.add_argument("--scans", type=int, default=100_000)
    found.add_argument("--photos", type=int, default=70_000)
    found.add_argument("--cores", type=int, default=96)
    found.add_argument("--gpus", type=int, default=STYLEGAN2_PHOTOS_A_SECOND[0])
    found.add_argument("--profile", help="demo, or a file of profiles/: memory and hours of its stages")
    return found


def main(arguments) -> list[bool]:
    if arguments.profile:
        return of_profile(arguments.profile, arguments.cores, arguments.gpus)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        a_photo = photos(folder)
        # In a process of its own: torch's optimisers crash where Mesa's OpenGL was loaded before.
        with one_thread_each(), ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            a_scan = pool.submit(scans, folder).result()
        a_visit = field(folder)
    paper = harness.block("train_siw", "paper")
    counted = [
        generator_operations(config)
        for config in (harness.block("train_siw", "demo"), paper, stylegan2(paper))
    ]
    measured(a_scan, a_photo, a_visit, *counted)
    projected(arguments, a_scan, a_photo, a_visit, *counted[1:], paper)
    return []


def of_profile(name: str, cores: int, gpus: int) -> list[bool]:
    """Print what the stages of a profile need; the verdict on those that need too much, or fail."""
    document = rehearsal.document_of(name)
    sets = rehearsal_params.set_sizes(document, Path.cwd())
    # What a rehearsal says on the way goes to the terminal's other stream: this command's output is a table.
    with rehearsal.rehearsals({name: document}, harness.tell) as walks:
        results = walks[name]()
    with tempfile.TemporaryDirectory(prefix="sofgan-scale-") as work:
        folder = Path(work)
        units = {name: seconds for name, (seconds, _) in photos(folder).items()}
        with one_thread_each(), ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            units |= {name: seconds for name, (seconds, _) in pool.submit(scans, folder).result().items()}
    by_core = {
        "make_avatars": units["raw"] * sets["scans"],
        "ingest_scans": units["ingest"] * sets["scans"],
        "render_views": units[f"render {RENDERED[0]}"] * sets["scans"],
        "import_photos": units["import"] * (sets["ffhq"] + sets["celebamask"]),
    }
    together = {
        "train_sof": min(gpus, document["train_sof"]["instances_per_step"]),
        "train_siw": params.block_of(document["train_siw"], "train_siw", Path(name)).sharers(gpus),
    }
    print(harness.head("stage", "memory of a process, GB", "of a GPU, GB", "hours", "on", "counted"))
    for result in results:
        stage, hours, where = result.stage.split("@")[0], "", ""
        if result.operations:
            count = together.get(stage, 1)
            hours = f"{result.operations / A100_OPERATIONS / count / 3600:,.1f}"
            where = f"{count} A100"
        elif stage in by_core:
            hours, where = f"{by_core[stage] / cores / 3600:,.2f}", f"{cores} cores"
        host, device = (f"{size / 1e9:,.1f}" if size else "" for size in (result.host, result.device))
        print(harness.row(result.stage, host, device, hours, where, result.of))
    faults = [f"{result.stage}: {fault}" for result in results for fault in result.faults]
    for fault in faults:
        print(fault)
    return [harness.verdict("stages that need too much, or fail", len(faults), at_most=0)]


def measured(a_scan, a_photo, a_visit, demo: float, shown: float, reference: float) -> None:
    """Print what was measured, and what was counted: operations of a photo shown, of the demo, the paper, StyleGAN2."""
    print("## Measured here, one thread\n")
    print(harness.head("unit", "seconds", "bytes"))
    for name, (seconds, size) in {**a_scan, **a_photo}.items():
        if name != "parse operations":
            print(harness.row(name, f"{seconds:.3f}", f"{size:,.0f}"))
    print(harness.row("a head's visit in a step of the field", f"{a_visit['seconds']:.4f}", ""))
    print("\n## Counted, 10^9 floating-point operations\n")
    print(harness.head("unit", "operations"))
    rows = {
        "a photo parsed (BiSeNet, 512 px)": a_photo["parse operations"][0],
        "a head's visit in a step of the field": a_visit["operations"],
        "a photo shown to the generator, demo (64 px)": demo,
        "a photo shown to the generator, paper (1024 px)": shown,
        "the same of StyleGAN2 (1024 px)": reference,
    }
    for name, count in rows.items():
        print(harness.row(name, f"{count / 1e9:,.1f}"))
    gpus, a_second = STYLEGAN2_PHOTOS_A_SECOND
    rate = rate_of_a_gpu(reference)
    print(
        f"\nStyleGAN2 on {gpus} A100: {a_second:.1f} photos a second, {rate / 1e12:.1f} * 10^12 a second and GPU\n"
    )


def rate_of_a_gpu(reference: float) -> float:
    """Operations a second of a GPU, as StyleGAN2 was trained, from those of a photo that is shown to it."""
    gpus, a_second = STYLEGAN2_PHOTOS_A_SECOND
    return reference * a_second / gpus


def projected(arguments, a_scan, a_photo, a_visit, shown: float, reference: float, paper: TrainSiw) -> None:
    """Print hours and bytes at the size that is asked for."""
    sof = harness.block("train_sof", "demo")
    heads = SCANS_OF_DEMO - sof.held_out_instances
    visits = sof.steps * sof.instances_per_step / heads
    many, cores, shots = arguments.scans, arguments.cores, arguments.photos
    on_gpus = rate_of_a_gpu(reference) * arguments.gpus * 3600

    def on_cores(count: int, unit: tuple[float, float], size: float) -> tuple[str, float, float]:
        return f"{cores} cores", count * unit[0] / cores / 3600, count * size

    hours = {f"ingest {many:,} scans": on_cores(many, a_scan["ingest"], a_scan["ingest"][1])}
    for size in RENDERED:
        unit = a_scan[f"render {size}"]
        hours[f"render them at {size} px"] = on_cores(many, unit, unit[1])
    hours[f"import {shots:,} photos"] = on_cores(shots, a_photo["import"], FFHQ_BYTES)
    hours["parse them at 512 px"] = on_cores(shots, a_photo["parse"], a_photo["parse"][1])
    # Steps of that size wait for a GPU's launches, not for its arithmetic: only this thread's time is known.
    hours[f"train the field, {visits:.0f} visits a head"] = (
        "1 core",
        many * visits * a_visit["seconds"] / 3600,
        0,
    )
    training = paper.kimg * 1000 * shown / on_gpus
    hours[f"train the generator, {paper.kimg:,.0f} kimg"] = f"{arguments.gpus} A100", training, 0
    print("## Projected\n")
    print(harness.head("what", "on", "hours", "kept, GB"))
    for name, (where, value, size) in hours.items():
        print(harness.row(name, where, f"{value:,.2f}", f"{size / 1e9:,.1f}" if size else ""))
    views = harness.block("render_views", "demo")
    pixels = many * views.views_per_scan * views.size_px**2
    # Labels and their chances to be drawn, a byte each; depths of two bytes.
    print(
        f"\nall views of {many:,} scans, mapped by train_sof above memory_limit_gb: {4 * pixels / 1e9:,.0f} GB"
    )
    print(f"days of training the generator: {training / 24:.1f}")


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
