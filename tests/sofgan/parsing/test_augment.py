import numpy as np
import pytest
import torch

from sofgan.labels import BACKGROUND, CLOTH, SKIN, mirror
from sofgan.parsing.augment import apply_changes, draw_changes, mirror_batch
from sofgan.parsing.config import Augmentation

STILL = Augmentation(0, 0, 0, 0, 0, 0, 0)


def _batch(count=6, size=32):
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 17, (count, size // 4, size // 4), dtype=np.uint8)
    labels = torch.from_numpy(coarse.repeat(4, 1).repeat(4, 2))
    # A photo whose value tells its label, so that photo and map can be compared after any move.
    images = (labels.float() / 16 * 2 - 1).unsqueeze(1).repeat(1, 3, 1, 1)
    return images, labels


def augment(images, labels, config, generator):
    """What a step of the training does with a batch."""
    return apply_changes(images, labels, draw_changes(len(images), images.shape[-1], config, generator))


def _generator():
    return torch.Generator().manual_seed(3)


def test_mirrored_maps_equal_the_label_modules_mirror():
    images, labels = _batch()
    flipped_images, flipped = mirror_batch(images, labels)
    assert (flipped.numpy() == mirror(labels.numpy())).all() and flipped.dtype == torch.uint8
    assert torch.equal(flipped_images, images.flip(-1))
    again = mirror_batch(flipped_images, flipped)
    assert torch.equal(again[0], images) and torch.equal(again[1], labels)


def test_nothing_changes_when_all_is_off():
    images, labels = _batch()
    moved_images, moved = augment(images, labels, STILL, _generator())
    assert torch.equal(moved_images, images) and torch.equal(moved, labels)


def test_photo_and_map_move_together():
    images, labels = _batch()
    config = Augmentation(0.0, zoom=0.3, shift=0.1, rotation_degrees=20, colour=0, blur=0, noise=0)
    moved_images, moved = augment(images, labels, config, _generator())
    assert (moved != labels).any() and int(moved.max()) < 17
    expected = moved.float() / 16 * 2 - 1
    # Bilinear photos differ from nearest maps along borders only.
    assert ((moved_images[:, 0] - expected).abs() < 1e-3).float().mean() > 0.4
    assert (moved_images[:, 0] - expected).abs().mean() < 0.35 * (images[:, 0] - expected).abs().mean()


def test_draws_come_from_the_generator_alone():
    images, labels = _batch()
    one = augment(
        images,
        labels,
        Augmentation(
            mirror=0.5, zoom=0.2, shift=0.06, rotation_degrees=12.0, colour=0.3, blur=0.2, noise=0.03
        ),
        _generator(),
    )
    torch.manual_seed(99)
    two = augment(
        images,
        labels,
        Augmentation(
            mirror=0.5, zoom=0.2, shift=0.06, rotation_degrees=12.0, colour=0.3, blur=0.2, noise=0.03
        ),
        _generator(),
    )
    other = augment(
        images,
        labels,
        Augmentation(
            mirror=0.5, zoom=0.2, shift=0.06, rotation_degrees=12.0, colour=0.3, blur=0.2, noise=0.03
        ),
        torch.Generator().manual_seed(4),
    )
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])
    assert not torch.equal(one[0], other[0])
    assert one[0].abs().max() <= 1


@pytest.mark.parametrize("change", ["colour", "blur", "noise"])
def test_photometric_changes_leave_the_map(change):
    images, labels = _batch()
    config = Augmentation(**{**STILL.__dict__, change: 1.0 if change == "blur" else 0.3})
    changed, same = augment(images, labels, config, _generator())
    assert torch.equal(same, labels) and (changed - images).abs().max() > 0.01


def test_scenery_stands_behind_people_and_on_clothes_alone():
    labels = torch.full((8, 32, 32), SKIN, dtype=torch.uint8)
    labels[:, :10], labels[:, 22:] = BACKGROUND, CLOTH
    images = torch.rand(8, 3, 32, 32, generator=_generator()) - 0.5
    changed, same = augment(images, labels, Augmentation(*(0,) * 7, scenery=1.0), _generator())
    assert torch.equal(same, labels)
    assert torch.equal(changed[:, :, 11:21], images[:, :, 11:21])  # Borders are soft by a pixel.
    behind, worn = changed[:, :, :9], changed[:, :, 23:]
    assert ((behind - images[:, :, :9]).abs().mean((1, 2, 3)) > 0.05).all()
    assert ((worn - images[:, :, 23:]).abs().mean((1, 2, 3)) > 0).all()
    assert (behind.std((2, 3)) > 0.01).all() and (
        behind.std(0) > 0.01
    ).all()  # Each photo has its own, with shapes.
    some = augment(images, labels, Augmentation(*(0,) * 7, scenery=0.5), _generator())[0]
    shown = (some != images)[:, :, :9].flatten(1).any(1)
    assert 0 < shown.sum() < 8


def test_a_share_of_a_batch_changes_as_it_does_in_the_batch():
    images, labels = _batch()
    config = Augmentation(0.5, 0.2, 0.06, 12.0, 0.3, 0.2, 0.03, scenery=0.7)
    changes = draw_changes(len(images), 32, config, _generator())
    whole, rows = apply_changes(images, labels, changes), slice(2, 5)
    part = apply_changes(images[rows], labels[rows], changes.rows(rows))
    assert torch.equal(part[0], whole[0][rows]) and torch.equal(part[1], whole[1][rows])
