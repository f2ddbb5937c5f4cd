"""Train the semantic occupancy field on the label views of all batches."""

import torch

from sofgan.config import to_mapping
from sofgan.files import atomic_path, sha256_file, write_json, write_png
from sofgan.sof.curves import write_curve
from sofgan.sof.data import read_views, view_files
from sofgan.sof.model import save_sof
from sofgan.sof.train import finish, train_sof, validate
from sofgan.training import Checkpoints
from stages.params import batches, read_params, runtime, seed
from stages.tracking import stage_run


def main() -> None:
    params, machine = read_params("train_sof"), runtime()
    torch.set_num_threads(machine.threads)
    files = view_files("data/views", batches())
    views = read_views(files)
    inputs = [[str(path), sha256_file(path)] for path in files]
    checkpoints = Checkpoints(".work/train_sof", [to_mapping(params), seed(), inputs, machine.device])
    with stage_run("train_sof", params) as run:
        model, curve = train_sof(
            views, params, seed(), machine.device, checkpoints, report=run.report, status=run.status
        )
        save_sof("models/sof.pt", finish(model, views, params, seed()))
        write_curve("plots/train_sof.csv", curve)

        on_device = views.to(machine.device)
        held_out, picture = validate(model, on_device, None)
        training, _ = validate(model, on_device, params.validate_views, held_out=False)
        with atomic_path("data/sof") as folder:
            folder.mkdir()
            write_png(folder / "held_out.png", picture)
            write_json(folder / "per_class_iou.json", held_out.per_class())
        run.image("samples/held_out", picture, params.steps)
        run.final(
            {
                "held_out_miou": held_out.miou(),
                "training_view_miou": training.miou(),
                "held_out_accuracy": held_out.accuracy(),
                "instances": len(views.names),
                "training_views": int((~views.held_out).sum()),
                "held_out_views": int(views.held_out.sum()),
                **{f"iou_{name}": value for name, value in held_out.per_class().items()},
            }
        )
    checkpoints.clear()


if __name__ == "__main__":
    main()
