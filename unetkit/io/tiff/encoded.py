"""The tiles and strips of a TIFF file as they are stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import RLock
from typing import Any, NamedTuple, cast

from tifffile import TiffFrame, TiffPage

from unetkit.foundation.errors import ImageError

READ_BYTES = 32 * 2**20
"""How many encoded bytes are read from the file at a time."""


def damaged(name: str, what: object) -> ImageError:
    """Return the error for a file whose pixels cannot be read."""
    return ImageError(
        f"{name} cannot be decoded, it is truncated, damaged or of an unknown kind ({what}).",
        "Copy or export it again, as a TIFF that is uncompressed or compressed with deflate, LZW, JPEG or zstd.",
    )


class Encoded(NamedTuple):
    """A tile or strip as it is stored.

    Attributes:
        segment: Its number in the page.
        data: Its bytes; None if the file leaves it out.
        fault: What is wrong with the bytes; "" if nothing is.
        jpegtables: What all JPEG tiles or strips of the page share.
    """

    segment: int
    data: bytes | None
    fault: str
    jpegtables: bytes | None = None


def read_encoded(
    page: TiffPage | TiffFrame, segments: Mapping[int, int], lock: RLock, name: str
) -> Iterator[list[tuple[int, Encoded]]]:
    """Yield tiles or strips of a page, several at a time.

    Args:
        page: The page.
        segments: Their numbers in the page, and what to call each.
        lock: Held while the file is read; reentrant.
        name: Path of the file, for messages.

    Raises:
        ImageError: The file cannot be read.
    """
    there = [segment for segment in segments if segment < min(len(page.dataoffsets), len(page.databytecounts))]
    if len(there) < len(segments):
        known = set(there)
        yield [(called, Encoded(one, None, "it is missing")) for one, called in segments.items() if one not in known]
    if not there:
        return
    offsets = [page.dataoffsets[segment] for segment in there]
    counts = [page.databytecounts[segment] for segment in there]
    length = dict(zip(there, counts, strict=True))
    handle = page.parent.filehandle
    tables = page.jpegtables
    with _opened(handle, name):
        for encoded in cast(
            Iterator[list[tuple[bytes | None, int]]],
            handle.read_segments(offsets, counts, there, lock=lock, buffersize=READ_BYTES, flat=False),
        ):
            yield [
                (segments[segment], Encoded(segment, data, _fault(data, length[segment]), tables))
                for data, segment in encoded
            ]


def _fault(data: bytes | None, stored: int) -> str:
    return "the file ends before it does" if data is not None and len(data) < stored else ""


@contextmanager
def _opened(handle: Any, name: str) -> Iterator[None]:
    """Open the file of an OME-TIFF of several files, which tifffile keeps closed, for the time of a read."""
    closed = handle.closed
    try:
        if closed:
            handle.open()
        yield
    except (OSError, ValueError) as error:  # ValueError: an offset beyond what the system can address
        raise damaged(name, error) from error
    finally:
        if closed:
            handle.close()
