"""Decompression of glTF buffer views: `EXT_meshopt_compression` and `KHR_meshopt_compression`.

Written from the bit stream that the two extensions' specifications (Khronos Group) describe in their appendices.
"""

from collections import deque

import numpy as np


class BadStream(ValueError):
    """Compressed bytes are not what their specification says, or end early."""


def decode(data: bytes, mode: str, count: int, stride: int, filter: str = "NONE") -> bytes:
    """The `count` elements of `stride` bytes that a compressed buffer view holds.

    Args:
        data: compressed bytes.
        mode: ATTRIBUTES, TRIANGLES or INDICES.
        count, stride: of the decompressed elements.
        filter: NONE, OCTAHEDRAL, QUATERNION, EXPONENTIAL or COLOR.

    Raises:
        BadStream: the bytes end early, or their kind is not known.
    """
    try:
        if mode == "ATTRIBUTES":
            return _unfilter(_attributes(data, count, stride), filter).tobytes()
        if mode in ("TRIANGLES", "INDICES"):
            indices = _triangles(data, count) if mode == "TRIANGLES" else _indices(data, count)
            return np.array(indices, np.uint32).astype({2: "<u2", 4: "<u4"}[stride]).tobytes()
    except (IndexError, KeyError, ValueError, OverflowError) as error:
        raise BadStream(f"its meshopt data is broken: {error}") from error
    raise BadStream(f"its meshopt data is of an unknown mode, {mode}")


# Bits a delta in each of the four modes of a group, by version 0 and by version 1's control 0 and 1.
_BITS_V0, _BITS_V1 = (0, 2, 4, 8), ((0, 1, 2, 4), (1, 2, 4, 8))


def _attributes(data: bytes, count: int, stride: int) -> np.ndarray:
    """(count, stride) uint8."""
    if not data or data[0] not in (0xA0, 0xA1) or stride % 4 or not 4 <= stride <= 256:
        raise ValueError("no header of attributes")
    version = data[0] & 1
    stream = np.frombuffer(data, np.uint8)
    tail = stride + (stride // 4 if version else 0)
    if len(stream) < 1 + max(tail, 24 if version else 32):
        raise ValueError("no tail")
    last = stream[len(stream) - tail :][:stride].copy()
    channels = stream[len(stream) - stride // 4 :] if version else np.zeros(stride // 4, np.uint8)
    at = 1
    block = min((8192 // stride) & ~15, 256)
    out = np.empty((count, stride), np.uint8)
    for first in range(0, count, block):
        size = min(block, count - first)
        groups = -(-size // 16)
        controls = [-1] * stride
        if version:
            packed = stream[at : at + stride // 4]
            controls = [int(packed[k // 4]) >> (k % 4 * 2) & 3 for k in range(stride)]
            at += stride // 4
        deltas = np.zeros((stride, groups * 16), np.uint8)
        for k, control in enumerate(controls):
            if control == 2:
                continue
            if control == 3:
                deltas[k, :size] = stream[at : at + size]
                at += size
            else:
                at = _groups(stream, at, deltas[k], _BITS_V0 if control < 0 else _BITS_V1[control])
        rows = np.ascontiguousarray(deltas[:, :size].T)
        for channel, kind in enumerate(channels):
            own = slice(4 * channel, 4 * channel + 4)
            out[first : first + size, own] = _undelta(rows[:, own], last[own], int(kind))
        last = out[first + size - 1]
    if at > len(stream) - tail:
        raise ValueError("it ends early")
    return out


def _groups(stream: np.ndarray, at: int, out: np.ndarray, bits: tuple[int, ...]) -> int:
    """Fill `out` (16 G,) with deltas of G groups; where the stream goes on."""
    groups = len(out) // 16
    header = stream[at : at + -(-groups // 4)]
    at += len(header)
    for group in range(groups):
        width = bits[int(header[group // 4]) >> (group % 4 * 2) & 3]
        own = out[16 * group : 16 * group + 16]
        if width == 8:
            own[:] = stream[at : at + 16]
            at += 16
        elif width:
            packed = stream[at : at + 2 * width]
            at += 2 * width
            # One bit each is packed from the lowest bit, two and four from the highest.
            shifts = np.arange(0, 8, width) if width == 1 else np.arange(8 - width, -1, -width)
            values = (packed[:, None] >> shifts.astype(np.uint8)) & ((1 << width) - 1)
            own[:] = values.reshape(-1)
            escaped = own == (1 << width) - 1
            more = int(escaped.sum())
            own[escaped] = stream[at : at + more]
            at += more
    return at


def _undelta(rows: np.ndarray, last: np.ndarray, kind: int) -> np.ndarray:
    """Values (N, 4) uint8 of one channel from its deltas (N, 4) and the element before (4,)."""
    rows = np.ascontiguousarray(rows)
    if kind & 15 == 2:  # 32-bit words, combined by exclusive or and turned to the left.
        turn = kind >> 4
        words = rows.view("<u4")[:, 0]
        if turn:
            words = (words >> np.uint32(turn)) | (words << np.uint32(32 - turn))
        words[0] ^= last.copy().view("<u4")[0]
        return np.bitwise_xor.accumulate(words).astype("<u4")[:, None].view(np.uint8)
    if kind not in (0, 1):
        raise ValueError(f"unknown channel {kind}")
    dtype = np.dtype(("u1", "<u2")[kind])
    codes = rows.view(dtype)
    one = dtype.type(1)
    signed = (codes >> one) ^ (dtype.type(0) - (codes & one))
    signed[0] += last.copy().view(dtype)
    return np.cumsum(signed, axis=0, dtype=dtype).view(np.uint8)


class _Varints:
    """Numbers of seven bits a byte, lowest first."""

    def __init__(self, data: bytes, at: int):
        self.data, self.at = data, at

    def byte(self) -> int:
        value = self.data[self.at]
        self.at += 1
        return value

    def number(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value & 0xFFFFFFFF


def _zigzag(value: int) -> int:
    return -(value >> 1) - 1 if value & 1 else value >> 1


def _triangles(data: bytes, count: int) -> list[int]:
    if not data or data[0] != 0xE1 or count % 3 or len(data) < 1 + count // 3 + 16:
        raise ValueError("no header of triangles, or they end early")
    codes, table = data[1 : 1 + count // 3], data[-16:]
    more = _Varints(data[:-16], 1 + count // 3)
    edges: deque = deque([(0, 0)] * 16, 16)
    recent: deque = deque([0] * 16, 16)
    following, last = 0, 0
    out: list[int] = []

    def explicit() -> int:
        nonlocal last
        last = (last + _zigzag(more.number())) & 0xFFFFFFFF
        return last

    for code in codes:
        high, low = code >> 4, code & 15
        if high < 15:
            a, b = edges[high]
            if low == 0:
                c = following
                following += 1
            elif low < 13:
                c = recent[low]
            elif low < 15:
                c = last = last + (-1 if low == 13 else 1)
            else:
                c = explicit()
            if low == 0 or low >= 13:
                recent.appendleft(c)
        else:
            pair = table[low] if low < 14 else more.byte()
            if low >= 14 and pair == 0:
                following = 0
            if low == 15:
                a = explicit()
            else:
                a = following
                following += 1
            corners = []
            # Both look at the vertices as they were before this triangle.
            for nibble in (pair >> 4, pair & 15):
                if nibble == 0:
                    corners.append(following)
                    following += 1
                elif nibble < 15 or low < 14:
                    corners.append(recent[nibble - 1])
                else:
                    corners.append(explicit())
            b, c = corners
            edges.appendleft((b, a))
            recent.appendleft(a)
            for corner, nibble in zip(corners, (pair >> 4, pair & 15)):
                if nibble in (0, 15):
                    recent.appendleft(corner)
        edges.appendleft((c, b))
        edges.appendleft((a, c))
        out += (a, b, c)
    return out


def _indices(data: bytes, count: int) -> list[int]:
    if not data or data[0] != 0xD1:
        raise ValueError("no header of indices")
    numbers, last, out = _Varints(data[:-4], 1), [0, 0], []
    for _ in range(count):
        value = numbers.number()
        base = value & 1
        last[base] = (last[base] + _zigzag(value >> 1)) & 0xFFFFFFFF
        out.append(last[base])
    return out


def _unfilter(rows: np.ndarray, filter: str) -> np.ndarray:
    if filter == "EXPONENTIAL":
        words = rows.reshape(-1).view("<i4")
        mantissa, exponent = (words << 8) >> 8, words >> 24
        return np.ldexp(mantissa.astype(np.float32), exponent).astype("<f4")
    if filter in ("NONE", "OCTAHEDRAL", "QUATERNION"):
        return rows  # The other two are of normals and of movements, which nothing here reads.
    if filter == "COLOR":
        return _unfilter_color(rows)
    raise ValueError(f"unknown filter {filter}")


def _unfilter_color(rows: np.ndarray) -> np.ndarray:
    """Red, green, blue and alpha from luma, two chromas, and alpha with a bit above it that tells the range."""
    unsigned, signed = {4: ("u1", "i1"), 8: ("<u2", "<i2")}[rows.shape[1]]
    values = rows.view(unsigned).astype(np.int64)
    orange, green = rows.view(signed).astype(np.int64)[:, 1:3].T
    luma, alpha = values[:, 0], values[:, 3]
    top = np.floor(np.log2(np.maximum(alpha, 1))).astype(np.int64)
    full = (1 << (top + 1)) - 1
    alpha = alpha & (full >> 1)
    alpha = alpha << 1 | alpha & 1
    channels = np.stack([luma + orange - green, luma + green, luma - orange - green, alpha], -1)
    scale = np.iinfo(unsigned).max / full[:, None]
    return np.clip(np.round(channels * scale), 0, np.iinfo(unsigned).max).astype(unsigned)
