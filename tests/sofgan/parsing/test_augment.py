import numpy as np
import pytest
import torch

from sofgan.labels import mirror
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
