"""The parser writes a label map of every FFHQ-like photo: a store with the same keys in the same order."""

from sofgan.files import sha256_file
from sofgan.parsing.parse_store import ParserFile, mean_class_areas, parse_store, picture_parsed
from sofgan.photos.store import PhotoStore
from sofgan.runtime import use_cpu, use_gpu
from stages import paths
from stages.code import code_digests
from stages.execution.dask_shards import over_devices, threads_each
from stages.execution.entry import enter
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
        parse_store(
            photos,
            parser,
            paths.PARSED,
            params,
            parser_sha256=parser.sha256,
            work=paths.WORK / "parse_faces",
            code=code_digests("parse_faces"),
            workers=threads_each(mapper, how.workers),
            progress=run,
            mapper=mapper,
        )
        labels = PhotoStore(paths.PARSED)
        run.image("samples/parsed", picture_parsed(photos, labels, PICTURED))
        areas = {f"area_{name}": area for name, area in mean_class_areas(labels).items()}
        run.final({"photos": len(photos), **areas})


if __name__ == "__main__":
    enter(main)
