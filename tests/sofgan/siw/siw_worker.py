"""One process of test_siw_distributed: trains as its JSON says and writes what it ended with."""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from sofgan import distributed
from sofgan.config import from_mapping
from sofgan.progress import Progress
from sofgan.session import Checkpoints, Session
from sofgan.siw.condition_store import Conditions
from sofgan.siw.config import TrainSiw
from sofgan.siw.data import ArraySource, Sources
from sofgan.siw.train import train


def main() -> None:
    task = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    work = Path(task["work"])
    with np.load(work / "pictures.npz") as pictures:
        photos, maps = pictures["photos"], pictures["maps"]
    config = from_mapping(TrainSiw, task["config"], "worker")
    reports = []

    class Reports(Progress):
        def scalars(self, step, values):
            reports.append(step)

    with distributed.process_group("cpu") as device:
        heads = Conditions(work / "heads").heads()
        sources = Sources(ArraySource(photos), {"parsed": ArraySource(maps)}, ArraySource(maps), heads)
        session = Session(Reports(), Checkpoints(work / "state", "f"))
        siw, rows = train(sources, maps[:2], config, 0, device, session)
        result = {"state": siw.generator.state_dict(), "rows": rows, "reports": reports}
        torch.save(result, work / f"rank{distributed.rank()}.pt")


if __name__ == "__main__":
    main()
