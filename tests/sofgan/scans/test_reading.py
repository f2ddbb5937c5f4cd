"""OBJ, PLY and STL files as programs write them, odd and damaged ones."""

import struct

import numpy as np
import pytest
import trimesh

from sofgan import labels
from sofgan.scans.labelling import label_by_colors
from sofgan.scans.reading import ScanError, read_scan

POINTS = np.array([[0, 0, 0], [1, 0, 0], [1, 2, 0], [0, 2, 0.5]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])
_VERTICES = "".join("v {:g} {:g} {:g}\n".format(*point) for point in POINTS)
_TEXTURE = "vt 0 0\nvt 1 0\nvt 1 0.5\nvt 0 0.5\n"
_PLAIN = _VERTICES + _TEXTURE + "usemtl skin\nf 1/1 2/2 3/3\nusemtl hair\nf 1/1 3/3 4/4\n"


def _obj(tmp_path, text, name="a.obj"):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_scan(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [
        _PLAIN,
        _PLAIN.replace(" ", "\t"),
        _PLAIN.replace(" ", " \t  "),
        _PLAIN.replace(" ", "\v"),
        "\t" + _PLAIN.replace("\n", "\n  \t"),
        _PLAIN.replace("\n", " \t\n"),
        _PLAIN.replace("\n", "\r\n"),
        _PLAIN.replace("\n", "\r"),
        _PLAIN.rstrip("\n"),
        "\ufeff" + _PLAIN,
        _PLAIN.encode("utf-16"),
        _PLAIN.replace("2/2 3/3", "2/2 \\\n3/3").replace("v 1 0", "v 1\\\r\n 0"),
        _PLAIN.replace("f 1/1 2/2 3/3", "f -4/-4 -3/-3 -2/-2").replace(
            "f 1/1 3/3 4/4", "f -4/-4 -2/-2 -1/-1"
        ),
        _PLAIN.replace("/1", "/1/7").replace("/2", "/2/7").replace("/3", "/3/7").replace("/4", "/4/7"),
        _PLAIN.replace("\nf 1/1 2", " # of a face\nf 1/1 2").replace("3/3\n", "3/3 # the first\n"),
        _PLAIN.replace("v 1 0 0\n", "v 1 0 0 # a vertex\n\n\n"),
        _PLAIN.replace("v 1 0 0\n", "v 1.0e0 -0 +0 1.0\n"),
        _PLAIN.replace("f 1/1 3", "f\nf 1/1\nf 1/1 2/2\nf 1/1 3"),
        _PLAIN.replace("f 1/1 3/3 4/4", "f 1/1 3/3 4/4 1/1").replace("4/4 1/1", "4/4"),
    ],
)
def test_obj_lines_are_read_however_they_are_written(text, tmp_path):
    scan = _obj(tmp_path, text)
    by_name = {}
    for part, names in enumerate(scan.part_names):
        # Names may keep what a line has besides, such as a comment.
        own = next(name.split()[0] for name in names if name.startswith(("skin", "hair")))
        by_name[own] = scan.vertices[scan.faces[scan.part_of_face == part]]
    np.testing.assert_array_equal(by_name["skin"], POINTS[FACES[:1]])
    np.testing.assert_array_equal(by_name["hair"], POINTS[FACES[1:]])
    x = scan.vertices[scan.faces][..., 0]
    np.testing.assert_array_equal(scan.corner_uv[..., 0], x)


def test_negative_indices_count_from_their_own_line(tmp_path):
    """Objects one after the other, each of which counts back to its own vertices."""
    block = _VERTICES + "f -4 -3 -2 -1\n"
    scan = _obj(tmp_path, "o skin\n" + block + "o hair\n" + block.replace("v 0", "v 5").replace("v 1", "v 6"))
    names = [names[0] for names in scan.part_names]
    first = scan.faces[scan.part_of_face == names.index("skin")]
    second = scan.faces[scan.part_of_face == names.index("hair")]
    np.testing.assert_array_equal(scan.vertices[first], POINTS[FACES])
    np.testing.assert_array_equal(scan.vertices[second], POINTS[FACES] + (5, 0, 0))


def test_polygons_are_fans_beside_triangles(tmp_path):
    ring = [(np.cos(angle), np.sin(angle), 0.0) for angle in np.linspace(0, 2 * np.pi, 6)[:-1]]
    rows = "".join("v {:.9f} {:.9f} {:.9f}\n".format(*point) for point in ring)
    scan = _obj(tmp_path, rows + "f 1 2 3 4 5\nf 1 2 3\nf 1 2 3 4\n")
    assert len(scan.faces) == 3 + 1 + 2
    np.testing.assert_array_equal(scan.vertices[scan.faces[1]], np.round(np.array(ring)[[0, 2, 3]], 9))


def test_faces_with_and_without_texture_do_not_take_each_others_numbers(tmp_path):
    """Four corners of two numbers and two of four: both are eight."""
    text = _VERTICES + _TEXTURE + "o skin\nf 1/1 2/2 3/3\no hair\nf 1 2 3 4\n"
    scan = _obj(tmp_path, text.replace("o hair\n", ""))
    np.testing.assert_array_equal(scan.vertices[scan.faces], POINTS[[[0, 1, 2], [0, 1, 2], [0, 2, 3]]])


@pytest.mark.parametrize("scale", [1, 255])
def test_colours_of_obj_vertices_may_be_fractions_or_bytes(scale, tmp_path):
    colors = np.array([[236, 188, 160]] * 3 + [[100, 70, 70]])
    rows = "".join(
        "v {:g} {:g} {:g} {:.6g} {:.6g} {:.6g}\n".format(*point, *(color / 255 * scale))
        for point, color in zip(POINTS, colors)
    )
    scan = _obj(tmp_path, rows + "f 1 2 3\nf 1 3 4\n")
    np.testing.assert_array_equal(scan.corner_colors, colors[FACES])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        (_VERTICES, "4 vertices but no faces: a point cloud, or cut off before its faces"),
        (
            _VERTICES + "v 1 0",
            "5 vertices but no faces: the file is cut off before them",
        ),
        (_VERTICES + _TEXTURE + "vt 0.", "4 vertices but no faces: the file is cut off before them"),
        (_PLAIN + "f 2/2 3/3", "cut off: it ends in the middle of a line"),
        (_PLAIN + "f 2/2 3/3 4/", "cut off: it ends in the middle of a line"),
        (_PLAIN + "f 2/2 3/3 4", "cut off: it ends in the middle of a line"),
        (_PLAIN + "f 2/2 3/3 9/1\n", r"vertices that are not there \(number 9 of 4\)"),
        (_PLAIN + "f 0/1 3/3 4/1\n", r"vertices that are not there \(number 0 of 4\)"),
        (_PLAIN + "f -9/1 3/3 4/1\n", r"vertices that are not there \(number 0 of 4\)"),
        (_PLAIN + "f a/1 3/3 4/1\n", "a face has the corner 'a/1'"),
        (_PLAIN.replace("v 1 0 0", "v 1 zero 0"), "a line of `v` that is no numbers"),
        (_PLAIN.replace("v 1 0 0", "v 1 nan 0"), "not finite"),
        (_PLAIN.replace("v 1 0 0", "v 1"), "fewer than three numbers"),
    ],
)
def test_damaged_obj_says_what_is_wrong(text, reason, tmp_path):
    with pytest.raises(ScanError, match=reason):
        _obj(tmp_path, text)


def test_vertices_without_faces_are_told(tmp_path):
    assert _obj(tmp_path, _PLAIN).note == ""
    scan = _obj(tmp_path, "v 9 9 9\nv 9 9 8\n" + _PLAIN.replace("f 1/1 2/2 3/3", "f 3/1 4/2 5/3"))
    assert "of its vertices are part of no face: its faces may end early" in scan.note
    scan = _obj(tmp_path, _PLAIN + "o hat\nv 0 0 1\n")
    assert scan.note == "it ends with vertices: faces of theirs may be missing"


COLORS = np.array([[236, 188, 160], [236, 188, 160], [236, 188, 160], [100, 70, 70]])


def _ply(channels, kind, ascii=True, of="vertex", scale=1.0, corners="vertex_indices", alpha=False):
    """The square as a PLY, its colours on vertices or faces, named and typed as is said."""
    types = {"uchar": "u1", "ushort": "<u2", "float": "<f4", "double": "<f8"}
    values = np.round(COLORS * scale) if kind.startswith("u") else COLORS * scale
    rows = {"vertex": POINTS.tolist(), "face": [[3, *face] for face in FACES.tolist()]}
    properties = [f"property {kind} {name}" for name in channels]
    head = ["ply", f"format {'ascii' if ascii else 'binary_little_endian'} 1.0"]
    body = b""
    for element in ("vertex", "face"):
        own = (
            [f"property float {axis}" for axis in "xyz"]
            if element == "vertex"
            else [f"property list uchar int {corners}"]
        )
        head += [f"element {element} {len(rows[element])}", *own, *(properties if element == of else [])]
        for row, color in zip(rows[element], values):
            more = color.tolist() if element == of else []
            if ascii:
                body += (" ".join(f"{value:.9g}" for value in [*row, *more]) + "\n").encode()
            else:
                body += struct.pack("<3f" if element == "vertex" else "<B3i", *row)
                body += np.array(more, types[kind]).tobytes()
    return ("\n".join([*head, "end_header", ""])).encode() + body


@pytest.mark.parametrize("ascii", [True, False])
@pytest.mark.parametrize("of", ["vertex", "face"])
@pytest.mark.parametrize(
    ("channels", "kind", "scale"),
    [
        (("red", "green", "blue"), "uchar", 1),
        (("r", "g", "b"), "uchar", 1),
        (("R", "G", "B"), "float", 1 / 255),
        (("Red", "Green", "Blue"), "double", 1),
        (("diffuse_red", "diffuse_green", "diffuse_blue"), "uchar", 1),
        (("diffuse_r", "diffuse_g", "diffuse_b"), "float", 1),
        (("red", "green", "blue"), "float", 1 / 255),
        (("red", "green", "blue"), "float", 1),
        (("red", "green", "blue"), "ushort", 256.5),
        (("ambient_red", "ambient_green", "ambient_blue"), "uchar", 1),
    ],
)
def test_ply_colours_under_other_names_and_types(channels, kind, scale, of, ascii, tmp_path):
    (tmp_path / "a.ply").write_bytes(_ply(channels, kind, ascii, of, scale))
    scan = read_scan(tmp_path / "a.ply")
    np.testing.assert_array_equal(scan.vertices[scan.faces], POINTS[FACES].astype(np.float32))
    expected = COLORS[FACES] if of == "vertex" else np.repeat(COLORS[:2, None], 3, 1)
    np.testing.assert_array_equal(scan.corner_colors, expected)
    if of == "vertex":
        assert set(label_by_colors(scan, 20.0, 0.0).face_labels) == {labels.SKIN}


def test_ply_letters_that_are_no_colours_stay_what_they_are(tmp_path):
    """`r` alone may be a radius; and of two sets of colours the plain one counts."""
    content = _ply(("r", "quality", "s"), "float")
    (tmp_path / "a.ply").write_bytes(content)
    assert read_scan(tmp_path / "a.ply").corner_colors is None
    text = _ply(("red", "green", "blue"), "uchar").decode()
    text = text.replace("property uchar blue\n", "property uchar blue\n" + "".join(
        f"property uchar diffuse_{name}\n" for name in ("red", "green", "blue")
    ))  # fmt: skip
    lines = text.split("\n")
    first = lines.index("end_header") + 1
    lines[first : first + 4] = [f"{line} 1 2 3" for line in lines[first : first + 4]]
    (tmp_path / "b.ply").write_text("\n".join(lines))
    np.testing.assert_array_equal(read_scan(tmp_path / "b.ply").corner_colors, COLORS[FACES])


def test_ply_header_with_windows_lines_and_other_corners(tmp_path):
    content = _ply(("r", "g", "b"), "uchar", corners="Vertex_Index").replace(b"\n", b"\r\n")
    (tmp_path / "a.ply").write_bytes(content)
    np.testing.assert_array_equal(read_scan(tmp_path / "a.ply").corner_colors, COLORS[FACES])


@pytest.mark.parametrize(
    ("ascii", "end", "reason"),
    [
        (True, 100, "its header does not end"),
        (False, 100, "its header does not end"),
        (True, -50, "it has 3 of its 4 lines of vertex"),
        (True, -9, "it has 1 of its 2 lines of face"),
        (True, -3, "its last line is not whole"),
        (False, -60, "it has at most 1 of its 4 elements of vertex"),
        (False, -5, "it has at most 1 of its 2 elements of face"),
    ],
)
def test_ply_that_is_cut_off_says_so(ascii, end, reason, tmp_path):
    (tmp_path / "a.ply").write_bytes(_ply(("red", "green", "blue"), "uchar", ascii)[:end])
    with pytest.raises(ScanError, match=f"the file is cut off: {reason}"):
        read_scan(tmp_path / "a.ply")


def test_ply_faces_beyond_the_vertices_are_told(tmp_path):
    content = _ply(("red", "green", "blue"), "uchar").replace(b"3 0 2 3", b"3 0 2 7")
    (tmp_path / "a.ply").write_bytes(content)
    with pytest.raises(ScanError, match="vertices that are not there|can't be parsed"):
        read_scan(tmp_path / "a.ply")


def test_stl_that_is_cut_off_says_so(tmp_path):
    mesh = trimesh.creation.icosphere(subdivisions=1)
    binary, text = mesh.export(file_type="stl"), mesh.export(file_type="stl_ascii")
    text = text.encode() if isinstance(text, str) else text
    for content, reason in (
        (binary[:1000], "it has 18 of its 80 triangles"),
        (binary[:50], "it ends within its header"),
        (text[: len(text) // 2], "its last solid does not end with `endsolid`"),
        (text[: text.rfind(b"endsolid")], "its last solid does not end with `endsolid`"),
    ):
        (tmp_path / "a.stl").write_bytes(content)
        with pytest.raises(ScanError, match=f"cut off: {reason}"):
            read_scan(tmp_path / "a.stl")
    for content in (binary, text):
        (tmp_path / "a.stl").write_bytes(content)
        assert len(read_scan(tmp_path / "a.stl").faces) == 80


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "it is empty"),
        (b"\n  <!DOCTYPE html><html>404</html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "`git lfs pull`"),
    ],
)
@pytest.mark.parametrize("suffix", [".obj", ".ply", ".glb", ".gltf", ".stl"])
def test_what_downloads_leave_in_place_of_a_scan_is_told(content, said, suffix, tmp_path):
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(ScanError, match=said):
        read_scan(tmp_path / f"a{suffix}")
