"""The one door: `python -m pipelines COMMAND`."""

import argparse
import os
import sys
from pathlib import Path

from pipelines import batches, demo, doctor, metrics, profiles, rehearsal, services, status, weights
from sofgan.errors import in_a_sentence

INTERRUPTED = 130  # exit status, as of shells
VIEW = ("models", "host", "port", "device", "threads")  # arguments of the viewer


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines", description="Run, check and set up the pipeline."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    command = commands.add_parser("demo", help="run the whole pipeline, then say where its results are")
    command.set_defaults(run=lambda chosen: demo.run())

    command = commands.add_parser("doctor", help="check machine and project, a line each with the fix")
    command.set_defaults(run=lambda chosen: doctor.run())

    command = commands.add_parser(
        "metrics", help="the headline figures of all stages, a line each with its N"
    )
    command.set_defaults(run=lambda chosen: metrics.run())

    command = commands.add_parser("status", help="which stages would run, and what made each of them stale")
    command.set_defaults(run=lambda chosen: status.run())

    command = commands.add_parser("profile", help="write params.yaml for a profile, your own changes kept")
    command.add_argument("name", nargs="?", help="demo, or a file of profiles/ (without it: list them)")
    command.add_argument("--fresh", action="store_true", help="drop your own changes of params.yaml")
    command.set_defaults(run=lambda chosen: profiles.run(chosen.name, chosen.fresh))

    command = commands.add_parser(
        "rehearse", help="a dry run of all stages with few of everything, and the memory that all will need"
    )
    command.add_argument(
        "profiles", nargs="*", help="demo, or files of profiles/ (without: params.yaml here)"
    )
    command.set_defaults(run=lambda chosen: rehearsal.run(chosen.profiles))

    command = commands.add_parser(
        "weights", help="fetch facexlib's face parser and face detector, FID's network"
    )
    command.add_argument("--arch", choices=sorted(weights.FILES), nargs="+", default=weights.DEFAULT)
    command.set_defaults(run=lambda chosen: weights.run(*chosen.arch))

    command = commands.add_parser("add-batch", help="put a folder of scans to use, from a path or a URL")
    command.add_argument("source", help="folder, archive or file: a path, s3://..., https://...")
    command.add_argument("--name", help="of the batch (default: from the source)")
    command.add_argument(
        "--warm-start", action="store_true", help="the field's training goes on from the present field"
    )
    command.set_defaults(run=lambda chosen: batches.run_add(chosen.source, chosen.name, chosen.warm_start))

    command = commands.add_parser("remove-batch", help="take a batch of scans out of use")
    command.add_argument("name")
    command.set_defaults(run=lambda chosen: batches.run_remove(chosen.name))

    command = commands.add_parser(
        "up", help="Prefect's server and worker, and MLflow's server, on this machine"
    )
    command.add_argument("--prefect-port", type=int, default=4200)
    command.add_argument("--mlflow-port", type=int, default=5000)
    command.set_defaults(run=lambda chosen: services.up(Path.cwd(), chosen.prefect_port, chosen.mlflow_port))

    command = commands.add_parser("down", help="stop what `up` started")
    command.set_defaults(run=lambda chosen: services.down(Path.cwd()))

    command = commands.add_parser(
        "ablate", help="train with a few parameters changed, several times each, and compare all in one table"
    )
    command.add_argument("names", nargs="*", help="of pipelines/ablations.yaml (without: list them)")
    command.add_argument("--seeds", type=int, default=1, help="trainings of each from other random numbers")
    command.add_argument("--jobs", type=int, default=1, help="experiments at once")
    command.set_defaults(run=lambda chosen: _ablate(chosen.names, chosen.seeds, chosen.jobs))

    command = commands.add_parser("view", help="a page in which heads are turned and restyled: `sofgan view`")
    for name in VIEW:
        command.add_argument(f"--{name}", help="of `sofgan view`, which tells what it is")
    command.set_defaults(run=lambda chosen: _view({name: getattr(chosen, name) for name in VIEW}))

    command = commands.add_parser("rebuild", help="run the pipeline as a Prefect flow on this machine")
    command.add_argument("targets", nargs="*", help="stages to rebuild with all before them (default: all)")
    command.set_defaults(run=lambda chosen: _rebuild(chosen.targets))

    chosen = parser.parse_args(arguments)
    return in_a_sentence(lambda: chosen.run(chosen))


def _ablate(names: list[str], seeds: int, jobs: int) -> int:
    from pipelines import ablations  # DVC takes a second to import.

    try:
        return ablations.run(names, seeds, jobs)
    except KeyboardInterrupt:
        print("stopped: the same command goes on from here", file=sys.stderr)
        return INTERRUPTED


def _view(asked: dict[str, str | None]) -> None:
    """Become `sofgan view`: what starts stages imports no torch."""
    words = [word for name, value in asked.items() if value is not None for word in (f"--{name}", value)]
    os.execv(sys.executable, [sys.executable, "-m", "sofgan", "view", *words])


def _rebuild(targets: list[str]) -> int:
    # Without a server Prefect starts one for the time of the flow; what it sends home would only get in its way.
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from pipelines import flows  # Prefect takes seconds to import.

    state = flows.rebuild(targets=targets, return_state=True)
    return 0 if state.is_completed() else 1


if __name__ == "__main__":
    sys.exit(main())
