import importlib.util
import sys
from pathlib import Path

import pytest

from sofgan.config import from_mapping
from sofgan.scans.config import IngestScans

_ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def toyhead():
    """The module `toyhead.py` beside this file (tests are no package, so it can't be imported by name)."""
    spec = importlib.util.spec_from_file_location("toyhead", Path(__file__).with_name("toyhead.py"))
    module = sys.modules["toyhead"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def ingest_config():
    """The project's own rules."""
    import yaml

    block = yaml.safe_load((_ROOT / "params.yaml").read_text())["ingest_scans"]
    return from_mapping(IngestScans, block, "params.yaml: ingest_scans")
