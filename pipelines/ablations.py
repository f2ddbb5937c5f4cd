"""`python -m pipelines ablate`: trainings that differ in a few parameters, run as DVC experiments and compared in one
table and one page."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import dvc.api
import yaml
from dvc.repo import Repo

from pipelines import ablation_page, gpu_shares
from pipelines.ablation_table import Comparison, compare
from pipelines.dvc_stages import Outcome, StageFailed, run_experiment, stop_running
from sofgan.files import atomic_path
from stages.paths import FIGURES, SIW_PICTURES

NAMED = Path(__file__).with_name("ablations.yaml")
DEFAULT = "default"  # params.yaml as it stands, to which all others are compared
TRIAL = "train_siw.trial"
PAGE = Path("data/ablations/index.html")
POLL_SECONDS = 0.5  # between looks at experiments that were told to stop
TARGETS = ("evaluate",)  # what an experiment runs, with all that it needs


def run(names: list[str], trials: int, jobs: int) -> int:
    """Run what is not in DVC's cache, print the table and write the page. Returns the exit status.

    Args:
        names: of ablations.yaml; none: print what there is.
        trials: trainings of each, from other random numbers.
        jobs: experiments at once.
    """
    root, known = Path.cwd(), read_named()
    if not names:
        width = max(map(len, known))
        print("Experiments by name, and the values of params.yaml that each changes:")
        print("\n".join(f"{name:{width}}  {' '.join(changes)}" for name, changes in known.items()))
        return 0
    experiments = in_trials({DEFAULT: [], **named(names)}, trials)
    failed = run_all(experiments, root, jobs, print)
    table = summarize(root, named(names), [name for name in experiments if name not in failed])
    print(f"\n{table.markdown()}\n\nWith pictures, on one page: {PAGE}")
    for name, error in failed.items():
        print(f"{name}: {error}")
    return 1 if failed else 0


def read_named() -> dict[str, list[str]]:
    """All of ablations.yaml: changes of params.yaml by name."""
    return yaml.safe_load(NAMED.read_text(encoding="utf-8"))


def named(names: list[str]) -> dict[str, list[str]]:
    """Changes of params.yaml by the names of ablations.yaml.

    Raises:
        StageFailed: there is no such name.
    """
    known = read_named()
    for name in names:
        if name not in known:
            raise StageFailed(
                f"no ablation '{name}' in pipelines/{NAMED.name}; there are: {', '.join(known)}"
            )
    return {name: known[name] for name in names}


def in_trials(experiments: dict[str, list[str]], trials: int) -> dict[str, list[str]]:
    """Each experiment `trials` times, as NAME-0, NAME-1, ...: the same data and everything before the generator, which
    is trained from other random numbers. The trials come first to last, so that a set that is stopped has whole ones.

    Raises:
        StageFailed: there would be none.
    """
    if trials < 1:
        raise StageFailed(f"each is trained once at least (--seeds 1), not {trials} times")
    return {
        f"{name}-{trial}": [*changes, f"{TRIAL}={trial}"]
        for trial in range(trials)
        for name, changes in experiments.items()
    }


def run_all(
    experiments: dict[str, list[str]], root: Path, jobs: int, say: Callable[[str], None]
) -> dict[str, str]:
    """Run experiments, `jobs` at once. What DVC's cache holds of one is not run again, and a training that was stopped
    goes on from its last state. The first runs alone, since the others share what it makes before the generator. An
    interrupt stops all of them.

    Returns what went wrong, by the names of those that failed.
    """
    waiting, failed, lock = list(experiments), {}, threading.Lock()
    free = gpu_shares.shares(gpu_shares.seen(), max(1, min(jobs, len(experiments))))

    def one(name: str) -> None:
        with lock:
            gpus = free.pop(0)
        try:
            run_one(name, experiments[name], root, gpu_shares.environment(gpus), say)
        except StageFailed as error:
            failed[name] = str(error)
        finally:
            with lock:
                free.append(gpus)

    one(waiting.pop(0))
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        begun = [pool.submit(one, name) for name in waiting]
        try:
            for future in begun:
                future.result()
        except KeyboardInterrupt:
            # Their processes don't hear of it, as each has a session of its own, and leaving the pool waits for them.
            for future in begun:
                future.cancel()
            stop_running()
            while wait(begun, POLL_SECONDS).not_done:
                stop_running()  # Those too that were just about to begin.
            raise
    return failed


def run_one(
    name: str, changes: list[str], root: Path, environment: dict[str, str], say: Callable[[str], None]
) -> Outcome:
    """One experiment, its output said with its name before each line.

    Raises:
        StageFailed: a stage of it did.
    """
    outcome = run_experiment(name, changes, root, environment, lambda line: say(f"{name}: {line}"), TARGETS)
    say(f"{name}: done in {outcome.seconds:.0f} s")
    return outcome


def summarize(root: Path, changes: dict[str, list[str]], names: list[str]) -> Comparison:
    """Compare experiments that were run of the present commit, and write their page to `PAGE`.

    Args:
        changes: of params.yaml, by the experiments' names without trials.
        names: with trials.
    """
    table = compare(DEFAULT, read_scores(root, names))
    sheets = {}
    for name, revision in revisions(root, [f"{name}-0" for name in table.trials]).items():
        file = (SIW_PICTURES / "samples.png").as_posix()
        sheets[name.rpartition("-")[0]] = dvc.api.read(file, repo=str(root), rev=revision, mode="rb")
    with atomic_path(root / PAGE) as path:
        path.write_text(ablation_page.render(table, changes, sheets), encoding="utf-8")
    return table


def read_scores(root: Path, names: list[str]) -> dict[str, dict[str, float]]:
    """All figures of the stage `evaluate` by experiment, of those that there are for the present commit."""
    file = FIGURES / "evaluation.json"
    return {
        name: json.loads(dvc.api.read(file.as_posix(), repo=str(root), rev=revision))
        for name, revision in revisions(root, names).items()
    }


def revisions(root: Path, names: list[str]) -> dict[str, str]:
    """Commits of the experiments of those names that were made of the present commit."""
    with Repo(str(root)) as repo:
        found = {name: revision for made in repo.experiments.ls().values() for name, revision in made}
    return {name: found[name] for name in names if name in found}
