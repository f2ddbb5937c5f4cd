"""The parser writes a label map of every FFHQ-like photo: a store with the same keys in the same order."""

from pathlib import Path

from sofgan.cpu import use_cpu
from sofgan.faces.parsing import ParserFile, mean_class_areas, parse_store, picture_parsed
from sofgan.faces.store import PhotoStore
from sofgan.files import sha256_file
from stages.cluster import over_devices, threads_each
from stages.code import code_digests
from stages.entry import enter
from stages.params import read_params, runtime
from stages.tracking import stage_run

PARSER = Path("models/parsers/photos.pt")
PICTURED = 12


def main() -> None:
    params, how = read_params("parse_faces"), runtime()
    use_cpu(how.threads)
    photos, parser = PhotoStore("data/photos/ffhq"), ParserFile(PARSER, sha256_file(PARSER), how.device)
    with stage_run("parse_faces", params) as run, over_devices("parse_faces", how.device) as mapper:
        parse_store(
            photos,
            parser,
            "data/labels/ffhq",
            params,
            parser_sha256=parser.sha256,
            work=".work/parse_faces",
            code=code_digests("parse_faces"),
            workers=threads_each(mapper, how.workers),
            status=run.status,
            mapper=mapper,
        )
        labels = PhotoStore("data/labels/ffhq")
        run.image("samples/parsed", picture_parsed(photos, labels, PICTURED))
        areas = {f"area_{name}": area for name, area in mean_class_areas(labels).items()}
        run.final({"photos": len(photos), **areas})


if __name__ == "__main__":
    enter(main)
