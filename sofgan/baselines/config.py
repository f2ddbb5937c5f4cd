"""Sizes of the baselines' generators; imports no torch."""

from dataclasses import dataclass

from sofgan.config import Count, PowerOfTwo

PAIRED = ("spade", "pix2pixhd", "sean")  # learn from pairs of a photo and its own label map


@dataclass(frozen=True, kw_only=True)
class PairedConfig:
    """Sizes of a paired method's generator, by the parameters that size ours."""

    method: str
    resolution: PowerOfTwo  # pixels
    label_size: PowerOfTwo  # pixels of the label maps
    channel_base: Count  # channels at r pixels: min(channel_max, channel_base / r)
    channel_max: Count
    z_dim: Count  # length of SPADE's code of a picture
    spade_hidden: Count  # channels between a label map and SPADE's gains and shifts
    style_dim: Count  # length of SEAN's code of a region
    reference_photos: Count  # photos kept as codes with SEAN, from which its styles are drawn
    residual_blocks: Count  # of Pix2PixHD, at its smallest size

    def __post_init__(self) -> None:
        if self.method not in PAIRED:
            raise ValueError(f"method is one of {', '.join(PAIRED)}, not {self.method}")
        if self.resolution < 16:
            raise ValueError(f"resolution is at least 16 for {self.method}, not {self.resolution}")

    def channels(self, size: int) -> int:
        """Width of the layers at that many pixels."""
        return max(1, min(self.channel_max, self.channel_base // size))

    @property
    def start_size(self) -> int:
        """Pixels at which SPADE and SEAN begin: five doublings below the picture, 4 to 8."""
        return min(8, max(4, self.resolution // 32))

    def sizes(self) -> tuple[int, ...]:
        """Every resolution of SPADE and SEAN, from the start up."""
        sizes = [self.start_size]
        while sizes[-1] < self.resolution:
            sizes.append(2 * sizes[-1])
        return tuple(sizes)
