"""What verbs share, without models: devices, and a report's parts."""

import argparse

import pytest

from sofgan.commands import common, photo
from sofgan.errors import InputError


@pytest.mark.parametrize("name", ["mps", "xpu", "cpu:3", "mps:0", "gpu"])
def test_devices_that_nothing_here_was_run_on_are_refused(name):
    with pytest.raises(InputError, match=f"--device is auto, cpu, cuda or cuda:N, not '{name}'"):
        common.device_of(argparse.Namespace(device=name))
    assert common.device_of(argparse.Namespace(device="cpu")) == "cpu"


def test_a_report_has_both_cameras():
    record, fit = {"camera": {"fov_degrees": 29.0}}, {"camera": {"yaw_degrees": 3.0}, "map_miou": 0.9}
    found = photo.report_of(record, fit)
    assert found == {**record, "photo_camera": {"yaw_degrees": 3.0}, "map_miou": 0.9}
