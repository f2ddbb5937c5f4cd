"""The server of the viewer: a page for each visitor, on this machine alone unless it is told otherwise.

Browsers let any site open a websocket to any address, and so may other users of the machine. So the address has a
token, as Jupyter's has: who lacks it gets no page. viser has no hook for that; but its client connects to the websocket
that the address of the page names, whose path the server sees.
"""

import hmac
import secrets
import socket
import threading
from contextlib import redirect_stdout
from errno import EADDRNOTAVAIL
from io import StringIO

import viser

from sofgan import runtime
from sofgan.apps.engine import Engine
from sofgan.errors import InputError
from sofgan.viewer.page import Page
from sofgan.viewer.scene import Scene

LOOPBACK, PORT = "127.0.0.1", 8080
HIGHEST_PORT = 65535
TOKEN_BYTES = 16
UNINVITED = "This page needs the whole address that `sofgan view` has printed, with the token in it."
MOST_VISITORS = 8  # at a time; each has a thread, and grids of a head


class _Server(viser.ViserServer):
    """viser's server, without the tunnel by which anyone on a page could open it to the internet."""

    def request_share_url(self, verbose: bool = True) -> None:  # noqa: ARG002
        """Nothing: it listens where it was told, and nowhere else."""


class Viewer:
    """A running server; `stop` ends it.

    Args:
        engine: serves all visitors.
        host, port: where it listens.

    Attributes:
        token: what a visitor has to know.

    Raises:
        InputError: the port is taken, or the host is no address of this machine.
    """

    def __init__(self, engine: Engine, host: str = LOOPBACK, port: int = PORT):
        check_free(host, port)
        self.engine, self.pages, self.token = engine, {}, secrets.token_urlsafe(TOKEN_BYTES)
        threads = max(1, runtime.threads())
        self._lock, self._places = threading.Lock(), threading.Semaphore(threads)
        self._fits = threading.Semaphore(
            max(1, threads - 1)
        )  # Of a minute each: others must go on being shown.
        with redirect_stdout(StringIO()):  # viser tells an address without the token, which shows nothing.
            self.server = _Server(host, port, label="SofGAN", verbose=False)
        self._prepare()
        self.server.on_client_connect(self._came)
        self.server.on_client_disconnect(self._leaves)
        self.server.on_client_disconnect(self._left)
        # The first quick view compiles its walk: while the first visitor looks at a coarse one.
        scene = Scene()
        view = (scene.code_of(engine), scene.camera_of(engine, 16))
        self._warm_up = threading.Thread(target=engine.quick_view, args=view, name="warm up", daemon=True)
        self._warm_up.start()

    @property
    def url(self) -> str:
        """Address of the page, with the token."""
        host = self.server.get_host()
        place = f"{f'[{host}]' if ':' in host else host}:{self.server.get_port()}"
        return f"http://{place}/?websocket=ws://{place}/{self.token}"

    def stop(self, wait: bool = True) -> None:
        """End all sessions and the server.

        Args:
            wait: for what is being computed, amid which an interpreter can't shut down.
        """
        with self._lock:
            pages, self.pages = list(self.pages.values()), {}
        if wait:
            for page in pages:
                page.close()
        self.server.stop()
        if wait:
            self._warm_up.join()

    def _prepare(self) -> None:
        framing, server = self.engine.framing, self.server
        server.gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False)
        server.gui.main_panel.dock_right()
        server.scene.set_up_direction("+y")
        camera = server.initial_camera
        camera.up = (0.0, 1.0, 0.0)
        camera.look_at = (0.0, framing.target_y, 0.0)
        camera.position = (0.0, framing.target_y, framing.distance)

    def _is_invited(self, client: viser.ClientHandle) -> bool:
        # viser shows its connections to nobody; where a version has them elsewhere, nobody is let in.
        connection = self.server._websock_server._live_connections.get(client.client_id)
        path = connection.request.path if connection else ""
        return hmac.compare_digest(path.encode(), f"/{self.token}".encode())

    def _came(self, client: viser.ClientHandle) -> None:
        if not self._is_invited(client):
            client.gui.add_markdown(UNINVITED)
            return
        with self._lock:
            if len(self.pages) < MOST_VISITORS:
                page = Page(client, self.engine, self._places, self._fits)
                # Threads of viser call this and `_left`, in any order.
                if client.client_id in self.server.get_clients():
                    self.pages[client.client_id] = page
                else:
                    page.close()
                return
        client.gui.add_markdown(
            f"{MOST_VISITORS} pages are open, as many as there may be: close one, then reload."
        )

    async def _leaves(self, client: viser.ClientHandle) -> None:
        """Have a page told nothing more, at once: viser closes a connection first, and warns of what is told then."""
        if page := self.pages.get(client.client_id):
            page.leave()

    def _left(self, client: viser.ClientHandle) -> None:
        with self._lock:
            page = self.pages.pop(client.client_id, None)
        if page:
            page.close()


def check_free(host: str, port: int) -> None:
    """See that a port can be listened on: viser itself would silently take another one.

    Raises:
        InputError: it can't.
    """
    if port > HIGHEST_PORT:
        raise InputError(f"a port is a number up to {HIGHEST_PORT}, not {port}")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (TypeError, UnicodeError) as error:  # of a name that can't be sent to a server of names
            raise InputError(f"{host!r} is no host's name") from error
        except OSError as error:
            name = "host" if isinstance(error, socket.gaierror) or error.errno == EADDRNOTAVAIL else "port"
            raise InputError(
                f"can't listen on {host}:{port} ({error.strerror}): name another --{name}"
            ) from error
