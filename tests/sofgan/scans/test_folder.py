"""Scans in folders of their own: which files are scans, what they are called, and what belongs to them."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import trimesh
from PIL import Image

from sofgan.config import ConfigError
from sofgan.scans.folder import described, files_in, find_scans, none_found, scan_name
from sofgan.scans.ingestion import NoUsableScan, ingest_batch
from sofgan.scans.reading import ScanError, read_scan
from tests import toyhead

RED = (200, 30, 40)


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def test_scans_at_any_depth_are_named_by_their_path(tmp_path):
    put(tmp_path, "b.ply", "a.v2.OBJ", "s01/head.glb", "s02/head.glb", "s02/deep/er/head.glb", "s01/head.png")
    put(tmp_path, "s01/head.mtl", "s01/textures/skin.jpg", "s01/notes.txt", "LICENSE", "s02/scan.yaml")
    found = find_scans(tmp_path)
    assert [(scan.file, scan.name, scan.unread) for scan in found] == [
        ("a.v2.OBJ", "a.v2", ""),
        ("b.ply", "b", ""),
        ("s01/head.glb", "s01__head", ""),
        ("s02/deep/er/head.glb", "s02__deep__er__head", ""),
        ("s02/head.glb", "s02__head", ""),
    ]
    assert found[2].path == tmp_path / "s01/head.glb" and found[0].format == ".obj"


def test_what_systems_leave_is_no_scan(tmp_path):
    put(tmp_path, "head.obj", ".hidden.obj", ".cache/a.obj", "__MACOSX/._head.obj", "__MACOSX/head.obj")
    put(tmp_path, "s/Thumbs.db", "s/desktop.ini", "s/.DS_Store", "@eaDir/head.obj", "s/head.obj")
    (tmp_path / "lost.obj").symlink_to(tmp_path / "nowhere.obj")
    assert [scan.file for scan in find_scans(tmp_path)] == ["head.obj", "s/head.obj"]
    assert [str(file) for file in files_in(tmp_path)] == ["head.obj", "s/head.obj"]


def test_of_one_name_the_first_is_read_and_the_others_are_told(tmp_path):
    put(tmp_path, "a__b.obj", "a/b.obj", "a/b.glb", "c.glb", "c.obj", "d.fbx")
    unread = {scan.file: scan.unread for scan in find_scans(tmp_path)}
    same = "another scan of this batch has the same name"
    assert unread == {
        "a/b.glb": f"{same}, 'a__b': a__b.obj",
        "a/b.obj": f"{same}, 'a__b': a__b.obj",
        "a__b.obj": "",
        "c.glb": "",
        "c.obj": f"{same}, 'c': c.glb",
        "d.fbx": "'.fbx' is not read; formats are .obj, .ply, .glb, .gltf, .vrm, .stl",
    }


def test_names_of_deep_folders_stay_file_names():
    first, second = (PurePosixPath(*[f"Gesicht-ä{i}"] * 40, "head.obj") for i in (1, 2))
    assert len(scan_name(first).encode()) <= 180 and scan_name(first).endswith("__head")
    assert scan_name(first) != scan_name(second) and "/" not in scan_name(first)
    assert scan_name(PurePosixPath("x" * 200 + ".obj")) == "x" * 200  # As ever.


def test_what_a_folder_holds_is_told(tmp_path):
    put(tmp_path, "1.jpg", "s/2.JPG", "3.txt", "README", ".x")
    assert none_found(tmp_path) == (
        "no scan among its 4 files (2 .jpg, 1 .txt, 1 without suffix); scans are .obj, .ply, .glb, .gltf, .vrm, .stl"
    )
    assert described([]) == "0 files" and described([PurePosixPath("a.x")]) == "1 file (1 .x)"
    many = described(PurePosixPath(f"a.{letter}") for letter in "abcdefgh")
    assert many == "8 files (1 .a, 1 .b, 1 .c, 1 .d, 1 .e, 1 .f, 2 others)"


def test_finding_scans_opens_and_imports_nothing():
    code = "import sys, sofgan.scans.folder; sys.exit(bool({'torch', 'trimesh', 'numpy'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def ingested(raw: Path, folder: Path, config) -> dict[str, dict]:
    figures = ingest_batch(raw, folder, config, workers=1)
    with open(folder / "report.csv") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert figures["scans_usable"] == sum(row["status"] == "ok" for row in rows.values())
    return rows


def test_three_subjects_of_one_file_name_are_three_scans(ingest_config, tmp_path):
    raw = tmp_path / "raw"
    for name in ("s01", "s02", "s03/mesh"):
        (raw / name).mkdir(parents=True)
    toyhead.write_glb(raw / "s01/head.glb")
    toyhead.write_textured_obj(raw / "s02/head.obj")  # Its segmentation texture lies beside it.
    turned = trimesh.load_scene(raw / "s01/head.glb")
    turned.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, (1, 0, 0)))
    turned.export(raw / "s03/mesh/head.glb")
    (raw / "s03/scan.yaml").write_text("up: +Z\nfront: -Y\nunit: m\n")
    put(raw, "s03/sculpt.fbx", "s03/__MACOSX/head.glb")
    rows = ingested(raw, tmp_path / "scans", ingest_config)
    assert {file: (row["scan"], row["status"], row["label_source"]) for file, row in rows.items()} == {
        "s01/head.glb": ("s01__head", "ok", "names"),
        "s02/head.obj": ("s02__head", "ok", "segmentation texture"),
        "s03/mesh/head.glb": ("s03__mesh__head", "ok", "names"),
        "s03/sculpt.fbx": ("s03__sculpt", "rejected", ""),
    }
    assert [rows[f"{name}/head.glb"]["axes_source"] for name in ("s01", "s03/mesh")] == [
        "labelled parts",
        "scan.yaml",
    ]
    names = ["figures.json", "report.csv", "s01__head.npz", "s02__head.npz", "s03__mesh__head.npz"]
    assert sorted(path.name for path in (tmp_path / "scans").iterdir()) == names
    plain, moved = (np.load(tmp_path / f"scans/{name}.npz") for name in ("s01__head", "s03__mesh__head"))
    np.testing.assert_allclose(plain["vertices"], moved["vertices"], atol=2e-4)

    # Alone in its folder a scan is what it is in its batch, and so is one that lies in no folder.
    shutil.copyfile(raw / "s01/head.glb", tmp_path / "head.glb")
    (tmp_path / "flat").mkdir()
    shutil.move(tmp_path / "head.glb", tmp_path / "flat/head.glb")
    assert ingested(tmp_path / "flat", tmp_path / "again", ingest_config).keys() == {"head.glb"}
    assert (tmp_path / "again/head.npz").read_bytes() == (tmp_path / "scans/s01__head.npz").read_bytes()


def test_scan_yaml_of_the_batch_holds_where_there_is_none_nearer(ingest_config, tmp_path):
    raw = tmp_path / "raw"
    (raw / "s01").mkdir(parents=True)
    toyhead.write_glb(raw / "s01/head.glb")
    (raw / "scan.yaml").write_text("up: -Y\n")
    with pytest.raises(NoUsableScan, match="s01/head.glb: .*set `up`"):
        ingest_batch(raw, tmp_path / "scans", ingest_config, workers=1)
    (raw / "s01/scan.yaml").write_text("up: +Y\n")
    assert ingested(raw, tmp_path / "scans", ingest_config)["s01/head.glb"]["status"] == "ok"
    (raw / "s01/scan.yaml").write_text("upp: +Y\n")
    with pytest.raises(ConfigError, match="s01/scan.yaml.*did you mean 'up'"):
        ingest_batch(raw, tmp_path / "scans", ingest_config, workers=1)


def test_a_batch_without_scans_names_what_is_in_it(ingest_config, tmp_path):
    put(tmp_path / "raw", "1.jpg", "s/2.jpg", "s/3.txt")
    with pytest.raises(NoUsableScan, match=r"no scan among its 3 files \(2 .jpg, 1 .txt\); scans are .obj"):
        ingest_batch(tmp_path / "raw", tmp_path / "scans", ingest_config, workers=1)


OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl skin\nf 1/1 2/2 3/3\n"


@pytest.mark.parametrize(
    ("library", "named", "map_kd", "texture"),
    [
        ("s01/head.mtl", "head.mtl", "textures/Skin.png", "s01/textures/skin.png"),
        ("mats/head.mtl", "../mats/head.mtl", "../tex/skin.png", "tex/skin.png"),  # from the MTL
        ("s01/mats/head.mtl", "MATS\\head.mtl", "textures/skin.png", "s01/textures/skin.png"),  # from the OBJ
        ("s01/mats/head.mtl", "mats/head.mtl", "C:\\work\\skin.png", "s01/skin.png"),
    ],
)
def test_an_obj_finds_its_library_and_texture_in_other_folders(library, named, map_kd, texture, tmp_path):
    put(tmp_path, "s01/head.obj", library, texture)
    (tmp_path / "s01/head.obj").write_text(f"mtllib {named}\n{OBJ}")
    (tmp_path / library).write_text(f"newmtl skin\nmap_Kd {map_kd}\n")
    Image.new("RGB", (4, 4), RED).save(tmp_path / texture)
    (material,) = read_scan(tmp_path / "s01/head.obj").materials
    assert material.missing == "" and tuple(material.texture[0, 0]) == RED


def write_gltf(path: Path, buffer: str, image: str) -> None:
    """A textured triangle whose buffer and texture lie where they are named from the file."""
    data = (
        np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()
        + np.array([[0, 0], [1, 0], [0, 1]], "<f4").tobytes()
    )
    data += np.arange(3, dtype="<u4").tobytes()
    views = [
        {"buffer": 0, "byteOffset": start, "byteLength": size}
        for start, size in ((0, 36), (36, 24), (60, 12))
    ]
    kinds = ((5126, "VEC3"), (5126, "VEC2"), (5125, "SCALAR"))
    document = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "head"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}],
        "images": [{"uri": image}],
        "accessors": [
            {"bufferView": i, "componentType": component, "count": 3, "type": kind}
            for i, (component, kind) in enumerate(kinds)
        ],
        "bufferViews": views,
        "buffers": [{"uri": buffer, "byteLength": len(data)}],
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    for name, content in ((buffer, data), (image, None)):
        target = path.parent / name.replace("%20", " ")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content) if content else Image.new("RGB", (4, 4), RED).save(target)


@pytest.mark.parametrize("folder", ["", "textures/", "../tex/"])
def test_a_gltf_finds_its_buffer_and_texture_in_other_folders(folder, tmp_path):
    path = tmp_path / "s01/head.gltf"
    write_gltf(path, f"{folder}head.bin", f"{folder}my%20skin.png")
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.vertices, [[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    assert tuple(scan.materials[0].texture[0, 0]) == RED
    (path.parent / folder / "head.bin").unlink()
    with pytest.raises(ScanError, match=f"{folder}head.bin, which it refers to, is not there"):
        read_scan(path)
