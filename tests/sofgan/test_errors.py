"""Errors that travel between processes, and in which words."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from sofgan import errors
from sofgan.config import ConfigError, read_yaml
from sofgan.runtime import resolve_device

# Its own file: processes of a pool import what they run.
FAILING = """
import os
from sofgan.parallel import map_in_processes
from sofgan.scans.reading import ScanError

class Pointing(Exception):  # as PyOpenGL's errors are
    def __reduce__(self):
        raise ValueError("ctypes objects containing pointers cannot be pickled")

class Wanting(Exception):
    def __init__(self, message, more):
        super().__init__(message)

def fail(kind):
    if kind == "gone":
        os._exit(9)
    raise {"scan": ScanError("no face"), "pointing": Pointing("old"), "wanting": Wanting("odd", 1)}[kind]

if __name__ == "__main__":
    for kind in ("scan", "pointing", "wanting", "gone"):
        try:
            list(map_in_processes(fail, [kind, kind], 2))
        except Exception as error:
            print(type(error).__name__, error)
"""


def test_what_fails_in_a_process_is_what_is_told(tmp_path):
    (tmp_path / "failing.py").write_text(FAILING)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "failing.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    told = done.stdout.splitlines()
    assert told[:3] == ["ScanError no face", "RuntimeError Pointing: old", "RuntimeError Wanting: odd"], done
    assert told[3].startswith("WorkerDied one of 2 processes was killed") and len(told) == 4


def test_user_errors_are_what_they_were_before_too_and_one_sentence():
    error = pickle.loads(pickle.dumps(errors.MissingInput("no scans")))
    assert isinstance(error, errors.UserError) and isinstance(error, FileNotFoundError)
    assert isinstance(ConfigError("x"), ValueError) and issubclass(ConfigError, errors.UserError)
    assert errors.sentence(error) == "no scans" and errors.sentence(ValueError("a\n  b")) == "a b"
    assert errors.sentence(KeyError()) == "KeyError"


def test_a_script_ends_with_its_sentence_and_status(monkeypatch, capsys):
    def broken():
        raise errors.InputError("no\n  scans")

    monkeypatch.delenv("SOFGAN_DEBUG", raising=False)
    assert (errors.in_a_sentence(broken), capsys.readouterr().err) == (1, "no scans\n")
    assert (errors.in_a_sentence(lambda: None), errors.in_a_sentence(lambda: 3)) == (0, 3)
    monkeypatch.setenv("SOFGAN_DEBUG", "1")
    with pytest.raises(errors.InputError):
        errors.in_a_sentence(broken)


def test_yaml_that_is_none_is_told_by_line(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("a: 1\nb: [1, 2\nc: 3\n")
    with pytest.raises(ConfigError, match="params.yaml is no YAML in line 3, column 2"):
        read_yaml(path)
    with pytest.raises(ConfigError, match="can't be read: No such file"):
        read_yaml(tmp_path / "gone.yaml")


def test_a_device_that_is_none_or_not_here(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [resolve_device(name) for name in ("auto", "cuda", "cuda:1", "cpu")] == [
        "cuda",
        "cuda",
        "cuda:1",
        "cpu",
    ]
    with pytest.raises(errors.InputError, match="the device is cuda:2, but torch sees 2 GPUs here"):
        resolve_device("cuda:2")
    with pytest.raises(errors.InputError, match="not 'gpu'"):
        resolve_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(errors.InputError, match="sees no GPU here: set runtime.device"):
        resolve_device("cuda")


@pytest.mark.parametrize("lines", [1, 100_000])  # kept until the end, or written meanwhile
def test_a_reader_that_has_gone_ends_a_script_without_a_traceback(lines):
    script = f"import sys; from sofgan.errors import in_a_sentence as it; sys.exit(it(lambda: print('x\\n' * {lines})))"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.wait(60) == 141 and process.stderr.read() == b""
