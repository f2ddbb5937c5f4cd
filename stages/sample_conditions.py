"""Sample heads from the field's space, and draw what portraits of them show: conditions to train and to score on.

Pieces go to Dask's workers where `runtime.cluster` says so, else to a process for each GPU, or to threads on the CPU.
Chosen heads and finished pieces are kept in `.work/sample_conditions` until all is done: a run that was stopped is gone
on with.
"""

import numpy as np

from sofgan.errors import InputError
from sofgan.files import atomic_path, sha256_file, write_png
from sofgan.fingerprint import kept_folder
from sofgan.photos.store import HELD_OUT, PhotoStore
from sofgan.pieces import Pieces
from sofgan.runtime import use_cpu, use_gpu
from sofgan.siw.condition_shards import write_conditions
from sofgan.siw.condition_store import EVALUATION, TRAINING, Conditions, contact_sheet, copy_store
from sofgan.siw.condition_views import HeadSampling, PortraitViews, portrait_framing, training_reference
from sofgan.siw.config import SampleConditions
from sofgan.siw.portrait_poses import people_poses
from sofgan.sof.sof import SofFile
from stages import paths
from stages.execution.dask_shards import over_devices
from stages.execution.entry import enter
from stages.execution.sessions import fingerprint, forget
from stages.params import read_params, runtime, seed
from stages.tracking.run import stage_run

INVERSION = paths.INVERTED / "inversion.npz"
FIELD, PHOTO_MAPS, OUT = paths.SOF_INVERTED, paths.PARSED, paths.CONDITIONS
STAGE = "sample_conditions"
WORK = paths.WORK / STAGE
SHEET_MAPS, SHEET_COLUMNS = 48, 12  # maps on the contact sheet


def main() -> None:
    """The field after round 2 and the photos' label maps in; data/conditions out."""
    params, machine = read_params(STAGE), runtime()
    use_cpu(machine.threads)
    use_gpu(machine.device, exact=True)
    field = SofFile(FIELD, sha256_file(FIELD), machine.device)
    sof = field.load()
    # Where none of the field's views is trained on, only those are drawn that are scored. DVC knows of it by
    # data/code/sample_conditions.json.
    trained_on = params.maps if read_params("train_siw").needs_heads else 0
    counts = {TRAINING: trained_on, EVALUATION: params.evaluation_maps}
    with stage_run(STAGE, params) as run, over_devices(STAGE, machine.device) as mapper:
        run.text("heads to judge new ones by")
        reference = training_reference(sof) if params.sampling.judged else None
        how, measured = HeadSampling(params.sampling.sampling(), reference), params.framing.reference_heads
        people = None
        if params.framing.cameras == "people":
            run.text("how people were seen")
            people = people_poses(INVERSION)
        framing = portrait_framing(sof, how, photo_maps(params), measured, seed())
        views = PortraitViews(framing, params.framing, params.size_px, people)
        files = {str(path): sha256_file(path) for path in (FIELD, *([INVERSION] if people else []))}
        inputs = {"counts": counts, "framing": framing.to_mapping(), "inputs": files}
        made_by = fingerprint(STAGE, params, **inputs)
        kept = kept_folder(WORK, "a rendering of conditions", made_by)
        write_conditions(field, how, views, counts, seed(), Pieces(kept, mapper, run))
        with atomic_path(OUT) as folder:
            folder.mkdir()
            copy_store(kept, folder)
            shown = Conditions(folder).maps(TRAINING if counts[TRAINING] else EVALUATION)
            sheet = contact_sheet(shown, SHEET_MAPS, SHEET_COLUMNS)
            write_png(folder / "maps.png", sheet)
        run.image("samples/maps", sheet)
        run.final(
            {
                "training_maps": counts[TRAINING],
                "evaluation_maps": counts[EVALUATION],
                "fov_degrees": framing.fov_degrees,
                "camera_distance": framing.distance,
            }
        )
        forget(STAGE)


def photo_maps(params: SampleConditions) -> np.ndarray:
    """Label maps (N, S, S) of photos, which heads are framed as.

    Raises:
        InputError: all photos are held out.
    """
    store = PhotoStore(PHOTO_MAPS)
    places = np.flatnonzero(store.splits() != HELD_OUT)[: params.framing.reference_maps].tolist()
    if not places:
        raise InputError(
            f"{PHOTO_MAPS} has no maps of photos to train on, which heads are framed as: lower "
            "import_photos.ffhq.held_out_share, or add photos"
        )
    return np.stack([store.labels(place, params.size_px) for place in places])


if __name__ == "__main__":
    enter(main)
