"""A file from an address, checked, and whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from unetkit.foundation.atomic import partial_file
from unetkit.foundation.console import console
from unetkit.foundation.errors import ModelError

SCHEMES = ("https",)
"""Ways to fetch a file. Without encryption anybody on the way could change it."""

TIMEOUT_S = 30.0
"""Seconds without an answer after which a server is given up."""

PIECE = 1 << 20
"""Bytes that are read at a time."""


class _SameSchemes(HTTPRedirectHandler):
    """Follows redirections, but only to addresses that could have been given."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Return the request that follows."""
        _check_scheme(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(address: str, place: Path, remedy: str, sha256: str = "") -> str:
    """Fetch a file to a place, in a folder that exists.

    torch.hub's download has no timeout, and takes a file whose end is missing for a whole one; hence this one.

    Args:
        address: Its address, https only.
        place: Where it is to lie.
        remedy: What to do if it cannot be had.
        sha256: What its hash has to be, in hexadecimal; "" where that is not known.

    Returns:
        Its SHA-256 in hexadecimal.

    Raises:
        ModelError: There is no network or no such file, or what came is not the file that was wanted.
        OutputError: It cannot be written.
    """
    _check_scheme(address)
    try:
        answer = build_opener(_SameSchemes).open(address, timeout=TIMEOUT_S)
    except (OSError, HTTPException) as error:
        raise _no_answer(address, error, remedy) from error
    stated = answer.headers.get("Content-Length") or ""
    size = int(stated) if stated.isdigit() else None
    hashed, received = hashlib.sha256(), 0
    with answer, partial_file(place) as partial:
        with partial.open("wb") as file, _progress(place.name, size) as advance:
            for piece in _pieces(answer, address, remedy):
                file.write(piece)
                hashed.update(piece)
                received += len(piece)
                advance(len(piece))
        if size is not None and received != size:
            raise ModelError(f"{address} was cut off after {received} of {size} bytes.", remedy)
        if sha256 and hashed.hexdigest() != sha256:
            raise ModelError(
                f"{address} is not the file that it should be: its SHA-256 is {hashed.hexdigest()}, not {sha256}.",
                remedy,
            )
    return hashed.hexdigest()


def _check_scheme(address: str) -> None:
    """Raise a ModelError for an address that is not encrypted."""
    if urlsplit(address).scheme not in SCHEMES:
        raise ModelError(f"{address} is not fetched, as its address is not https.", "Fetch the file by other means.")


def _pieces(answer: Any, address: str, remedy: str) -> Iterator[bytes]:
    """Yield what a server sends; an error of the network is one of the address, not of the file that is written."""
    while True:
        try:
            piece = answer.read(PIECE)
        except (OSError, HTTPException) as error:
            raise _no_answer(address, error, remedy) from error
        if not piece:
            return
        yield piece


def _no_answer(address: str, error: Exception, remedy: str) -> ModelError:
    """Return the error for an address that could not be fetched."""
    if isinstance(error, HTTPError):
        why = f"the server answers {error.code} {error.reason}"
    else:
        reason = error.reason if isinstance(error, URLError) else error
        why = f"there is no connection to {urlsplit(address).hostname} ({reason or type(error).__name__})"
    return ModelError(f"{address} could not be fetched: {why}.", remedy)


@contextmanager
def _progress(name: str, size: int | None) -> Iterator[Callable[[int], None]]:
    """Show how much has come, on a terminal or in a notebook; yield a function of the bytes that came last."""
    screen = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=screen, disable=not (screen.is_terminal or screen.is_jupyter)) as progress:
        task = progress.add_task(name, total=size)
        yield lambda count: progress.advance(task, count)
