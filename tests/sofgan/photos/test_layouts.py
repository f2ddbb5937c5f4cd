"""The layouts that photo sets are released in: recognised, read without what lies beside them, equal label maps."""

import csv
import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image

from sofgan.labels import BACKGROUND, CELEBAMASK_NAMES, EARRING, HAIR, L_NOSE, NUM_CLASSES, R_NOSE, SKIN
from sofgan.photos.importing import Selection, import_photos
from sofgan.photos.layouts import SourceError, find_source
from sofgan.photos.store import PhotoStore

SELECTION = Selection(16, 0.3)
# Of the first, second, and last groups of two thousand, at their edges.
NUMBERS = (0, 7, 1999, 2000, 2001, 3999, 4000, 29999)


def _jpeg(seed, size=48):
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((size, size)).save(buffer, "JPEG")
    return buffer.getvalue()


def _map(number, size=24):
    """A canonical map of blocks in which, over all numbers, every part occurs and is missing."""
    generator = np.random.default_rng(number)
    parts = generator.permutation(19)[:12]
    return generator.choice(parts, (size // 3, size // 3)).astype(np.uint8).repeat(3, 0).repeat(3, 1)


def _save_merged(folder):
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for place, number in enumerate(NUMBERS):
        (folder / "images" / f"{number}.jpg").write_bytes(_jpeg(number))
        mask = Image.fromarray(_map(number))
        if place % 2:  # Greyscale, or a palette whose colours mean nothing.
            mask.putpalette(np.random.default_rng(number).bytes(768))
        mask.save(folder / "masks" / f"{number}.png")
    return folder


def _save_official(folder):
    """One binary PNG a part, made so that the map comes out only where a later part covers an earlier one."""
    (folder / "CelebA-HQ-img").mkdir(parents=True)
    masks = folder / "CelebAMask-HQ-mask-anno"
    written = set()
    for number in NUMBERS:
        (folder / "CelebA-HQ-img" / f"{number}.jpg").write_bytes(_jpeg(number))
        place = masks / str(number // 2000)
        place.mkdir(parents=True, exist_ok=True)
        labels, generator = _map(number), np.random.default_rng(number)
        for part, name in enumerate(CELEBAMASK_NAMES):
            if part == 0 or not (labels == part).any():
                continue
            covered = (labels > part) & (generator.random(labels.shape) < 0.4)
            mask = Image.fromarray(np.where((labels == part) | covered, 255, 0).astype(np.uint8))
            mask = mask.convert(("RGB", "L", "1", "P")[part % 4])  # As released, and as tools leave them.
            mask.save(place / f"{number:05d}_{name}.png")
            written.add(name)
    assert written == set(CELEBAMASK_NAMES) - {"background"}
    # Of another photo's group, of no part, of no photo, and what the release has beside.
    Image.new("L", (24, 24), 255).save(masks / "0" / "02000_cloth.png")
    Image.new("L", (24, 24), 255).save(masks / "0" / "00000_moustache.png")
    Image.new("L", (24, 24), 255).save(masks / "0" / "00001_skin.png")
    (masks / "README.txt").write_text("masks")
    for name in ("CelebA-HQ-to-CelebA-mapping.txt", "CelebAMask-HQ-pose-anno.txt", "README.txt"):
        (folder / name).write_text("no photo")
    return folder


def test_official_and_merged_celebamask_give_the_same_label_maps(tmp_path):
    merged = find_source(_save_merged(tmp_path / "merged"))
    official = find_source(_save_official(tmp_path / "official"))
    assert (merged.layout, official.layout) == ("celebamask-merged", "celebamask-official")
    for source, name in [(merged, "one"), (official, "two")]:
        result = import_photos(source, tmp_path / name, SELECTION, workers=2)
        strays = 3 if source is official else 0  # What `_save_official` puts among the masks.
        assert (result.photos, result.left_out, result.noted) == (len(NUMBERS), strays, 0)
    one, two = PhotoStore(tmp_path / "one"), PhotoStore(tmp_path / "two")
    assert one.keys() == two.keys() == [str(number) for number in NUMBERS]
    seen = set()
    for index, number in enumerate(NUMBERS):
        assert one[index] == two[index]  # Keys, photos, label maps and splits, to the byte.
        assert one[index].bytes == _jpeg(number) and one.image(index).shape == (48, 48, 3)
        canonical, labels = _map(number), one.labels(index)
        assert labels.shape == (24, 24)
        nose, earring = CELEBAMASK_NAMES.index("nose"), CELEBAMASK_NAMES.index("ear_r")
        assert (np.isin(labels, (R_NOSE, L_NOSE)) == (canonical == nose)).all()
        assert ((labels == EARRING) == (canonical == earring)).all()
        seen |= set(np.unique(labels))
    assert seen == set(range(NUM_CLASSES))


def test_official_celebamask_with_damage(tmp_path):
    folder = _save_official(tmp_path / "o")
    masks = folder / "CelebAMask-HQ-mask-anno"
    Image.new("L", (10, 10)).save(masks / "0" / "00000_skin.png")
    next((masks / "1").glob("02001_*.png")).write_bytes(b"broken")
    for file in (masks / "2").glob("04000_*.png"):
        file.unlink()
    (folder / "CelebA-HQ-img" / "x.jpg").write_bytes(_jpeg(99))
    (folder / "CelebA-HQ-img" / "7.jpg").write_bytes(b"")
    import_photos(find_source(folder), tmp_path / "store", SELECTION)
    report = {
        row["file"]: row["reason"] for row in csv.DictReader((tmp_path / "store" / "report.csv").open())
    }
    expected = {"0": "others are", "2001": "mask 02001_", "4000": "no mask of any part", "7": "empty file"}
    expected["x"] = "not the photo's number"
    photos = {name for name in report if name.startswith("CelebA-HQ-img")}
    assert photos == {f"CelebA-HQ-img/{name}.jpg" for name in expected}
    assert all(reason in report[f"CelebA-HQ-img/{name}.jpg"] for name, reason in expected.items())
    assert PhotoStore(tmp_path / "store").keys() == ["1999", "2000", "3999", "29999"]


def _report(store):
    return {
        row["file"]: row["reason"] for row in csv.DictReader((store / "report.csv").read_text().splitlines())
    }


def test_files_among_masks_that_belong_to_nothing_are_named_with_the_reason(tmp_path):
    folder = _save_official(tmp_path / "official")
    masks = folder / "CelebAMask-HQ-mask-anno"
    skin = Image.new("L", (24, 24), 255)
    for name in ("0/00000_nose (1).png", "0/00000_wrinkle.png", "stray.png", "0/old/00007_skin.png"):
        (masks / name).parent.mkdir(exist_ok=True)
        skin.save(masks / name)
    (masks / "0" / "00007_skin.txt").write_text("notes")
    (folder / "CelebA-HQ-img" / "5.heic").write_bytes(b"?")
    skin.save(masks / "0" / "00005_skin.png")
    import_photos(find_source(folder), tmp_path / "store", SELECTION)
    place = "not in a folder of 2000 photos' masks"
    expected = {
        "0/00000_moustache.png": "no mask of a known part: 'moustache' is none of CelebAMask-HQ's",
        "0/00000_nose (1).png": "no mask by its name, which would be NUMBER_PART.png",
        "0/00000_wrinkle.png": "no mask of a known part: 'wrinkle' is none of CelebAMask-HQ's",
        "0/00001_skin.png": "a mask without its photo",
        "0/00005_skin.png": "a mask whose photo is left out",
        "0/02000_cloth.png": "a mask in the wrong folder: it belongs in 1",
        "0/old/00007_skin.png": place,
        "stray.png": place,
    }
    report = _report(tmp_path / "store")
    assert report.pop("CelebA-HQ-img/5.heic").startswith("HEIC is not read")
    assert report == {f"CelebAMask-HQ-mask-anno/{name}": reason for name, reason in expected.items()}

    merged = _save_merged(tmp_path / "merged")
    for name in ("123", "7"):
        Image.fromarray(_map(7)).save(merged / "masks" / f"{name}.tif")
    (merged / "masks" / "1999.mp4").write_bytes(b"?")
    (merged / "images" / "0.jpg").rename(merged / "images" / "0.heic")
    (merged / "masks" / "README.md").write_text("licence")
    import_photos(find_source(merged), tmp_path / "two", SELECTION)
    report = _report(tmp_path / "two")
    assert report.pop("images/0.heic").startswith("HEIC is not read")
    assert report == {
        "masks/0.png": "a mask whose photo is left out",
        "masks/7.tif": "a mask beside another of the same photo, which is read",
        "masks/123.tif": "a mask without its photo",
        "masks/1999.mp4": "a video",
    }


def _as_16_bit_colours(ids):
    """A PNG of 16 bits a channel, which PIL can't write."""
    rows = b"".join(b"\0" + row.astype(">u2").repeat(3).tobytes() for row in ids)

    def chunk(kind, content):
        body = kind + content
        return len(content).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    size = ids.shape[1].to_bytes(4, "big") + ids.shape[0].to_bytes(4, "big")
    parts = (
        chunk(b"IHDR", size + bytes([16, 2, 0, 0, 0])),
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _forms(ids):
    """One map of ids in every form in which masks come: (suffix of the file, image or bytes, reason of refusal)."""
    used = np.unique(ids)
    place = np.searchsorted(used, ids).astype(np.uint8)
    colours, grey, mean = np.stack([ids] * 3, -1), Image.fromarray(place), Image.fromarray(ids)
    grey.putpalette(np.stack([used] * 3, -1).tobytes())  # As tools leave it that make PNGs smaller.
    mean.putpalette(np.random.default_rng(0).bytes(768))
    uneven, opaque = colours.copy(), np.full((*ids.shape, 1), 255, np.uint8)
    uneven[0, 0, 1] ^= 1
    half = opaque.copy()
    half[0, 0] = 0
    return {
        "grey": (".png", Image.fromarray(ids), None),
        "rgb": (".png", Image.fromarray(colours), None),
        "rgba": (".PNG", Image.fromarray(np.concatenate([colours, opaque], -1)), None),
        "la": (".png", Image.fromarray(np.concatenate([ids[..., None], opaque], -1)), None),
        "deep": (".png", Image.fromarray(ids.astype(np.uint16)), None),
        "stretched": (".png", Image.fromarray(ids.astype(np.uint16) * 257), None),
        "index": (".png", mean, None),
        "small": (".png", grey, None),
        "tif": (".tif", Image.fromarray(ids), None),
        "bmp": (".BMP", Image.fromarray(ids), None),
        "uneven": (".png", Image.fromarray(uneven), "channels (RGB) differ: it holds colours, not ids"),
        "half": (".png", Image.fromarray(np.concatenate([colours, half], -1)), "partly transparent"),
        "jpeg": (".jpg", Image.fromarray(ids), "JPEG keeps no exact ids: save the mask as PNG"),
        "webp": (".webp", Image.fromarray(colours), "WEBP keeps no exact ids"),
        "colours": (".png", _as_16_bit_colours(ids), "16-bit colours lose their ids"),
    }


def test_merged_masks_are_read_in_every_form_that_keeps_ids(tmp_path):
    ids = _map(3)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    forms = _forms(ids)
    for number, (name, (suffix, mask, _)) in enumerate(forms.items()):
        (tmp_path / "images" / f"{name}.JPG").write_bytes(_jpeg(number))
        file = tmp_path / "masks" / f"{name}{suffix}"
        file.write_bytes(mask) if isinstance(mask, bytes) else mask.save(file)
    Image.fromarray(ids == 1).save(tmp_path / "masks" / "bits.png")  # 1 bit: skin or not.
    (tmp_path / "images" / "bits.jpg").write_bytes(_jpeg(99))
    import_photos(find_source(tmp_path), tmp_path / "store", SELECTION)
    report, store = _report(tmp_path / "store"), PhotoStore(tmp_path / "store")
    found = {key: store.labels(index) for index, key in enumerate(store.keys())}
    assert np.array_equal(found.pop("bits"), (ids == 1).astype(np.uint8))
    assert found.keys() == {name for name, (_, _, reason) in forms.items() if reason is None}
    for name, labels in found.items():
        assert np.array_equal(labels, found["grey"]), name
    assert len(np.unique(found["grey"])) > 5
    refused = {name: reason for name, (_, _, reason) in forms.items() if reason}
    assert report.keys() == {f"images/{name}.JPG" for name in refused}
    for name, reason in refused.items():
        assert reason in report[f"images/{name}.JPG"] and f"mask {name}." in report[f"images/{name}.JPG"]


def test_ids_that_mark_no_part_are_background_where_the_set_says_so(tmp_path):
    """As FaceSynthetics has them: 255 for what nobody labelled, 18 for a worn mask."""
    ids = np.ones((24, 24), np.uint8)
    ids[:6], ids[6:12], ids[12:15] = 255, 18, 13
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(_jpeg(0))
    Image.fromarray(ids).save(tmp_path / "masks" / "a.png")
    (tmp_path / "images" / "b.jpg").write_bytes(_jpeg(1))
    Image.fromarray(np.full((24, 24), 300, np.uint16)).save(tmp_path / "masks" / "b.png")
    (tmp_path / "images" / "c.jpg").write_bytes(_jpeg(2))
    Image.fromarray(np.ones((24, 24), np.uint8)).save(tmp_path / "masks" / "c.png")
    import_photos(find_source(tmp_path), tmp_path / "none", SELECTION)
    hint = "; ids that mark no part can be listed as void_ids of the set"
    assert _report(tmp_path / "none") == {
        "images/a.jpg": f"mask: ids [255] are not in 0..18{hint}",
        "images/b.jpg": f"mask: ids [300] are not in 0..18{hint}",
    }
    import_photos(find_source(tmp_path, void_ids=(255, 18)), tmp_path / "store", SELECTION)
    store = PhotoStore(tmp_path / "store")
    assert store.keys() == ["a", "c"]
    labels = store.labels(0)
    assert (labels[:12] == BACKGROUND).all() and (labels[12:15] == HAIR).all() and (labels[15:] == SKIN).all()


def test_a_mask_of_another_shape_is_told_and_of_another_size_is_not(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for number, (name, size) in enumerate({"half": (24, 24), "odd": (33, 33), "wide": (48, 32)}.items()):
        (tmp_path / "images" / f"{name}.jpg").write_bytes(_jpeg(number))
        Image.new("L", size, 1).save(tmp_path / "masks" / f"{name}.png")
    result = import_photos(find_source(tmp_path), tmp_path / "store", SELECTION)
    assert (result.photos, result.noted) == (3, 1)
    assert _report(tmp_path / "store") == {"images/wide.jpg": "mask has another shape: 48x32"}


def _save_ffhq(root, names, count=3):
    """FFHQ as its download leaves it: some of its folders, and what lies beside."""
    for name in names:
        for i in range(count):
            file = root / name / "00000" / f"{i:05d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_jpeg(f"{name}{i}".encode()[-1] + len(name)))
        for other in ("LICENSE.txt", "README.md"):
            (root / name / other).write_text("licence")
    for other in ("LICENSE.txt", "README.txt", "ffhq-dataset-v2.json"):
        (root / other).write_text(json.dumps({}))
    (root / "zips").mkdir()
    (root / "zips" / "ffhq-images.zip").write_bytes(b"PK")
    (root / "tfrecords" / "ffhq").mkdir(parents=True)
    (root / "tfrecords" / "ffhq" / "ffhq-r10.tfrecords").write_bytes(b"?")
    return root


ALL = ("images1024x1024", "thumbnails128x128", "in-the-wild-images")


def test_ffhq_takes_its_photos_and_nothing_beside(tmp_path):
    root = _save_ffhq(tmp_path / "ffhq", ALL)
    (root / "images1024x1024" / "00000" / "00003.png").write_bytes(b"broken")
    (root / "images1024x1024" / "00000" / "00004.heic").write_bytes(b"strange here")
    source = find_source(root)
    assert (source.layout, source.labelled, source.landmarks) == ("ffhq", False, None)
    result = import_photos(source, tmp_path / "store", SELECTION)
    store = PhotoStore(tmp_path / "store")
    assert store.keys() == [f"00000/{i:05d}" for i in range(3)]
    assert store[0].bytes == (root / "images1024x1024" / "00000" / "00000.png").read_bytes()
    assert result.left_out == 2  # The broken photo and the strange one, no licences.
    assert {"images1024x1024/00000/00003.png", "images1024x1024/00000/00004.heic"} == {
        row["file"] for row in csv.DictReader((tmp_path / "store" / "report.csv").open())
    }
    # The folder itself, and the folder around, name the same set.
    for folder in (root / "images1024x1024", tmp_path / "ffhq"):
        assert [entry.key for entry in find_source(folder).entries] == [entry.key for entry in source.entries]
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "ffhq-dataset").symlink_to(root)
    assert find_source(archive).layout == "ffhq"


def test_ffhq_flat_or_thumbnails_only(tmp_path):
    flat = tmp_path / "flat" / "images1024x1024"
    flat.mkdir(parents=True)
    for i in (0, 1, 69999):
        (flat / f"{i:05d}.png").write_bytes(_jpeg(i))
    (flat / "LICENSE.txt").write_text("licence")
    assert [entry.key for entry in find_source(tmp_path / "flat").entries] == ["00000", "00001", "69999"]
    small = _save_ffhq(tmp_path / "small", ALL[1:])
    (small / "images1024x1024").mkdir()  # A download that was begun.
    source = find_source(small)
    assert source.layout == "ffhq" and len(source.entries) == 3
    assert source.entries[0].name == "thumbnails128x128/00000/00000.png"


def test_ffhq_in_the_wild_is_taken_only_to_be_aligned(tmp_path):
    root = _save_ffhq(tmp_path / "ffhq", ALL[2:])
    for folder in (root, root / "in-the-wild-images"):
        with pytest.raises(SourceError, match="set align: ffhq"):
            find_source(folder)
        source = find_source(folder, in_the_wild=True)
        assert len(source.entries) == 3 and source.landmarks == root / "ffhq-dataset-v2.json"
    (root / "ffhq-dataset-v2.json").unlink()
    assert find_source(root, in_the_wild=True).landmarks is None
    # A set without photos in the wild is aligned by its aligned ones: no harm, and no landmarks.
    aligned = _save_ffhq(tmp_path / "aligned", ALL[:2])
    source = find_source(aligned, in_the_wild=True)
    assert source.entries[0].name.startswith("images1024x1024") and source.landmarks is None


@pytest.mark.parametrize(
    "photo, mask, layout",
    [
        ("Images/0.jpg", "MASKS/0.png", "celebamask-merged"),
        ("celeba-hq-img/0.jpg", "CelebAMask-hq-mask-anno/0/00000_nose.png", "celebamask-official"),
        ("Images1024x1024/0.jpg", "Thumbnails128x128/0.jpg", "ffhq"),
    ],
)
def test_layouts_are_known_whatever_the_case_of_their_folders(photo, mask, layout, tmp_path):
    """Else masks, or pictures made of others, would be photos of the set."""
    for name in (photo, mask):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")
    source = find_source(tmp_path)
    assert (source.layout, [entry.name for entry in source.entries]) == (layout, [photo])
    assert [file for _, file in source.entries[0].masks] == [tmp_path / mask] * (layout != "ffhq")
