"""Pictures of scans show the right colours at the right places."""

from dataclasses import replace

import numpy as np
from PIL import Image

from sofgan import cameras
from sofgan.cameras import Camera
from sofgan.rendering.process_renderer import process_renderer
from sofgan.scans.materials import Material
from sofgan.scans.reading import RawScan
from sofgan.scans.unlabelled.colored_views import has_colors, photograph, sample_texture, seen_triangles

SIZE = 32
INTRINSICS = cameras.intrinsics_from_fov(20.0)
RED, GREEN, BLUE, YELLOW = (200, 20, 20), (20, 200, 20), (20, 20, 200), (200, 200, 20)


def _slow_sample(texture, u, v):
    """One bilinear sample, by the definition; beyond the outermost centres the border goes on."""
    height, width = texture.shape[:2]
    x, y = (u - np.floor(u)) * width - 0.5, (1 - (v - np.floor(v))) * height - 0.5
    total = np.zeros(3)
    for j in (int(np.floor(y)), int(np.floor(y)) + 1):
        for i in (int(np.floor(x)), int(np.floor(x)) + 1):
            weight = (1 - abs(x - i)) * (1 - abs(y - j))
            total += weight * texture[min(max(j, 0), height - 1), min(max(i, 0), width - 1)]
    return total


def test_bilinear_samples_against_the_plain_twin():
    random = np.random.default_rng(0)
    texture = random.integers(0, 256, (5, 7, 3), np.uint8)
    uv = random.uniform(-2.3, 2.7, (200, 2))
    slow = np.array([_slow_sample(texture, u, v) for u, v in uv])
    np.testing.assert_allclose(sample_texture(texture, uv), slow, atol=1e-9)


def test_centres_of_texels_give_the_texels_and_coordinates_repeat():
    texture = np.random.default_rng(1).integers(0, 256, (4, 6, 3), np.uint8)
    rows, columns = np.indices((4, 6)).reshape(2, -1)
    uv = np.stack([(columns + 0.5) / 6, 1 - (rows + 0.5) / 4], -1)
    for shift in ((0, 0), (1, 0), (0, -1), (-3, 2)):
        np.testing.assert_allclose(sample_texture(texture, uv + shift), texture[rows, columns], atol=1e-9)


def test_broken_coordinates_are_survived():
    texture = np.full((2, 2, 3), 9, np.uint8)
    uv = np.array([[np.nan, 0.5], [np.inf, -np.inf], [1e300, -1e300], [1.0, 1.0], [0.0, 0.0]])
    np.testing.assert_array_equal(sample_texture(texture, uv), 9)


def _square(z=0.0, half=0.5):
    """Corners and triangles of a square that faces +Z."""
    corners = half * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], float)
    return corners + [0, 0, z], np.array([[0, 1, 2], [0, 2, 3]])


def _textured_square():
    pixels = np.empty((64, 64, 3), np.uint8)
    pixels[:32, :32], pixels[:32, 32:], pixels[32:, :32], pixels[32:, 32:] = RED, GREEN, BLUE, YELLOW
    vertices, faces = _square()
    corner_uv = (vertices[:, :2] + 0.5)[faces]
    material = Material(Image.fromarray(pixels))
    return RawScan(vertices, faces, np.zeros(2, int), (("a",),), corner_uv, None, (material,))


def _hue(photo, row, column):
    """A pixel's colour without its brightness."""
    color = photo[row, column].astype(float)
    return color / color.max()


def _is(photo, row, column, color):
    return np.abs(_hue(photo, row, column) - np.array(color) / max(color)).max() < 0.03


def _before(distance=2.0):
    """A camera on +Z that looks at the origin."""
    return cameras.orbit(np.zeros(1), np.zeros(1), distance * 2)


def test_a_textured_square_is_seen_upright_and_unmirrored():
    photos, visible = photograph(_textured_square(), process_renderer(), Camera(_before(), INTRINSICS, SIZE))
    assert photos.shape == (1, SIZE, SIZE, 3) and photos.dtype == np.uint8
    assert visible.shape == (1, SIZE, SIZE) and visible.dtype == np.int32
    photo, middle = photos[0], SIZE // 2
    assert _is(photo, middle - 5, middle - 5, RED) and _is(photo, middle - 5, middle + 5, GREEN)
    assert _is(photo, middle + 5, middle - 5, BLUE) and _is(photo, middle + 5, middle + 5, YELLOW)
    outside = visible[0] < 0
    assert outside.any() and (photo[0] == photo[0, 0]).all() and np.ptp(photo[0, 0]) == 0
    # Seen from behind, left and right change sides.
    opposite = Camera(cameras.orbit(np.full(1, np.pi), np.zeros(1), 4.0), INTRINSICS, SIZE)
    behind, _ = photograph(_textured_square(), process_renderer(), opposite)
    assert _is(behind[0], middle - 5, middle + 5, RED) and _is(behind[0], middle - 5, middle - 5, GREEN)


def test_the_subjects_left_is_image_right():
    """A head that looks along +Z has its left at +X: there its colour is seen on the right."""
    vertices, faces = _square()
    colors = np.array([BLUE, RED, RED, BLUE], np.uint8)[faces]  # +X is red
    scan = RawScan(vertices, faces, np.zeros(2, int), ((),), None, colors, (Material(),))
    photos, visible = photograph(scan, process_renderer(), Camera(_before(), INTRINSICS, SIZE))
    inside = np.flatnonzero(visible[0, SIZE // 2] >= 0)
    assert _hue(photos[0], SIZE // 2, inside[-2])[0] == 1 and _hue(photos[0], SIZE // 2, inside[1])[2] == 1
    red = photos[0, SIZE // 2, inside, 0].astype(int)
    assert (np.diff(red) >= 0).all()


def test_one_sees_through_clear_triangles_but_knows_of_them():
    scan = _textured_square()
    lens, triangles = _square(z=0.2, half=0.2)
    with_lens = RawScan(
        np.concatenate([scan.vertices, lens]),
        np.concatenate([scan.faces, triangles + 4]),
        np.array([0, 0, 1, 1]),
        (("a",), ("lens",)),
        np.concatenate([scan.corner_uv, np.full((2, 3, 2), np.nan)]),
        None,
        (*scan.materials, Material(color=(255, 0, 255), opacity=0.1)),
        np.array([False, False, True, True]),
    )
    renderer = process_renderer()
    bare, without = photograph(scan, renderer, Camera(_before(), INTRINSICS, SIZE))
    photos, visible = photograph(with_lens, renderer, Camera(_before(), INTRINSICS, SIZE))
    np.testing.assert_array_equal(photos, bare)
    assert set(np.unique(visible)) == {-1, 0, 1, 2, 3}
    assert set(np.unique(without)) == {-1, 0, 1}
    again = seen_triangles(with_lens, renderer, Camera(_before(), INTRINSICS, SIZE))
    np.testing.assert_array_equal(again, visible)
    # If all is clear, that is how the file says nothing.
    photos, _ = photograph(
        replace(scan, clear=np.ones(2, bool)), renderer, Camera(_before(), INTRINSICS, SIZE)
    )
    np.testing.assert_array_equal(photos, bare)


def test_a_part_without_texture_coordinates_shows_its_plain_colour():
    scan = _textured_square()
    material = Material(scan.materials[0].image, color=GREEN)
    bare = RawScan(
        scan.vertices, scan.faces, scan.part_of_face, ((),), np.full((2, 3, 2), np.nan), None, (material,)
    )
    photos, _ = photograph(bare, process_renderer(), Camera(_before(), INTRINSICS, SIZE))
    assert _is(photos[0], SIZE // 2, SIZE // 2, GREEN)


def test_light_does_not_depend_on_how_finely_a_surface_is_divided():
    vertices, faces = _square()
    line = np.linspace(-0.5, 0.5, 31)
    fine = np.stack([*np.meshgrid(line, line), np.zeros((31, 31))], -1).reshape(-1, 3)
    index = np.arange(31 * 31).reshape(31, 31)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    cells = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3)
    photos = []
    for points, triangles in ((vertices, faces), (fine, cells)):
        colors = np.full((len(triangles), 3, 3), 100, np.uint8)
        scan = RawScan(points, triangles, np.zeros(len(triangles), int), ((),), None, colors, (Material(),))
        photo, visible = photograph(scan, process_renderer(), Camera(_before(), INTRINSICS, SIZE))
        inside = visible[0] >= 0
        inside &= (
            np.roll(inside, 2, 0) & np.roll(inside, -2, 0) & np.roll(inside, 2, 1) & np.roll(inside, -2, 1)
        )
        photos.append(photo[0][inside])
    np.testing.assert_allclose(photos[1].mean(0), photos[0].mean(0), atol=2)


def test_what_counts_as_colours():
    vertices, faces = _square()

    def scan(colors=None, *materials):
        return RawScan(vertices, faces, np.zeros(2, int), ((),), None, colors, materials)

    varied = np.zeros((2, 3, 3), np.uint8)
    varied[0, 0] = 90
    assert not has_colors(scan()) and not has_colors(scan(None, Material()))
    assert not has_colors(scan(np.full((2, 3, 3), 200, np.uint8)))
    assert has_colors(scan(varied))
    assert not has_colors(scan(None, Material(color=RED), Material()))
    assert has_colors(scan(None, Material(color=RED), Material(color=BLUE)))
    assert has_colors(_textured_square())
