"""All of params.yaml checked, and the code that each stage runs listed (`stages.code_lists`).

DVC removes what a stage made before it runs the stage, so a mistake in params.yaml that is found in there has cost the
last result. This stage comes before all others and stops at any mistake.
"""

from pathlib import Path

from stages import code_lists, params_checks
from stages.execution.entry import enter


def main() -> None:
    """params.yaml and the code in; a file a stage of dvc.yaml out. MLflow is told of mistakes only."""
    params_checks.check_all(Path.cwd())
    code_lists.write_lists(code_lists.ROOT, Path.cwd())


if __name__ == "__main__":
    enter(main)
