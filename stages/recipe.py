"""What a stage of the batches does, in one small file: `python -m stages.recipe STAGE` (ingest_scans, render_views).

Digests of what is the same for all batches, code and models, and the stage's parameters, as dvc.yaml lists them at this
one's stage. A digest of all that is a parameter of those of the batches, in place of what it stands for: DVC writes
what a stage depends on into dvc.lock once for each batch, and reads and writes the whole file whenever a stage ends, so
that with 50 batches each took seconds longer.
"""

import argparse
import hashlib
import json
from pathlib import Path

import yaml

from sofgan.files import sha256_file, write_json
from stages.entry import enter
from stages.params import params_file
from stages.tracking import stage_run

RECIPES = Path("data/recipes")
# How a recipe is written is not in it, nor that params.yaml was checked.
LEFT_OUT = (Path("stages/recipe.py"), Path("data/checks/params.json"))


def main() -> None:
    """Files and parameters in; data/recipes/STAGE.json out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", help="of the batches, in dvc.yaml")
    stage = parser.parse_args().stage
    name = f"{stage}_recipe"
    listed = yaml.safe_load(Path("dvc.yaml").read_text())["stages"][name]
    with stage_run(name, {"stage": stage}):
        content = recipe(listed["deps"], listed["params"])
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        write_json(RECIPES / f"{stage}.json", content | {"digest": digest})


def recipe(paths: list[str], blocks: list[str]) -> dict:
    """Digests of files and of all files in folders, and blocks of params.yaml."""
    document = yaml.safe_load(params_file().read_text())
    return {
        "params": {block: document[block] for block in blocks},
        "files": {
            file.as_posix(): sha256_file(file)
            for path in map(Path, paths)
            if path not in LEFT_OUT
            for file in (sorted(path.rglob("*")) if path.is_dir() else [path])
            if file.is_file() and "__pycache__" not in file.parts
        },
    }


if __name__ == "__main__":
    enter(main)
