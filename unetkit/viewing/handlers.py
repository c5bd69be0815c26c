"""Answers of the server: the files of neuroglancer's viewer, and the pixels of the layers."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event

from neuroglancer import static
from tornado.web import RequestHandler

from unetkit.viewing.chunks import ChunkedPicture
from unetkit.viewing.layers import Layer
from unetkit.viewing.levels import NotWantedError

POLICY = (
    "default-src 'none'; script-src 'self' blob: 'unsafe-eval'; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' blob: data:"
)
"""What the page may load: nothing but what this server has. The viewer makes functions of text for labels of stacks."""

MEASURE = """<!doctype html><title>unetkit</title>
<script>location.replace(`?width=${innerWidth}&height=${innerHeight}`)</script>
"""
"""First page: it asks for the viewer, and says how large the window is."""

MEASURE_POLICY = "default-src 'none'; script-src 'unsafe-inline'"

GZIP_LEVEL = 1


@dataclass(frozen=True)
class Shown:
    """A layer and the picture that it shows."""

    layer: Layer
    picture: ChunkedPicture


@dataclass(frozen=True)
class Service:
    """What all answers share.

    Attributes:
        token: What an address has to name.
        layers: The layers, by the names of their addresses.
        pool: Where chunks are made.
        compress: Whether chunks are compressed, as a slow connection needs it.
        fit: Called once with the size of the first window, in pixels of the screen.
        fitted: Set when that is done.
        ended: Set at the end: nothing more is read.
    """

    token: str
    layers: Mapping[str, Shown]
    pool: ThreadPoolExecutor
    compress: bool
    fit: Callable[[int, int], None]
    fitted: Event = field(default_factory=Event)
    ended: Event = field(default_factory=Event)


class PageHandler(RequestHandler):
    """The files of the viewer; the first of them learns how large the window is."""

    def initialize(self, service: Service) -> None:
        """Take what all requests share."""
        self._service = service

    def get(self, token: str, name: str) -> None:
        """Answer with a file."""
        if token != self._service.token:
            self.send_error(404)
            return
        self.set_header("Referrer-Policy", "no-referrer")
        if not name and not self._service.fitted.is_set() and not self._fit():
            self.set_header("Content-Type", "text/html")
            self.set_header("Content-Security-Policy", MEASURE_POLICY)
            self.finish(MEASURE)
            return
        try:
            content, kind = static.get_default_static_content_source().get(name, "")
        except ValueError:
            self.send_error(404)
            return
        self.set_header("Content-Type", kind)
        self.set_header("Content-Security-Policy", POLICY)
        if name:  # their names change with their content
            self.set_header("Cache-Control", "private, max-age=86400")
        self.finish(content)

    def _fit(self) -> bool:
        """Fit the picture to the window; return whether its size is known."""
        width, height = (self.get_query_argument(name, "") for name in ("width", "height"))
        if not (width.isdecimal() and height.isdecimal()):
            return False
        self._service.fitted.set()
        self._service.fit(int(width), int(height))
        return True


class PixelsHandler(RequestHandler):
    """What all requests for pixels have in common."""

    def initialize(self, service: Service) -> None:
        """Take what all requests share."""
        self.service = service
        self.gone = False

    def find(self, token: str, name: str) -> Shown | None:
        """Return a layer; None after an answer that there is none, or that the token is wrong."""
        shown = self.service.layers.get(name) if token == self.service.token else None
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
        if self.service.ended.is_set():
            self.send_error(503)
            return
        numbers = [int(part) for part in place.split("/")]
        loop = asyncio.get_running_loop()
        try:
            data = await loop.run_in_executor(self.service.pool, self._make, shown, int(level), numbers)
        except NotWantedError:
            return
        except IndexError:
            self.send_error(404)
            return
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Cache-Control", "no-store")
        if self.service.compress:
            self.set_header("Content-Encoding", "gzip")
        self.finish(data)

    def _make(self, shown: Shown, level: int, place: Sequence[int]) -> bytes:
        data = shown.picture.chunk(level, place, shown.layer.channels, self._is_wanted)
        return gzip.compress(data, GZIP_LEVEL) if self.service.compress else data

    def _is_wanted(self) -> bool:
        return not (self.gone or self.service.ended.is_set())
