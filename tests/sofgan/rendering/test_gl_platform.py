"""What is said where OpenGL can't draw: by this machine's own driver, spoilt in several ways."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from sofgan.rendering import gl_platform
from sofgan.rendering.gl_platform import GLFailure

CODE = Path(__file__).parents[3]
DRAW = """
import numpy as np
from sofgan import cameras
from sofgan.errors import UserError
from sofgan.parallel import map_in_processes
from sofgan.rendering.process_renderer import process_renderer

def draw(number):
    renderer = process_renderer()
    renderer.load(np.eye(3), np.array([[0, 1, 2]]))
    camera = cameras.Camera(cameras.orbit(0.0, 0.0, 4.0), cameras.intrinsics_from_fov(28.0), 16)
    return int((renderer.render(camera) >= 0).sum())

if __name__ == "__main__":
    try:
        print(list(map_in_processes(draw, [0] * WORKERS, WORKERS)))
    except UserError as error:
        print(type(error).__name__, error)
"""


def draw(folder: Path, workers: int = 1, code: str = DRAW, **environment: str) -> tuple[str, str]:
    """The last line of stdout, and stderr, of processes that draw a triangle."""
    (folder / "drawing.py").write_text(code.replace("WORKERS", str(workers)))
    own = {name: value for name, value in os.environ.items() if not name.startswith(gl_platform.PREFIXES)}
    done = subprocess.run(
        [sys.executable, "drawing.py"],
        cwd=folder,
        env=own | {"PYTHONPATH": str(CODE)} | environment,
        capture_output=True,
        text=True,
    )
    return (done.stdout.strip().splitlines() or [done.stderr])[-1], done.stderr


def test_an_old_opengl_is_told_of_from_a_process_of_a_pool(tmp_path):
    said, stderr = draw(tmp_path, 2, MESA_GL_VERSION_OVERRIDE="2.1")
    assert said.startswith(
        "GLFailure OpenGL here is older than OpenGL 4.1, which drawing needs, with MESA_GL_VERSION"
    )
    assert "MESA_GL_VERSION_OVERRIDE=2.1 set: unset MESA_GL_VERSION_OVERRIDE; if" in said
    assert "make doctor" in said and not stderr


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("EGL_DEVICE_ID", "99", "EGL_DEVICE_ID is 99, but EGL has "),
        ("EGL_DEVICE_ID", "one", "EGL_DEVICE_ID is 'one', which is no number: unset EGL_DEVICE_ID"),
        ("MESA_EXTENSION_OVERRIDE", "-GL_EXT_texture_integer", "OpenGL refuses what drawing needs (gl"),
        ("__EGL_VENDOR_LIBRARY_FILENAMES", "/nothing", "EGL finds no device to draw with"),
    ],
)
def test_what_is_set_wrong_is_named(tmp_path, name, value, words):
    said, _ = draw(tmp_path, **{name: value})
    assert said.startswith(f"GLFailure {words}") and f"unset {name}" in said


def test_a_platform_that_cannot_draw_here_is_replaced_once_for_all_processes(tmp_path):
    said, stderr = draw(tmp_path, 2, PYOPENGL_PLATFORM="glx")
    assert said.startswith("[") and int(said[1:].split(",")[0]) > 0
    assert (
        stderr
        == "PYOPENGL_PLATFORM is 'glx', but that draws in windows, or is not known: OpenGL draws by egl here\n"
    )


def test_libraries_that_are_missing_are_told_of_when_something_is_drawn(tmp_path):
    broken = "import ctypes.util, ctypes\nctypes.util.find_library = lambda name: f'lib{name}-gone.so'\n"
    said, _ = draw(tmp_path, code=broken + DRAW)
    assert said.startswith("GLFailure OpenGL can't be loaded (") and "apt-get install libegl1" in said


@pytest.mark.parametrize(
    "chosen, platform, said",
    [
        ("", "egl", ""),
        ("EGL", "egl", ""),
        ("osmesa", "egl", "OSMesa is not there"),
        ("pyglet", "egl", "in windows"),
    ],
)
def test_which_platform_is_taken(monkeypatch, capsys, chosen, platform, said):
    def absent(name):
        raise OSError(name)

    monkeypatch.setattr(gl_platform.ctypes, "CDLL", absent)
    monkeypatch.setenv("PYOPENGL_PLATFORM", chosen)
    gl_platform.choose_platform()
    assert os.environ["PYOPENGL_PLATFORM"] == platform
    error = capsys.readouterr().err
    assert said in error and bool(said) == bool(error)


def test_osmesa_stays_where_it_works(monkeypatch, capsys):
    monkeypatch.setattr(gl_platform, "_osmesa_lacks", lambda: None)
    monkeypatch.setenv("PYOPENGL_PLATFORM", "osmesa")
    gl_platform.choose_platform()
    assert os.environ["PYOPENGL_PLATFORM"] == "osmesa" and capsys.readouterr().err == ""


def test_a_failure_travels_and_shader_compilers_are_cut_short(monkeypatch):
    for name in gl_platform.settings():
        monkeypatch.delenv(name)
    log = "Shader compile failure (0): b'0:1(10): error: GLSL 4.10 is not supported'"
    failure = gl_platform.failure(RuntimeError(log, ["#version 410\n" * 100], "GL_VERTEX_SHADER"))
    again = pickle.loads(pickle.dumps(failure))
    assert isinstance(again, GLFailure) and str(again) == str(failure) and again.fix == failure.fix
    assert "error: GLSL 4.10 is not supported" in again.what and "#version" not in str(again)
    assert again.fix.startswith("apt-get install libegl1 libgl1")
    with (
        pytest.raises(GLFailure, match=r"glReadPixels: invalid enumerant"),
        gl_platform.explained(LookupError),
    ):
        error = LookupError()
        error.baseOperation, error.err, error.description = "glReadPixels", 0x500, None
        raise error
