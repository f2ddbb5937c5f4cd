"""params.yaml of a test's working directory."""

from pathlib import Path

import yaml

from stages import params


def write_params(content: dict | str) -> None:
    """Write it, from a mapping or as text.

    A process reads it once, as what is edited while a stage runs is meant for the next one. A test is many such runs.
    """
    Path("params.yaml").write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    params._document.cache_clear()
