"""The parser writes a label map of every FFHQ-like photo: a store with the same keys in the same order."""

from sofgan.files import sha256_file
from sofgan.fingerprint import kept_folder
from sofgan.parsing.parse_store import ParserFile, mean_class_areas, parse_store, picture_parsed
from sofgan.photos.store import PhotoStore
from sofgan.pieces import Pieces
from sofgan.runtime import use_cpu, use_gpu
from stages import paths
from stages.execution.dask_shards import over_devices, threads_each
from stages.execution.entry import enter
from stages.execution.sessions import fingerprint, forget
from stages.params import read_params, runtime
from stages.tracking.run import stage_run

PICTURED = 12


def main() -> None:
    params, how = read_params("parse_faces"), runtime()
    use_cpu(how.threads)
    use_gpu(how.device, exact=True)
    photos, parser = (
        PhotoStore(paths.PHOTOS["ffhq"]),
        ParserFile(paths.PHOTO_PARSER, sha256_file(paths.PHOTO_PARSER), how.device),
    )
    with stage_run("parse_faces", params) as run, over_devices("parse_faces", how.device) as mapper:
        made_by = fingerprint("parse_faces", params, photos=photos.fingerprint(), parser=parser.sha256)
        kept = kept_folder(paths.WORK / "parse_faces", "a parsing", made_by)
        threads = threads_each(mapper, how.workers)
        parse_store(photos, parser, paths.PARSED, params, Pieces(kept, mapper, run), threads)
        labels = PhotoStore(paths.PARSED)
        run.image("samples/parsed", picture_parsed(photos, labels, PICTURED))
        areas = {f"area_{name}": area for name, area in mean_class_areas(labels).items()}
        run.final({"photos": len(photos), **areas})
        forget("parse_faces")


if __name__ == "__main__":
    enter(main)
