"""The one renderer of a process. OpenGL is loaded when it is first asked for."""

from sofgan.rendering.gl_platform import choose_platform

choose_platform()  # In the process that starts others too, which then have it from there.
_RENDERER = None


def process_renderer():
    """The one `MeshRenderer` of this process, made at the first call."""
    global _RENDERER
    if _RENDERER is None:
        from sofgan.rendering.renderer import MeshRenderer

        _RENDERER = MeshRenderer()
    return _RENDERER
