"""glTF as the web has it: compressed, quantized, sparse, skinned, morphed; and what can't be read says why."""

import base64
import io
import json
import struct
import sys

import DracoPy
import numpy as np
import pytest
from PIL import Image

from sofgan.scans import meshopt
from sofgan.scans.head_space import Orientation
from sofgan.scans.ingestion import ingest_scan
from sofgan.scans.reading import ScanError, read_scan

_COMPONENTS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
_KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
POINTS = np.array([[0, 0, 0], [1, 0, 0], [1, 2, 0], [0, 2, 0.5]], np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3]], np.uint16)
UV = np.array([[0, 0], [1, 0], [1, 0.25], [0, 0.25]], np.float32)


class Writer:
    """A GLB that a test puts together; `document` is its JSON."""

    def __init__(self):
        self.document = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}]}
        self.binary = b""
        for name in ("accessors", "bufferViews", "nodes", "meshes", "materials", "textures", "images"):
            self.document[name] = []

    def view(self, data: bytes, **more) -> int:
        self.binary += bytes(-len(self.binary) % 8)
        entry = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)} | more
        self.binary += data
        self.document["bufferViews"].append(entry)
        return len(self.document["bufferViews"]) - 1

    def accessor(self, values, normalized=False, **more) -> int:
        values = np.ascontiguousarray(values)
        rows = values.reshape(len(values), -1)
        entry = {
            "bufferView": self.view(rows.tobytes()),
            "componentType": _COMPONENTS[rows.dtype.str[1:]],
            "count": len(rows),
            "type": _KINDS[rows.shape[1]],
        }
        if normalized:
            entry["normalized"] = True
        self.document["accessors"].append(entry | more)
        return len(self.document["accessors"]) - 1

    def mesh(self, *primitives: dict, name="face", **more) -> int:
        self.document["meshes"].append({"name": name, "primitives": list(primitives), **more})
        return len(self.document["meshes"]) - 1

    def square(self, points=POINTS, **attributes) -> dict:
        """A primitive of two triangles."""
        attributes = {
            name: self.accessor(value) if isinstance(value, np.ndarray) else value
            for name, value in attributes.items()
        }
        return {
            "attributes": {"POSITION": self.accessor(points), **attributes},
            "indices": self.accessor(FACES.reshape(-1)),
        }

    def image(self, kind="PNG", color=(250, 10, 20)) -> int:
        stream = io.BytesIO()
        Image.new("RGB", (4, 4), color).save(stream, kind, lossless=True) if kind == "WEBP" else Image.new(
            "RGB", (4, 4), color
        ).save(stream, kind)
        view = self.view(stream.getvalue())
        self.document["images"].append({"bufferView": view, "mimeType": f"image/{kind.lower()}"})
        return len(self.document["images"]) - 1

    def bytes(self) -> bytes:
        document = {name: value for name, value in self.document.items() if value != []}
        document.setdefault("buffers", [{"byteLength": len(self.binary)}])
        text = json.dumps(document).encode()
        text += b" " * (-len(text) % 4)
        binary = self.binary + bytes(-len(self.binary) % 4)
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
        chunks += struct.pack("<II", len(binary), 0x004E4942) + binary
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks

    def read(self, folder, name="a.glb"):
        (folder / name).write_bytes(self.bytes())
        return read_scan(folder / name)


def _corners(scan):
    return scan.vertices[scan.faces]


def _one(writer, primitive, **node):
    writer.document["nodes"].append({"mesh": writer.mesh(primitive), "name": "skin", **node})
    return writer


@pytest.mark.parametrize("name", ["a.glb", "a.vrm"])
def test_a_plain_file_and_a_vrm_are_read_alike(name, tmp_path):
    writer = Writer()
    _one(writer, writer.square())
    scan = writer.read(tmp_path, name)
    np.testing.assert_array_equal(_corners(scan), POINTS[FACES])
    assert scan.part_names == (("skin", "face"),)


@pytest.mark.parametrize("packing", ["data", "file"])
def test_gltf_finds_its_buffers(packing, tmp_path):
    writer = Writer()
    _one(writer, writer.square())
    (tmp_path / "a b.bin").write_bytes(writer.binary)
    uri = "a%20b.bin" if packing == "file" else "data:;base64," + base64.b64encode(writer.binary).decode()
    document = writer.document | {"buffers": [{"byteLength": len(writer.binary), "uri": uri}]}
    (tmp_path / "a.gltf").write_text(json.dumps(document))
    np.testing.assert_array_equal(_corners(read_scan(tmp_path / "a.gltf")), POINTS[FACES])
    (tmp_path / "a b.bin").unlink()
    if packing == "file":
        with pytest.raises(ScanError, match="a b.bin, which it refers to, is not there"):
            read_scan(tmp_path / "a.gltf")


def test_nodes_move_turn_and_scale_their_children(tmp_path):
    writer = Writer()
    mesh = writer.mesh(writer.square())
    half = np.sqrt(0.5)
    writer.document["nodes"] = [
        {"translation": [10, 0, 0], "children": [1]},
        {"rotation": [0, 0, half, half], "children": [2]},  # a quarter turn about z
        {"scale": [2, 1, 1], "mesh": mesh, "name": "skin"},
    ]
    x, y, z = POINTS.T.astype(float)
    expected = np.stack([10 - y, 2 * x, z], -1)
    np.testing.assert_allclose(_corners(writer.read(tmp_path)), expected[FACES], atol=1e-12)


@pytest.mark.parametrize(("dtype", "largest"), [("u2", 65535), ("i2", 32767), ("u1", 255), ("i1", 127)])
def test_quantized_numbers_are_fractions_of_their_largest(dtype, largest, tmp_path):
    """KHR_mesh_quantization; as readers that don't know it take them, positions are whole numbers."""
    writer = Writer()
    whole = np.round(POINTS / 2 * largest).astype(dtype)
    uv = np.round(UV * largest).astype(dtype)
    primitive = writer.square()
    primitive["attributes"]["POSITION"] = writer.accessor(whole, normalized=True)
    primitive["attributes"]["TEXCOORD_0"] = writer.accessor(uv, normalized=True)
    writer.document["extensionsRequired"] = ["KHR_mesh_quantization"]
    scan = _one(writer, primitive, scale=[2, 2, 2]).read(tmp_path)
    np.testing.assert_allclose(_corners(scan), POINTS[FACES], atol=2 / largest)
    np.testing.assert_allclose(scan.corner_uv[..., 1], 1 - UV[FACES][..., 1], atol=1 / largest)


def test_whole_numbers_that_are_no_fractions_stay(tmp_path):
    writer = Writer()
    scan = _one(writer, writer.square((POINTS * 100).astype("u2")), scale=[0.01] * 3).read(tmp_path)
    np.testing.assert_allclose(_corners(scan), POINTS[FACES], atol=1e-9)


def test_strided_and_sparse_accessors(tmp_path):
    writer = Writer()
    primitive = writer.square()
    wide = np.concatenate([POINTS, np.full((4, 2), 9, np.float32)], 1)
    view = writer.view(wide.tobytes(), byteStride=20)
    sparse = {
        "count": 1,
        "indices": {"bufferView": writer.view(np.array([3], "u1").tobytes()), "componentType": 5121},
        "values": {"bufferView": writer.view(np.array([7, 8, 9], "f4").tobytes())},
    }
    entry = {"bufferView": view, "componentType": 5126, "count": 4, "type": "VEC3", "sparse": sparse}
    writer.document["accessors"].append(entry)
    primitive["attributes"]["POSITION"] = len(writer.document["accessors"]) - 1
    expected = POINTS.copy()
    expected[3] = 7, 8, 9
    np.testing.assert_array_equal(_corners(_one(writer, primitive).read(tmp_path)), expected[FACES])


@pytest.mark.parametrize(
    ("mode", "indices", "faces"),
    [
        (5, [0, 1, 3, 2], [[0, 1, 3], [3, 1, 2]]),
        (6, [0, 1, 2, 3], [[0, 1, 2], [0, 2, 3]]),
        (4, None, [[0, 1, 2]]),
    ],
)
def test_strips_fans_and_no_indices(mode, indices, faces, tmp_path):
    writer = Writer()
    primitive = writer.square(POINTS[:3] if indices is None else POINTS) | {"mode": mode}
    if indices is None:
        del primitive["indices"]
    else:
        primitive["indices"] = writer.accessor(np.array(indices, "u1"))
    scan = _one(writer, primitive).read(tmp_path)
    areas = np.cross(*(_corners(scan)[:, k] - _corners(scan)[:, 0] for k in (1, 2)))
    expected = POINTS[np.array(faces)]
    np.testing.assert_allclose(areas, np.cross(*(expected[:, k] - expected[:, 0] for k in (1, 2))), atol=1e-6)


def test_meshes_of_several_primitives_have_the_same_parts_each_time(tmp_path):
    """trimesh gives their nodes names that are drawn anew each time, and so an order."""
    writer = Writer()
    for name in ("skin", "hair", "hat"):
        writer.document["materials"].append({"name": name})
    primitives = [writer.square(POINTS + k) | {"material": k} for k in range(3)]
    writer.document["nodes"] = [{"mesh": writer.mesh(*primitives), "name": "head"}]
    scans = [writer.read(tmp_path) for _ in range(4)]
    assert {scan.part_names for scan in scans} == {
        (("head", "face", "skin"), ("head", "face", "hair"), ("head", "face", "hat"))
    }
    for scan in scans:
        np.testing.assert_array_equal(scan.vertices, scans[0].vertices)
    np.testing.assert_array_equal(scans[0].vertices[scans[0].faces[4]], (POINTS + 2)[FACES[0]])


def _skinned(writer, weights, joints=((0, 1),) * 4, inverse=None):
    """A square on two joints: one at the origin, one at (0, 5, 0) that is turned and moved from its bind pose."""
    primitive = writer.square(
        JOINTS_0=np.pad(np.array(joints, "u1"), ((0, 0), (0, 2))),
        WEIGHTS_0=np.pad(np.array(weights, "f4"), ((0, 0), (0, 2))),
    )
    skin = {"joints": [2, 3]}
    if inverse is not None:
        columns = np.stack([matrix.T for matrix in inverse]).astype("f4")
        skin["inverseBindMatrices"] = writer.accessor(columns.reshape(len(columns), 16))
    writer.document["skins"] = [skin]
    half = np.sqrt(0.5)
    writer.document["scenes"] = [{"nodes": [0, 1]}]
    writer.document["nodes"] = [
        # What a skinned mesh hangs on does not move it.
        {"mesh": writer.mesh(primitive), "skin": 0, "name": "skin", "translation": [100, 0, 0]},
        {"children": [2], "scale": [0.5, 0.5, 0.5]},
        {"children": [3]},
        {"translation": [0, 5, 0], "rotation": [0, 0, half, half]},
    ]
    return writer


def test_a_skinned_mesh_stands_as_its_joints_hold_it(tmp_path):
    bind = np.eye(4)
    bind[1, 3] = -4  # The second joint stood at (0, 4, 0), unturned, when the mesh was bound to it.
    writer = _skinned(Writer(), [[1, 0], [0, 1], [0.25, 0.75], [0, 0]], inverse=[np.eye(4), bind])
    points = POINTS.astype(float)
    first = 0.5 * points
    x, y, z = (points - (0, 4, 0)).T
    second = 0.5 * np.stack([-y, x + 5, z], -1)
    expected = np.stack([first[0], second[1], 0.25 * first[2] + 0.75 * second[2], first[3]])
    np.testing.assert_allclose(_corners(writer.read(tmp_path)), expected[FACES], atol=1e-6)


def test_weights_that_do_not_add_up_are_shares(tmp_path):
    writer = _skinned(Writer(), [[2, 0]] * 4, inverse=[np.eye(4)] * 2)
    np.testing.assert_allclose(_corners(writer.read(tmp_path)), 0.5 * POINTS[FACES], atol=1e-6)


def test_a_joint_that_is_not_there_is_told(tmp_path):
    writer = _skinned(Writer(), [[0, 1]] * 4, joints=((0, 7),) * 4)
    with pytest.raises(ScanError, match="joint that its skin lacks"):
        writer.read(tmp_path)


@pytest.mark.parametrize("place", ["mesh", "node", "nowhere"])
def test_morph_targets_count_by_their_default_weights(place, tmp_path):
    writer = Writer()
    moves = [np.full((4, 3), value, np.float32) for value in (1, 10)]
    primitive = writer.square() | {"targets": [{"POSITION": writer.accessor(move)} for move in moves]}
    writer.document["nodes"] = [{"mesh": writer.mesh(primitive), "name": "skin"}]
    weights = {"mesh": [0.5, 0], "node": [0, 0.25], "nowhere": [0, 0]}[place]
    if place != "nowhere":
        writer.document["meshes"][0]["weights"] = [0.5, 0]
    if place == "node":
        writer.document["nodes"][0]["weights"] = weights
    expected = POINTS[FACES] + weights[0] + 10 * weights[1]
    np.testing.assert_allclose(_corners(writer.read(tmp_path)), expected, atol=1e-6)


def _draco(writer, points=POINTS):
    data = DracoPy.encode(points, FACES.astype(np.uint32), quantization_bits=16, tex_coord=UV.astype(float))
    ids = {
        {0: "POSITION", 3: "TEXCOORD_0"}[each["attribute_type"]]: each["unique_id"]
        for each in DracoPy.decode(data).attributes
    }
    packed = {"bufferView": writer.view(data), "attributes": ids}
    primitive = writer.square(points, TEXCOORD_0=UV)
    for accessor in writer.document["accessors"]:
        del accessor["bufferView"]
    primitive["extensions"] = {"KHR_draco_mesh_compression": packed}
    writer.document["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    return _one(writer, primitive)


def _sorted(corners):
    """Triangles as a set: a coder turns and reorders them."""
    return sorted(sorted(map(tuple, triangle)) for triangle in np.round(corners, 3).tolist())


def test_draco(tmp_path):
    scan = _draco(Writer()).read(tmp_path)
    assert _sorted(_corners(scan)) == _sorted(POINTS[FACES].astype(float))
    # The texture's coordinates are still those of their corners.
    flat = scan.corner_uv.reshape(-1, 2)
    np.testing.assert_allclose(flat[:, 0], _corners(scan).reshape(-1, 3)[:, 0], atol=1e-3)
    np.testing.assert_allclose(1 - flat[:, 1], _corners(scan).reshape(-1, 3)[:, 1] / 8, atol=1e-3)


def test_draco_keeps_numbers_of_16_bits(tmp_path):
    """DracoPy gives them as 32."""
    writer = Writer()
    colors = np.array([[32768, 0, 65535]] * 4, "u2")
    data = DracoPy.encode(
        POINTS,
        FACES.astype(np.uint32),
        quantization_bits=16,
        generic_attributes={7: colors},
        preserve_order=True,
    )
    (place,) = (each["unique_id"] for each in DracoPy.decode(data).attributes if each["unique_id"] != 7)
    primitive = writer.square()
    primitive["attributes"]["COLOR_0"] = writer.accessor(colors, normalized=True)
    packed = {"bufferView": writer.view(data), "attributes": {"POSITION": place, "COLOR_0": 7}}
    primitive["extensions"] = {"KHR_draco_mesh_compression": packed}
    scan = _one(writer, primitive).read(tmp_path)
    np.testing.assert_array_equal(scan.corner_colors.reshape(-1, 3), [[188, 0, 255]] * 6)


@pytest.mark.parametrize(("generator", "half"), [("Khronos glTF Blender I/O", 188), ("Open3D", 128)])
def test_colors_are_light_but_of_programs_that_write_srgb(generator, half, tmp_path):
    writer = Writer()
    writer.document["asset"]["generator"] = generator
    dark = np.array([[0.5, 0, 1], [0.5, 0, 1], [0.5, 0, 1], [0.5, 0, 1]], "f4")
    primitive = writer.square(COLOR_0=dark)
    writer.document["materials"] = [{"pbrMetallicRoughness": {"baseColorFactor": [0, 0.5, 0, 1]}}]
    primitive["material"] = 0
    scan = _one(writer, primitive).read(tmp_path)
    np.testing.assert_array_equal(scan.corner_colors.reshape(-1, 3), [[half, 0, 255]] * 6)
    assert scan.materials[0].color == (0, half, 0)


def test_draco_without_its_decoder_or_broken_is_told(tmp_path, monkeypatch):
    writer = _draco(Writer())
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "DracoPy", None)
        with pytest.raises(ScanError, match="KHR_draco_mesh_compression: install .* `gltf-transform copy`"):
            writer.read(tmp_path)
    writer.binary = writer.binary[:8] + bytes(len(writer.binary) - 8)
    with pytest.raises(ScanError, match="KHR_draco_mesh_compression data is broken"):
        writer.read(tmp_path)


# A wavy grid of 7 x 7 points and its 72 triangles, encoded by meshoptimizer 1.3 (base 85).
_SIDE = 7
ENCODED = {
    "UINT16_V0": (
        "pnm`_FE1}IFW)aOFE1}I-!CsOFE20OFE1}IFE8IOFE1}IFW)aOFE1}I-!CsOFE79V001v)28f7{Xo!gREiH(Mk7$U9_J}Plh"
        ">vK9i1vtxEiJ$R000OT00RIF5)uF~0KgIw0{{#F5)u^v0{{#L1^_Sszy<~b01N;I27ds(IRHAoy@b7k0EE81I=zDcgucCm_&"
        "ESN_xOapg8+oSy*j-)06M<CguR0RgucK4006yz03KcdT^$}iAUyy+A0S;IJpeu*AU=Cs09$-}J{~;)J{=xg9$o-l9UeX)Jpe"
        "u*zyJUMAOHXW000000000000000000000000000000000000000"
    ),
    "UINT16_V1": (
        "p$xASAOHaX1OotlhmC`UpYDB!je~`s?tO=igN2{&eTR*Mg`e(yhmC`UpYDB!je~`s?tO=igN2_ds8j(1A^`(p6EIA{10n<BG"
        "X%^N10n-r0~LTkVWS`r;im`$VWR-OIRHAoy@b7k0EE81I=zDcgucCm_&ESN_xOapg8+oSy*j-)06M<CguR0RgucB19$o-l9U"
        "eX)Jpeu*AYC9m06rfeK6_jMTYP&y9z6g)9UfaAUI1Mk9zGyF06rfe0000000000000000000000000002?|"
    ),
    "TRIANGLES": (
        ";r{>s|NsC0|NsC0|NsC0|NsC0|NsC0|NsC0|Ns8~|NsC0|NsC0|NsC0|NsC0|NsC0|NsC0|NsB~|NsC0|NsC0|NsC0{|^rT0"
        "|E>m0S+Gl4j%yy9{~;@0S^BI0u1d_+ziVMx(uldcnW_E4F6RE3?Bgw9{~;@0S^BI0t_Dk4j%yy?Ni(g%M6+dm<)#ue+&%&M-"
        "49w4*vrJ3?Bgw9{~;@0S+Gl4*gRO%>&B}x(uldm<*2$4F3TR0smD33?Bgw9{~;@0S+Gl4*vrJ3?Bgw?Ni(g%M7{<i3*1de+&"
        "%&M-49w4j%yy{{sRH9{~;@0S+Gl4*gRO?E$<Bx(uldm<*2$3;=eAR%dvrhGmIpm;q@300"
    ),
    "INDICES": (
        "(EtP(1_T%a1Q-GY7y<+s0t6TW1Q-Sc7!@4@0UZMY9RmR!0|6Za104ea9Rscb1Q-GY7y<+s0t6Ta1Q-GY7y<+ss{tJY0UZMY9"
        "RmX$0|6Za0UZMY9Rscb1Q-GY7zP9w0t6TW1Q-GY7y<+ss{tJY104ea9RmR!0|6Za0UZMY9RmX$1DXK@7y<+s0t6TW1Q-GY7z"
        "P9w0t6VV0UZMY9RmR!0|6Za104ea9RmR!1FiuC7y<+s0t6Ta1Q-GY7y<+s0t6VV0UZMY9RmX$0|6Za0UZMY9RmR!0{{R300"
    ),
    "EXPONENTIAL": (
        "p$-5Y0BEfG5*rKG`VI^1`uclIY-cA63)fFX`Vt)pNF_EG(ERv&7p(dc8w=O^4h!u1`acc=qX{A*AasBd2_PzTl0;TFKq@ejA"
        "`(9YKr#XW0st~HAOcncK>{#ABLo8=AP^uGfXYBXKR^HFe*gbJzra90z<~e%r&a&||3E)~|9^lLw#tB@pFdq49<a9Oej|~#9x"
        "pI7GnsiQe6Lk|Dk*!x!YV0IQa(6f01XNRK@b3`1TrCDQWysaP!K>cKLkKB0s#U5GBO|nRs%r-FhL^(10Wy}AOPYq|NnqMKtD"
        "j;e*gb}fd9b1|Ns9#Kp&4kKtI3#|A0V1KLG$h03e_MpCB*D7vBKj7#E*E-+!MlFW^8Y09QbNU--8GxcB&1U!VY=ATP)l-vHn"
        "k7b*`R9fUywG!Po}^<w`G|KT7L5ET*<4-y^n0oX(kBM<=q1V02oG6Det05UQl0#*Y-0x&@%1Op%-5Fh{m00000000000Qv6#"
        "0Qv6#0Qv6#000"
    ),
    "COLOR": (
        "p}zn&bQVbqHWM@{7E}o|wKy#nRtYo{Yjze(mTMC<DHc`>Hnlc%7D)>>6*egpRtq)&6O}CJY88YPswz`z6+aWGELCb1gx8ZS="
        "+oDN6R0dxXcIpZl`QCL6@(S4DpP6|05x+JObRn<H7XNT3^n&NDiu=<HEL>e6-tw8YBeksQwlTpHFFhA3NvUkDiu=-GXMYp00"
        "0000000000000000000003000"
    ),
}


def _stream(name):
    return base64.b85decode(ENCODED[name])


def _grid():
    """Whole numbers (49, 4) uint16, and triangles (72, 3), in the order in which they were encoded."""
    y, x = np.mgrid[0:_SIDE, 0:_SIDE]
    points = np.zeros((_SIDE**2, 4), np.uint16)
    points[:, 0], points[:, 1], points[:, 2] = x.ravel() * 1000, y.ravel() * 777, _waves().ravel() * 4001
    grid = np.arange(_SIDE**2).reshape(_SIDE, _SIDE)
    corner, right, below, across = grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]
    halves = [np.stack(half, -1).reshape(-1, 3) for half in ((corner, right, below), (right, across, below))]
    faces = np.concatenate(halves)
    return points, faces[np.argsort(np.arange(len(faces)) * 29 % 72)]


def _waves():
    y, x = np.mgrid[0:_SIDE, 0:_SIDE]
    return (x * x + 3 * y) % 5


@pytest.mark.parametrize("name", ["UINT16_V0", "UINT16_V1"])
def test_meshopt_attributes(name):
    found = np.frombuffer(meshopt.decode(_stream(name), "ATTRIBUTES", 49, 8), np.uint16).reshape(-1, 4)
    np.testing.assert_array_equal(found, _grid()[0])


@pytest.mark.parametrize("mode", ["TRIANGLES", "INDICES"])
@pytest.mark.parametrize("size", [2, 4])
def test_meshopt_indices(mode, size):
    found = np.frombuffer(meshopt.decode(_stream(mode), mode, 216, size), f"<u{size}").reshape(-1, 3)
    faces = _grid()[1]
    if mode == "INDICES":
        np.testing.assert_array_equal(found, faces)
    else:  # A triangle may begin at another corner.
        turned = [np.roll(faces, turn, axis=1) for turn in range(3)]
        assert np.any([(found == each).all(1) for each in turned], axis=0).all()


def test_meshopt_filters():
    points = _grid()[0][:, :3] / 256 - 3.5
    found = meshopt.decode(_stream("EXPONENTIAL"), "ATTRIBUTES", 49, 12, "EXPONENTIAL")
    np.testing.assert_allclose(np.frombuffer(found, np.float32).reshape(-1, 3), points, atol=1e-3)
    y, x = np.mgrid[0:_SIDE, 0:_SIDE]
    colors = np.stack([x / 6, y / 6, _waves() / 4, np.ones((_SIDE, _SIDE))], -1).reshape(-1, 4) * 255
    found = meshopt.decode(_stream("COLOR"), "ATTRIBUTES", 49, 4, "COLOR")
    np.testing.assert_allclose(np.frombuffer(found, np.uint8).reshape(-1, 4), colors, atol=2)


def test_meshopt_tells_broken_streams():
    for name, mode, count, stride in (("UINT16_V0", "ATTRIBUTES", 49, 8), ("TRIANGLES", "TRIANGLES", 216, 2)):
        stream = _stream(name)
        for data in (b"", stream[:40], b"\x00" + stream[1:]):
            with pytest.raises(meshopt.BadStream):
                meshopt.decode(data, mode, count, stride)
    with pytest.raises(meshopt.BadStream, match="unknown mode"):
        meshopt.decode(b"", "SOMETHING", 1, 4)


@pytest.mark.parametrize(
    ("extension", "stream"),
    [("EXT_meshopt_compression", "UINT16_V0"), ("KHR_meshopt_compression", "UINT16_V1")],
)
def test_meshopt_compressed_file(extension, stream, tmp_path):
    """As gltfpack writes: compressed, and quantized, with a fallback buffer that is not in the file."""
    writer = Writer()
    points, faces = _grid()
    views = []
    for data, count, stride, mode in (
        (_stream(stream), 49, 8, "ATTRIBUTES"),
        (_stream("TRIANGLES"), 216, 2, "TRIANGLES"),
    ):
        view = writer.view(data)
        packed = writer.document["bufferViews"][view] | {"count": count, "byteStride": stride, "mode": mode}
        plain = {"buffer": 1, "byteLength": count * stride, "extensions": {extension: packed}}
        writer.document["bufferViews"][view] = plain | (
            {"byteStride": stride} if mode == "ATTRIBUTES" else {}
        )
        views.append(view)
    writer.document["buffers"] = [
        {"byteLength": len(writer.binary)},
        {"byteLength": 49 * 8 + 432, "extensions": {extension: {"fallback": True}}},
    ]
    writer.document["accessors"] = [
        {"bufferView": views[0], "componentType": 5123, "count": 49, "type": "VEC3"},
        {"bufferView": views[1], "componentType": 5123, "count": 216, "type": "SCALAR"},
    ]
    writer.document["extensionsRequired"] = [extension, "KHR_mesh_quantization"]
    scan = _one(writer, {"attributes": {"POSITION": 0}, "indices": 1}, scale=[0.001] * 3).read(tmp_path)
    assert _sorted(_corners(scan)) == _sorted(points[faces][..., :3] * 0.001)
    writer.binary = writer.binary[:9] + bytes(8) + writer.binary[17:]
    writer.binary = writer.binary[:-40]
    with pytest.raises(ScanError, match="can't be parsed"):
        writer.read(tmp_path)


def _textured(writer, texture, transform=None, **attributes):
    info = {"index": 0} | ({"extensions": {"KHR_texture_transform": transform}} if transform else {})
    writer.document["materials"] = [{"name": "m", "pbrMetallicRoughness": {"baseColorTexture": info}}]
    writer.document["textures"] = [texture]
    attributes = attributes or {"TEXCOORD_0": UV}
    return _one(writer, writer.square(**attributes) | {"material": 0})


@pytest.mark.parametrize("extension", ["EXT_texture_webp", None])
def test_webp_textures(extension, tmp_path):
    writer = Writer()
    source = writer.image("WEBP" if extension else "PNG")
    texture = {"extensions": {extension: {"source": source}}} if extension else {"source": source}
    scan = _textured(writer, texture).read(tmp_path)
    assert scan.materials[0].texture[0, 0].tolist() == [250, 10, 20]
    assert scan.materials[0].missing == ""


def test_a_basis_texture_is_missing_unless_there_is_another(tmp_path, ingest_config):
    writer = Writer()
    basis = {"extensions": {"KHR_texture_basisu": {"source": 1}}}
    writer.image()
    writer.document["images"].append({"bufferView": 0, "mimeType": "image/ktx2"})
    writer.document["extensionsRequired"] = ["KHR_texture_basisu"]
    scan = _textured(writer, basis).read(tmp_path)
    assert "KHR_texture_basisu" in scan.materials[0].missing
    with pytest.raises(ScanError, match="KHR_texture_basisu .*gltf-transform ktxdecompress"):
        ingest_scan(tmp_path / "a.glb", ingest_config, Orientation())
    writer.document["textures"][0]["source"] = 0
    assert writer.read(tmp_path).materials[0].missing == ""


def test_a_texture_that_is_not_there_is_named(tmp_path):
    writer = Writer()
    writer.document["images"] = [{"uri": "skin%20one.png"}]
    scan = _textured(writer, {"source": 0}).read(tmp_path)
    assert scan.materials[0].missing == "skin one.png"


def test_texture_transforms_move_coordinates(tmp_path):
    """The extension's own example: the lower left quadrant of an image, turned clockwise by 90 degrees."""
    writer = Writer()
    transform = {"offset": [0, 1], "rotation": np.pi / 2, "scale": [0.5, 0.5]}
    whole = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    scan = _textured(writer, {"source": writer.image()}, transform, TEXCOORD_0=whole).read(tmp_path)
    corners = np.array([[0, 1], [0, 0.5], [0.5, 0.5], [0.5, 1]])  # from the upper left
    expected = np.stack([corners[:, 0], 1 - corners[:, 1]], -1)
    np.testing.assert_allclose(scan.corner_uv, expected[FACES], atol=1e-6)


def test_the_texture_says_which_coordinates_are_its(tmp_path):
    writer = Writer()
    scan = _textured(
        writer, {"source": writer.image()}, {"texCoord": 1}, TEXCOORD_0=UV * 0, TEXCOORD_1=UV
    ).read(tmp_path)
    np.testing.assert_allclose(scan.corner_uv[..., 0], UV[FACES][..., 0])


def test_an_extension_that_is_not_known_is_named_and_harmless_ones_are_not(tmp_path):
    writer = Writer()
    _one(writer, writer.square())
    writer.document["extensionsRequired"] = ["KHR_materials_unlit", "VRMC_vrm", "KHR_lights_punctual"]
    writer.read(tmp_path)
    writer.document["extensionsRequired"] = ["EXT_mesh_gpu_instancing"]
    with pytest.raises(
        ScanError, match="requires the glTF extension EXT_mesh_gpu_instancing.*gltf-transform"
    ):
        writer.read(tmp_path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_a_glb_that_is_cut_off_says_so(share, tmp_path):
    writer = Writer()
    data = _one(writer, writer.square()).bytes()
    (tmp_path / "a.glb").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ScanError, match="cut off"):
        read_scan(tmp_path / "a.glb")


def test_faces_beyond_the_vertices_and_lost_buffers_are_told(tmp_path):
    writer = Writer()
    primitive = writer.square()
    primitive["indices"] = writer.accessor(np.array([0, 1, 4], "u2"))
    _one(writer, primitive)
    with pytest.raises(ScanError, match="vertices that are not there"):
        writer.read(tmp_path)
    primitive["indices"] = writer.accessor(np.array([0, 1, 2], "u2"), count=999)
    with pytest.raises(ScanError, match="buffers end before"):
        writer.read(tmp_path)


def test_glb_of_points_and_of_version_1_are_told(tmp_path):
    writer = Writer()
    _one(writer, writer.square() | {"mode": 0})
    with pytest.raises(ScanError, match="a point cloud"):
        writer.read(tmp_path)
    (tmp_path / "old.glb").write_bytes(struct.pack("<4sIIII", b"glTF", 1, 20, 0, 0))
    with pytest.raises(ScanError, match="glTF 1; export it as glTF 2"):
        read_scan(tmp_path / "old.glb")


@pytest.mark.parametrize(
    "broken",
    [
        {"nodes": [{"mesh": 5}]},
        {"meshes": [{"primitives": [{"attributes": {"POSITION": 9}}]}]},
        {"scenes": [{"nodes": [7]}]},
        {"bufferViews": []},
    ],
)
def test_references_to_what_is_not_there_are_told(broken, tmp_path):
    """Of the file, in a sentence: no `list index out of range` alone."""
    points = np.eye(3, dtype="<f4").tobytes()
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [{"byteLength": 36, "uri": f"data:;base64,{base64.b64encode(points).decode()}"}],
    }
    path = tmp_path / "a.gltf"
    path.write_text(json.dumps(document))
    assert len(read_scan(path).faces) == 1
    path.write_text(json.dumps(document | broken))
    with pytest.raises(ScanError, match="damaged, export it again"):
        read_scan(path)
