"""How odd scans of a batch look beside those of others, by their frontal views."""

import numpy as np
import pytest

from sofgan import cameras, labels
from sofgan.evaluation import batch_oddities
from sofgan.files import write_npz
from sofgan.sof.plausibility import fit_reference
from tests import scenes

SIZE = 48


def write_head(path, seed, spoil=lambda view: view):
    """A frontal view of an ellipsoid head, and one from the side, which nobody looks at."""
    poses = cameras.orbit(np.array([0.0, 1.2]), np.zeros(2), scenes.RADIUS)
    intrinsics = cameras.intrinsics_from_fov(scenes.FOV_DEGREES)
    around = cameras.Camera(poses, intrinsics, SIZE)
    maps = [scenes.picture(scenes.head_parts(seed), camera)[0] for camera in around]
    write_npz(path, labels=np.stack([spoil(maps[0]), maps[1]]))
    return path


def without_eyes(view):
    return np.where(view == labels.EYE, labels.SKIN, view).astype(np.uint8)


def in_pieces(view):
    """Without eyes, and with specks of hair all over."""
    view = without_eyes(view)
    view[::6, ::6] = labels.HAIR
    return view


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    others = [write_head(folder / f"other-{seed}.npz", 100 + seed) for seed in range(24)]
    spoils = {"fine": lambda view: view, "pieces": in_pieces, "blind": without_eyes}
    return [write_head(folder / f"{name}.npz", 100, spoil) for name, spoil in spoils.items()], others


def test_the_oddest_come_first_with_what_is_oddest_about_them(files):
    own, others = files
    table = batch_oddities.score(own, others, 0)
    assert table["scan"].tolist() == ["pieces", "blind", "fine"]
    assert table["plausible"].tolist() == [False, False, True]
    assert (np.diff(table["score"]) < 0).all() and (np.diff(table["p_value"]) >= 0).all()
    reference = fit_reference(batch_oddities.frontal_views(others))
    scores = reference.judge(batch_oddities.frontal_views(own))
    for row, name in ((1, "pieces"), (2, "blind")):
        why = table.set_index("scan")["why"][name].split(", ")
        worst = sorted(range(len(reference.names)), key=lambda i: -scores.excess[row, i])[
            : batch_oddities.TOLD
        ]
        assert [reason.split(" ")[0] for reason in why] == [
            reference.names[i].removesuffix(".0") for i in worst
        ]
    assert table["why"][1].startswith("area.eye 0 not in 0.0")


def test_many_others_are_drawn_by_the_seed(files, monkeypatch):
    own, others = files
    monkeypatch.setattr(batch_oddities, "LARGEST_REFERENCE", 21)
    asked, views = [], batch_oddities.frontal_views
    monkeypatch.setattr(
        batch_oddities, "frontal_views", lambda paths: asked.append(list(paths)) or views(paths)
    )
    for seed in (0, 0, 1):
        batch_oddities.score(own, others, seed)
    first, again, other = asked[::2]
    assert first == again != other and len(first) == 21 and set(first) < set(others)
    assert first == sorted(first, key=others.index)
