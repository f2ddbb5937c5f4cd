"""Numbers and bytes of a glTF file: its buffers, the views of them, and the accessors that lie in these."""

import base64
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from sofgan.scans import meshopt
from sofgan.scans.materials import beside
from sofgan.scans.raw_parts import ScanError

TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression", "MESHOPT_compression")


class Buffers:
    """Buffers of a glTF file, read on demand; none is read twice.

    Args:
        binary: the file's own binary chunk, if it has one.
    """

    def __init__(self, path: Path, document: dict, binary: bytes | None):
        self.path, self.document, self.binary = path, document, binary
        self._buffers: dict[int, bytes] = {}
        self._views: dict[int, bytes] = {}

    def accessor(self, index: int) -> np.ndarray:
        """Numbers (N, components) of an accessor; normalized integers as fractions."""
        values = self.raw(index)
        return normalized(values) if self.document["accessors"][index].get("normalized") else values

    def raw(self, index: int) -> np.ndarray:
        """The same as they are stored."""
        accessor = self.document["accessors"][index]
        dtype, width = np.dtype(TYPES[accessor["componentType"]]), _COMPONENTS[accessor["type"]]
        count = accessor["count"]
        if "bufferView" in accessor:
            values = self._elements(
                accessor["bufferView"], accessor.get("byteOffset", 0), dtype, width, count
            )
        else:
            values = np.zeros((count, width), dtype)
        sparse = accessor.get("sparse")
        if sparse:
            values = values.copy()
            where, new = sparse["indices"], sparse["values"]
            places = self._elements(
                where["bufferView"],
                where.get("byteOffset", 0),
                np.dtype(TYPES[where["componentType"]]),
                1,
                sparse["count"],
            )
            values[places[:, 0]] = self._elements(
                new["bufferView"], new.get("byteOffset", 0), dtype, width, sparse["count"]
            )
        return values

    def _elements(self, view: int, offset: int, dtype: np.dtype, width: int, count: int) -> np.ndarray:
        data = self.view(view)
        size = dtype.itemsize * width
        stride = self.document["bufferViews"][view].get("byteStride") or size
        if count and offset + (count - 1) * stride + size > len(data):
            raise ScanError("can't be parsed: its buffers end before its meshes do: is the file cut off?")
        return np.ndarray((count, width), dtype, data, offset, (stride, dtype.itemsize))

    def view(self, index: int) -> bytes:
        """Bytes of a buffer view, decompressed."""
        if index not in self._views:
            view = self.document["bufferViews"][index]
            packed = next(
                (view["extensions"][name] for name in _MESHOPT if name in view.get("extensions", {})), None
            )
            if packed is None:
                self._views[index] = self._slice(view)
            else:
                try:
                    self._views[index] = meshopt.decode(
                        self._slice(packed),
                        packed["mode"],
                        packed["count"],
                        packed["byteStride"],
                        packed.get("filter", "NONE"),
                    )
                except meshopt.BadStream as error:
                    raise ScanError(f"can't be parsed: {error}") from error
        return self._views[index]

    def _slice(self, view: dict) -> bytes:
        start = view.get("byteOffset", 0)
        data = self._buffer(view["buffer"])[start : start + view["byteLength"]]
        if len(data) < view["byteLength"]:
            raise ScanError("can't be parsed: its buffers end before its meshes do: is the file cut off?")
        return data

    def _buffer(self, index: int) -> bytes:
        if index not in self._buffers:
            uri = self.document["buffers"][index].get("uri")
            if uri is not None:
                self._buffers[index] = self.file(uri)
            elif self.binary is not None:
                self._buffers[index] = self.binary
            else:
                raise ScanError("can't be parsed: its meshes' data is not in the file: is it cut off?")
        return self._buffers[index]

    def file(self, uri: str) -> bytes:
        """Content of a data URI, or of a file beside this one."""
        if uri.startswith("data:"):
            return base64.b64decode(uri.partition(",")[2])
        path = beside(self.path, uri)
        try:
            if path is not None:
                return path.read_bytes()
        except OSError as error:
            raise ScanError(f"can't be parsed: {path.name}, which it refers to, can't be read") from error
        raise ScanError(f"can't be parsed: {unquote(uri)}, which it refers to, is not there")


def normalized(values: np.ndarray) -> np.ndarray:
    """Integers as fractions of their largest value; signed ones not below -1."""
    if not np.issubdtype(values.dtype, np.integer):
        return values
    return np.maximum(values.astype(np.float64) / np.iinfo(values.dtype).max, -1.0)
