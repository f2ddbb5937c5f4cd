"""Find codes and cameras of real people's label maps in the trained field (round 2)."""

import numpy as np
import torch

from sofgan.config import to_mapping
from sofgan.faces.store import PhotoStore
from sofgan.files import atomic_path, sha256_file, write_npz, write_png
from sofgan.labels import colorize
from sofgan.sof.invert import extend, invert
from sofgan.sof.model import load_sof, save_sof
from sofgan.training import Checkpoints
from stages.params import read_params, runtime, seed
from stages.tracking import stage_run

SHOWN = 8


def main() -> None:
    params, machine = read_params("invert_masks"), runtime()
    torch.set_num_threads(machine.threads)
    sof = load_sof("models/sof.pt", machine.device)
    store = PhotoStore("data/photos/celebamask")
    # Spread over the store, where neighbours may show one person.
    chosen = np.unique(np.linspace(0, len(store) - 1, min(params.maps, len(store))).round().astype(int))
    keys = [store.keys()[index] for index in chosen]
    maps = torch.from_numpy(np.stack([store.labels(int(index), params.size) for index in chosen]))
    inputs = [to_mapping(params), seed(), sha256_file("models/sof.pt"), keys, machine.device]
    checkpoints = Checkpoints(".work/invert_masks", inputs)
    with stage_run("invert_masks", params) as run:
        found = invert(
            sof,
            maps,
            params,
            seed(),
            checkpoints,
            params.checkpoint_every_steps,
            status=run.status,
            report=run.report,
        )
        save_sof("models/sof_inverted.pt", extend(sof, found, [f"celebamask/{key}" for key in keys]))
        pairs = np.concatenate([maps.numpy()[:SHOWN], found.fitted[:SHOWN]], 1)  # truth above, fit below
        picture = colorize(np.concatenate(list(pairs), 1))
        with atomic_path("data/inverted") as folder:
            folder.mkdir()
            write_npz(
                folder / "inversion.npz",
                keys=np.array(keys),
                codes=found.codes.cpu().numpy(),
                camera_names=np.array(found.camera_names),
                cameras=found.cameras.cpu().numpy(),
                cam2world=found.cam2world.cpu().numpy(),
                intrinsics=found.intrinsics.cpu().numpy(),
                miou=found.miou,
                labels=maps.numpy(),
                fitted=found.fitted,
            )
            write_png(folder / "inversion.png", picture)
        run.image("samples/inversion", picture)
        run.final(
            {
                "input_miou": float(found.miou.mean()),
                "input_miou_worst": float(found.miou.min()),
                "maps": len(keys),
            }
        )
    checkpoints.clear()


if __name__ == "__main__":
    main()
