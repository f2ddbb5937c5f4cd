"""What tests of the viewer share."""

import pytest

from sofgan.apps.engine import Engine


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The starter's."""
    return Engine.starter()
