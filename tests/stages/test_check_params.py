"""All of params.yaml is checked before DVC removes anything."""

import copy
import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from sofgan.config import ConfigError
from sofgan.files import write_json
from stages import checks, params
from stages.check_params import CHECKED

ROOT = Path(__file__).parents[2]


def changed(tmp_path: Path, old: str, new: str) -> Path:
    """The project's params.yaml with one change, which must be one."""
    text = (ROOT / "params.yaml").read_text()
    assert text.count(old) >= 1, old
    (tmp_path / "params.yaml").write_text(text.replace(old, new, 1))
    return tmp_path / "params.yaml"


def test_the_projects_own_file_and_all_profiles_are_valid(tmp_path):
    from pipelines import profiles

    base = (ROOT / "params.yaml").read_text()
    for profile in (ROOT / "profiles").glob("*.yaml"):
        new = profiles.parse(profile.read_text(), profile)
        text, _ = profiles.switch(base, base, {}, new, profile.stem, fresh=True)
        (tmp_path / "params.yaml").write_text(text)
        assert list(checks.faults_of_blocks(tmp_path / "params.yaml")) == []
    assert list(checks.faults_of_blocks(ROOT / "params.yaml")) == []


@pytest.mark.parametrize(
    "old, new, fault",
    [
        ("\n  kimg:", "\n  kimgs:", "train_siw: unknown key 'kimgs'; did you mean 'kimg'?"),
        ("\n  kimg: 20", "\n  kimg: many", "train_siw.kimg: expected float, found 'many'"),
        ("\ntrain_siw:", "\ntrain_siws:", "unknown block 'train_siws'; did you mean 'train_siw'?"),
        ("\nseed: 0", "\nseeds: 0", "unknown block 'seeds'; did you mean 'seed'?"),
        ("\nseed: 0", "\nseed: zero", "seed is a whole number, not 'zero'"),
        ("\nbatches: [avatars-000]", "\nbatches: avatars-000", "batches is a list of folder names"),
        ("held_out_views: 4 ", "held_out_views: 40 ", "render_views: held_out_views must leave at least one"),
        ("device: auto", "device: gpu", "runtime: device is auto, cpu, cuda or cuda:N, not 'gpu'"),
        ('cluster: ""', "cluster: locall", "runtime: cluster is local, or an address"),
        (
            "\n  border_share: 0.35",
            "\n  border_share: 0.8",
            "border_share and rare_share add up to more than 1",
        ),
    ],
)
def test_mistakes_are_named(tmp_path, old, new, fault):
    if "border_share" in old:
        old, new = old.replace("\n  ", "\n    "), new.replace("\n  ", "\n    ")
    (found,) = checks.faults_of_blocks(changed(tmp_path, old, new))
    assert fault in found


def test_all_mistakes_are_named_at_once(tmp_path):
    path = changed(tmp_path, "\n  kimg:", "\n  kimgs:")
    path.write_text(
        path.read_text().replace("\n  title:", "\n  titel:").replace("\n  jpeg_quality", "\n  jpeg")
    )
    with pytest.raises(ConfigError, match="jpeg.*kimgs.*titel"):
        checks.check_all(tmp_path)
    path.write_text("- a list\n")
    assert list(checks.faults_of_blocks(path)) == ["params.yaml is no mapping of blocks"]


def test_files_that_are_named_anew_must_be_there(tmp_path):
    """Only of stages that ran with other parameters: what ran before may have lost its inputs since."""
    shutil.copyfile(ROOT / "dvc.yaml", tmp_path / "dvc.yaml")
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    blocks = ("import_photos", "train_parser", "train_sof", "evaluate")
    lock = {name: {"params": {"params.yaml": {name: copy.deepcopy(document[name])}}} for name in blocks}
    lock["ingest_scans@avatars-000"] = {}
    document["import_photos"]["ffhq"] = dict(document["import_photos"]["ffhq"], source="data/raw/ffqh")
    document["train_parser"] = document["train_parser"] | {
        "pretrained": {"path": "data/weights/a.pth", "sha256": ""}
    }
    warm = document["train_sof"]["warm_start"] | {"field": "data/fields/a.pt", "sha256": "0" * 64}
    document["train_sof"] = document["train_sof"] | {"warm_start": warm}
    document["evaluate"] = document["evaluate"] | {"inception_weights": "i.pth"}
    document["batches"] = ["avatars-000", "avatar-000"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))

    def found(lock: dict) -> list[str]:
        (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": lock}))
        return [fault.removeprefix("params.yaml: ") for fault in checks.faults_of_files(tmp_path)]

    faults = found(lock)
    assert [fault.split(":")[0] for fault in faults] == [
        "import_photos.ffhq.source",
        "train_parser.pretrained",
        "train_sof.warm_start",
        "evaluate.inception_weights",
        "batches",
    ]
    assert "data/raw/ffqh is not there" in faults[0] and "did you mean 'avatars-000'?" in faults[4]

    now = {name: {"params": {"params.yaml": {name: document[name]}}} for name in blocks}
    assert [fault.split(":")[0] for fault in found(now)] == ["batches"]
    # Photos that DVC holds, a batch that is there, a file of another digest.
    (tmp_path / "data/raw/scans/avatar-000").mkdir(parents=True)
    (tmp_path / "data/raw.dvc").write_text("")
    (tmp_path / "data/fields").mkdir()
    for file in ("data/fields/a.pt", "i.pth"):
        (tmp_path / file).write_text("x")
    assert [fault.split(":")[0] for fault in found(lock)] == [
        "train_parser.pretrained",
        "train_sof.warm_start",
        "evaluate.inception_weights",
    ]
    assert all(fault.endswith("is not the file of that sha256") for fault in found(lock)[1:])


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """The project's own dvc.yaml, params.yaml and code; what stages make is dummies that DVC holds."""
    from dvc.repo import Repo

    monkeypatch.chdir(tmp_path)
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    for package in ("sofgan", "stages"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values():
        for out in (*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])):
            path = Path(
                (out if isinstance(out, str) else next(iter(out))).replace("${item.batch}", "avatars-000")
            )
            file = path if path.suffix else path / "file"
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                file.write_text('{"digest": "x"}')
    write_json(CHECKED, {"params.yaml": "valid"})
    # dvc runs stages by the Python that runs this, in the environment of tests.
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        repo.commit(force=True)
    return tmp_path


def test_a_mistake_removes_nothing_and_a_change_runs_no_other_stage(project, capfd):
    from dvc.exceptions import ReproductionError
    from dvc.repo import Repo

    with Repo(str(project)) as repo:
        graph = repo.index.graph
        names = {stage.addressing: stage for stage in graph}
        # Whatever is asked for, the check comes first: it is among what every stage needs.
        import networkx

        check = names.pop("check_params")
        assert len(names) >= 15
        for name, stage in names.items():
            assert check in networkx.descendants(graph, stage), name

    before = {
        path: path.read_bytes() for path in project.rglob("*") if path.is_file() and "models" in path.parts
    }
    assert len(before) == 5
    changed(project, "\n  kimg:", "\n  kimgs:")
    with Repo(str(project)) as repo, pytest.raises(ReproductionError, match="check_params"):
        repo.reproduce(targets=["train_siw"])
    assert "check_params: error: params.yaml: train_siw: unknown key 'kimgs'" in capfd.readouterr().err
    assert {path: path.read_bytes() for path in before} == before
    assert (project / "data/siw/file").is_file() and not CHECKED.exists()

    changed(project, "workers: 0", "workers: 1")  # No stage reads it as a parameter.
    with Repo(str(project)) as repo:
        assert [stage.addressing for stage in repo.reproduce()] == ["check_params"]


def test_reading_all_needs_no_torch():
    import subprocess

    code = "import sys; from stages import checks, check_params; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert set(checks.FILES) <= set(params.BLOCKS)
