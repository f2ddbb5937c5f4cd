"""Distances of painted pictures, and of the maps of heads, from photos, with floors of as many photos."""

import numpy as np

from sofgan.evaluation import portraits
from sofgan.evaluation.shards import Maps
from sofgan.evaluation.sides import FEWEST_PHOTOS
from sofgan.labels import resize
from sofgan.scores import map_distance
from sofgan.seeds import numpy_generator


def pictures(real: dict, maps: dict[str, Maps], limit: int, own: str) -> dict[str, int]:
    """Numbers of pictures painted from each set of maps: one of each, and of the set's that was learned from, where
    there are more training photos, as many as these, in further styles."""
    counts = {name: len(found) for name, found in maps.items()}
    training = len(next(iter(real[own, "training"].values())))
    return counts | {own: max(counts[own], min(limit, training))}


def of_maps(heads: Maps, photos: dict[str, Maps], kid_subset: int, seed: int) -> dict[str, float]:
    """Distances of sampled heads' label maps from those of photos, unpainted, with floors, and what they differ in."""

    def small(maps: Maps) -> np.ndarray:
        return np.stack([resize(maps.labels(index), map_distance.SIZE) for index in range(len(maps))])

    own, unseen, seen = (small(maps) for maps in (heads, photos["held-out"], photos["training"]))
    features = ({"fd_maps": map_distance.map_features(maps)} for maps in (own, unseen, seen))
    figures = portraits.compare(*features, "_unpainted", kid_subset, seed)
    for end, maps in (("", own), ("_floor", unseen)):
        differences = map_distance.map_differences(maps, seen)
        figures |= {f"maps_{name}_unpainted{end}": value for name, value in differences.items()}
    return figures


def compared(
    real: dict, painted: dict, held_out_maps: int, kid_subset: int, direction: tuple[str, str], seed: int
) -> dict[str, float]:
    """All distances with their floors (spec, section 7): of pictures of one set's held-out maps, against another set's
    photos or its own, against photos that were trained on, which is the field's custom, and against others.

    Args:
        real: features by set and side.
        painted: features by set; of the one that was learned from the first `held_out_maps` are of its held-out
            photos' maps.
        direction: the set that was learned from, and the other.
    """
    learned, other = direction

    def rows(features: dict, chosen) -> dict:
        return {name: values[chosen] for name, values in features.items()}

    seen, unseen = real[learned, "training"], real[learned, "held-out"]
    own = rows(painted[learned], slice(held_out_maps))
    figures = {}
    for suffix, *three in (
        ("", own, unseen, seen),
        (f"_{other}_maps", painted[other], unseen, seen),
        (f"_{other}", painted[other], real[other, "held-out"], real[other, "training"]),
        ("_sof_maps", painted["sof"], unseen, seen),
    ):
        figures |= portraits.compare(*three, suffix, kid_subset, seed)
    # Maps of one half of the held-out photos, against the other half.
    if held_out_maps >= 2 * FEWEST_PHOTOS:
        order = numpy_generator(seed, "evaluate", "halves").permutation(held_out_maps)
        one, two = np.sort(order[: held_out_maps // 2]), np.sort(order[held_out_maps // 2 :])
        figures |= portraits.compare(
            rows(own, one), rows(unseen, one), rows(unseen, two), "_held_out", kid_subset, seed
        )
    if len(next(iter(painted[learned].values()))) > held_out_maps:
        figures |= portraits.compare_all(painted[learned], seen, "_repeated")
    return figures
