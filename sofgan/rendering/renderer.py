"""Renderer of the triangle that each pixel sees: the exact basis of label maps, depth maps and shaded portraits.

Stock pyrender draws colours into a multisampled buffer and resolves it by a linear blit, which on some
drivers blends neighbouring ids (mmatl/pyrender#269). Here a subclass of its renderer draws, in one call for
the whole scan, the number of the nearest triangle into a single-sample integer buffer: nothing exists that
could blend. Labels, depths and whatever else a triangle carries are then looked up by that number.
"""

import os
from pathlib import Path

import numpy as np

from sofgan import cameras, labels
from sofgan.cameras import Camera
from sofgan.rendering import gl_platform

gl_platform.choose_platform()  # Before OpenGL is imported.
try:
    from OpenGL import GL
    from OpenGL.error import Error as OpenGLError
    from pyrender.offscreen import OffscreenRenderer
    from pyrender.primitive import Primitive
    from pyrender.renderer import Renderer
    from pyrender.shader_program import ShaderProgramCache

    CANT_LOAD = None
except Exception as error:  # Libraries that are missing raise anything: told to who makes a renderer.
    CANT_LOAD, Renderer, OpenGLError = error, object, RuntimeError

NEAR, FAR = 0.1, 50.0  # of the depth buffer, whose step is then below 0.0001 where heads are
_SHADERS = Path(__file__).parent / "shaders"


class FaceRenderer(Renderer):
    """pyrender's renderer with an integer framebuffer and one draw call; needs a current GL context."""

    def __init__(self, size: int):
        super().__init__(size, size)
        self._program_cache = ShaderProgramCache(str(_SHADERS))
        self._primitive = None

    def upload(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        """Put a mesh on the device in place of the last one."""
        self.forget()
        # Each triangle gets corners of its own, so that a corner's number tells the triangle: on software
        # renderers a quarter faster than asking for gl_PrimitiveID.
        self._primitive = Primitive(positions=np.asarray(vertices, np.float32)[faces].reshape(-1, 3))
        self._primitive._add_to_context()

    def forget(self) -> None:
        """Free the mesh that `upload` put there."""
        if self._primitive is not None:
            self._primitive.delete()
            self._primitive = None

    def draw(self, view: np.ndarray, projection: np.ndarray) -> None:
        """Draw the mesh; matrices are OpenGL's, (4, 4)."""
        self._configure_main_framebuffer()
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self._main_fb)
        GL.glViewport(0, 0, self.viewport_width, self.viewport_height)
        for switch in (GL.GL_BLEND, GL.GL_CULL_FACE, GL.GL_MULTISAMPLE, GL.GL_DITHER):
            GL.glDisable(switch)  # No culling: cloth, hair and cut necks are seen from both sides.
        GL.glEnable(GL.GL_DEPTH_TEST)
        GL.glDepthMask(GL.GL_TRUE)
        GL.glDepthFunc(GL.GL_LESS)
        GL.glClearBufferuiv(GL.GL_COLOR, 0, np.zeros(4, np.uint32))
        GL.glClearBufferfv(GL.GL_DEPTH, 0, np.ones(1, np.float32))
        program = self._program_cache.get_program("faces.vert", "faces.frag")
        if not program._in_context():
            program._add_to_context()
        program._bind()
        program.set_uniform("V", view)
        program.set_uniform("P", projection)
        self._primitive._bind()
        GL.glDrawArrays(GL.GL_TRIANGLES, 0, len(self._primitive.positions))
        self._primitive._unbind()
        program._unbind()

    def read_faces(self) -> np.ndarray:
        """(H, W) int32 numbers of the triangles drawn last, -1 where there is none."""
        numbers = np.empty((self.viewport_height, self.viewport_width), np.uint32)
        GL.glPixelStorei(GL.GL_PACK_ALIGNMENT, 4)
        GL.glReadPixels(
            0, 0, self.viewport_width, self.viewport_height, GL.GL_RED_INTEGER, GL.GL_UNSIGNED_INT, numbers
        )
        return numbers[::-1].astype(np.int32) - 1  # OpenGL's first row is the lowest.

    def read_depth(self) -> np.ndarray:
        """(H, W) float32 depth buffer of the last draw, 0 at the near plane, 1 at the far one."""
        depth = np.empty((self.viewport_height, self.viewport_width), np.float32)
        GL.glReadPixels(
            0, 0, self.viewport_width, self.viewport_height, GL.GL_DEPTH_COMPONENT, GL.GL_FLOAT, depth
        )
        return depth[::-1]

    def _configure_main_framebuffer(self) -> None:
        size = (self.viewport_width, self.viewport_height)
        if self._main_fb is not None and self._main_fb_dims == size:
            return
        self._delete_main_framebuffer()
        self._main_cb, self._main_db = GL.glGenRenderbuffers(2)
        self._main_fb = GL.glGenFramebuffers(1)
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self._main_fb)
        for buffer, kind, attachment in (
            (self._main_cb, GL.GL_R32UI, GL.GL_COLOR_ATTACHMENT0),
            (self._main_db, GL.GL_DEPTH_COMPONENT24, GL.GL_DEPTH_ATTACHMENT),
        ):
            GL.glBindRenderbuffer(GL.GL_RENDERBUFFER, buffer)
            GL.glRenderbufferStorage(GL.GL_RENDERBUFFER, kind, *size)
            GL.glFramebufferRenderbuffer(GL.GL_FRAMEBUFFER, attachment, GL.GL_RENDERBUFFER, buffer)
        if GL.glCheckFramebufferStatus(GL.GL_FRAMEBUFFER) != GL.GL_FRAMEBUFFER_COMPLETE:
            raise RuntimeError("the driver draws into no picture of 32-bit integers")
        self._main_fb_dims = size

    def _delete_main_framebuffer(self) -> None:
        if self._main_fb is not None:
            GL.glDeleteFramebuffers(1, [self._main_fb])
            GL.glDeleteRenderbuffers(2, [self._main_cb, self._main_db])
        self._main_fb = self._main_cb = self._main_db = None
        self._main_fb_dims = (None, None)

    def delete(self) -> None:
        """Free all device memory."""
        self.forget()
        super().delete()


class MeshRenderer:
    """Renders meshes without a window.

    There should be one a process (`process_renderer`): making one costs more than a scan's views, and when
    pyrender lets go of one, it ends the EGL display for all.

    Args:
        size: pixels of the square images; `render` may ask for another.

    Raises:
        GLFailure: OpenGL can't be loaded or started, or is too old; what is drawn later may raise it too.
    """

    def __init__(self, size: int = 128):
        if CANT_LOAD is not None:
            raise gl_platform.failure(CANT_LOAD)
        with gl_platform.explained(Exception):
            if os.environ[gl_platform.PLATFORM] == "egl":
                gl_platform.check_device()
            # pyrender's own offscreen renderer finds the platform and makes the context.
            self._offscreen = OffscreenRenderer(size, size)
            self._renderer = FaceRenderer(size)
        self.vertices = self.faces = None

    def load(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        """Choose the mesh: (V, 3) positions and (F, 3) indices."""
        if len(faces) == 0:
            raise ValueError("a mesh without faces can't be rendered")
        self.vertices, self.faces = np.asarray(vertices, np.float32), np.asarray(faces)
        with _explained():
            self._offscreen._platform.make_current()
            self._renderer.upload(self.vertices, self.faces)

    def render(self, camera: Camera) -> np.ndarray:
        """Triangles that one perspective camera sees: (size, size) int32 indices into `faces`, -1 where there is none.

        A triangle is seen where it covers a pixel's centre.
        """
        self._draw(camera.cam2world, perspective(camera.intrinsics), camera.size)
        with _explained():
            return self._renderer.read_faces()

    def last_depth(self) -> np.ndarray:
        """Camera z of what `render` drew last: (size, size) float32, 0 where nothing is hit."""
        with _explained():
            depth = self._renderer.read_depth()
        distance = NEAR * FAR / (FAR - depth * (FAR - NEAR))
        return np.where(depth < 1, distance, 0).astype(np.float32)

    def _draw(self, cam2world, projection, size: int) -> None:
        view = np.linalg.inv(cameras.to_opengl(np.asarray(cam2world, np.float64)))
        with _explained():
            self._offscreen._platform.make_current()
            self._renderer.viewport_width = self._renderer.viewport_height = size
            self._renderer.draw(view, projection)

    def distance_map(self, cam2world: np.ndarray, half_width: float, size: int) -> np.ndarray:
        """Distances of the surface as a distant light sees it, by parallel rays.

        Args:
            cam2world: (4, 4), OpenCV axes; the light looks along its z.
            half_width: of the square that it sees.
            size: pixels of the square map.

        Returns:
            (size, size) float32 camera z, `FAR` where there is nothing.
        """
        projection = np.diag([1 / half_width, 1 / half_width, -2 / (FAR - NEAR), 1.0])
        projection[2, 3] = -(FAR + NEAR) / (FAR - NEAR)
        self._draw(cam2world, projection, size)
        with _explained():
            return NEAR + (FAR - NEAR) * self._renderer.read_depth()


def _explained():
    """Errors of drawing: PyOpenGL's errors, shaders that don't compile, a context that can't be made current."""
    return gl_platform.explained(OpenGLError, RuntimeError, AssertionError)


def perspective(intrinsics: np.ndarray) -> np.ndarray:
    """OpenGL's projection (4, 4) of normalised intrinsics (3, 3) for a square image."""
    matrix = np.zeros((4, 4))
    matrix[0, 0], matrix[1, 1] = 2 * intrinsics[0, 0], 2 * intrinsics[1, 1]
    matrix[0, 2], matrix[1, 2] = 1 - 2 * intrinsics[0, 2], 2 * intrinsics[1, 2] - 1
    matrix[2, 2], matrix[2, 3] = -(FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)
    matrix[3, 2] = -1
    return matrix


def barycentric(
    visible: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    camera: Camera,
) -> tuple[np.ndarray, np.ndarray]:
    """Barycentric coordinates and depth of each seen pixel in its triangle.

    The ray through the pixel's centre is met with the plane of the triangle.

    Args:
        visible: (H, W) int32 triangle numbers, -1 for none.
        vertices, faces: the mesh, (V, 3) and (F, 3).
        camera: the one that `visible` was rendered with; `visible` says how large the picture is.

    Returns:
        weights (N, 3) of the corners and camera depths (N,) of the N seen pixels in row-major order, float64.
        A triangle seen edge-on has its weights clipped to it.
    """
    rows, columns = np.nonzero(visible >= 0)
    size = visible.shape[1]
    centres = np.stack([(columns + 0.5) / size, (rows + 0.5) / size], -1)
    cam2world = np.asarray(camera.cam2world, np.float64)
    rotation, position = cam2world[:3, :3], cam2world[:3, 3]
    in_camera = (vertices - position) @ rotation
    corners = in_camera[faces[visible[rows, columns]]]
    return _meet_planes(corners, cameras.unproject(centres, np.asarray(camera.intrinsics, np.float64)))


def _meet_planes(corners: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    # The ray pierces the triangle with these (unnormalised) corner weights: signed volumes of the
    # tetrahedra that the ray's direction spans with two corners each.
    weights = np.stack([_volume(directions, b, c), _volume(directions, c, a), _volume(directions, a, b)], -1)
    total = weights.sum(-1, keepdims=True)
    weights = np.divide(weights, total, out=np.full_like(weights, 1 / 3), where=np.abs(total) > 1e-18)
    weights = np.clip(weights, 0, 1)
    weights /= weights.sum(-1, keepdims=True)
    return weights, (weights * corners[..., 2]).sum(-1)


def _volume(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    return (
        a[:, 0] * (b[:, 1] * c[:, 2] - b[:, 2] * c[:, 1])
        + a[:, 1] * (b[:, 2] * c[:, 0] - b[:, 0] * c[:, 2])
        + a[:, 2] * (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0])
    )


def label_map(visible: np.ndarray, face_labels: np.ndarray) -> np.ndarray:
    """Class ids (H, W) uint8, or void, of the triangles that the pixels see; background where they see none."""
    ids = np.append(face_labels, labels.BACKGROUND)[visible]
    return labels.check_ids(ids, "face labels", void=True).astype(np.uint8)
