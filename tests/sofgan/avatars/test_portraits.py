"""The two portrait sets: layout, masks that fit, people that differ, the same bytes each time."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from sofgan import labels
from sofgan.avatars.config import MakePortraits
from sofgan.avatars.portraits import Portrait, celebamask_parts, make_portraits, photo_sheet, write_celebamask
from sofgan.photos.layouts import find_source

CONFIG = MakePortraits(
    ffhq_photos=2, celebamask_photos=2, photos_per_identity=2, size_px=48, supersampling=2,
    yaw_std_degrees=5.0, pitch_std_degrees=3.0, roll_std_degrees=1.0, fov_degrees=18.0, jpeg_quality=95,
)  # fmt: skip


def _hashes(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("portraits") / "out"
    figures = make_portraits(folder, CONFIG, seed=1, workers=1)
    return folder, figures


def test_layout_is_that_of_the_two_sets(portraits):
    folder, figures = portraits
    names = sorted(path.name for path in (folder / "ffhq").iterdir())
    assert names == ["00000.png", "00001.png", "identities.txt"]
    photos = folder / "celebamask" / "CelebA-HQ-img"
    assert sorted(path.name for path in photos.iterdir()) == ["0.jpg", "1.jpg"]
    masks = folder / "celebamask" / "CelebAMask-HQ-mask-anno" / "0"
    allowed = set(labels.CELEBAMASK_NAMES) - {"background"}
    for path in masks.iterdir():
        number, part = path.stem.split("_", 1)
        assert number in ("00000", "00001")
        assert part in allowed
        mask = np.asarray(Image.open(path))
        assert mask.shape == (48, 48)
        assert set(np.unique(mask)) == {0, 255}
    assert Image.open(photos / "0.jpg").size == (48, 48)
    assert figures["ffhq_photos"] == figures["celebamask_photos"] == 2
    assert figures["ffhq_identities"] == figures["celebamask_identities"] == 1
    assert figures["has_skin"] == 1


def test_who_is_on_a_photo_is_told_as_the_import_reads_it(portraits):
    folder, _ = portraits
    assert find_source(folder / "ffhq").people == {"00000": "ffhq-00000", "00001": "ffhq-00000"}
    people = find_source(folder / "celebamask").people
    assert people == {"0": "celebamask-00000", "1": "celebamask-00000"}


def test_masks_are_disjoint_sided_and_fit_the_photo(portraits):
    folder, _ = portraits
    masks = {}
    for path in (folder / "celebamask" / "CelebAMask-HQ-mask-anno" / "0").glob("00000_*.png"):
        masks[path.stem.split("_", 1)[1]] = np.asarray(Image.open(path)) > 0
    assert (sum(mask.astype(int) for mask in masks.values()) <= 1).all()
    # The subject's left is on the image's right in a nearly frontal photo.
    for part in ("brow", "eye", "ear"):
        if f"l_{part}" in masks and f"r_{part}" in masks:
            assert np.nonzero(masks[f"l_{part}"])[1].mean() > np.nonzero(masks[f"r_{part}"])[1].mean()
    # The face is framed as in FFHQ: eyes somewhat above the middle, lips below it.
    rows = np.nonzero(masks["u_lip"] | masks["l_lip"])[0]
    assert 0.6 < rows.mean() / 48 < 0.85
    assert 0.1 < masks["skin"].mean() < 0.6


def test_silhouette_of_the_labels_is_that_of_the_photo():
    from sofgan.avatars.portraits import _avatar_model, take_portrait
    from sofgan.avatars.shading import make_head, sphere_directions
    from sofgan.rendering.process_renderer import process_renderer
    from sofgan.seeds import numpy_generator

    avatar = _avatar_model().build("x", numpy_generator(3, "x"))
    head = make_head(avatar.parts, process_renderer(), sphere_directions(12))
    portrait = take_portrait(head, CONFIG, numpy_generator(3, "photo"))
    inside = portrait.labels != labels.BACKGROUND
    # Coverage is an average of finer pixels, labels are taken at the centre of each.
    assert (portrait.coverage[inside] > 0).all()
    assert (portrait.coverage[~inside] < 1).all()
    assert np.abs(portrait.coverage.mean() - inside.mean()) < 0.01


def test_same_bytes_again_whatever_the_number_of_processes(portraits, tmp_path):
    folder, figures = portraits
    assert make_portraits(tmp_path / "again", CONFIG, seed=1, workers=2) == figures
    assert _hashes(tmp_path / "again") == _hashes(folder)


def test_photos_differ_within_a_person_and_between_the_sets(portraits):
    folder, _ = portraits
    paths = [*(folder / "ffhq").glob("*.png"), *(folder / "celebamask" / "CelebA-HQ-img").glob("*.jpg")]
    photos = [np.asarray(Image.open(path)).astype(int) for path in paths]
    for index, first in enumerate(photos):
        for second in photos[index + 1 :]:
            assert np.abs(first - second).mean() > 3


def test_parts_follow_the_subjects_sides():
    ids = np.array([[labels.EYE, labels.EYE, labels.L_NOSE], [labels.R_NOSE, labels.HAIR, labels.BACKGROUND]])
    left = np.array([[False, True, True], [False, True, False]])
    portrait = Portrait(np.zeros((2, 3, 3), np.uint8), ids.astype(np.uint8), left, np.ones((2, 3)))
    parts = celebamask_parts(portrait)
    assert parts.keys() == {"r_eye", "l_eye", "nose", "hair"}
    assert parts["r_eye"].tolist() == [[True, False, False], [False, False, False]]
    assert parts["nose"].sum() == 2


def test_masks_go_into_folders_of_two_thousand(tmp_path):
    ids = np.full((4, 4), labels.SKIN, np.uint8)
    portrait = Portrait(np.zeros((4, 4, 3), np.uint8), ids, ids > 0, np.ones((4, 4)))
    write_celebamask(tmp_path, 4321, portrait, 95)
    assert (tmp_path / "CelebAMask-HQ-mask-anno" / "2" / "04321_skin.png").exists()
    assert (tmp_path / "CelebA-HQ-img" / "4321.jpg").exists()


def test_sheet_holds_the_photos(portraits):
    folder, _ = portraits
    assert photo_sheet(folder / "ffhq", rows=1, columns=2).shape == (48, 96, 3)
    assert photo_sheet(folder / "celebamask", rows=2, columns=1).shape == (96, 48, 3)


@pytest.mark.parametrize(
    "wrong", [{"ffhq_photos": 0}, {"size_px": 8}, {"fov_degrees": 0.5}, {"supersampling": 0}]
)
def test_impossible_parameters_are_refused(wrong):
    from sofgan.config import from_mapping, to_mapping

    with pytest.raises(ValueError, match=next(iter(wrong))):
        from_mapping(MakePortraits, to_mapping(CONFIG) | wrong, "make_portraits")
