"""All that came out, on one page that needs nothing beside it."""

from pathlib import Path

from sofgan.files import atomic_path
from stages.execution.entry import enter
from stages.params import batches, read_params
from stages.reporting.page import build
from stages.tracking.run import stage_run


def main() -> None:
    params = read_params("report")
    with stage_run("report", params) as run:
        text = build(Path.cwd(), params.title, params.max_image_width_px, batches())
        with atomic_path("report") as folder:
            folder.mkdir()
            (folder / "index.html").write_text(text, encoding="utf-8")
        run.artifact("report/index.html")


if __name__ == "__main__":
    enter(main)
