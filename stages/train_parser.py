"""Labelled photos become a face parser, or official weights become it; scored on held-out photos either way.

On N GPUs of one machine: `runtime.train_processes: N`. They train as one does, but for rounding.
"""

import csv
from pathlib import Path

from sofgan import distributed
from sofgan.files import atomic_path, sha256_file, write_json
from sofgan.labels import NAMES
from sofgan.parsing.data import photos_of, splits_of
from sofgan.parsing.parser import pretrained_parser, save_parser
from sofgan.parsing.train import TrainedParser, score_parser, sharers, train_parser
from sofgan.photos.store import HELD_OUT, VALIDATION, PhotoStore
from sofgan.runtime import use_cpu, use_gpu
from sofgan.scores.segmentation import ConfusionMatrix, confusion_picture
from stages import paths
from stages.execution.entry import enter
from stages.execution.sessions import forget, session
from stages.execution.train_together import train_together
from stages.params import read_params, runtime, seed
from stages.tracking.run import stage_run

HEADLINE = {"parser": "held_out_miou"}  # in metrics/train_parser.json: of these figures


def main() -> None:
    params = read_params("train_parser")
    train_together(
        "stages.train_parser", lambda asked: 1 if params.pretrained.path else sharers(params.batch, asked)
    )
    how = runtime()
    use_cpu(how.threads)
    use_gpu(how.device, exact=False)
    store = PhotoStore(paths.PHOTOS["celebamask"])
    with distributed.process_group(how.device) as device, stage_run("train_parser", params) as run:
        if params.pretrained.path:
            run.text("official weights have seen all of CelebAMask-HQ: of it nothing is held out from them")
            parser = pretrained_parser(params.parser, params.pretrained.path, params.pretrained.sha256)
            parser = parser.to(device)
            confusion, picture = score_parser(parser, photos_of(store, HELD_OUT, params.parser.size))
            run.image("samples/parser", picture)
            trained = TrainedParser(parser, 0, confusion, [])
        else:
            states = session("train_parser", params, run, photos=store.fingerprint())
            photos = splits_of(store, params.parser.size)
            trained = train_parser(photos, params, seed(), device, states, how.workers)
        if distributed.rank() > 0:
            return
        save_parser(paths.PHOTO_PARSER, trained.parser)
        write_json(paths.PHOTO_PARSER_DIGEST, {"sha256": sha256_file(paths.PHOTO_PARSER)})
        _write_table(paths.PLOTS / "train_parser.csv", ["step", "loss", "validation_miou"], trained.curve)
        shares = trained.confusion.truth_shares()
        classes = [
            {"class": name, "iou": iou, "truth_share": shares[NAMES.index(name)]}
            for name, iou in trained.confusion.per_class().items()
        ]
        _write_table(paths.PLOTS / "train_parser_classes.csv", ["class", "iou", "truth_share"], classes)
        _write_table(
            paths.PLOTS / "train_parser_confusion.csv",
            ["truth", "prediction", "share"],
            _cells(trained.confusion),
        )
        for table in ("classes", "confusion"):
            run.artifact(f"plots/train_parser_{table}.csv")
        run.image("samples/parser_confusion", confusion_picture(trained.confusion))
        run.final(
            {
                "held_out_miou": trained.confusion.miou(),
                "held_out_accuracy": trained.confusion.accuracy(),
                "held_out_photos": int((store.splits() == HELD_OUT).sum()),
                "validation_photos": 0
                if params.pretrained.path
                else int((store.splits() == VALIDATION).sum()),
                "size_px": params.parser.size,
                "best_step": trained.step,
                **{f"iou_{row['class']}": row["iou"] for row in classes},
            },
            headline=HEADLINE,
        )
        forget("train_parser")


def _cells(confusion: ConfusionMatrix) -> list[dict]:
    """A row for each pair of classes that occur: the share of the true class's pixels that got the other's label."""
    classes, shares = confusion.shares()
    return [
        {"truth": NAMES[i], "prediction": NAMES[j], "share": float(round(shares[a, b], 6))}
        for a, i in enumerate(classes)
        for b, j in enumerate(classes)
    ]


def _write_table(path: str, columns: list[str], rows: list[dict]) -> None:
    with atomic_path(Path(path)) as temporary, open(temporary, "w", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    enter(main)
