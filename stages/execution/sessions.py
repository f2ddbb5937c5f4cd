"""What a stopped stage goes on from: states and pieces in `.work`, of use only by the same parameters, seed, device,
inputs and code."""

import shutil

from sofgan.config import to_mapping
from sofgan.session import Checkpoints, Session
from stages import paths
from stages.code_lists import code_digests
from stages.execution import recorded
from stages.params import runtime, seed
from stages.tracking.run import StageRun


def fingerprint(stage: str, params, **inputs) -> dict:
    """What a stage's result depends on, as plain data.

    Args:
        params: its block.
        inputs: plain data by which its inputs differ from others: hashes, names.
    """
    return {
        "configuration": to_mapping(params),
        "seed": seed(),
        "device": runtime().device,
        "code": code_digests(stage),
        **inputs,
    }


def session(stage: str, params, run: StageRun, part: str = "", **inputs) -> Session:
    """Session of a stage's training, which tells `run`, and keeps its states in `.work/<stage>`.

    Args:
        part: which training, where a stage has several.
        inputs: as of `fingerprint`.
    """
    states = Checkpoints(paths.WORK / stage / part, fingerprint(stage, params, **inputs))
    return Session(run, states)


def forget(stage: str) -> None:
    """Remove what a stage keeps to go on from, once its result is on disk.

    Raises:
        InputError: DVC would not record that result by what it was made with; nothing is removed.
    """
    recorded.check()
    shutil.rmtree(paths.WORK / stage, ignore_errors=True)
