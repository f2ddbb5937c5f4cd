"""What verbs share, without models: devices."""

import argparse

import pytest

from sofgan.commands import common
from sofgan.errors import InputError


@pytest.mark.parametrize("name", ["mps", "xpu", "cpu:3", "mps:0", "gpu"])
def test_devices_that_nothing_here_was_run_on_are_refused(name):
    with pytest.raises(InputError, match=f"--device is auto, cpu, cuda or cuda:N, not '{name}'"):
        common.device_of(argparse.Namespace(device=name))
    assert common.device_of(argparse.Namespace(device="cpu")) == "cpu"
