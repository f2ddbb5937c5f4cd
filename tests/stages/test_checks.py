"""All of params.yaml is checked before DVC removes anything."""

import copy
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sofgan.config import ConfigError
from stages import code_lists, params, params_checks

ROOT = Path(__file__).parents[2]


def changed(tmp_path: Path, old: str, new: str) -> Path:
    """The project's params.yaml with one change, which must be one."""
    text = (ROOT / "params.yaml").read_text()
    assert text.count(old) >= 1, old
    (tmp_path / "params.yaml").write_text(text.replace(old, new, 1))
    return tmp_path / "params.yaml"


def test_the_projects_own_file_and_all_profiles_are_valid(tmp_path, monkeypatch):
    from pipelines import profiles

    base = (ROOT / "params.yaml").read_text()
    monkeypatch.chdir(ROOT)
    names = sorted(profile.stem for profile in (ROOT / "profiles").glob("*.yaml"))
    for name in names:
        text, _ = profiles.switch(base, base, {}, profiles.changes_of(name, names), name, fresh=True)
        (tmp_path / "params.yaml").write_text(text)
        assert list(params_checks.faults_of_blocks(tmp_path / "params.yaml")) == []
    assert list(params_checks.faults_of_blocks(ROOT / "params.yaml")) == []


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
    (found,) = params_checks.faults_of_blocks(changed(tmp_path, old, new))
    assert fault in found


@pytest.fixture(scope="module")
def whole() -> dict:
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def refused(document: dict, key: str) -> str:
    """Why the block of a dotted key is refused."""
    block, path = key.split(".")[0], Path("params.yaml")
    with pytest.raises(ConfigError) as error:
        params.batches_of(document, path) if block == "batches" else params.block_of(
            document[block], block, path
        )
    return str(error.value)


def put(document: dict, key: str, value) -> None:
    """Set what a dotted key names; numbers are places in lists."""
    *above, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    for part in above:
        document = document[part]
    assert not isinstance(document, dict) or last in document, key
    document[last] = value


@pytest.mark.parametrize(
    "key, value, allowed",
    [
        ("train_sof.steps", -3, "is at least 1"),
        ("train_sof.warmup_steps", -1, "is at least 0"),
        ("train_sof.learning_rate", 0, "is above 0 and at most 1"),
        ("train_sof.rays.correction", 1.5, "is within 0 and 1"),
        ("train_sof.field.warp_size", -16, "is at least 0"),
        ("train_parser.batch", 0, "is at least 1"),
        ("train_parser.learning_rate", float("nan"), "is a finite number"),
        ("train_parser.augmentation.mirror", 50, "is within 0 and 1"),
        ("train_shape_parser.score_every_steps", 0, "is at least 1"),
        ("train_siw.batch", 0, "is at least 1"),
        ("train_siw.kimg", float("inf"), "is a finite number"),
        ("sample_conditions.framing.yaw_degrees", 181, "is within 0 and 180"),
        ("train_siw.generator.resolution", 48, "is a power of two"),
        ("train_siw.discriminator.projected_size", 65, "is a multiple of 32"),
        ("train_siw.photo_sets", [], "has at least one entry"),
        ("train_siw.photo_sets", ["ffhq", "ffhq"], "has nothing twice"),
        ("train_siw.map_proportions.sof", -0.1, "is at least 0"),
        ("render_views.yaw_degrees", 181, "is within 0 and 180"),
        ("render_views.pitch_degrees.0", -90, "is within -80 and 80"),
        ("render_views.size_px", 0, "is within 16 and 16384"),
        ("make_portraits.yaw_std_degrees", -1, "is within 0 and 180"),
        ("parse_faces.scales", [], "has at least one entry"),
        ("parse_faces.scales.0", 0, "is above 0 and at most 8"),
        ("invert_masks.start_yaws", [], "has at least one entry"),
        ("invert_masks.maps_per_step", 0, "is at least 1"),
        ("evaluate.extractors", [], "has at least one entry"),
        ("evaluate.turntable_yaws_degrees.2", 181, "is within -180 and 180"),
        ("evaluate.frequent_share", 2, "is within 0 and 1"),
        ("import_photos.ffhq.source", "", "is a path"),
        ("import_photos.celebamask.held_out_share", 1, "is more than 0, as scores are of people"),
        ("ingest_scans.texture_refinements", 20, "is within 0 and 6"),
        ("report.max_image_width_px", 0, "is at least 1"),
        ("runtime.workers", -1, "is within 0 and 4096"),
        ("avatars.batches", [], "has at least one entry"),
        ("avatars.batches", ["a", "a"], "has nothing twice"),
        ("batches", ["avatars-000", "avatars-000"], "has nothing twice"),
        ("batches.0", "../scans", "is of letters, digits, dots, dashes, underscores"),
    ],
)
def test_values_out_of_their_range_are_told_with_what_is_allowed(whole, key, value, allowed):
    document = copy.deepcopy(whole)
    put(document, key, value)
    fault = refused(document, key)
    block, _, inner = key.partition(".")
    where = block + "".join(
        f"[{part}]" if part.isdigit() else f".{part}" for part in inner.split(".") if part
    )
    assert fault.startswith(f"params.yaml: {where} {allowed}") and repr(value) in fault.replace(".0", "")


@pytest.mark.parametrize(
    "changes, fault",
    [
        ({"train_parser.parser.size": 24}, "train_parser.parser: size is at least 32 for lite_unet, not 24"),
        (
            {"train_parser.parser.size": 48, "train_parser.small_share": 0.5},
            "train_parser: with a small_share parser.size is at least 64 for lite_unet, not 48",
        ),
        ({"train_siw.generator.spade_sizes": [64, 32]}, "spade_sizes are the smallest and the largest"),
        (
            {"train_siw.generator.encoder": "plain", "train_siw.generator.encoder_channels": []},
            "encoder_channels is not empty where",
        ),
        ({"render_views.pitch_degrees": [25, -20]}, "pitch_degrees are the lowest and the highest"),
    ],
)
def test_values_that_do_not_go_together_are_told(whole, changes, fault):
    document = copy.deepcopy(whole)
    for key, value in changes.items():
        put(document, key, value)
    found = refused(document, key)
    assert fault in found and found.startswith("params.yaml: ")


def test_every_number_of_params_yaml_has_a_range():
    """What a field may be stands beside its type, in each block and the blocks within it."""
    import dataclasses
    import importlib
    import typing

    def bare(cls: type):
        for name, kind in typing.get_type_hints(cls, include_extras=True).items():
            yield from unruled(kind, f"{cls.__name__}.{name}")

    def unruled(kind, where: str):
        if dataclasses.is_dataclass(kind):
            yield from bare(kind)
        elif typing.get_origin(kind) is not typing.Annotated:
            if kind in (int, float):
                yield where
            for inner in typing.get_args(kind):
                yield from unruled(inner, where)
        elif typing.get_origin(kind.__origin__):
            yield from unruled(kind.__origin__, where)

    found = []
    for path in params.BLOCKS.values():
        module, name = path.split(":")
        found += bare(getattr(importlib.import_module(module), name))
    # One of the sizes of the pictures, which another check knows; a logit, which is any number.
    assert sorted(set(found)) == ["FieldConfig.background_bias", "TrainSiw.growth"]


@pytest.mark.parametrize(
    "old, new, fault",
    [
        (
            "\n  size_px: 128              # of the views",
            "\n  size_px: 512 #",
            "size_px lies between.*128.*not 512",
        ),
        ("\n  maps: 256", "\n  maps: 0", "sof a share, but sample_conditions.maps is 0"),
        ("\n  sof_images: 100", "\n  sof_images: 101", "sof_images 101 are more"),
        ("views_per_head: 2", "views_per_head: 1", "views_per_head is at least 2 .* not 1 and 256"),
        (
            "\n  maps: 256",
            "\n  maps: 1",
            "maps at least as many, not 2 and 1,.*or train_siw.consistency_every is 0",
        ),
        (
            "\n  size_px: 128              # of the views",
            "\n  size_px: 160 #",
            "size_px 160 is a multiple of train_siw.generator.resolution 64",
        ),
    ],
)
def test_blocks_that_do_not_fit_each_other_are_named(tmp_path, old, new, fault):
    path = changed(tmp_path, old, new)
    assert list(params_checks.faults_of_blocks(path)) == []
    with pytest.raises(ConfigError, match=fault):
        params_checks.check_all(tmp_path)


def test_a_field_whose_maps_have_no_share_needs_none(tmp_path, monkeypatch):
    path = changed(tmp_path, "\n  maps: 256", "\n  maps: 0")
    path.write_text(path.read_text().replace("sof: 0.35}", "sof: 0}"))
    assert code_lists.VALUES["sample_conditions"](yaml.safe_load(path.read_text())) == {"training_maps": True}
    path.write_text(path.read_text().replace("consistency_every: 4", "consistency_every: 0"))
    monkeypatch.chdir(tmp_path)
    params_checks.check_all(tmp_path)
    assert code_lists.VALUES["sample_conditions"](yaml.safe_load(path.read_text())) == {
        "training_maps": False
    }


def test_all_mistakes_are_named_at_once(tmp_path):
    path = changed(tmp_path, "\n  kimg:", "\n  kimgs:")
    path.write_text(
        path.read_text().replace("\n  title:", "\n  titel:").replace("\n  jpeg_quality", "\n  jpeg")
    )
    with pytest.raises(ConfigError, match="jpeg.*kimgs.*titel"):
        params_checks.check_all(tmp_path)
    path.write_text("- a list\n")
    assert list(params_checks.faults_of_blocks(path)) == ["params.yaml is no mapping of blocks"]


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
        return [fault.removeprefix("params.yaml: ") for fault in params_checks.faults_of_files(tmp_path)]

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


def test_a_mistake_removes_nothing_and_a_change_runs_no_other_stage(up_to_date, monkeypatch):
    from dvc.repo import Repo

    def repro(*names: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "dvc", "repro", *names]
        return subprocess.run(command, cwd=up_to_date, capture_output=True, text=True)

    monkeypatch.chdir(up_to_date)  # DVC names its stages as seen from here.
    with Repo(str(up_to_date)) as repo:
        graph = repo.index.graph
        names = {stage.addressing: stage for stage in graph}
        # Whatever is asked for, the check comes first: it is among what every stage needs.
        import networkx

        check = names.pop("code")
        assert len(names) >= 15
        for name, stage in names.items():
            assert check in networkx.descendants(graph, stage), name

    before = {
        path: path.read_bytes() for path in up_to_date.rglob("*") if path.is_file() and "models" in path.parts
    }
    assert {path.suffix for path in before} == {".pt", ".json", ".npz"} and len(before) == 8
    changed(up_to_date, "\n  kimg:", "\n  kimgs:")
    stopped = repro("train_siw")
    assert "code: error: params.yaml: train_siw: unknown key 'kimgs'" in stopped.stderr, stopped
    assert stopped.returncode and "failed to reproduce 'code'" in stopped.stderr
    assert {path: path.read_bytes() for path in before} == before
    assert (up_to_date / "data/siw").exists() and (up_to_date / "data/code/train_siw.json").is_file()

    changed(up_to_date, "workers: 0", "workers: 1")  # No stage reads it as a parameter.
    done = repro()
    assert done.returncode == 0, done.stderr
    assert re.findall(r"Running stage '(\w+)'", done.stdout) == ["code"]


def test_reading_all_needs_no_torch():
    code = "import sys; from stages import code, params_checks; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert set(params_checks.FILES) <= set(params.BLOCKS)


def test_a_folder_of_photos_that_is_not_there_is_named_before_its_stage_runs(tmp_path):
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    document["import_photos"]["ffhq"]["source"] = "photos"
    (tmp_path / "photos/portraits").mkdir(parents=True)
    lock = {"train_siw": {"params": {"params.yaml": {"train_siw": copy.deepcopy(document["train_siw"])}}}}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": lock}))
    for name, faults in (
        ("portraits", []),
        ("portrait", ["did you mean 'portraits'?"]),
        ("x", ["no folder of"]),
    ):
        document["train_siw"]["photo_proportions"] = {name: 0.4}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
        found = [fault for fault in params_checks.faults_of_files(tmp_path) if "photo_proportions" in fault]
        assert len(found) == len(faults) and all(part in fault for part, fault in zip(faults, found))


def test_shares_may_round_and_people_are_not_judged_among_others(whole):
    document = copy.deepcopy(whole)
    document["train_siw"]["photo_proportions"] = {"a": 0.05, "b": 0.55, "c": 0.3, "d": 0.1}  # 1 + 2e-16
    params.block_of(document["train_siw"], "train_siw", Path("params.yaml"))
    put(document, "sample_conditions.sampling.people_share", 0.5)
    assert "judged is false" in refused(document, "sample_conditions")
    for people, judged in ((1.0, True), (0.5, False)):
        document["sample_conditions"]["sampling"] |= {"people_share": people, "judged": judged}
        params.block_of(document["sample_conditions"], "sample_conditions", Path("params.yaml"))
