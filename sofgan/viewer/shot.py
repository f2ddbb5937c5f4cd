"""A scene as a page shows it."""

from dataclasses import dataclass

import numpy as np

from sofgan.apps.looks import REGION_NAMES
from sofgan.labels import STYLE_GROUPS, resize
from sofgan.viewer.scene import Scene


@dataclass(frozen=True)
class Shot:
    """A scene as it is shown.

    Attributes:
        labels: (S, S) uint8.
        picture: (R, R, 3) uint8, painted from that map.
        fine: the map is the field's own, else one of fewer pixels or of the baked grid.
    """

    scene: Scene
    labels: np.ndarray
    picture: np.ndarray
    fine: bool

    def colors(self) -> dict[str, tuple[int, int, int] | None]:
        """Mean color in the picture of each region; None of one that it doesn't show."""
        labels = resize(self.labels, len(self.picture))
        shown = {}
        for region, group in zip(REGION_NAMES, STYLE_GROUPS):
            inside = np.isin(labels, group)
            mean = self.picture[inside].mean(0).round() if inside.any() else None
            shown[region] = None if mean is None else tuple(int(value) for value in mean)
        return shown
