"""Photos that visitors give to the page."""

import tempfile
from pathlib import Path

from sofgan.apps.engine import Engine
from sofgan.apps.photo import AlignedPhoto, photo_parser, read_photo
from sofgan.errors import InputError

MOST_PHOTO_BYTES = 30_000_000


def uploaded_photo(content: bytes, engine: Engine) -> AlignedPhoto:
    """The photo of a file's content, in any format that `sofgan photo` reads.

    Raises:
        InputError: it is too large, or no photo of a face.
        MissingInput: there is no parser of photos beside the models.
    """
    if len(content) > MOST_PHOTO_BYTES:
        limit = MOST_PHOTO_BYTES // 1_000_000
        raise InputError(f"a photo has {limit} MB at most, this file has {len(content):,} bytes")
    parser = photo_parser(engine)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "photo")
        path.write_bytes(content)
        try:
            return read_photo(path, parser)
        except InputError as error:
            raise InputError(str(error).replace(str(path), "the photo")) from error
