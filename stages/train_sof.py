"""Train the semantic occupancy field on the label views of all batches, those of a few heads aside.

On N GPUs of one machine: `runtime.train_processes: N`. They train as one does, but for rounding.
With `warm_start` it goes on from an earlier field, for fewer steps.
"""

import torch

from sofgan import distributed
from sofgan.files import atomic_path, sha256_file, write_json, write_png
from sofgan.runtime import use_cpu, use_gpu
from sofgan.seeds import torch_generator
from sofgan.sof.config import TrainSof
from sofgan.sof.fitting import fit_codes, score_codes
from sofgan.sof.mapped_views import open_views
from sofgan.sof.model import SofModel
from sofgan.sof.plausibility import JudgingViews, score_space
from sofgan.sof.sof import save_sof
from sofgan.sof.train import finish, train_sof, validate
from sofgan.sof.view_set import ViewSet, instance_name, read_views, split_instances, view_files
from sofgan.sof.warm_start import load_previous, train_on
from sofgan.training import write_classes, write_curve
from stages import paths
from stages.execution.entry import enter
from stages.execution.sessions import forget, session
from stages.execution.train_together import train_together
from stages.params import batches, read_params, runtime, seed
from stages.tracking.run import StageRun, stage_run

SAMPLES = 64  # new heads by which the space is scored
SAMPLE_VIEWS = JudgingViews(size=64)
MAPPED = paths.WORK / "train_sof/views"  # files of views that don't fit into memory
HEADLINE = {
    "field": "held_out_miou",
    "new_head": "new_head_miou",
}  # in metrics/train_sof.json: of all figures


def main() -> None:
    params = read_params("train_sof")
    shared = (params.warm_start if params.warm_start.field else params).instances_per_step
    train_together("stages.train_sof", lambda asked: min(asked, shared))
    machine = runtime()
    use_cpu(machine.threads)
    use_gpu(machine.device, exact=True)
    everyone = view_files(paths.VIEWS, batches())
    files, new_files = split_instances(everyone, params.held_out_instances, seed())
    previous = None
    if params.warm_start.field:
        previous = load_previous(params.warm_start, params)
        # Heads that the earlier field knows go on being trained on: they can't show how new ones fit.
        new_files = [file for file in new_files if instance_name(file) not in previous.training_names]
        files = [file for file in everyone if file not in new_files]
    new_heads = read_views(new_files) if new_files else None
    inputs = {str(path): sha256_file(path) for path in files}
    with distributed.process_group(machine.device) as device, stage_run("train_sof", params) as run:
        views = open_views(files, list(inputs.values()), params.memory_limit_gb, MAPPED)
        how = (views, params, seed(), device, session("train_sof", params, run, inputs=inputs))
        model, curve = train_on(previous, *how) if previous else train_sof(*how)
        if distributed.rank() == 0:
            save_and_score(model, curve, views, new_heads, params, device, run)
            forget("train_sof")  # MAPPED too


def save_and_score(
    model: SofModel,
    curve: list[dict[str, float]],
    views: ViewSet,
    new_heads: ViewSet | None,
    params: TrainSof,
    device: torch.device,
    run: StageRun,
) -> None:
    """Write what the stage leaves. `new_heads` are those that were not trained on; None: there are none."""
    sof = finish(model, views, params, seed())
    save_sof(paths.SOF, sof)
    write_curve(paths.PLOTS / "train_sof.csv", curve)

    # Views of known heads: those held out, and some that were trained on.
    held_out, picture = validate(model, views, None)
    training, _ = validate(model, views, params.validate_views, held_out=False)
    pictures = {"held_out": picture}
    scores = {
        "held_out_miou": held_out.miou(),
        "training_view_miou": training.miou(),
        "held_out_accuracy": held_out.accuracy(),
        "instances": len(views.names),
        "training_views": int((~views.held_out).sum()),
        "held_out_views": int(views.held_out.sum()),
        **{f"iou_{name}": value for name, value in held_out.per_class().items()},
    }

    classes = {"iou": held_out.per_class()}

    # New heads, their codes fitted to their training views.
    if new_heads:
        codes = fit_codes(model, new_heads, params, params.fit_steps, seed(), device, run)
        fit, pictures["new_heads"] = score_codes(model, codes, new_heads)
        scores |= {"new_heads": len(new_heads.names), "new_head_miou": fit.miou()}
        scores |= {f"new_head_iou_{name}": value for name, value in fit.per_class().items()}
        classes["new_head_iou"] = fit.per_class()
    write_classes(paths.PLOTS / "train_sof_classes.csv", **classes)

    # New heads that are sampled.
    run.text(f"judging {SAMPLES} sampled heads")
    scores |= score_space(sof, SAMPLES, torch_generator(seed(), "sof samples"), SAMPLE_VIEWS)

    with atomic_path(paths.SOF_PICTURES) as folder:
        folder.mkdir()
        for name, picture in pictures.items():
            write_png(folder / f"{name}.png", picture)
        write_json(folder / "per_class_iou.json", held_out.per_class())
    for name, picture in pictures.items():
        run.image(f"samples/{name}", picture, curve[-1]["step"])
    run.final(scores, headline=HEADLINE)


if __name__ == "__main__":
    enter(main)
