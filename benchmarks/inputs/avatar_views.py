"""Label views of embedded avatars that the field's benchmarks train on, made once and kept in .work/benchmarks."""

import hashlib
import json
import multiprocessing
import shutil
from pathlib import Path

from benchmarks.harness import CACHE, block, tell
from sofgan.avatars.batch import make_batch
from sofgan.config import to_mapping
from sofgan.errors import InputError
from sofgan.files import atomic_path
from sofgan.scans.ingestion import ingest_batch
from sofgan.views.multiview import render_batch

SEED = 0  # of the avatars and of their cameras
# Batches and how many avatars they have.
HEADS, NEW_HEADS = ("field-300", 300), ("field-new", 16)


def avatar_views(batch: str, scans: int, workers: int = 1) -> list[Path]:
    """Views files of a batch's first avatars, by the parameters of params.yaml.

    An avatar depends on its batch's name and its own: those of two batches are different people, and the first
    ones of a batch are the same however many are made.
    """
    ingestion, views = block("ingest_scans"), block("render_views")
    text = json.dumps([SEED, scans, batch, to_mapping(ingestion), to_mapping(views)], sort_keys=True)
    folder = CACHE / f"views-{batch}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if not folder.is_dir():
        tell(f"making {scans} avatars of {batch} and their views, once")
        # In a process of its own: torch's optimisers crash where Mesa's OpenGL was loaded before.
        maker = multiprocessing.get_context("spawn").Process(
            target=_make, args=(folder, batch, scans, workers)
        )
        maker.start()
        maker.join()
        if maker.exitcode:
            raise InputError(f"making the views of {batch} failed; its traceback is above")
    return sorted((folder / batch).glob("*.npz"))


def views_folder(name: str) -> Path:
    """The folder of batches of views that is meant; `field-300` is that of HEADS."""
    return avatar_views(*HEADS)[0].parents[1] if name == HEADS[0] else Path(name)


def _make(folder: Path, batch: str, scans: int, workers: int) -> None:
    ingestion, views = block("ingest_scans"), block("render_views")
    with atomic_path(folder) as work:
        make_batch(work / "raw" / batch, batch, scans, SEED, workers)
        ingest_batch(work / "raw" / batch, work / "scans" / batch, ingestion, workers)
        render_batch(work / "scans" / batch, work / batch, views, SEED, workers)
        shutil.rmtree(work / "raw")
        shutil.rmtree(work / "scans")
