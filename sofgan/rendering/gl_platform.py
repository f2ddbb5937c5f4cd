"""Platform by which OpenGL draws without a window, and what is wrong where it can't. Loads no OpenGL itself."""

import ctypes
import ctypes.util
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sofgan.errors import UserError, debugging

PLATFORM, DEVICE = "PYOPENGL_PLATFORM", "EGL_DEVICE_ID"
PACKAGES = "libegl1 libgl1 libgl1-mesa-dri"
# What else, set by a user, decides which OpenGL there is: Mesa's, GLVND's and NVIDIA's variables begin with these.
PREFIXES = ("MESA_", "LIBGL_", "GALLIUM_", "EGL_", "__EGL_", "__GLX_", "__GL_", "PYOPENGL_")
BAD_MATCH = 0x3009  # EGL's: this driver has no context of the version that is asked for
NEEDED = "OpenGL 4.1"
ERRORS = {
    0x500: "invalid enumerant",
    0x501: "invalid value",
    0x502: "invalid operation",
    0x505: "out of memory",
    0x506: "invalid framebuffer operation",
}


class GLFailure(UserError, RuntimeError):
    """Nothing can be drawn on this machine as it is set up.

    Attributes:
        what: is wrong, with what is set.
        fix: what to type.
    """

    @classmethod
    def of(cls, what: str, fix: str) -> "GLFailure":
        """The failure as one sentence, which `make doctor` goes on from."""
        failure = cls(f"{what}: {fix} (`make doctor` shows more)")
        failure.what, failure.fix = what, fix
        return failure


def choose_platform() -> None:
    """Set PYOPENGL_PLATFORM, which OpenGL reads when it is first imported: `egl`, unless the user's choice works too.

    A choice that can't draw without a window, or whose library is missing, is replaced, which is said on stderr. So a
    setting for another program doesn't stop this one.
    """
    chosen = os.environ.get(PLATFORM, "")
    lacks = None
    if chosen.lower() == "osmesa":
        lacks = _osmesa_lacks()
        if lacks is None:
            os.environ[PLATFORM] = "osmesa"
            return
    elif chosen.lower() not in ("", "egl"):
        lacks = "that draws in windows, or is not known"
    os.environ[PLATFORM] = "egl"
    if lacks:
        print(f"{PLATFORM} is {chosen!r}, but {lacks}: OpenGL draws by egl here", file=sys.stderr, flush=True)


def _osmesa_lacks() -> str | None:
    """Sentence on what OSMesa lacks to draw here; None where it lacks nothing."""
    name = ctypes.util.find_library("OSMesa")
    try:
        ctypes.CDLL(name or "OSMesa")
    except OSError:
        return "the library OSMesa is not there"
    spec = importlib.util.find_spec("OpenGL")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    # Older ones, as pyrender asks for, can't make a context of a version that has integer pictures.
    if not any("OSMesaCreateContextAttribs" in file.read_text() for file in folder.glob("raw/osmesa/*.py")):
        return "PyOpenGL is too old for its contexts"
    return None


def check_device() -> None:
    """See that EGL_DEVICE_ID is one of EGL's devices.

    Raises:
        GLFailure: it is no number, or there are fewer devices, or none.
    """
    text = os.environ.get(DEVICE, "0")
    try:
        number = int(text)
    except ValueError as error:
        raise GLFailure.of(f"{DEVICE} is {text!r}, which is no number", f"unset {DEVICE}") from error
    from pyrender.platforms import egl

    if egl._eglQueryDevicesEXT is None:  # This EGL knows no devices: the first one is what there is.
        count = 1
    else:
        count = len(egl.query_devices())
    if count == 0:
        raise GLFailure.of(f"EGL finds no device to draw with{_settings()}", _fix())
    if not -count <= number < count:
        there = "one device, number 0" if count == 1 else f"{count} devices, 0 to {count - 1}"
        raise GLFailure.of(f"{DEVICE} is {number}, but EGL has {there}", f"unset {DEVICE}, or choose one")


@contextmanager
def explained(*errors: type[Exception]) -> Iterator[None]:
    """Failures of OpenGL within the block, of any of these types, become a `GLFailure`."""
    try:
        yield
    except UserError:
        raise
    except errors as error:
        raise failure(error) from error


def failure(error: Exception) -> GLFailure:
    """Error with a sentence for the user, from one of OpenGL or of its loading."""
    if debugging():
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    what = _what(error)
    return GLFailure.of(f"{what}{_settings()}", _fix())


def _what(error: Exception) -> str:
    operation = getattr(error, "baseOperation", None)
    if operation is not None:  # PyOpenGL's: its own text goes over many lines, with addresses of pointers.
        name = getattr(operation, "__name__", str(operation))
        if name == "eglCreateContext" and error.err == BAD_MATCH:
            return f"OpenGL here is older than {NEEDED}, which drawing needs"
        description = getattr(error, "description", None) or ERRORS.get(error.err, f"error {error.err}")
        if isinstance(description, bytes):
            description = description.decode(errors="replace")
        return f"OpenGL refuses what drawing needs ({name}: {description})"
    if isinstance(error, ImportError | AttributeError | OSError):
        return f"OpenGL can't be loaded ({_short(error)})"
    return f"OpenGL doesn't work here ({_short(error)})"


def _short(error: Exception) -> str:
    """The first thing that an error says: shader compilers say pages, in tuples of bytes."""
    said = next((part for part in error.args if isinstance(part, str | bytes) and part), type(error).__name__)
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return " ".join(text.split())[:200]


def settings() -> dict[str, str]:
    """The user's variables that decide which OpenGL there is."""
    found = {name: value for name, value in sorted(os.environ.items()) if name.startswith(PREFIXES)}
    if found.get(PLATFORM) == "egl":  # As this project sets it itself.
        del found[PLATFORM]
    return found


def _settings() -> str:
    found = " ".join(f"{name}={value}" for name, value in settings().items())
    return f", with {found} set" if found else ""


def _fix() -> str:
    install = f"apt-get install {PACKAGES}, or mend the GPU's driver"
    found = " ".join(settings())
    return f"unset {found}; if that is not it, {install}" if found else install
