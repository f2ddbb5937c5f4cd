from pathlib import Path

import pytest

from sofgan.config import from_mapping
from sofgan.scans.config import IngestScans

_ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def ingest_config():
    """The project's own rules."""
    import yaml

    block = yaml.safe_load((_ROOT / "params.yaml").read_text())["ingest_scans"]
    return from_mapping(IngestScans, block, "params.yaml: ingest_scans")
