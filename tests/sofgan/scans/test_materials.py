"""What a scan's parts look like: OBJ libraries as exporters write them, glTF, PLY, and what is missing."""

import numpy as np
import pytest
import trimesh
from PIL import Image

from sofgan.scans.materials import as_texture
from sofgan.scans.reading import read_scan
from sofgan.scans.unlabelled.colored_views import colors_at, has_colors

RED, BLUE = (250, 10, 20), (20, 10, 250)
_SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"


def _halves(path, upper=RED, lower=BLUE, size=8):
    """An image of two colours, one above the other."""
    pixels = np.empty((size, size, 3), np.uint8)
    pixels[: size // 2], pixels[size // 2 :] = upper, lower
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def _obj(folder, library, name="head", head="mtllib head.mtl", parts=("skin",), square=_SQUARE):
    """A square of two triangles, which `parts` name the materials of."""
    faces = ["f 1/1 2/2 3/3", "f 1/1 3/3 4/4"] if "vt" in square else ["f 1 2 3", "f 1 3 4"]
    uses = [f"usemtl {part}\n{face}\n" for part, face in zip(parts, faces)]
    (folder / f"{name}.obj").write_text(f"{head}\n{square}" + "".join(uses) + "\n".join(faces[len(parts) :]))
    if library is not None:
        (folder / "head.mtl").write_text(library)
    return read_scan(folder / f"{name}.obj")


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("map_Kd skin.png", "skin.png"),
        ("map_kd skin.png", "skin.png"),
        ("\tmap_Kd\tskin.png  ", "skin.png"),
        ("map_Kd -s 1 1 1 -bm 0.5 -clamp on skin.png", "skin.png"),
        ("map_Kd -o 0 0 -mm 0 1 my skin 2.png", "my skin 2.png"),
        ("map_Kd maps\\skin.png", "maps/skin.png"),
        ("map_Kd C:\\Users\\me\\scan\\skin.png", "skin.png"),
        ("map_Kd textures/skin.png", "skin.png"),
        ("map_Kd SKIN.PNG", "skin.png"),
        ('map_Kd "skin.png"', "skin.png"),
        ("map_Kd skin.png\r", "skin.png"),
        ("Map_Kd ./skin.jpg", "skin.jpg"),
    ],
)
def test_texture_of_a_library_is_found_as_it_is_named(line, file, tmp_path):
    pixels = _halves(tmp_path / file)
    scan = _obj(tmp_path, f"# made by hand\nnewmtl skin\nKd 1 1 1\n{line}\nillum 2\n")
    assert has_colors(scan) and scan.materials[0].missing == ""
    np.testing.assert_allclose(scan.materials[0].texture[::7], pixels[::7], atol=12)  # JPEG


@pytest.mark.parametrize(
    "head",
    [
        "mtllib head.mtl\r",
        "mtllib ./head.mtl",
        "  mtllib   Head.MTL  ",
        "mtllib other.mtl\nmtllib head.mtl",
        "mtllib other.mtl head.mtl",
        "mtllib far\\away\\head.mtl",
    ],
)
def test_library_is_found_as_it_is_named(head, tmp_path):
    (tmp_path / "other.mtl").write_text("newmtl hair\nKd 0 0 1\n")
    scan = _obj(tmp_path, "newmtl skin\nKd 1 0.5 0\n", head=head)
    assert scan.materials[0].color == (255, 128, 0)


def test_library_with_a_name_that_has_spaces(tmp_path):
    (tmp_path / "my head.mtl").write_text("newmtl skin\nKd 1 0 0\n")
    assert _obj(tmp_path, None, head="mtllib my head.mtl").materials[0].color == (255, 0, 0)


def test_a_texture_that_is_not_there_is_reported_by_its_name(tmp_path):
    scan = _obj(tmp_path, "newmtl skin\nmap_Kd -bm 1 lost skin.png\n")
    assert scan.materials[0].texture is None and scan.materials[0].missing == "lost skin.png"
    assert not has_colors(scan)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", None])
def test_a_texture_that_cannot_be_read_counts_as_missing(content, tmp_path):
    if content is None:  # Cut off in the middle.
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(
            tmp_path / "skin.png"
        )
        content = (tmp_path / "skin.png").read_bytes()[:5000]
    (tmp_path / "skin.png").write_bytes(content)
    scan = _obj(tmp_path, "newmtl skin\nmap_Kd skin.png\n")
    assert not has_colors(scan)
    assert scan.materials[0].missing == "skin.png"


def test_several_materials_keep_to_their_parts(tmp_path):
    _halves(tmp_path / "skin.png")
    library = "newmtl skin\nmap_Kd skin.png\n\nnewmtl lens\nKd 0.2 0.4 2\nd 0.3\n"
    scan = _obj(tmp_path, library, parts=("lens", "skin"))
    by_name = dict(zip((names[0] for names in scan.part_names), scan.materials))
    assert by_name["lens"].color == (51, 102, 255) and by_name["lens"].opacity == 0.3
    assert by_name["skin"].texture is not None and by_name["skin"].opacity == 1
    clear = [scan.part_names[part][0] for part in scan.part_of_face[scan.clear]]
    assert clear == ["lens"]
    colors = colors_at(scan, np.arange(2), np.full((2, 3), 1 / 3))
    lens = scan.part_of_face == [names[0] for names in scan.part_names].index("lens")
    np.testing.assert_allclose(colors[lens], [[51, 102, 255]])
    assert min(np.abs(colors[~lens] - color).max() for color in (RED, BLUE)) < 1e-6


def test_the_material_decides_where_an_object_is_called_like_another_one(tmp_path):
    scan = _obj(tmp_path, "newmtl hair\nKd 0 0 1\nnewmtl skin\nKd 1 0 0\n", square=_SQUARE + "o hair\n")
    assert scan.materials[0].color == (255, 0, 0)


def test_a_material_may_be_called_like_its_file(tmp_path):
    """As photogrammetry writes them: scan.obj, scan.mtl, scan.png, all of one name."""
    _halves(tmp_path / "head_u0.png")
    scan = _obj(tmp_path, "newmtl head\nmap_Kd head_u0.png\n", parts=("head",))
    assert has_colors(scan)


def test_the_only_material_is_that_of_faces_that_name_none(tmp_path):
    _halves(tmp_path / "skin.png")
    assert has_colors(_obj(tmp_path, "newmtl skin\nmap_Kd skin.png\n", parts=()))


def test_an_image_beside_the_obj_is_its_texture_if_no_library_gives_one(tmp_path):
    pixels = _halves(tmp_path / "Head.png")
    scan = _obj(tmp_path, None, head="")
    np.testing.assert_array_equal(scan.materials[0].texture, pixels)
    # A library that asks for another one is obeyed.
    scan = _obj(tmp_path, "newmtl skin\nmap_Kd lost.png\n")
    assert scan.materials[0].texture is None and scan.materials[0].missing == "lost.png"


def test_without_texture_coordinates_an_image_beside_the_obj_is_no_texture(tmp_path):
    """But a preview of it, and the library's colours stay."""
    _halves(tmp_path / "head.png")
    square = "\n".join(line for line in _SQUARE.splitlines() if not line.startswith("vt")) + "\n"
    scan = _obj(
        tmp_path, "newmtl skin\nKd 1 0 0\nnewmtl hair\nKd 0 0 1\n", parts=("skin", "hair"), square=square
    )
    assert {material.color for material in scan.materials} == {(255, 0, 0), (0, 0, 255)}
    assert has_colors(scan)
    assert not has_colors(_obj(tmp_path, None, "bare", head="", square=square))
    assert not has_colors(_obj(tmp_path, "newmtl skin\nmap_Kd head.png\n", square=square))


@pytest.mark.parametrize(
    "line", ["Kd nan nan nan", "Kd 0.5", "Kd spectral file.rfl", "d -halo 0.1", "map_Kd", "Kd"]
)
def test_lines_that_say_nothing_are_passed_over(line, tmp_path):
    scan = _obj(tmp_path, f"Ka 1 1 1\nnewmtl\nnewmtl skin\n{line}\n\nnewmtl other\nKd 1 2 3\n")
    assert scan.materials[0].color is None and scan.materials[0].opacity == 1
    assert scan.materials[0].missing == ""


def _textured_square(**material):
    mesh = trimesh.Trimesh(
        [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]], process=False
    )
    mesh.visual = trimesh.visual.TextureVisuals(
        [[0, 0], [1, 0], [1, 1], [0, 1]], material=trimesh.visual.material.PBRMaterial(**material)
    )
    return mesh


def test_glb_with_a_texture(tmp_path):
    pixels = _halves(tmp_path / "tex.png")
    mesh = _textured_square(name="skin", baseColorTexture=Image.open(tmp_path / "tex.png"))
    (tmp_path / "a.glb").write_bytes(mesh.export(file_type="glb"))
    scan = read_scan(tmp_path / "a.glb")
    np.testing.assert_array_equal(scan.materials[0].texture, pixels)
    # The first triangle of the square holds its lower right half, whose middle is at v = 1/3.
    np.testing.assert_allclose(colors_at(scan, np.array([0]), np.full((1, 3), 1 / 3)), [BLUE])
    assert not scan.clear.any() and has_colors(scan)


@pytest.mark.parametrize(("alpha", "clear"), [(255, False), (60, True)])
def test_glb_with_a_plain_colour(alpha, clear, tmp_path):
    mesh = _textured_square(name="lens", baseColorFactor=[10, 200, 30, alpha], alphaMode="BLEND")
    (tmp_path / "a.glb").write_bytes(mesh.export(file_type="glb"))
    scan = read_scan(tmp_path / "a.glb")
    assert scan.materials[0].color == (10, 200, 30)
    assert scan.materials[0].opacity == pytest.approx(alpha / 255, abs=0.01)
    assert scan.clear.tolist() == [clear, clear]
    assert not has_colors(scan)  # One colour all over shows no face.


def _coloured_triangle(alpha=255):
    colors = [[255, 0, 0, alpha], [0, 255, 0, alpha], [0, 0, 255, alpha]]
    return trimesh.Trimesh(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], vertex_colors=colors, process=False
    )


@pytest.mark.parametrize("suffix", ["ply", "glb"])
def test_vertex_colours(suffix, tmp_path):
    (tmp_path / f"a.{suffix}").write_bytes(_coloured_triangle().export(file_type=suffix))
    scan = read_scan(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(scan.corner_colors, 255 * np.eye(3)[None])
    np.testing.assert_allclose(
        colors_at(scan, np.array([0]), np.array([[0.5, 0.25, 0.25]])), [[127.5, 63.75, 63.75]]
    )
    assert has_colors(scan) and not scan.clear.any()
    (tmp_path / f"a.{suffix}").write_bytes(_coloured_triangle(50).export(file_type=suffix))
    assert read_scan(tmp_path / f"a.{suffix}").clear.all()


def test_vertex_colours_of_one_part_stay_beside_the_texture_of_another(tmp_path):
    pixels = _halves(tmp_path / "tex.png")
    scene = trimesh.Scene()
    scene.add_geometry(_coloured_triangle(), geom_name="eyes")
    textured = _textured_square(baseColorTexture=Image.fromarray(pixels))
    scene.add_geometry(textured, geom_name="skin")
    (tmp_path / "a.glb").write_bytes(scene.export(file_type="glb"))
    scan = read_scan(tmp_path / "a.glb")
    eyes = np.flatnonzero(scan.part_of_face == scan.part_names.index(("eyes",)))
    skin = np.flatnonzero(scan.part_of_face != scan.part_names.index(("eyes",)))
    np.testing.assert_allclose(colors_at(scan, eyes, np.full((1, 3), 1 / 3)), [[85, 85, 85]])
    assert set(map(tuple, colors_at(scan, skin, np.full((2, 3), 1 / 3)).round())) == {RED, BLUE}


def test_large_textures_are_averaged_down():
    checks = np.indices((2100, 300)).sum(0) % 2 * 200
    texture = as_texture(Image.fromarray(np.repeat(checks[..., None], 3, -1).astype(np.uint8)))
    assert texture.shape == (700, 100, 3)
    assert np.abs(texture.astype(int) - 100).max() <= 12  # Nine pixels, four or five of them bright.
    small = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(as_texture(Image.fromarray(small)), small)
    grey = as_texture(Image.fromarray(np.full((3, 3), 7, np.uint8)))
    np.testing.assert_array_equal(grey, np.full((3, 3, 3), 7))


def test_a_large_jpeg_keeps_its_colours(tmp_path):
    _halves(tmp_path / "skin.jpg", size=2500)
    texture = _obj(tmp_path, "newmtl skin\nmap_Kd skin.jpg\n").materials[0].texture
    assert 512 < len(texture) <= 1024
    np.testing.assert_allclose(texture[[3, -3], [3, -3]], [RED, BLUE], atol=8)


def test_textures_larger_than_pillow_trusts_are_read(tmp_path, monkeypatch):
    """Scanners write 16384 pixels a side; Pillow refuses such images unless told otherwise."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    _halves(tmp_path / "skin.png")
    assert has_colors(_obj(tmp_path, "newmtl skin\nmap_Kd skin.png\n"))
    assert Image.MAX_IMAGE_PIXELS == 20
