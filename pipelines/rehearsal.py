"""`python -m pipelines rehearse [PROFILE...]`: all stages of a profile with everything real but how many.

In a folder of its own, which is removed, and without DVC's cache or MLflow, the commands of dvc.yaml run in the
graph's order with params.yaml of the profile, in which `FEW` says how many there are of what: two scans, a handful of
photos, two steps. Sizes of pictures and networks stay the profile's own. Photos and scans that a profile expects of its
user are invented ones, in the published layouts. Each stage is told of as ok, or with the sentence with which it stops,
and with what it will need with all of everything: memory of the host from the tables that grow
(`stages.execution.rehearsing.run`), memory of a GPU by counting (`stages.execution.rehearsing.needs`).

A stage that does in two profiles the very same is run once.
"""

import hashlib
import json
import shlex
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import yaml

from pipelines import profiles
from pipelines.dvc_stages import Planned, planned
from pipelines.rehearsal_forks import RehearsalError, forks, run_python
from pipelines.rehearsal_params import PHOTOS, fewer, lengths_of, set_sizes
from stages import params
from stages.code_lists import VALUES
from stages.execution.entry import MARK
from stages.params_checks import faults_of_blocks

T = TypeVar("T")
CODE = Path(__file__).parents[1]
HOST_LIMIT, DEVICE_LIMIT = 64e9, 24e9  # bytes of a process, and of a GPU
DEVICE_RESERVE = 2e9  # of these, for CUDA itself, cuDNN's workspaces, and gaps between tensors
PAINTED_SIZE = 128  # pixels: a CPU paints no larger pictures, or steps of the training take it minutes
# Stages that `stages.execution.rehearsing.needs` counts.
COUNTED = (
    "train_parser", "parse_faces", "train_sof", "invert_masks", "sample_conditions", "train_siw", "evaluate",
)  # fmt: skip

PLANNING = threading.Lock()  # DVC is loaded when it is first asked, which two threads can't do at a time
NETWORK_SCANS = "data/raw/scans"


@dataclass
class Result:
    """Result of a stage's rehearsal, and the memory that all of it will need.

    Attributes:
        faults: sentences; none: it went well.
        host, device: bytes with all of everything, of a process and of a GPU; None: not known, or no GPU is used.
        operations: of all its work on a GPU.
        instead: what was put in the place of what.
        twin: the profile in which the very same was run.
    """

    stage: str
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    host: float | None = None
    device: float | None = None
    operations: float = 0.0
    of: str = ""
    instead: list[str] = field(default_factory=list)
    twin: str = ""


class Done:
    """Results of stages by what they depend on; rehearsals share them, and each runs what none has run.

    Args:
        at_once: pieces of work that run at a time; None: one a core. A rehearsal that waits for another's work takes
            none of these places.
    """

    def __init__(self, at_once: int | None = None):
        self._known: dict[str, Future] = {}
        self._lock = threading.Lock()
        self._places = threading.Semaphore(at_once or params.cores())

    def get(self, key: str, work: Callable[[], T]) -> tuple[T, bool]:
        """Result of the work, done here or by the first rehearsal that asked, and whether that was here."""
        with self._lock:
            mine = key not in self._known
            future = self._known.setdefault(key, Future())
        if mine:
            try:
                with self._places:
                    future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
        return future.result(), mine


def run(names: list[str]) -> int:
    """Rehearse profiles, or params.yaml as it is; says how each stage went. Status 1 where one would fail.

    Raises:
        ProfileError: there is no such profile.
        RehearsalError: a profile is not valid.
    """
    if not Path("dvc.yaml").is_file():
        raise RehearsalError("no dvc.yaml here: run this in the project's root")
    documents = {name: document_of(name) for name in names} if names else {"params.yaml": _own_document()}
    failed = 0
    with rehearsals(documents, _tell) as walks:
        for results in walks.values():
            failed += sum(bool(result.faults) for result in results())
    if failed:
        print(f"\n{failed} stage{'s' * (failed > 1)} would fail.")
    return 1 if failed else 0


@contextmanager
def rehearsals(
    documents: dict[str, dict], say: Callable[[str], None]
) -> Iterator[dict[str, Callable[[], list[Result]]]]:
    """Rehearse the params.yaml of several profiles, as many stages at once as there are cores.

    Args:
        documents: by the profile's name.
        say: is told how each went: a stage at a time, of several profiles one profile after another.

    Yields:
        By name what waits for the results of its stages, and says them.
    """
    done = Done()
    with (
        tempfile.TemporaryDirectory(prefix="sofgan-rehearsal-") as work,
        forks(Path(work)),
        ThreadPoolExecutor(1 + len(documents)) as pool,
    ):
        files = {}
        for name, document in documents.items():
            files[name] = Path(work) / f"{name}.needs.yaml"
            sets = {"sets": set_sizes(document, Path.cwd())}
            files[name].write_text(yaml.safe_dump(document | sets, sort_keys=False))
        counting = pool.submit(count_needs, list(files.values()))

        def start(number: int, name: str) -> Callable[[], list[Result]]:
            said: list[str] = []
            tell = say if len(documents) == 1 else said.append
            counts = Counts(counting, number)
            walk = pool.submit(rehearse, name, documents[name], Path(work) / name, done, counts, tell)

            def results() -> list[Result]:
                found = walk.result()
                if said:
                    say("\n".join(said))
                return found

            return results

        yield {name: start(number, name) for number, name in enumerate(documents)}


def _tell(text: str) -> None:
    print(text, flush=True)


def document_of(name: str) -> dict:
    """params.yaml of a profile, as `python -m pipelines profile NAME --fresh` writes it.

    Raises:
        ProfileError: there is no such profile.
    """
    base = profiles.demo_text()
    changes = profiles.of_name(name)
    return yaml.safe_load(profiles.switch(base, base, {}, changes, name, True)[0])


def _own_document() -> dict:
    return yaml.safe_load(profiles.read(profiles.PARAMS))


def rehearse(
    name: str,
    document: dict,
    folder: Path,
    done: Done,
    counts: "Counts",
    say: Callable[[str], None],
) -> list[Result]:
    """All stages of a params.yaml, in a new folder.

    Args:
        done: stages that other rehearsals run; those that are run here are added.
        counts: what its stages need, while it is being counted.
        say: is told how each went.
    """
    few, notes = fewer(document), []
    folder.mkdir(parents=True)
    shutil.copyfile("dvc.yaml", folder / "dvc.yaml")
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    sets = set_sizes(document, Path.cwd())
    notes += _spare_weights(few, folder)
    (folder / "params.yaml").write_text(yaml.safe_dump(few, sort_keys=False))
    if faults := list(faults_of_blocks(folder / "params.yaml")):
        raise RehearsalError(f"{name}: " + "; ".join(faults))
    with PLANNING:
        graph = [stage for stage in planned(folder, []) if stage.command is not None]
    say(f"{name}:")
    needed = {path for stage in graph for path in stage.needs}
    for stage in [stage for stage in graph if is_spare(stage, needed)]:
        notes.append(f"{stage.name}: left out, this profile does not use what it makes")
        graph.remove(stage)
    _make_raw(few, graph, folder, notes, done)
    for note in notes:
        say(f"  {note}")
    keys, waiting, results, stopped = {}, [], [], set()

    def tell() -> None:
        while waiting and (waiting[0].stage not in COUNTED or counts.ready):
            results.append(judged(waiting[0], counts.of(waiting.pop(0).stage)))
            for line in lines(results[-1]):
                say(f"  {line}")

    for stage in graph:
        heavy = paints(stage) and is_heavy(few)
        key = _key(stage, few, document, keys, heavy)
        if not _lists_code(stage):  # Code is one for all; what its lists tell of params.yaml is in `_key`.
            keys |= dict.fromkeys(stage.makes, key)
        if lost := sorted(path for path in stage.needs if _within(path, stopped)):
            result = Result(stage.name, faults=[f"not run: nothing made {', '.join(lost)}"])
        else:
            plan = partial(_run, stage, document, few, sets, heavy, folder)
            (twin, source, result), own = done.get(key, lambda plan=plan: (name, folder, plan()))
            if not own:
                _take(stage, source, folder)
                result = replace(result, twin=twin)
        if any(not (folder / path).exists() for path in stage.makes):
            stopped |= set(stage.makes)
        waiting.append(result)
        tell()
    counts.wait()
    tell()
    return results


class Counts:
    """Needs of one profile's stages (`count_needs`), which may still be being counted."""

    def __init__(self, counting: Future, number: int):
        self._counting, self._number = counting, number

    @property
    def ready(self) -> bool:
        """Whether nothing is left to wait for."""
        return self._counting.done()

    def wait(self) -> dict[str, dict]:
        """Needs of each stage, by its name.

        Raises:
            RehearsalError: it could not be counted.
        """
        return self._counting.result()[self._number]

    def of(self, stage: str) -> dict:
        """Needs of a stage; {} where they aren't counted."""
        return self.wait().get(stage, {}) if stage in COUNTED else {}


def is_spare(stage: Planned, needed: set[str]) -> bool:
    """Whether a stage makes raw data, in place of the user's own, that no stage needs."""
    raw = [path for path in stage.makes if path.startswith("data/raw/")]
    return bool(raw) and not any(_overlap(path, need) for path in stage.makes for need in needed)


def paints(stage: Planned) -> bool:
    """Whether a stage's script has to do with the generator."""
    module = shlex.split(stage.command)[2].replace(".", "/")
    return "sofgan.siw" in (CODE / f"{module}.py").read_text()


def is_heavy(document: dict) -> bool:
    """Whether the generator's training is more than a CPU can bear."""
    return document["train_siw"]["generator"]["resolution"] > PAINTED_SIZE


def _spare_weights(few: dict, folder: Path) -> list[str]:
    """Do without weights of others that are not here; what is left out is said."""
    said, here = [], Path.cwd()
    parser, evaluation = few["train_parser"], few["evaluate"]
    if path := parser["pretrained"]["path"]:
        if (here / path).is_file():
            _link(here / path, folder / path)
        else:
            said.append(
                f"missing: {path} (python -m pipelines weights): a parser of 17 classes is trained instead"
            )
            parser["pretrained"] = {"path": "", "sha256": ""}
            parser["parser"]["order"] = "17"
    if path := evaluation["inception_weights"]:
        if (here / path).is_file():
            _link(here / path, folder / path)
        else:
            said.append(f"missing: {path}: no FID in this rehearsal")
            evaluation["inception_weights"] = ""
    for name in ("ffhq", "celebamask"):
        settings = few["import_photos"][name]
        if settings.get("align", "none") != "none":
            said.append(
                f"{name}: photos of this rehearsal are aligned: finding faces in them is not rehearsed"
            )
            settings["align"] = "none"
    return said


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source.resolve())


def _make_raw(few: dict, graph: list[Planned], folder: Path, notes: list[str], done: Done) -> None:
    """Scans and photos that no stage makes, or those of another rehearsal, where they are the same."""
    made = {path for stage in graph for path in stage.makes}
    scans = [batch for batch in few["batches"] if f"{NETWORK_SCANS}/{batch}" not in made]
    photos = []
    for name, (train, held_out) in PHOTOS.items():
        settings = few["import_photos"][name]
        if not _within(settings["source"], made):
            share = settings["held_out_share"]
            photos.append(
                {
                    "folder": settings["source"], "masks": name == "celebamask", "size": _photo_size(few),
                    "train": train, "held_out": held_out, "share": share,
                }
            )  # fmt: skip
            notes.append(f"{settings['source']}: {train + held_out * (share > 0)} invented photos stand in")
    if scans or photos:
        content = json.dumps({"scans": scans, "photos": photos})

        def make() -> Path:
            order = folder / "raw.json"
            order.write_text(content)
            status, text = run_python(["stages.execution.rehearsing.raw", str(order)], folder)
            if status:
                raise RehearsalError(f"photos and scans to rehearse with could not be made: {_last(text)}")
            return folder

        source, own = done.get(f"raw {content}", make)
        if not own:
            places = [f"{NETWORK_SCANS}/{batch}" for batch in scans] + [one["folder"] for one in photos]
            _copy(places, source, folder)


def _photo_size(few: dict) -> int:
    """Pixels of a photo: as published where that matters, else what networks see."""
    needed = max(few["import_photos"]["min_side_px"], 2 * few["train_siw"]["generator"]["resolution"])
    return min(1024, max(needed, few["train_parser"]["parser"]["size"]))


def count_needs(files: list[Path]) -> list[dict[str, dict]]:
    """Needs that `stages.execution.rehearsing.needs` counts, for each params.yaml.

    Raises:
        RehearsalError: it could not count.
    """
    status, text = run_python(["stages.execution.rehearsing.needs", *map(str, files)], files[0].parent)
    if status:
        raise RehearsalError(f"what stages need could not be counted: {_last(text)}")
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def _run(
    stage: Planned, document: dict, few: dict, sets: dict[str, int], heavy: bool, folder: Path
) -> Result:
    """Run a stage's command in the folder."""
    result = Result(stage.name)
    if missing := [path for path in stage.needs if not (folder / path).exists() and not _is_code(path)]:
        result.faults.append(f"nothing makes {', '.join(missing)}, which dvc.yaml says that it needs")
        return result
    words = shlex.split(stage.command)
    if words[:2] != ["python", "-m"] or not words[2].startswith("stages."):
        result.faults.append(f"its command is no stage's: {stage.command}")
        return result
    order = folder / f"{stage.name}.json"
    order.write_text(json.dumps({"lengths": lengths_of(stage, document, few, sets), "heavy": heavy}))
    began = time.monotonic()
    status, text = run_python(["stages.execution.rehearsing.run", str(order), *words[2:]], folder)
    result.seconds = time.monotonic() - began
    if status:
        result.faults.append(_last(text))
    told = order.with_suffix(".told")
    if told.is_file():
        notes = json.loads(told.read_text())
        result.faults += notes["faults"]
        result.instead = notes["instead"]
        result.host = notes["resident"] + notes["growing"]
        if result.host > HOST_LIMIT:
            largest = "; ".join(f"{text}: {size / 1e9:,.0f} GB" for size, text in notes["tables"][:2])
            result.faults.append(
                f"{result.host / 1e9:,.0f} GB of memory in a process, above {HOST_LIMIT / 1e9:.0f}: {largest}"
            )
    if not status and (unmade := [path for path in stage.makes if not (folder / path).exists()]):
        result.faults.append(f"it ended well, but did not make {', '.join(unmade)}")
    return result


def judged(result: Result, known: dict) -> Result:
    """A copy of a result with what was counted of its work on a GPU."""
    result = replace(result)
    if "fault" in known:
        result.faults = [*result.faults, f"at its own sizes: {known['fault']}"]
    elif known:
        result.device = known["device"] + DEVICE_RESERVE
        result.operations, result.of = known["operations"], known["of"]
        if result.device > DEVICE_LIMIT:
            sentence = f"{result.device / 1e9:.0f} GB of a GPU, above {DEVICE_LIMIT / 1e9:.0f}: {known['of']}"
            result.faults = [*result.faults, sentence]
    return result


def lines(result: Result) -> list[str]:
    """Lines printed for a stage."""
    how = "would fail" if result.faults else "ok"
    took = f"as in {result.twin}" if result.twin else f"{result.seconds:.0f} s"
    needs = f"{_gigabytes(result.host)} host" if result.host else ""
    needs += f", {_gigabytes(result.device)} GPU" if result.device else ""
    first = f"{result.stage:24} {how:10} {took:14} {needs}".rstrip()
    return [
        first,
        *(f"    {fault}" for fault in result.faults),
        *(f"    ({text})" for text in result.instead),
    ]


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"


def _key(stage: Planned, few: dict, document: dict, keys: dict[str, str], heavy: bool) -> str:
    """Digest of what a stage's run depends on: command, parameters, and the same of the stages that made its inputs."""
    made = sorted(path for path in keys if any(_overlap(path, need) for need in stage.needs))
    raw = [few["import_photos"][name] for name in PHOTOS] if "import_photos" in stage.params else []
    content = [
        stage.command, [_parameters(stage, few), _parameters(stage, document)], [[path, keys[path]] for path in made],
        raw, heavy, _photo_size(few) if raw else 0,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _parameters(stage: Planned, document: dict) -> dict:
    """All that a stage reads of params.yaml: what dvc.yaml names, what its list of code tells it, or all."""
    if _lists_code(stage):
        return document
    told = VALUES.get(stage.name.partition("@")[0], lambda _: {})(document)
    return {name: params.value_at(document, name) for name in stage.params} | {"told": told}


def _lists_code(stage: Planned) -> bool:
    return stage.command.endswith(" stages.code")


def _take(stage: Planned, source: Path, target: Path) -> None:
    """Copy the outs that a stage made in another folder."""
    _copy(stage.makes, source, target)


def _copy(paths: Iterable[str], source: Path, target: Path) -> None:
    for path in paths:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        if (source / path).is_dir():
            shutil.copytree(source / path, target / path, dirs_exist_ok=True)
        elif (source / path).exists():
            shutil.copyfile(source / path, target / path)


def _within(path: str, folders) -> bool:
    """Whether a path is one of those, or in one of them."""
    return any(str(holder) in folders for holder in (Path(path), *Path(path).parents))


def _overlap(one: str, other: str) -> bool:
    return _within(one, {other}) or _within(other, {one})


def _is_code(path: str) -> bool:
    return path.split("/")[0] in ("stages", "sofgan") or path == "params.yaml"


def _last(text: str) -> str:
    """The sentence with which a process ended, or the last line of its traceback."""
    said = [line for line in text.splitlines() if line.strip()] or ["it ended without a word"]
    marked = [line for line in said if MARK in line]
    return (marked or said)[-1].strip()
