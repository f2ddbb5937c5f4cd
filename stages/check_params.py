"""All of params.yaml is valid, or the stage stops and names the key: it comes before every other one.

DVC removes what a stage made before it runs the stage, so a mistake that is found in there has cost the last result.
What this one leaves for all is always the same, so that no stage runs for it. What a stage has to know of another's
block stands in a file of its own, so that it runs for that alone.
"""

from pathlib import Path

from sofgan.files import write_json
from stages import checks, recovery
from stages.entry import enter
from stages.params import read_params

CHECKED, WANTED = Path(recovery.CHECKED), Path(recovery.WANTED)


def main() -> None:
    """params.yaml in; a file that says that it is valid, and one of what is wanted, out. MLflow is told of mistakes
    only."""
    checks.check_all(Path.cwd())
    write_json(CHECKED, {"params.yaml": "valid"})
    # Of sample_conditions: whether maps are to be made to train on. How large their share is changes none of them.
    write_json(WANTED, {"sof_maps": read_params("train_siw").uses("sof")})


if __name__ == "__main__":
    enter(main)
