import numpy as np
import pytest
import torch

from sofgan import cameras
from sofgan.labels import EYE, HAIR, NUM_CLASSES, SKIN, U_LIP, LabelError
from sofgan.siw.generator import Generator
from sofgan.siw.model import Siw, load_siw, maps_to_paint, save_siw, to_uint8
from sofgan.siw.portrait_camera import Framing, face_anchors, field_anchors, match_framing, training_views
from sofgan.siw.sheets import restyle_strip, sample_grid

CPU = torch.device("cpu")


@pytest.fixture
def siw(tiny, seeded):
    network = Generator(tiny())
    network.w_average.normal_()
    return Siw(network.requires_grad_(False), "cpu", Framing(20.0, 0.1, 7.7))


def styles(siw, count, seed=0, psi=1.0):
    return siw.map_styles(siw.sample_z(count, torch.Generator().manual_seed(seed)), psi)


def test_painting_is_repeatable_bounded_and_the_same_in_any_batch(siw, maps):
    w = styles(siw, 5)
    images = siw.paint(maps, w)
    assert images.shape == (5, 3, 16, 16) and images.abs().max() <= 1
    torch.testing.assert_close(images, siw.paint(torch.from_numpy(maps), w))
    apart = torch.cat([siw.paint(maps[i : i + 1], w[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(images, apart, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        siw.paint(maps, w[:1])[3], siw.paint(maps[3:4], w[:1])[0], rtol=1e-4, atol=1e-5
    )


def test_each_picture_may_have_noise_of_its_own(siw, maps):
    with torch.no_grad():
        for block in siw.generator.blocks:
            block.conv.noise_strength.fill_(1.0)
    w = styles(siw, 1)
    same = np.repeat(maps[:1], 3, 0)
    images = siw.paint(same, w, noise_seed=[4, 5, 4])
    torch.testing.assert_close(images[0], images[2], rtol=1e-4, atol=1e-5)
    assert (images[0] - images[1]).abs().mean() > 0.01
    alone = siw.paint(maps[:1], w, noise_seed=5)
    torch.testing.assert_close(images[1:2], alone, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="2 seeds of noise for 3 maps"):
        siw.paint(same, w, noise_seed=[1, 2])


def test_truncation_pulls_styles_to_their_average(siw):
    free, half, none = (styles(siw, 3, psi=psi) for psi in (1.0, 0.5, 0.0))
    average = siw.generator.w_average
    torch.testing.assert_close(none, average.expand(3, -1))
    torch.testing.assert_close(half - average, 0.5 * (free - average))


def test_similarity_of_a_class_or_a_pixel_chooses_the_style(siw, maps):
    pair = torch.stack((styles(siw, 5, 1), styles(siw, 5, 2)), 1)
    ones, zeros = torch.ones(NUM_CLASSES), torch.zeros(NUM_CLASSES)
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(siw.paint(maps, pair, ones), siw.paint(maps, pair[:, 0]), **close)
    torch.testing.assert_close(siw.paint(maps, pair, zeros), siw.paint(maps, pair[:, 1]), **close)
    p = torch.rand(NUM_CLASSES)
    per_pixel = p[torch.from_numpy(maps).long()]
    torch.testing.assert_close(siw.paint(maps, pair, p), siw.paint(maps, pair, per_pixel), **close)


def test_maps_of_any_size_are_taken_at_pixels_centres():
    labels = np.random.default_rng(0).integers(0, NUM_CLASSES, (2, 48, 48), dtype=np.uint8)
    assert np.array_equal(maps_to_paint(labels, 16, CPU).numpy(), labels[:, 1::3, 1::3])
    assert np.array_equal(
        maps_to_paint(labels[:, :8, :8], 16, CPU).numpy(), labels[:, :8, :8].repeat(2, 1).repeat(2, 2)
    )


def test_restyling_a_class_that_is_absent_changes_nothing(siw):
    maps = np.full((1, 16, 16), SKIN, np.uint8)
    maps[:, :4] = HAIR
    a, b = styles(siw, 1, 1), styles(siw, 1, 2)
    before = siw.paint(maps, a)
    torch.testing.assert_close(siw.restyle(maps, a, b, [EYE]), before, rtol=1e-4, atol=1e-5)
    assert (siw.restyle(maps, a, b, [HAIR]) - before).abs().max() > 1e-4


def test_bad_input_is_refused(siw, maps):
    w = styles(siw, 1)
    with pytest.raises(LabelError, match="maps to paint"):
        siw.paint(np.full((1, 16, 16), 17, np.uint8), w)
    with pytest.raises(ValueError, match="label maps are"):
        siw.paint(maps[0], w)
    with pytest.raises(ValueError, match="two styles"):
        siw.paint(maps, w, torch.ones(NUM_CLASSES))
    with pytest.raises(ValueError, match="similarity is"):
        siw.paint(maps, w[:, None].expand(1, 2, -1), torch.ones(12))


def test_file_keeps_generator_and_framing_in_equal_bytes(siw, maps, tmp_path):
    save_siw(tmp_path / "a.pt", siw)
    save_siw(tmp_path / "b.pt", siw)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    loaded = load_siw(tmp_path / "a.pt")
    assert loaded.framing == Framing(20.0, 0.1, 7.7) and loaded.resolution == 16
    torch.testing.assert_close(loaded.paint(maps, styles(loaded, 1)), siw.paint(maps, styles(siw, 1)))


def test_grids(siw, maps):
    assert sample_grid(siw, maps[:2], 3, 0).shape == (32, 64, 3)
    assert restyle_strip(siw, maps[:2], 0).shape == (32, 112, 3)
    assert to_uint8(torch.tensor([-1.0, 0.0, 2.0]).view(1, 3, 1, 1)).reshape(-1).tolist() == [0, 128, 255]


def test_matched_framing_puts_eyes_and_mouth_where_photos_have_them():
    points = np.array([[0.0, 0.15, 0.75], [0.01, -0.25, 0.8]])
    framing = match_framing(0.45, 0.72, points, 7.7)
    assert np.linalg.norm(framing.cam2world(0.4, 0.2)[:3, 3] - [0, framing.target_y, 0]) == pytest.approx(7.7)
    image, _ = cameras.project(points, framing.camera(0.0, 0.0, 20))
    np.testing.assert_allclose(image[..., 1], [0.45, 0.72], atol=1e-6)
    with pytest.raises(ValueError, match="above the eyes"):
        match_framing(0.45, 0.72, points[::-1], 7.7)


def test_anchors_are_found_in_maps_and_views():
    labels = np.zeros((2, 20, 20), np.uint8)
    labels[0, 8:10, 5:8] = EYE
    labels[0, 14:16, 9:11] = U_LIP
    labels[1, 2, 2] = EYE  # Without a mouth: not counted.
    assert face_anchors(labels) == pytest.approx((0.45, 0.75))
    with pytest.raises(ValueError, match="eyes and mouth"):
        face_anchors(labels[1:])
    depth = np.where(labels > 0, 3.0, 0.0)
    whole = training_views(cameras.intrinsics_from_fov(15.0), 7.7)
    assert whole.fov_degrees == pytest.approx(15.0)
    points = field_anchors(labels, depth, whole)
    image, _ = cameras.project(points, whole.camera(0.0, 0.0, 20))
    np.testing.assert_allclose(image[..., 1], [0.45, 0.75], atol=1e-6)
    np.testing.assert_allclose(points[:, 2], 7.7 - 3.0, atol=1e-9)
