"""What a picture's file says of itself without being decoded: size, format, and how strongly it was compressed."""

import io
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sofgan.photos.decoding import FORMATS, PhotoError

# JPEG's example table of luminance (ITU-T T.81, table K.1), row by row; libjpeg's quality scales it.
LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
).ravel()


@dataclass(frozen=True)
class Compression:
    """Width and height in pixels; format, such as `PNG` or `WebP lossy`; JPEG quality, 1 to 100, else None."""

    width: int
    height: int
    format: str
    quality: int | None


def quality_tables() -> np.ndarray:
    """Tables of luminance by quality, (100, 64), as libjpeg scales them: of quality 1 first."""
    quality = np.arange(1, 101)[:, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.clip((LUMINANCE * scale + 50) // 100, 1, 255)


_TABLES = quality_tables()


def jpeg_quality(table: Sequence[int]) -> int:
    """Quality whose table of luminance is nearest to this one, of 64 values in any order: exact for libjpeg's own."""
    return int(np.abs(np.sort(_TABLES, 1) - np.sort(np.asarray(table))).sum(1).argmin()) + 1


def compression(content: bytes) -> Compression:
    """What the head of a picture's file says.

    Raises:
        PhotoError: it is no picture that can be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of EXIF data that is damaged but not needed.
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                tables = getattr(image, "quantization", None)
                name = "JPEG" if tables else image.format
                if name == "WEBP":
                    name = "WebP lossy" if _has_lossy_part(content) else "WebP lossless"
                return Compression(*image.size, name, jpeg_quality(tables[0]) if tables else None)
    except Exception as error:  # PIL's readers raise anything at damaged input.
        raise PhotoError("not an image that can be read") from error


def _has_lossy_part(content: bytes) -> bool:
    """Whether a chunk of RIFF holds a lossy frame of WebP."""
    place = 12
    while place + 8 <= len(content):
        name = content[place : place + 4]
        if name in (b"VP8 ", b"VP8L"):
            return name == b"VP8 "
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        # Frames of an animation lie in chunks of their own: behind 16 bytes, chunks begin again.
        place += 24 if name == b"ANMF" else 8 + size + size % 2
    return False


@dataclass(frozen=True)
class Summary:
    """What many files have in common.

    Attributes:
        sizes: in words.
        formats: share of each format, the most frequent first.
        qualities: least, median and greatest JPEG quality; None without a JPEG.
    """

    sizes: str
    formats: dict[str, float]
    qualities: tuple[int, int, int] | None

    @classmethod
    def of(cls, files: Sequence[Compression]) -> "Summary":
        """Summary of at least one file."""
        sizes = sorted(
            {(file.width, file.height) for file in files}, key=lambda size: (size[0] * size[1], size)
        )
        ends = " to ".join(f"{width}x{height}" for width, height in dict.fromkeys((sizes[0], sizes[-1])))
        counts = Counter(file.format for file in files)
        formats = {
            name: count / len(files)
            for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        }
        known = sorted(file.quality for file in files if file.quality is not None)
        qualities = (known[0], known[len(known) // 2], known[-1]) if known else None
        return cls(ends, formats, qualities)

    @property
    def words(self) -> str:
        """Formats with their shares, and JPEG quality: "JPEG of quality 71 to 96, median 90"."""
        parts = []
        for name, share in self.formats.items():
            part = name if len(self.formats) == 1 else f"{share:.1%} {name}"
            if name == "JPEG":
                least, median, most = self.qualities
                part += f" of quality {least}"
                part += f" to {most}, median {median}" if most > least else ""
            parts.append(part)
        return ", ".join(parts)


QUALITY_APART = 3  # of median JPEG qualities, from which scores are warned of
FORMATS_APART = 0.05  # of shares of a format
PAINTED = "painted pixels"  # the format of what never was a file
# Formats that keep pixels as they are. TIFF may hold JPEG's data, and then says so by its tables.
LOSSLESS = ("PNG", "BMP", "DIB", "TIFF", "WebP lossless", PAINTED)


def _losses(summary: Summary) -> Counter:
    """Shares of the formats that change pixels, each by its name, and of those that don't, as one."""
    shares = Counter()
    for name, share in summary.formats.items():
        shares["lossless" if name in LOSSLESS else name] += share
    return shares


def differences(one: Summary, other: Summary) -> list[str]:
    """What of format, quality and size differs between two sides, which moves scores by itself, in words."""
    found = []
    shares = [_losses(side) for side in (one, other)]
    if any(abs(shares[0][name] - shares[1][name]) > FORMATS_APART for name in shares[0] | shares[1]):
        found.append("format")
    both = one.qualities and other.qualities
    if both and abs(one.qualities[1] - other.qualities[1]) >= QUALITY_APART:
        found.append("JPEG quality")
    if one.sizes != other.sizes:
        found.append("size")
    return found
