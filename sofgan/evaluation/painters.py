"""Scores by which painters are compared, ours and its competitors: from the same held-out maps, at the same N."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sofgan.evaluation import portraits
from sofgan.evaluation.shards import Features, Judges, StoreMaps, painted_features, photo_features
from sofgan.parallel import Mapper
from sofgan.photos.store import PhotoStore
from sofgan.progress import SILENT, Progress


@dataclass
class HeldOutScores:
    """Scores of painters by the label maps of photos that nothing was trained on.

    Distances are from photos that were trained on; their floor is that of the held-out photos themselves.

    Attributes:
        name: of the set of photos: it seeds styles, which are then those of the stage `evaluate`.
        photos, parsed: stores of photos and of their maps, in one order.
        sides: records of the first that are "held-out", and others, "training".
        kid_subset: pictures in a random subset of the kernel distance, at most.
        frequent_share: share of pixels from which a class is frequent.
        seed: of styles and subsets.
        real: features of the photos by side and their size, which are kept from painter to painter.
    """

    name: str
    photos: PhotoStore
    parsed: PhotoStore
    sides: Mapping[str, np.ndarray]
    kid_subset: int
    frequent_share: float
    seed: int
    real: dict[tuple[str, int], Features]

    def score(
        self, judges: Judges, workers: int | Mapper = 1, progress: Progress = SILENT
    ) -> dict[str, float]:
        """Distances of a painter's pictures, one of each held-out map, with floors and N (`portraits.compare`), and
        control (`portraits.control_scores`).

        Args:
            judges: with the painter; extractors are the same at each call.
            workers: as of `map_in_processes`.
        """
        painter, *_ = judges.load()
        size = painter.resolution
        for side, indices in self.sides.items():
            if (side, size) not in self.real:
                self.real[side, size], _ = photo_features(
                    self.photos, indices, size, judges, workers, progress
                )
        held_out = self.sides["held-out"]
        maps = StoreMaps(self.parsed, held_out, painter.generator.config.label_size)
        painted, seen = painted_features(maps, len(maps), self.seed, self.name, judges, workers, progress)
        real = (self.real[side, size] for side in ("held-out", "training"))
        figures = portraits.compare(painted, *real, "", self.kid_subset, self.seed)
        figures |= portraits.control_scores(seen, self.frequent_share)
        return figures | {"control_pictures": seen.counts.sum() // size**2}
