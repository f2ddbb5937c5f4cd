"""The photo store: many photos and label maps in few files, with random access.

A folder of Arrow IPC files (uncompressed, so that a memory map reads a photo and nothing else), each with 512
records, and `store.json`, which lists them. A record is a key, the photo's original bytes or none, its
17-class label map as a palette PNG or none, and its split. A store appears whole or not at all.
"""

import bisect
import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from sofgan import labels as label_maps
from sofgan.errors import UserError
from sofgan.files import atomic_path, read_json, write_json
from sofgan.photos.decoding import decode, decode_labels, decode_square, encode_labels

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("photo", pa.binary()),
        pa.field("labels", pa.binary()),
        pa.field("split", pa.uint8(), nullable=False),
    ]
)
SHARD_PHOTOS = 512
_BATCH_BYTES = 64 << 20
_INDEX = "store.json"
# What is learned is learned from the first, chosen among by the third, and scored on the second alone.
TRAIN, HELD_OUT, VALIDATION = 0, 1, 2


class StoreError(UserError, ValueError):
    """A folder is no photo store, or a damaged one."""


@dataclasses.dataclass(frozen=True)
class Photo:
    """One record: `bytes` and `labels` (a PNG) are None where the store has none."""

    key: str
    bytes: bytes | None
    labels: bytes | None
    split: int


def held_out(key: str, share: float) -> int:
    """The split of a photo by the hash of its key: `HELD_OUT` for about `share` of all keys, ever the same."""
    draw = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    return HELD_OUT if draw < share else TRAIN


class PhotoStore:
    """Reads a store. May be sent to other processes; each opens its own memory maps.

    Raises:
        StoreError: there is no store, a shard is missing or truncated.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / _INDEX).is_file():
            raise StoreError(f"{self.path} is no photo store: it has no {_INDEX}")
        index = read_json(self.path / _INDEX)
        if index.get("format") != "sofgan-photos-1":
            raise StoreError(f"{self.path}: unknown format {index.get('format')!r}")
        self._shards = index["shards"]
        self._starts = [0]
        for shard in self._shards:
            file = self.path / shard["file"]
            if not file.is_file():
                raise StoreError(f"{file} is missing")
            if file.stat().st_size != shard["bytes"]:
                raise StoreError(f"{file} has {file.stat().st_size} bytes, not {shard['bytes']}: truncated?")
            self._starts.append(self._starts[-1] + shard["photos"])
        self._tables: dict[int, tuple[pa.RecordBatch, list[int]]] = {}

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> Photo:
        batch, row = self._locate(index)
        key, photo, labels, split = (column[row].as_py() for column in batch.columns)
        return Photo(key, photo, labels, split)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_tables": {}}

    def key(self, index: int) -> str:
        """The key of one record."""
        batch, row = self._locate(index)
        return batch.column(0)[row].as_py()

    def keys(self) -> list[str]:
        """All keys, in the store's order. Reads keys only."""
        return [key for batch in self._batches() for key in batch.column(0).to_pylist()]

    def splits(self) -> np.ndarray:
        """The split of every record, (N,) uint8: 0 train, 1 held out, 2 validation."""
        parts = [batch.column(3).to_numpy(zero_copy_only=False) for batch in self._batches()]
        return np.concatenate(parts) if parts else np.zeros(0, np.uint8)

    def image(self, index: int, size: int | None = None) -> np.ndarray:
        """A photo's RGB pixels, (H, W, 3) uint8; with `size` its centred square, resized with antialiasing.

        Raises:
            StoreError: the record has no photo.
        """
        content = self[index].bytes
        if content is None:
            raise StoreError(f"{self.path}: record {index} has no photo, only labels")
        return decode(content) if size is None else decode_square(content, size)

    def labels(self, index: int, size: int | None = None) -> np.ndarray:
        """A record's label map, (H, W) uint8; with `size` its centred square by nearest neighbour.

        Raises:
            StoreError: the record has no label map.
        """
        batch, row = self._locate(index)
        content = batch.column(2)[row].as_py()
        if content is None:
            raise StoreError(f"{self.path}: record {index} has no label map")
        labels = decode_labels(content)
        return labels if size is None else label_maps.resize(labels, size)

    def fingerprint(self) -> str:
        """A digest of all records: equal stores have equal ones."""
        return hashlib.sha256("".join(shard["records_sha256"] for shard in self._shards).encode()).hexdigest()

    def has_labels(self) -> bool:
        """Whether every record has a label map."""
        return all(batch.column(2).null_count == 0 for batch in self._batches())

    def _locate(self, index: int) -> tuple[pa.RecordBatch, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        index = int(index) % len(self)
        shard = bisect.bisect_right(self._starts, index) - 1
        batches, starts = self._shard(shard)
        row = index - self._starts[shard]
        batch = bisect.bisect_right(starts, row) - 1
        return batches[batch], row - starts[batch]

    def _shard(self, shard: int):
        if shard not in self._tables:
            file = self.path / self._shards[shard]["file"]
            try:
                reader = pa.ipc.open_file(pa.memory_map(str(file)))
                batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
            except (pa.ArrowInvalid, OSError) as error:
                raise StoreError(f"{file} is damaged: {error}") from error
            starts = np.cumsum([0] + [len(batch) for batch in batches]).tolist()
            if not reader.schema.equals(SCHEMA) or starts[-1] != self._shards[shard]["photos"]:
                raise StoreError(f"{file} is damaged: not the records that {_INDEX} tells of")
            self._tables[shard] = batches, starts[:-1]
        return self._tables[shard]

    def _batches(self):
        for shard in range(len(self._shards)):
            yield from self._shard(shard)[0]


class PhotoStoreWriter:
    """Writes a store, as a context manager: the folder appears when the block ends well.

    Args:
        path: the store's folder; an older one there is replaced.
        shard_photos: records a shard.
    """

    def __init__(self, path: str | Path, shard_photos: int = SHARD_PHOTOS) -> None:
        self.shard_photos = shard_photos
        self._atomic = atomic_path(path)
        self._shards: list[dict] = []
        self._writer: pa.RecordBatchFileWriter | None = None
        self._rows: list[tuple] = []
        self._row_bytes = self._in_shard = 0
        self._digest = hashlib.sha256()
        self._keys: set[str] = set()

    def __enter__(self) -> "PhotoStoreWriter":
        self.folder = self._atomic.__enter__()  # Other files may be added to it.
        self.folder.mkdir()
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            if kind is None:
                self._end_shard()
                write_json(self.folder / _INDEX, {"format": "sofgan-photos-1", "shards": self._shards})
            elif self._writer is not None:
                self._writer.close()
        except BaseException as failure:
            self._atomic.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._atomic.__exit__(kind, error, trace)

    def __len__(self) -> int:
        return len(self._keys)

    def add(
        self,
        key: str,
        photo: bytes | None = None,
        labels: np.ndarray | bytes | None = None,
        split: int = TRAIN,
    ) -> None:
        """Append a record.

        Args:
            key: unique in the store.
            photo: the file's original bytes.
            labels: a 17-class map (H, W) uint8, or one encoded by `encode_labels`.
            split: `TRAIN`, `HELD_OUT` or `VALIDATION`.

        Raises:
            StoreError: the key is taken.
        """
        if key in self._keys:
            raise StoreError(f"two records with the key {key!r}")
        self._keys.add(key)
        if isinstance(labels, np.ndarray):
            labels = encode_labels(labels)
        self._rows.append((key, photo, labels, split))
        for part in (key.encode(), photo, labels, bytes([split])):
            self._digest.update((-1 if part is None else len(part)).to_bytes(8, "big", signed=True))
            self._digest.update(part or b"")
        self._row_bytes += len(photo or b"") + len(labels or b"")
        self._in_shard += 1
        if self._in_shard == self.shard_photos:
            self._end_shard()
        elif self._row_bytes >= _BATCH_BYTES:
            self._end_batch()

    def _end_batch(self) -> None:
        if not self._rows:
            return
        if self._writer is None:
            name = f"photos-{len(self._shards):05d}.arrow"
            self._shards.append({"file": name})
            self._writer = pa.ipc.new_file(str(self.folder / name), SCHEMA)
        columns = [pa.array(column, field.type) for column, field in zip(zip(*self._rows), SCHEMA)]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
        self._rows, self._row_bytes = [], 0

    def _end_shard(self) -> None:
        self._end_batch()
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        file = self.folder / self._shards[-1]["file"]
        self._shards[-1] |= {
            "photos": self._in_shard,
            "bytes": file.stat().st_size,
            "records_sha256": self._digest.hexdigest(),
        }
        self._in_shard, self._digest = 0, hashlib.sha256()
