"""One process of test_distributed: trains as its JSON says and writes what it ended with."""

import json
import sys
import time
from pathlib import Path

import torch

from sofgan import distributed
from sofgan.config import from_mapping
from sofgan.progress import Progress
from sofgan.session import Checkpoints, Session
from sofgan.sof.config import TrainSof
from sofgan.sof.sof import load_sof
from sofgan.sof.train import train_sof
from sofgan.sof.view_set import read_views, view_files
from sofgan.sof.warm_start import train_on


class Steps(Progress):
    """Steps that are told of."""

    def __init__(self):
        self.seen = []

    def scalars(self, step, values) -> None:
        self.seen.append(step)


def main() -> None:
    task = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    views = read_views(view_files(task["views"], ["synthetic"]))
    results = {}
    with distributed.process_group("cpu") as device:
        for name, block in task["configs"].items():
            config = from_mapping(TrainSof, block, name)
            reports = Steps()
            session = Session(reports, Checkpoints(Path(task["work"]) / name, [name]))
            model, curve = train_sof(views, config, 0, device, session)
            results[name] = {"state": model.state_dict(), "curve": curve, "reports": reports.seen}
        config = from_mapping(TrainSof, task["configs"]["default"], "default")
        model, curve = train_on(load_sof(task["previous"]), views, config, 0, device)
        results["warm"] = {"state": model.state_dict(), "curve": curve}
        # From the first, whole and the same, also what holds no tensor.
        given = {
            "a": [torch.arange(6).reshape(2, 3).T, {"b": torch.tensor(2.5, dtype=torch.bfloat16)}],
            "c": (None, torch.ones(0, 2), torch.tensor([True])),
        }
        results["given"] = distributed.from_first(given if distributed.rank() == 0 else None)
        # What the first leaves on disk is there for the others.
        left = Path(task["work"]) / "left"
        with distributed.first_here_first():
            if distributed.rank() == 0:
                time.sleep(0.3)
                left.write_text("here")
            results["left"] = left.read_text()
        torch.save(results, Path(task["work"]) / f"rank{distributed.rank()}.pt")


if __name__ == "__main__":
    main()
