"""Spool entries as MLflow runs: a parent a pipeline execution, a nested run a stage."""

import functools
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import yaml

from sofgan.files import read_json, write_json
from stages.paths import FIGURES
from stages.tracking import lineage, spool
from stages.tracking.spool import flatten

# mlflow reads these when it is imported: an absent server is noticed in seconds, nothing is sent home.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric, Param, RunTag  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor  # noqa: E402

METRICS_A_BATCH, PARAMS_A_BATCH, TAGS_A_BATCH = 1000, 100, 100  # MLflow's limits.
VALUE_CHARACTERS = 5000
KEPT_SECONDS = 7 * 24 * 3600.0  # How long entries wait for a server that is gone.
# Errors that another try would meet again: that piece is left out, the rest goes on.
REFUSALS = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE"}


class Runs:
    """The open parents and entries of one root."""

    def __init__(self, root: Path):
        self.root = root
        self._clients: dict[str, MlflowClient] = {}
        self._experiments: dict[tuple[str, str], str] = {}
        self._monitors: dict[str, SystemMetricsMonitor] = {}
        self._entries: dict[Path, spool.Entry] = {}
        self._seen_alive: set[Path] = set()
        self._unreadable: set[Path] = set()

    def update(self) -> tuple[int, dict[str, Exception]]:
        """One pass: tell MLflow what is new, end what ended.

        Returns how many entries are open, those included that ended while their execution goes on, and by
        tracking URI what kept it from being told.
        """
        executions: dict[tuple[str, str], list[spool.Entry]] = {}
        for entry in self._open_entries():
            executions.setdefault((entry.header["parent"]["key"], entry.header["uri"]), []).append(entry)
        errors: dict[str, Exception] = {}
        for (_, uri), members in executions.items():
            try:
                self._update_execution(members)
            except (
                Exception
            ) as error:  # The boundary to MLflow: one dead server must not keep others waiting.
                errors[uri] = error
        return len(self._open_entries()), errors

    def anything_alive(self) -> bool:
        """Whether a stage, or the execution of one, still runs."""
        return any(entry.is_alive() or self._owner_alive([entry]) for entry in self._open_entries())

    def _open_entries(self) -> list[spool.Entry]:
        """Entries that can be read; of each other one the mirror's log has a line, and it stays for who looks."""
        found: dict[Path, spool.Entry] = {}
        for path in spool.entries(self.root):
            try:
                found[path] = self._entries.get(path) or spool.Entry(path)
            except (OSError, ValueError) as error:
                if path not in self._unreadable:
                    print(f"unreadable, and left as it is: {path} ({error})", flush=True)
                self._unreadable.add(path)
        self._entries = found
        return list(found.values())

    @staticmethod
    def _last_sign(entries: list[spool.Entry]) -> float:
        return max((entry.folder / "events.jsonl").stat().st_mtime for entry in entries)

    def _owner_alive(self, members: list[spool.Entry]) -> bool:
        return spool.is_alive(members[-1].header["parent"]["owner"], self._last_sign(members))

    def _update_execution(self, members: list[spool.Entry]) -> None:
        """Bring one execution's runs up to date; when it is over, close the parent and drop the entries."""
        owner_alive = self._owner_alive(
            members
        )  # Asked first: what it wrote before its end is then all there.
        if not owner_alive and time.time() - self._last_sign(members) > KEPT_SECONDS:
            for entry in members:
                shutil.rmtree(entry.folder)
            return
        parent = self._parent(members[0])
        for entry in members:
            self._follow(parent, entry)
            is_last = entry is members[-1]
            if entry.state.get("ended") and not entry.state.get("hashed"):
                self._tag_hashes(entry, may_wait=is_last and owner_alive)
        if not owner_alive and all(entry.state.get("ended") for entry in members):
            self._close_parent(parent, members[-1])
            for entry in members:
                shutil.rmtree(entry.folder)

    def _client(self, uri: str) -> MlflowClient:
        if uri not in self._clients:
            path = Path(uri.removeprefix("sqlite:///"))
            if uri.startswith("sqlite:///"):
                make_database(path)
            self._clients[uri] = MlflowClient(tracking_uri=uri, registry_uri=uri)
        return self._clients[uri]

    def _experiment(self, uri: str, name: str) -> str:
        """Id of the experiment, made where it is missing; for a local database, artifacts beside it."""
        if (uri, name) not in self._experiments:
            client = self._client(uri)
            found = client.get_experiment_by_name(name)
            location = (self.root / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
            tags = {
                "mlflow.experimentKind": "custom_model_development"
            }  # The UI's view for training, not for chat.
            self._experiments[uri, name] = (
                found.experiment_id if found else client.create_experiment(name, location, tags)
            )
        return self._experiments[uri, name]

    def _run(self, header: dict, key: str, name: str, tags: dict[str, str], params: dict[str, str]) -> str:
        """Id of the run with this key, made if there is none, with its parameters.

        A mirror may have died, or lost its server, after it made the run: so a run that is found is told its
        parameters too, until the caller has written down its id. MLflow takes the same value as often as it comes.
        """
        client, experiment = (
            self._client(header["uri"]),
            self._experiment(header["uri"], header["experiment"]),
        )
        found = client.search_runs([experiment], f"tags.`sofgan.key` = '{key}'", max_results=1)
        if found:
            run_id = found[0].info.run_id
        else:
            tags = {"sofgan.key": key, "mlflow.source.name": "dvc.yaml", **tags}
            if commit := header["git"].get("commit"):
                tags["mlflow.source.git.commit"] = tags["git.commit"] = commit
                tags["git.dirty"] = str(header["git"]["dirty"]).lower()
            started = int(header["started"] * 1000)
            run_id = client.create_run(experiment, start_time=started, tags=tags, run_name=name).info.run_id
        entities = [Param(_name(key), value[:VALUE_CHARACTERS]) for key, value in params.items()]
        for some in _chunks(entities, PARAMS_A_BATCH):
            self._tell(client.log_batch, run_id, params=some)
        return run_id

    def _parent(self, entry: spool.Entry) -> dict:
        """Parent run of the entry, which is made where there is none."""
        header = entry.header
        about = header["parent"]
        key = hashlib.sha256(f"{about['key']} {header['uri']}".encode()).hexdigest()[:24]
        path = spool.spool_folder(self.root) / "parents" / f"{key}.json"
        if path.is_file():
            return read_json(path)
        params = flatten(yaml.safe_load(header["params_file"]) or {})
        run_id = self._run(header, key, _execution_name(header), {"sofgan.kind": about["kind"]}, params)
        parent = {"path": str(path), "run_id": run_id, "ran": {}}
        write_json(path, parent)
        return parent

    def _follow(self, parent: dict, entry: spool.Entry) -> None:
        """Bring the run of one entry up to its last written line, and end it when the stage has ended."""
        header = entry.header
        if entry.state.get("ended"):
            return
        alive = entry.is_alive()  # Asked before the events are read: the last ones come just before the end.
        if entry.state["run_id"] is None:
            name = f"{header['stage']} {header['item']}" if header["item"] else header["stage"]
            name = f"{name} of {_execution_name(header)}"  # Charts of several executions show this alone.
            tags = {"mlflow.parentRunId": parent["run_id"], "dvc.stage": header["dvc_stage"]}
            entry.save(run_id=self._run(header, entry.folder.name, name, tags, header["params"]))
        run_id = entry.state["run_id"]
        if alive and entry.folder not in self._seen_alive:
            self._seen_alive.add(entry.folder)
            self._start_monitor(header["uri"], run_id)
        events = entry.new_events()
        steps = self._log_events(parent, entry, events)
        told = {"offset": events[-1][1], "last_steps": steps} if events else {}
        end = next((event for event, _ in events if event["kind"] == "end"), None)
        if end is None and not alive:
            seen = (
                entry.folder in self._seen_alive
            )  # Then it was there 0.3 s ago; else since when, who knows.
            last = time.time() if seen else self._last_sign([entry])
            end = {"status": "KILLED", "time": last, "error": "its process is gone"}
        if end:
            self._end(parent, entry, end)
            entry.save(**told, ended=end["time"], status=end["status"])
        elif told:
            entry.save(**told)

    def _end(self, parent: dict, entry: spool.Entry, end: dict) -> None:
        header, run_id = entry.header, entry.state["run_id"]
        client = self._client(header["uri"])
        if monitor := self._monitors.pop(run_id, None):
            monitor.finish()
        if end.get("error"):
            self._tell(client.set_tag, run_id, "error", str(end["error"])[:VALUE_CHARACTERS])
        self._tell(client.set_terminated, run_id, end["status"], end_time=int(end["time"] * 1000))
        parent["ran"][header["dvc_stage"]] = {"run_id": run_id, "status": end["status"]}
        write_json(parent["path"], parent)
        if header["stage"] == "report" and end["status"] == "FINISHED":
            self._close_parent(parent, entry)  # And again at dvc's end, with what it wrote of the report.

    def _close_parent(self, parent: dict, last: spool.Entry) -> None:
        """End the execution's run: the table of stages, all metrics of its parameters, the worst that became of a
        stage."""
        header, run_id = last.header, parent["run_id"]
        client, folder = self._client(header["uri"]), Path(header["folder"])

        lock, params = lineage.read_lock(folder), yaml.safe_load(header["params_file"]) or {}
        current = lineage.current_stages(lock, parent["ran"], params)
        rows = lineage.stage_table(folder, parent["ran"], current, functools.partial(self._maker, header))
        self._tell(client.log_text, run_id, lineage.as_csv(rows), "stages.csv")
        self._tell(client.set_tag, run_id, "mlflow.note.content", lineage.as_markdown(rows))
        now = int(time.time() * 1000)
        metrics = []
        # Figures that stages before left behind, of other parameters, are none of this run's.
        for path in lineage.figures_of(lock, current, FIGURES):
            prefix = path.relative_to(FIGURES).with_suffix("").as_posix()
            figures = read_json(folder / path) if (folder / path).is_file() else {}
            for key, value in figures.items():
                if isinstance(value, int | float):
                    metrics.append(Metric(_name(f"{prefix}/{key}"), float(value), now, 0))
        for some in _chunks(metrics, METRICS_A_BATCH):
            self._tell(client.log_batch, run_id, metrics=some)
        outcomes = {run["status"] for run in parent["ran"].values()}
        status = next((worst for worst in ("FAILED", "KILLED") if worst in outcomes), "FINISHED")
        ended = last.state.get("ended") or time.time()
        self._tell(client.set_terminated, run_id, status, end_time=int(ended * 1000))

    def _maker(self, header: dict, stage: str, lock: dict) -> tuple[str, str] | None:
        """Name and id of the execution's stage run that wrote the outputs that dvc.lock names."""
        experiment = self._experiment(header["uri"], header["experiment"])
        client = self._client(header["uri"])
        wanted = {f"dvc.out.{path}"[:250]: md5 for kind, path, md5 in lineage.hashes(lock) if kind == "out"}
        found = client.search_runs(
            [experiment],
            f"tags.`dvc.stage` = '{stage}' and attributes.status = 'FINISHED'",
            max_results=50,
            order_by=["attributes.start_time DESC"],
        )
        for run in found:
            if wanted and all(run.data.tags.get(key) == md5 for key, md5 in wanted.items()):
                try:
                    execution = client.get_run(run.data.tags["mlflow.parentRunId"])
                except MlflowException as error:
                    if error.error_code not in REFUSALS:
                        raise
                    continue  # Its execution's run was deleted for good.
                return execution.info.run_name, run.info.run_id
        return None

    def _start_monitor(self, uri: str, run_id: str) -> None:
        """CPU, memory, disk, network and GPU of the machine every 10 s while the stage works."""
        if os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true").lower() in ("false", "0"):
            return
        monitor = SystemMetricsMonitor(run_id, tracking_uri=uri)
        monitor.start()
        self._monitors[run_id] = monitor

    def _log_events(self, parent: dict, entry: spool.Entry, events: list[tuple[dict, int]]) -> dict[str, int]:
        """Log events in order, figures in batches; returns the last step of each curve.

        MLflow takes a figure that it is told again for the same one, but keeps a second picture beside the first. So
        what came before a picture or artifact is told first, and each that was sent is written down at once.
        """
        client, run_id = self._client(entry.header["uri"]), entry.state["run_id"]
        last_steps = dict(entry.state.get("last_steps", {}))
        waiting: list[dict] = []
        for event, offset in events:
            if event["kind"] == "unreadable":
                print(f"unreadable: a line before byte {offset} of {entry.folder}/events.jsonl", flush=True)
                continue
            if event["kind"] not in ("image", "artifact"):
                waiting.append(event)
                continue
            self._log_figures(parent, entry, waiting, last_steps)
            waiting = []
            if event["kind"] == "image":
                self._tell(_log_image, client, run_id, entry.folder, event)
            else:
                self._tell(client.log_artifact, run_id, str(entry.folder / event["file"]))
            entry.save(offset=offset, last_steps=dict(last_steps))
        self._log_figures(parent, entry, waiting, last_steps)
        return last_steps

    def _log_figures(
        self, parent: dict, entry: spool.Entry, events: list[dict], last_steps: dict[str, int]
    ) -> None:
        """Log figures in batches. Final metrics go to the parent too, by which runs compare.

        Where a final metric has the name of a curve, it is logged at the curve's last step: at step 0 it would
        stand before the curve in charts.

        Args:
            last_steps: of each curve; events bring it up to date.
        """
        client, run_id = self._client(entry.header["uri"]), entry.state["run_id"]
        scalars: list[Metric] = []
        final: list[Metric] = []
        tags: list[RunTag] = []
        for event in events:
            milliseconds = int(event["time"] * 1000)
            for key, value in (event.get("values") or event.get("cost") or {}).items():
                if isinstance(value, int | float):
                    name = _name(key)
                    step = event.get("step", last_steps.get(name, 0))
                    last_steps[name] = max(step, last_steps.get(name, 0))
                    scalars.append(Metric(name, float(value), milliseconds, step))
                    if event["kind"] == "final":
                        final.append(Metric(_name(f"{event['name']}/{key}"), float(value), milliseconds, 0))
                elif value is not None:
                    tags.append(RunTag(_name(f"final.{key}"), str(value)[:VALUE_CHARACTERS]))
        for some in _chunks(scalars, METRICS_A_BATCH):
            self._tell(client.log_batch, run_id, metrics=some)
        for some in _chunks(final, METRICS_A_BATCH):
            self._tell(client.log_batch, parent["run_id"], metrics=some)
        for some in _chunks(tags, TAGS_A_BATCH):
            self._tell(client.log_batch, run_id, tags=some)

    def _tag_hashes(self, entry: spool.Entry, may_wait: bool) -> None:
        """Tag the run with what dvc hashed, once dvc has written it: it does so after the stage's end.

        dvc leaves dvc.lock alone where nothing changed, so the next stage's start and dvc's own end count too
        (`may_wait` False).
        """
        header, folder = entry.header, Path(entry.header["folder"])
        lock = folder / "dvc.lock"
        if entry.state["status"] == "FINISHED" and lock.is_file():
            if may_wait and lock.stat().st_mtime < entry.state["ended"]:
                return
            stage = lineage.read_lock(folder).get(header["dvc_stage"], {})
            tags = [RunTag(_name(f"dvc.{kind}.{path}"), md5) for kind, path, md5 in lineage.hashes(stage)]
            for some in _chunks(tags, TAGS_A_BATCH):
                self._tell(self._client(header["uri"]).log_batch, entry.state["run_id"], tags=some)
        elif may_wait and entry.state["status"] == "FINISHED" and folder.is_dir():
            return
        entry.save(hashed=True)

    @staticmethod
    def _tell(call: Callable, *arguments, **named) -> None:
        """Tell MLflow one thing; what it refuses, and would refuse again, goes to the log of the mirror."""
        try:
            call(*arguments, **named)
        except MlflowException as error:
            if error.error_code not in REFUSALS:
                raise
            print(f"refused: {error}", flush=True)
        except FileNotFoundError as error:
            print(f"gone: {error}", flush=True)


def make_database(path: Path) -> None:
    """An empty sqlite database of MLflow's, if there is none.

    MLflow takes seconds to make its tables, can't use a database that it was stopped making, and two processes that
    make one at the same time fail: so it appears whole, and the first one stays.
    """
    if path.exists():
        return
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.partial-", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        MlflowClient(tracking_uri=f"sqlite:///{temporary}").search_experiments(max_results=1)
        with suppress(FileExistsError):
            os.link(temporary, path)


def _execution_name(header: dict) -> str:
    """Name of the execution that a stage belongs to: the flow's or experiment's, else by the commit."""
    sha = header["git"].get("commit", "")[:7]
    return header["parent"]["name"] or (f"repro-{sha}" if sha else "repro")


def _log_image(client: MlflowClient, run_id: str, folder: Path, event: dict) -> None:
    from PIL import Image

    try:
        with Image.open(folder / event["file"]) as image:
            image.load()
    except OSError as error:  # Another try would meet it again.
        print(f"unreadable: {error}", flush=True)
        return
    time_ms = int(event["time"] * 1000)
    key, step = _name(event["key"]), event["step"]
    client.log_image(run_id, image, key=key, step=step, timestamp=time_ms, synchronous=True)


def _name(key: str) -> str:
    """A name that MLflow takes for a metric, parameter, tag or picture."""
    return re.sub(r"[^\w\-./ ]", "_", key)[:250]


def _chunks(items: list, size: int) -> list[list]:
    return [items[start : start + size] for start in range(0, len(items), size)]
