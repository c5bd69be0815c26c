"""The server: neuroglancer's viewer and the pixels of all layers, on 127.0.0.1 alone, under a secret token."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from neuroglancer.random_token import make_random_token
from neuroglancer.server import Server
from neuroglancer.viewer_base import ViewerBase

from unetkit.foundation.errors import ConfigError
from unetkit.viewing.browser import ADDRESS
from unetkit.viewing.handlers import ChunkHandler, LayerHandler, LevelHandler, PageHandler, Service, Shown

PORTS = 65_536

THREADS = 8
"""Chunks that are made at a time: a browser asks for six."""


class ViewServer:
    """A server in a thread of its own.

    neuroglancer's server keeps the state of the viewer. Its pages and its pixels come from here.

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
        token = make_random_token()
        if not 0 <= port < PORTS:
            raise ConfigError(f"There is no port {port}.", "Give one from 1024 to 65535 with --port, or leave it out.")
        try:
            self._server = Server(bind_address=ADDRESS, bind_port=port, token=make_random_token())
        except OSError as error:
            raise _port_error(port, error) from error
        self.port: int = self._server.port
        self.url = f"http://{ADDRESS}:{self.port}/v/{token}/"
        self.viewer = ViewerBase(token=token)
        self._server.viewers[token] = self.viewer
        pool = ThreadPoolExecutor(THREADS, "unetkit-view")
        self._service = Service(token, layers, pool, "SSH_CONNECTION" in os.environ, fit)
        shared = {"service": self._service}
        self._server.app.add_handlers(
            r".*",
            [
                (r"/v/([^/]+)/([^/]*)", PageHandler, shared),
                (r"/pixels/([^/]+)/([^/]+)/\.zattrs", LayerHandler, shared),
                (r"/pixels/([^/]+)/([^/]+)/([0-9]+)/\.(zarray|zattrs)", LevelHandler, shared),
                (r"/pixels/([^/]+)/([^/]+)/([0-9]+)/([0-9]+(?:/[0-9]+)+)", ChunkHandler, shared),
            ],
        )

    def source(self, name: str) -> str:
        """Return the address of a layer, as the viewer understands it."""
        return f"zarr2://http://{ADDRESS}:{self.port}/pixels/{self._service.token}/{name}/"

    def close(self) -> None:
        """End the server; what is under way is dropped."""
        self._service.ended.set()
        self._service.pool.shutdown(cancel_futures=True)
        self._server.stop()


def _port_error(port: int, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(f"The port {port} is in use.", "Give another with --port, or leave it out for a free one.")
    return ConfigError(
        f"The port {port} cannot be used: {error.strerror or error}.",
        "Give one from 1024 to 65535 with --port, or leave it out.",
    )
