"""Views files: cameras, splits, seeds and independence between scans."""

import numpy as np
import pytest
import trimesh

from sofgan import labels
from sofgan.files import write_npz
from sofgan.seeds import numpy_generator
from sofgan.views.config import RenderViews
from sofgan.views.multiview import HELD_OUT, Views, contact_sheet, render_batch, sample_cameras

CONFIG = RenderViews(
    views_per_scan=6, held_out_views=2, size_px=32, fov_degrees=29.0, radius=4.0, radius_jitter=0.05,
    yaw_degrees=50.0, pitch_degrees=(-20.0, 25.0), sheet_scans=2, sheet_views=4,
)  # fmt: skip


def _write_scan(folder, name, radius=0.8):
    sphere = trimesh.creation.icosphere(subdivisions=2, radius=radius)
    face_labels = np.where(sphere.triangles_center[:, 1] > 0, labels.HAIR, labels.SKIN).astype(np.uint8)
    write_npz(
        folder / f"{name}.npz",
        vertices=sphere.vertices.astype(np.float32),
        faces=sphere.faces.astype(np.int32),
        face_labels=face_labels,
    )


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batch")
    for name, radius in (("a", 0.8), ("b", 0.6)):
        _write_scan(folder / "scans", name, radius)
    figures = render_batch(folder / "scans", folder / "views", CONFIG, seed=5, workers=1)
    return folder, figures


def test_cameras_surround_the_front_and_start_frontal():
    cam2world, split = sample_cameras(CONFIG, numpy_generator(0, "x"))
    position = cam2world[:, :3, 3].astype(float)
    radius = np.linalg.norm(position, axis=1)
    yaw = np.degrees(np.arctan2(position[:, 0], position[:, 2]))
    pitch = np.degrees(np.arcsin(position[:, 1] / radius))
    np.testing.assert_allclose(position[0], [0, 0, 4], atol=1e-6)
    assert np.abs(yaw).max() <= 50 + 1e-4
    assert (yaw > 10).any()
    assert (yaw < -10).any()
    assert pitch.min() >= -20 - 1e-4
    assert pitch.max() <= 25 + 1e-4
    np.testing.assert_allclose(radius, 4, rtol=0.0501)
    assert radius[1:].std() > 0.02
    assert split.sum() == 2
    assert split[0] != HELD_OUT


def test_views_file_keeps_the_contract(batch):
    folder, figures = batch
    views = Views.load(folder / "views" / "a.npz")
    assert views.labels.shape == (6, 32, 32)
    assert views.labels.dtype == np.uint8
    assert views.depth.dtype == np.float16
    assert views.cam2world.dtype == np.float32
    assert set(np.unique(views.labels)) == {labels.BACKGROUND, labels.SKIN, labels.HAIR}
    assert ((views.labels == labels.BACKGROUND) == (views.depth == 0)).all()
    # The frontal view sees the sphere's nearest point in its middle, hair above skin.
    np.testing.assert_allclose(views.depth[0, 15:17, 15:17], 3.2, atol=0.02)
    assert views.labels[0, 10, 16] == labels.HAIR
    assert views.labels[0, 22, 16] == labels.SKIN
    assert figures["views"] == 12
    np.testing.assert_allclose(sum(figures[f"area_{name}"] for name in labels.NAMES), 1)


def test_same_bytes_again_and_independent_of_other_scans(batch, tmp_path):
    folder, _ = batch
    _write_scan(tmp_path / "scans", "b", 0.6)
    _write_scan(tmp_path / "scans", "c")
    render_batch(tmp_path / "scans", tmp_path / "views", CONFIG, seed=5, workers=1)
    assert (tmp_path / "views" / "b.npz").read_bytes() == (folder / "views" / "b.npz").read_bytes()
    render_batch(tmp_path / "scans", tmp_path / "other", CONFIG, seed=6, workers=1)
    assert (tmp_path / "other" / "b.npz").read_bytes() != (folder / "views" / "b.npz").read_bytes()


def test_several_processes_write_the_same(batch, tmp_path):
    folder, _ = batch
    render_batch(folder / "scans", tmp_path / "views", CONFIG, seed=5, workers=2)
    for name in ("a.npz", "b.npz", "contact_sheet.png"):
        assert (tmp_path / "views" / name).read_bytes() == (folder / "views" / name).read_bytes()


def test_no_scans_stop_with_what_to_do(tmp_path):
    (tmp_path / "scans").mkdir()
    with pytest.raises(FileNotFoundError, match="run ingest_scans first"):
        render_batch(tmp_path / "scans", tmp_path / "views", CONFIG, seed=5, workers=1)
    assert not (tmp_path / "views").exists()


def test_a_label_beyond_the_classes_is_refused_and_nothing_appears(tmp_path):
    write_npz(
        tmp_path / "scans" / "a.npz",
        vertices=np.array([[-1, -1, 0], [1, -1, 0], [0, 1, 0]], np.float32),
        faces=np.array([[0, 1, 2]], np.int32),
        face_labels=np.array([17], np.uint8),
    )
    with pytest.raises(labels.LabelError, match="17"):
        render_batch(tmp_path / "scans", tmp_path / "views", CONFIG, seed=5, workers=1)
    assert not (tmp_path / "views").exists()


def test_surfaces_of_unknown_class_are_void_with_their_depth(batch, tmp_path):
    """The skin of scan `a` unknown: the views are the same but for its pixels' ids."""
    folder, known = batch
    with np.load(folder / "scans" / "a.npz") as scan:
        arrays = dict(scan)
    arrays["face_labels"][arrays["face_labels"] == labels.SKIN] = labels.VOID
    write_npz(tmp_path / "scans" / "a.npz", **arrays)
    (tmp_path / "scans" / "b.npz").write_bytes((folder / "scans" / "b.npz").read_bytes())
    # Views depend on the folder's name, not on its place.
    figures = render_batch(tmp_path / "scans", tmp_path / "views", CONFIG, seed=5, workers=1)
    views, whole = (Views.load(root / "views" / "a.npz") for root in (tmp_path, folder))
    np.testing.assert_array_equal(views.labels == labels.VOID, whole.labels == labels.SKIN)
    np.testing.assert_array_equal(views.labels == labels.HAIR, whole.labels == labels.HAIR)
    np.testing.assert_array_equal(views.depth, whole.depth)
    assert (views.depth[views.labels == labels.VOID] > 0).all()
    assert "area_void" not in known
    assert figures["area_void"] == pytest.approx(known["area_skin"] - figures["area_skin"])
    assert figures["area_void"] > 0.1
    sheet = contact_sheet([views.labels])
    assert (sheet == np.array(labels.VOID_COLOR, np.uint8)).all(-1).any()


def test_contact_sheet_puts_scans_in_rows():
    maps = [np.full((2, 8, 8), labels.HAIR, np.uint8), np.full((1, 8, 8), labels.SKIN, np.uint8)]
    sheet = contact_sheet(maps, cell_px=4)
    assert sheet.shape == (8, 8, 3)
    assert (sheet[:4] == labels.PALETTE[labels.HAIR]).all()
    assert (sheet[4:, :4] == labels.PALETTE[labels.SKIN]).all()
    assert (sheet[4:, 4:] == labels.PALETTE[labels.BACKGROUND]).all()


@pytest.mark.parametrize(
    "wrong", [{"held_out_views": 6}, {"radius": 1.0}, {"yaw_degrees": 200.0}, {"pitch_degrees": (30.0, 0.0)}]
)
def test_impossible_parameters_are_refused(wrong):
    from sofgan.config import from_mapping, to_mapping

    with pytest.raises(ValueError, match=next(iter(wrong))):
        from_mapping(RenderViews, to_mapping(CONFIG) | wrong, "render_views")
