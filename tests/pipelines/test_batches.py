"""Batches of scans in and out of a project held by a real dvc."""

import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import fsspec
import pytest
import yaml

from pipelines import batch_sources, batches, watched_folder
from pipelines.batches import BatchError, add, remove, slug
from sofgan.files import sha256_file
from sofgan.scans.folder import is_litter

CODE = Path(__file__).parents[2]


# What .gitignore had: DVC's matcher takes data/raw/ for ignored, whatever is excepted.
BLIND = "/data/raw/*\n!/data/raw/scans/\n/data/raw/scans/*\n!/data/raw/scans/*.dvc\n"


@pytest.fixture
def project(real_files, tmp_path) -> Path:
    """A project with one batch in use, avatars-000."""
    return Path(shutil.copytree(real_files, tmp_path / "project"))


def scans(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / f"{name}.obj").write_text(f"o {name}\n")
    return folder


def in_use(project: Path) -> list[str]:
    return yaml.safe_load((project / "params.yaml").read_text())["batches"]


def test_a_folder_becomes_a_batch_once(project, tmp_path):
    source = scans(tmp_path / "May 2026", "a", "b")
    assert add(project, str(source)) == batches.Batch("may-2026", {".obj": 2}, 2, True)
    assert in_use(project) == ["avatars-000", "may-2026"]
    assert (project / "data/raw/scans/may-2026/a.obj").read_text() == "o a\n"
    assert (project / "data/raw/scans/may-2026.dvc").is_file()
    text = (project / "params.yaml").read_text()
    assert text.replace("[avatars-000, may-2026]", "[avatars-000]", 1) == (CODE / "params.yaml").read_text()

    assert add(project, str(source)) == batches.Batch("may-2026", {".obj": 2}, 2, False)
    assert (project / "params.yaml").read_text() == text
    assert not list((project / ".work").glob("tmp*"))


def test_a_batch_that_stopped_half_way_is_finished(project, tmp_path):
    source = scans(tmp_path / "new", "a")
    shutil.copytree(source, project / "data/raw/scans/new")  # Killed before params.yaml was written.
    assert add(project, str(source)).added
    assert in_use(project) == ["avatars-000", "new"]


def test_archives_single_files_and_other_systems(project, tmp_path):
    source = scans(tmp_path / "scans", "a", "b")
    with zipfile.ZipFile(tmp_path / "zipped.zip", "w") as archive:
        for path in source.iterdir():
            archive.write(path, f"deep/{path.name}")
    assert add(project, str(tmp_path / "zipped.zip")) == batches.Batch("zipped", {".obj": 2}, 2, True)
    assert (project / "data/raw/scans/zipped/deep/b.obj").is_file()

    single = tmp_path / "one.obj"
    single.write_text("o one\n")
    assert add(project, str(single)).name == "one.obj"

    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/march/c.obj", b"o c\n")
    memory.pipe("/bucket/march/sub/d.obj", b"o d\n")
    assert add(project, "memory://bucket/march/") == batches.Batch("march", {".obj": 2}, 2, True)
    assert (project / "data/raw/scans/march/sub/d.obj").read_bytes() == b"o d\n"
    assert in_use(project) == ["avatars-000", "zipped", "one.obj", "march"]


def test_a_single_scan_brings_what_it_needs(tmp_path):
    """What it names, what lies beside it by its name, and nothing else."""
    source = tmp_path / "there"
    (source / "materials").mkdir(parents=True)
    (tmp_path / "textures").mkdir()
    files = {
        "one.obj": "mtllib materials\\Head.mtl\r\nmtllib gone.mtl\nv 0 0 0\n",
        "materials/head.mtl": "newmtl a\nmap_Kd -s 1 1 1 my skin.png\nnewmtl b\nmap_Kd ../../textures/hair.jpg\n",
        "materials/my skin.png": "skin",
        "../textures/hair.jpg": "hair",
        "one_seg.png": "seg",
        "scan.yaml": "up: z",
        "two.obj": "other",
        "two_seg.png": "other",
    }
    for name, text in files.items():
        (source / name).write_bytes(text.encode())
    gone = batch_sources.fetch(str(source / "one.obj"), tmp_path / "here")
    assert batches.listing(tmp_path / "here") == {
        "hair.jpg": 4,
        "materials/head.mtl": (source / "materials/head.mtl").stat().st_size,
        "materials/my skin.png": 4,
        "one.obj": (source / "one.obj").stat().st_size,
        "one_seg.png": 3,
        "scan.yaml": 5,
    }
    assert gone == ["gone.mtl: one.obj names it, and it is not there"]


def test_a_single_scan_of_other_formats_brings_what_it_names(tmp_path):
    uris = ["data.bin", "my%20skin.png", "data:image/png;base64,AA=="]
    document = {"buffers": [{"uri": uris[0]}, {}], "images": [{"uri": uri} for uri in uris[1:]]}
    text = json.dumps(document).encode()
    glb = b"glTF" + struct.pack("<III", 2, 20 + len(text), len(text)) + b"JSON" + text
    ply = b"ply\nformat ascii 1.0\ncomment TextureFile my skin.png\nend_header\n\xff"
    memory = fsspec.filesystem("memory")
    scans = {"a.gltf": text, "b.vrm": glb, "c.ply": ply, "d.glb": glb[:30]}
    for name, content in (scans | {"data.bin": b"data", "my skin.png": b"skin", "e.bin": b""}).items():
        (tmp_path / name).write_bytes(content)
        memory.pipe(f"/companions/{name}", content)
    named = {"a.gltf": {"data.bin", "my skin.png"}, "c.ply": {"my skin.png"}, "d.glb": set()}
    named["b.vrm"] = named["a.gltf"]
    for name, companions in named.items():
        for number, place in enumerate((str(tmp_path), "memory://companions")):
            here = tmp_path / f"{name}-{number}"
            assert batch_sources.fetch(f"{place}/{name}", here) == []
            assert batches.listing(here).keys() == {name} | companions


def test_linked_folders_are_taken_and_links_that_go_round_end(tmp_path):
    source, far = tmp_path / "source", tmp_path / "far"
    (source / "own").mkdir(parents=True)
    (far / "subject").mkdir(parents=True)
    (source / "own/a.obj").write_text("a")
    (far / "subject/head.obj").write_text("far")
    os.symlink(far, source / "linked")
    os.symlink(source, far / "back")  # source/linked/back is source again
    os.symlink(source, source / "own/loop")
    os.symlink(far / "subject/head.obj", source / "file.obj")
    os.symlink(tmp_path / "nowhere", source / "dead")
    gone = batch_sources.fetch(str(source), tmp_path / "here")
    assert batches.listing(tmp_path / "here") == {"file.obj": 3, "linked/subject/head.obj": 3, "own/a.obj": 1}
    assert gone == ["dead: it is a link to what is not there"]


def test_what_is_refused_changes_nothing(project, tmp_path):
    add(project, str(scans(tmp_path / "first", "a")))
    before = (project / "params.yaml").read_bytes()
    scans(tmp_path / "other", "b")
    scans(tmp_path / "same", "a")
    scans(tmp_path / "none")
    scans(tmp_path / "photos")
    for photo in ("1.jpg", "2.JPG", "notes.txt", ".hidden.obj"):
        (tmp_path / "photos" / photo).write_text("x")
    packed = gzip.compress(b"no archive" * 1000)
    (tmp_path / "torn.tar.gz").write_bytes(packed[: len(packed) // 2])
    (project / "data/raw/scans/absent.dvc").write_text("outs: []\n")  # As in a clone before `dvc pull`.
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"no archive")
    for source, name, message in (
        (tmp_path / "other", "first", "of other scans"),
        (tmp_path / "same", None, "there already: batch 'first'"),
        (tmp_path / "none", None, "no scan among its 0 files; scans are .obj, .ply"),
        (tmp_path / "photos", None, r"no scan among its 3 files \(2 .jpg, 1 .txt\); scans are .obj, .ply"),
        (tmp_path / "lost", None, "is not there"),
        (tmp_path / "other", "Ärger!", "no name for a batch"),
        (broken, None, "can't be read"),
        (tmp_path / "torn.tar.gz", None, "can't be read"),
        ("nowhere://x/y", None, "can't be read"),
        (tmp_path / "other", "no", "no name for a batch"),
        (tmp_path / "other", "absent", "`dvc pull`, or another --name"),
    ):
        with pytest.raises(BatchError, match=message):
            add(project, str(source), name)
    with pytest.raises(BatchError, match="no field at models/sof.pt"):
        add(project, str(tmp_path / "other"), warm_start=True)
    with pytest.raises(BatchError, match="in use already; a warm start"):
        add(project, str(tmp_path / "first"), warm_start=True)
    assert (project / "params.yaml").read_bytes() == before
    assert sorted(path.name for path in (project / "data/raw/scans").glob("*/")) == ["first"]


def held(project: Path, name: str) -> int:
    """How many files DVC holds of a batch."""
    return yaml.safe_load((project / f"data/raw/scans/{name}.dvc").read_text())["outs"][0]["nfiles"]


def test_a_source_that_is_a_repository_itself_is_held_whole(project, tmp_path):
    source = scans(tmp_path / "may", "a", "b")
    subprocess.run(["git", "init", "-q"], cwd=source, check=True)
    for name in (".dvc", "__pycache__", "old.egg-info"):
        (source / name).mkdir()
        (source / name / "c.obj").write_text("o c\n")
    (source / ".dvcignore").write_text("*.obj\n")
    (source / ".gitignore").write_text("*.obj\n")
    (source / "gone.obj").symlink_to("nowhere.obj")
    batch = add(project, str(source))
    assert (batch.files, held(project, "may")) == (2, 2)
    assert batch.unread == ("gone.obj: it is a link to what is not there",)
    found = sorted(path.name for path in (project / "data/raw/scans/may").iterdir())
    assert found == ["a.obj", "b.obj"]


def test_an_archives_litter_is_left_out(project, tmp_path):
    source = scans(tmp_path / "may", "a")
    scans(source / "__pycache__", "b")
    (source / ".dvcignore").write_text("*.obj\n")
    packed = shutil.make_archive(str(tmp_path / "june"), "zip", source)
    assert add(project, packed).files == held(project, "june") == 1


def test_what_dvc_would_not_hold_whole_is_not_taken(project, tmp_path):
    source = scans(tmp_path / "may", "a", "b")
    with open(project / ".dvcignore", "a") as file:
        file.write("b.obj\n")
    with pytest.raises(BatchError, match="DVC would hold 1 of the 2 files of data/raw/scans/may"):
        add(project, str(source))
    assert in_use(project) == ["avatars-000"]
    assert not list((project / "data/raw/scans").glob("may*"))


def test_a_batch_that_dvc_refuses_leaves_nothing_behind(project, tmp_path, monkeypatch):
    source = scans(tmp_path / "may", "a")

    def refuse(*_, **__):
        raise RuntimeError("no")

    monkeypatch.setattr("dvc.stage.Stage.add_outs", refuse)
    with pytest.raises(BatchError, match="dvc can't hold data/raw/scans/may: no"):
        add(project, str(source))
    assert in_use(project) == ["avatars-000"] and not list((project / "data/raw/scans").glob("may*"))


def test_a_name_that_looks_like_a_dvc_file_is_refused(project, tmp_path):
    with pytest.raises(BatchError, match="'may.dvc' is no name for a batch"):
        add(project, str(scans(tmp_path / "may.dvc", "a")))


def test_litter_is_what_the_projects_dvcignore_passes_over():
    lines = (CODE / ".dvcignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert len(rules) >= 7
    for rule in rules:
        name = rule.rstrip("/").replace("*", "x")
        assert is_litter(name), rule


def test_what_was_found_is_told(project, tmp_path, monkeypatch, capsys):
    source = scans(tmp_path / "may", "a")
    for name in (
        "s01/head.obj",
        "s01/head.ply",
        "s02/head.glb",
        "s02/skin.png",
        "__MACOSX/x.obj",
        "s02/a.fbx",
    ):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text("x")
    monkeypatch.chdir(project)
    assert batches.run_add(str(source), None, False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "batch 'may': 3 scans (2 obj, 1 glb), 6 files, in use",
        "  left out: s01/head.ply: another scan of this batch has the same name, 's01__head': s01/head.obj",
        "  left out: s02/a.fbx: '.fbx' is not read; formats are .obj, .ply, .glb, .gltf, .vrm, .stl",
    ]
    assert batches.run_add(str(source), None, False) == 0
    assert capsys.readouterr().out.startswith(
        "batch 'may': 3 scans (2 obj, 1 glb), 6 files, in use already\n"
    )
    assert str(batches.Batch("one", {".ply": 1}, 1, True)) == "batch 'one': 1 scan (1 ply), 1 file"
    many = batches.Batch("many", {".ply": 1}, 13, True, tuple(f"{i}.fbx: no" for i in range(12))).left_out()
    assert len(many) == 11 and many[-1] == "and 2 more; the batch's report.csv lists all"


def test_scans_that_dvc_would_not_see_are_not_taken(project, tmp_path, monkeypatch):
    source = scans(tmp_path / "may", "a")
    ours = (project / ".gitignore").read_text()
    monkeypatch.chdir(project)
    for rules, left_out in (
        (BLIND, "data/raw/ is left out"),
        ("*.dvc\n", "data/raw/scans/may.dvc is left out"),
    ):
        (project / ".gitignore").write_text(rules)
        with pytest.raises(BatchError) as refused:
            batches.run_add(str(source), None, False)
        said = str(refused.value)
        assert "DVC would not see data/raw/scans/may.dvc: by git's ignore files" in said
        assert left_out in said and "have .gitignore and .dvcignore as the project has them" in said
        assert in_use(project) == ["avatars-000"] and [
            path.name for path in (project / "data").iterdir()
        ] == ["README.md"]
    (project / ".gitignore").write_text(ours)
    (project / ".dvcignore").write_text("/data/raw/scans/\n")
    with pytest.raises(BatchError, match="by .dvcignore data/raw/scans/ is left out"):
        add(project, str(source))
    shutil.copyfile(CODE / ".dvcignore", project / ".dvcignore")
    assert add(project, str(source)).added
    # A clone whose ignore files are changed later.
    assert "held by data/raw/scans/may.dvc" in batches.whereabouts(project, "may")
    (project / ".gitignore").write_text(BLIND)
    assert "DVC does not see data/raw/scans/may.dvc: by git's" in batches.whereabouts(project, "may")
    assert "those that make_avatars makes" in batches.whereabouts(project, "avatars-000")
    by_hand = batches.whereabouts(project, "hand")
    assert by_hand.startswith("Its scans are in data/raw/scans/hand alone") and "`dvc add " in by_hand


def test_none_is_added_while_dvc_makes_outs_of_the_others(project, tmp_path, at_work, monkeypatch):
    """DVC records parameters as they are when a stage ends: the field would count as one of all batches."""
    first = scans(tmp_path / "first", "a")
    add(project, str(first))
    before, source = (project / "params.yaml").read_bytes(), scans(tmp_path / "second", "b")
    at_work(project)
    with pytest.raises(BatchError, match=r"^dvc is at work \(dvc repro\); try again when it has ended$"):
        add(project, str(source))
    assert not add(project, str(first)).added  # Which changes nothing.
    at_work(project, False)
    fetch = batches.fetch

    def fetch_while_dvc_begins(*arguments):
        found = fetch(*arguments)
        at_work(project)
        return found

    monkeypatch.setattr(batches, "fetch", fetch_while_dvc_begins)
    with pytest.raises(BatchError, match="dvc is at work"):
        add(project, str(source))
    assert (project / "params.yaml").read_bytes() == before
    assert not list((project / "data/raw/scans").glob("second*"))
    at_work(project, False)
    monkeypatch.undo()
    assert add(project, str(source)).added


def test_two_at_once_are_both_added(project, tmp_path):
    sources = [scans(tmp_path / f"batch-{i}", f"scan-{i}") for i in range(2)]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "pipelines", "add-batch", str(source)],
            cwd=project, env={"PYTHONPATH": str(CODE), "PATH": "/usr/bin:/bin"},
        )
        for source in sources
    ]  # fmt: skip
    assert [process.wait(120) for process in started] == [0, 0]
    assert sorted(in_use(project)) == ["avatars-000", "batch-0", "batch-1"]


def test_folders_that_have_settled_arrive(project):
    incoming = project / "data/incoming"
    assert watched_folder.arrived(project, Path("data/incoming"), 60) == []
    incoming.mkdir(parents=True)
    remembered = project / "data/raw/scans/sunday.dvc"
    remembered.parent.mkdir(parents=True)
    remembered.write_text("outs: []\n")  # It was a batch, and was taken out.
    for name in ("Monday", "Tuesday", "avatars-000", "sunday", ".hidden"):
        scans(incoming / name, "a")
    long_ago = time.time() - 1000
    for path in (*incoming.glob("*/*"), *incoming.glob("*/")):
        os.utime(path, (long_ago, long_ago))
    (incoming / "Tuesday/b.obj").write_text("o still arriving\n")
    assert watched_folder.arrived(project, Path("data/incoming"), 60) == [incoming / "Monday"]


def test_what_failed_is_tried_again_twice_then_when_it_has_changed(project):
    incoming = Path("data/incoming")
    (project / incoming).mkdir(parents=True)
    for name in ("done", "failed", "new"):
        scans(project / incoming / name, name)
    for name in ("done", "failed"):
        add(project, str(project / incoming / name))
    (project / "data/views/done").mkdir(parents=True)
    assert watched_folder.unfinished(project, incoming) == ["failed"]
    assert watched_folder.unfinished(project, Path("data/elsewhere")) == []

    for _ in range(watched_folder.TRIES):
        assert watched_folder.worth_a_try(project, "failed")
        watched_folder.note_failure(project, "failed")
    assert not watched_folder.worth_a_try(project, "failed")
    (project / "data/raw/scans/failed/failed.obj").write_text("o mended\n")
    assert watched_folder.worth_a_try(project, "failed")

    for _ in range(watched_folder.TRIES):
        watched_folder.note_failure(project, "failed")
    assert not watched_folder.worth_a_try(project, "failed")
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("steps: 1000", "steps: 999"))  # Not of these stages.
    assert not watched_folder.worth_a_try(project, "failed")
    (project / "params.yaml").write_text(text.replace("palette_tolerance: 24", "palette_tolerance: 30"))
    assert watched_folder.worth_a_try(project, "failed")


def test_a_batch_whose_fields_training_failed_is_unfinished(project):
    incoming = Path("data/incoming")
    (project / incoming).mkdir(parents=True)
    (project / "models").mkdir()
    (project / "models/sof.pt").write_bytes(b"a field")
    add(project, str(scans(project / incoming / "may", "a")), warm_start=True)
    (project / "data/views/may").mkdir(parents=True)
    assert watched_folder.unfinished(project, incoming, fine_tune=True) == []
    (project / "models/sof.pt").unlink()  # As dvc does before it trains another.
    assert watched_folder.unfinished(project, incoming, fine_tune=True) == ["may"]
    assert watched_folder.unfinished(project, incoming) == []  # No training is asked for.
    for _ in range(watched_folder.TRIES):
        watched_folder.note_failure(project, "may")
    assert not watched_folder.worth_a_try(project, "may")
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("steps: 1000", "steps: 999"))
    assert watched_folder.worth_a_try(project, "may")


def test_a_folder_that_is_refused_is_tried_again_twice_then_when_it_has_changed(project):
    source = scans(project / "photos")
    for _ in range(watched_folder.TRIES):
        assert watched_folder.worth_a_try(project, "photos", source)
        with pytest.raises(BatchError, match="no scan"):
            add(project, str(source))
        watched_folder.note_failure(project, "photos", source)
    assert not watched_folder.worth_a_try(project, "photos", source)
    (source / "head.obj").write_text("o head\n")
    assert watched_folder.worth_a_try(project, "photos", source)
    for _ in range(watched_folder.TRIES):
        watched_folder.note_failure(project, "photos", source)
    assert not watched_folder.worth_a_try(project, "photos", source)
    add(project, str(source))  # Now its own folder counts.
    assert watched_folder.worth_a_try(project, "photos", source) and watched_folder.worth_a_try(
        project, "photos"
    )


def test_a_removed_batch_keeps_its_scans_and_comes_back(project, tmp_path, at_work):
    source = scans(tmp_path / "may", "a")
    add(project, str(source))
    for folder in ("data/scans/may", "data/views/may", "metrics/all/score_batch", "metrics/all/make_avatars"):
        (project / folder).mkdir(parents=True)
    for stage in ("score_batch", "make_avatars"):
        (project / f"metrics/all/{stage}/may.json").write_text("{}")
    at_work(project)
    with pytest.raises(BatchError, match=r"dvc is at work \(dvc repro\)"):
        remove(project, "may")
    at_work(project, False)
    remove(project, "may")
    assert not (project / "metrics/all/score_batch/may.json").exists()
    assert (project / "metrics/all/make_avatars/may.json").exists()  # Of a stage of its own.
    assert in_use(project) == ["avatars-000"]
    assert (project / "data/raw/scans/may/a.obj").is_file()
    assert not (project / "data/scans/may").exists() and not (project / "data/views/may").exists()
    with pytest.raises(BatchError, match="no batch 'may' in use; there are: avatars-000"):
        remove(project, "may")
    with pytest.raises(BatchError, match="only batch"):
        remove(project, "avatars-000")
    assert add(project, str(source)).added and in_use(project) == ["avatars-000", "may"]


def test_a_warm_start_keeps_the_field_that_there_is(project, tmp_path):
    (project / "models").mkdir()
    (project / "models/sof.pt").write_bytes(b"a field")
    add(project, str(scans(tmp_path / "may", "a")), warm_start=True)
    kept = project / "data/fields/before-may.pt"
    warm = yaml.safe_load((project / "params.yaml").read_text())["train_sof"]["warm_start"]
    assert warm["field"] == "data/fields/before-may.pt" and warm["sha256"] == sha256_file(kept)
    assert warm["steps"] > 0
    assert kept.read_bytes() == b"a field" and kept.with_name("before-may.pt.dvc").is_file()


@pytest.mark.parametrize(
    "source, name",
    [("/x/May 2026/", "may-2026"), ("s3://b/Heads_03.tar.gz", "heads_03"), ("https://h/a b.ZIP", "a-b")],
)
def test_names_come_from_the_source(source, name):
    assert slug(source) == name
