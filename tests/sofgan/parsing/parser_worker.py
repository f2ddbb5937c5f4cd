"""One process of test_parser_distributed: trains as its JSON says and writes what it ended with."""

import json
import os
import sys
from pathlib import Path

import torch

from sofgan import distributed
from sofgan.config import from_mapping
from sofgan.parsing.config import TrainParser
from sofgan.parsing.data import splits_of
from sofgan.parsing.train import train_parser
from sofgan.photos.store import PhotoStore
from sofgan.progress import Progress
from sofgan.session import Checkpoints, Session


def main() -> None:
    task = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    work = Path(task["work"])
    config = from_mapping(TrainParser, task["config"], "worker")
    reports = []

    class Reports(Progress):
        def scalars(self, step, values):
            reports.append(step)

    with distributed.process_group("cpu") as device:
        trained = train_parser(
            splits_of(PhotoStore(work / "store"), config.parser.size), config, 0, device,
            Session(Reports(), Checkpoints(work / "states", "f")), workers=2,
        )  # fmt: skip
    result = {
        "state": trained.parser.state_dict(), "curve": trained.curve, "reports": reports,
        "counts": torch.from_numpy(trained.confusion.counts),
    }  # fmt: skip
    torch.save(result, work / f"rank{os.environ['RANK']}.pt")


if __name__ == "__main__":
    main()
