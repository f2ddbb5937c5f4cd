"""Who is on which photo, and which people are kept from training."""

import io

import numpy as np
import pytest
from PIL import Image

from sofgan.errors import UserError
from sofgan.photos.importing import Selection, import_photos
from sofgan.photos.layouts import find_source
from sofgan.photos.people import PeopleError, read_people, split_people
from sofgan.photos.store import HELD_OUT, TRAIN, VALIDATION, PhotoStore, held_out


def _photo(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())


def test_a_persons_photos_are_on_one_side_whatever_they_are_called(tmp_path):
    """Names alone would put some photos of most people on both sides."""
    for i in range(60):
        _photo(tmp_path / f"{i:03d}.png", i)
    (tmp_path / "identities.txt").write_text("".join(f"{i:03d}.png p{i // 4}\n" for i in range(60)))
    source = find_source(tmp_path)
    assert [entry.problem for entry in source.entries] == [
        None
    ] * 60  # The file of names is no photo left out.
    found = import_photos(source, tmp_path / "store", Selection(8, 0.3, 0.2), workers=2)
    store = PhotoStore(tmp_path / "store")
    by_person = store.splits().reshape(15, 4)
    assert (by_person == by_person[:, :1]).all() and set(by_person[:, 0].tolist()) == {
        TRAIN,
        HELD_OUT,
        VALIDATION,
    }
    splits = split_people([f"p{i}" for i in range(15)], 0.3, 0.2)
    assert by_person[:, 0].tolist() == [splits[f"p{i}"] for i in range(15)]
    counts = [int((store.splits() == side).sum()) for side in (HELD_OUT, VALIDATION)]
    assert [found.held_out, found.validation] == counts and (found.photos, found.people) == (60, 15)


def test_celeba_hq_numbers_lead_to_celebas_people(tmp_path):
    for number in (0, 12, 7):
        _photo(tmp_path / f"CelebA-HQ-img/{number}.jpg", number)
        mask = Image.fromarray(np.full((16, 16), 255, np.uint8))
        (tmp_path / "CelebAMask-HQ-mask-anno/0").mkdir(parents=True, exist_ok=True)
        mask.save(tmp_path / f"CelebAMask-HQ-mask-anno/0/{number:05d}_skin.png")
    assert find_source(tmp_path).people == {}
    (tmp_path / "CelebA-HQ-to-CelebA-mapping.txt").write_text(
        "idx         orig_idx    orig_file\n0           119613      119614.jpg\n"
        "7           5           000006.jpg\n12          9           000010.jpg\n"
    )
    assert find_source(tmp_path).people == {}  # Names of CelebA alone say nothing of people.
    (tmp_path / "identity_CelebA.txt").write_text(
        "000006.jpg 2880\n000010.jpg 17\n119614.jpg 2880\n000007.jpg 5\n"
    )
    assert find_source(tmp_path).people == {"0": "2880", "7": "2880", "12": "17"}
    (tmp_path / "CelebA-HQ-to-CelebA-mapping.txt").write_text("head\nx y\n")
    with pytest.raises(UserError, match="is no number of CelebA-HQ"):
        find_source(tmp_path)


def test_people_are_named_by_path_name_or_key(tmp_path):
    (tmp_path / "identities.txt").write_text("a/1.png anna\n2.png  bert\n\nwith space.png carl\nb/4 dora\n")
    names = [
        ("a/1", "a/1.png"),
        ("b/2", "b/2.png"),
        ("b/with space", "b/with space.png"),
        ("b/4", "b/4.jpg"),
        ("c", "c.png"),
    ]
    assert read_people([tmp_path], names) == {
        "a/1": "anna",
        "b/2": "bert",
        "b/with space": "carl",
        "b/4": "dora",
    }
    assert read_people([tmp_path / "none", tmp_path], names[:1]) == {"a/1": "anna"}
    with pytest.raises(PeopleError, match="names none of the photos"):
        read_people([tmp_path], [("c", "c.png")])
    (tmp_path / "identities.txt").write_bytes(b"\xef\xbb\xbfa/1.png anna\r\n")  # as Windows writes it
    assert read_people([tmp_path], names) == {"a/1": "anna"}
    (tmp_path / "identities.txt").write_text("a/1.png anna\nnameless\n")
    with pytest.raises(PeopleError, match="line 2 is not a photo's name and who is on it: 'nameless'"):
        read_people([tmp_path], names)


def test_shares_of_people_stay_as_they_are_when_others_come():
    people = [f"{i}" for i in range(3000)]
    splits = split_people(people, 0.2, 0.1)
    shares = [list(splits.values()).count(side) / 3000 for side in (TRAIN, HELD_OUT, VALIDATION)]
    assert shares == pytest.approx([0.7, 0.2, 0.1], abs=0.02)
    assert split_people(people[:1000], 0.2, 0.1).items() <= splits.items()
    # Who is of no known person is held out as by name before.
    assert all((splits[name] == HELD_OUT) == (held_out(name, 0.2) == HELD_OUT) for name in people)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_few_people_are_on_each_side_that_has_a_share(count):
    """As long as one is left to train on."""
    for offset in range(50):
        sides = list(split_people([f"{offset}-{i}" for i in range(count)], 0.02, 0.02).values())
        assert sides.count(TRAIN) >= 1
        assert (HELD_OUT in sides) == (count > 1)
        assert (VALIDATION in sides) == (count > 2)
    most = list(split_people(["a", "b", "c"], 0.99, 0.0).values())
    assert most.count(TRAIN) == 1
    assert set(split_people(["a", "b"], 0.0, 0.0).values()) == {TRAIN}


def test_of_a_limit_too_each_side_has_photos(tmp_path):
    for i in range(40):
        _photo(tmp_path / f"{i:03d}.png", i)
    result = import_photos(find_source(tmp_path), tmp_path / "s", Selection(8, 0.05, limit=4))
    assert (result.photos, result.held_out, result.people) == (4, 1, 0)
