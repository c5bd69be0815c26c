"""The server: neuroglancer's viewer and the pixels of all layers, on 127.0.0.1 alone, under a secret token."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

from neuroglancer import static
from neuroglancer.random_token import make_random_token
from neuroglancer.server import Server
from neuroglancer.viewer_base import ViewerBase
from tornado.web import RequestHandler

from unetkit.foundation.errors import ConfigError
from unetkit.viewing.browser import ADDRESS
from unetkit.viewing.chunks import ChunkedPicture
from unetkit.viewing.layers import Layer
from unetkit.viewing.levels import NotWantedError

POLICY = (
    "default-src 'none'; script-src 'self' blob: 'wasm-unsafe-eval'; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' blob: data:"
)
"""What the page may load: nothing but what this server has."""

MEASURE = """<!doctype html><title>unetkit</title>
<script>location.replace(`?width=${innerWidth}&height=${innerHeight}`)</script>
"""
"""First page: it asks for the viewer, and says how large the window is."""

THREADS = 8
"""Chunks that are made at a time: a browser asks for six."""

GZIP_LEVEL = 1


@dataclass(frozen=True)
class Shown:
    """A layer and the picture that it shows."""

    layer: Layer
    picture: ChunkedPicture


class ViewServer:
    """A server of its own thread.

    Args:
        layers: The layers, by the names of their addresses.
        port: The port; 0 for any that is free.
        fit: Called once with the size of the first window, in pixels of the screen.

    Attributes:
        viewer: The viewer, whose state can be set.
        port: The port.
        url: The address with the token.

    Raises:
        ConfigError: The port is in use, or may not be used.
    """

    def __init__(self, layers: Mapping[str, Shown], port: int, fit: Callable[[int, int], None]) -> None:
        self.token = make_random_token()
        try:
            self._server = Server(bind_address=ADDRESS, bind_port=port, token=make_random_token())
        except (OSError, OverflowError) as error:
            raise _port_error(port, error) from error
        self.port: int = self._server.port
        self.url = f"http://{ADDRESS}:{self.port}/v/{self.token}/"
        self.viewer = ViewerBase(token=self.token)
        self._server.viewers[self.token] = self.viewer
        self._pool = ThreadPoolExecutor(THREADS, "unetkit-view")
        compress = "SSH_CONNECTION" in os.environ
        pixels = {"token": self.token, "layers": layers, "pool": self._pool, "compress": compress}
        page = {"token": self.token, "fit": fit, "fitted": Event()}
        self._server.app.add_handlers(
            r".*",
            [
                (r"/pixels/([^/]+)/([^/]+)/\.zattrs", LayerHandler, pixels),
                (r"/pixels/([^/]+)/([^/]+)/([0-9]+)/\.(zarray|zattrs)", LevelHandler, pixels),
                (r"/pixels/([^/]+)/([^/]+)/([0-9]+)/([0-9/]+)", ChunkHandler, pixels),
                (r"/v/([^/]+)/([^/]*)", PageHandler, page),
            ],
        )

    def source(self, name: str) -> str:
        """Return the address of a layer, as the viewer understands it."""
        return f"zarr2://http://{ADDRESS}:{self.port}/pixels/{self.token}/{name}/"

    def close(self) -> None:
        """End the server; what is under way is dropped."""
        self._server.stop()
        self._pool.shutdown(cancel_futures=True)


class PageHandler(RequestHandler):
    """The files of the viewer; the first of them learns how large the window is."""

    def initialize(self, token: str, fit: Callable[[int, int], None], fitted: Event) -> None:
        """Take what all requests share."""
        self._token = token
        self._fit = fit
        self._fitted = fitted

    def get(self, token: str, name: str) -> None:
        """Answer with a file."""
        if token != self._token:
            self.send_error(404)
            return
        self.set_header("Referrer-Policy", "no-referrer")
        if not name and not self._fitted.is_set() and not self._read_size():
            self.set_header("Content-Type", "text/html")
            self.finish(MEASURE)
            return
        self.set_header("Content-Security-Policy", POLICY)
        try:
            content, kind = static.get_default_static_content_source().get(name, "")
        except ValueError:
            self.send_error(404)
            return
        self.set_header("Content-Type", kind)
        if name:  # their names change with their content
            self.set_header("Cache-Control", "private, max-age=86400")
        self.finish(content)

    def _read_size(self) -> bool:
        """Fit the picture to the window; return whether its size is known."""
        width, height = (self.get_query_argument(name, "") for name in ("width", "height"))
        if not (width.isdecimal() and height.isdecimal()):
            return False
        self._fitted.set()
        self._fit(int(width), int(height))
        return True


class PixelsHandler(RequestHandler):
    """What all requests for pixels have in common."""

    def initialize(self, token: str, layers: Mapping[str, Shown], pool: ThreadPoolExecutor, *, compress: bool) -> None:
        """Take what all requests share."""
        self._token = token
        self._layers = layers
        self.pool = pool
        self.compress = compress
        self.gone = False

    def find(self, token: str, name: str) -> Shown | None:
        """Return a layer; None after an answer that there is none, or that the token is wrong."""
        shown = self._layers.get(name) if token == self._token else None
        if shown is None:
            self.send_error(404)
        return shown

    def on_connection_close(self) -> None:
        """Note that nobody waits for the answer."""
        self.gone = True


class LayerHandler(PixelsHandler):
    """What describes a layer."""

    def get(self, token: str, name: str) -> None:
        """Answer with `.zattrs`."""
        shown = self.find(token, name)
        if shown is not None:
            self.finish(shown.picture.describe(shown.layer.channels))


class LevelHandler(PixelsHandler):
    """What describes a level of a layer."""

    def get(self, token: str, name: str, level: str, part: str) -> None:
        """Answer with `.zarray`, or with an empty `.zattrs`."""
        shown = self.find(token, name)
        if shown is None:
            return
        try:
            self.finish({} if part == "zattrs" else shown.picture.describe_level(int(level), shown.layer.channels))
        except IndexError:
            self.send_error(404)


class ChunkHandler(PixelsHandler):
    """A chunk of pixels."""

    async def get(self, token: str, name: str, level: str, place: str) -> None:
        """Answer with a chunk, unless nobody waits for it any more."""
        shown = self.find(token, name)
        if shown is None:
            return
        numbers = [int(part) for part in place.split("/") if part]
        try:
            data = await self._in_thread(shown, int(level), numbers)
        except NotWantedError:
            return
        except IndexError:
            self.send_error(404)
            return
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Cache-Control", "no-store")
        if self.compress:
            self.set_header("Content-Encoding", "gzip")
        self.finish(data)

    async def _in_thread(self, shown: Shown, level: int, place: Sequence[int]) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self.pool, self._make, shown, level, place)

    def _make(self, shown: Shown, level: int, place: Sequence[int]) -> bytes:
        data = shown.picture.chunk(level, place, shown.layer.channels, lambda: not self.gone)
        return gzip.compress(data, GZIP_LEVEL) if self.compress else data


def _port_error(port: int, error: OSError | OverflowError) -> ConfigError:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return ConfigError(f"The port {port} is in use.", "Give another with --port, or leave it out for a free one.")
    reason = getattr(error, "strerror", None) or error
    return ConfigError(
        f"The port {port} cannot be used: {reason}.", "Give one from 1024 to 65535 with --port, or leave it out."
    )
