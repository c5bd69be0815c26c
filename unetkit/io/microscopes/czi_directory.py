"""The directory of the tiles of a CZI, and a check of each tile before Zeiss' library reads it.

The library believes the sizes in a tile and in the directory: of a damaged file they can end the process. The layout is
that of Zeiss' "ZISRAW (CZI) File Format" 1.2.2: a header, segments with a header of their own, and a directory of
entries (schema DV) that say where each tile lies.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEGMENT = struct.Struct("<16sqq")
"""Head of a segment: its kind, the bytes that it has, and those that it uses."""

DIRECTORY_AT = SEGMENT.size + 52
"""Where the head of a file says where the directory is."""

DIRECTORY_HEAD = SEGMENT.size + 128
"""Bytes of a directory before its entries."""

ENTRY = struct.Struct("<2siqiib5xi")
"""Head of an entry: schema, type of the pixels, place in the file, number of the file, compression, kind of the tile,
number of dimensions."""

DIMENSION = struct.Struct("<4siifi")
"""A dimension of a tile: its name, first position, size, place on the stage, and size as it is stored."""

TILE_SIZES = struct.Struct("<iiq")
"""Bytes of the metadata, the attachment and the pixels of a tile."""

PIXEL_BYTES = {0: 1, 1: 2, 2: 4, 3: 3, 4: 6, 8: 12, 9: 4}
"""Bytes of a pixel, by the number of its type."""

TILE_HEAD = 1024
"""Bytes of a tile in which its sizes and its entry lie; an entry has a few dimensions of 20 bytes."""

LARGEST_PLACE = 1_000_000
"""Tiles at positions beyond this, along any axis but X and Y, are of a damaged file."""

UNCOMPRESSED = 0
"""Number of the compression that is none."""


@dataclass(frozen=True)
class Directory:
    """Where the tiles of a CZI lie, one element for each tile.

    Attributes:
        at: Their first bytes in the file.
        frames: Left, top, width and height in pixels of the full resolution, (N, 4).
        factors: Pixels of the full resolution along an axis for one of theirs.
        stored: Type of the pixels, width and height as they are stored, (N, 3).
        compressions: Numbers of their compressions.
        places: For each other axis (C, Z, T, S, ...) their position, -1 for tiles without that axis.
    """

    at: NDArray[np.int64]
    frames: NDArray[np.int64]
    factors: NDArray[np.int64]
    stored: NDArray[np.int64]
    compressions: NDArray[np.int64]
    places: Mapping[str, NDArray[np.int64]]

    def first(self, axis: str) -> int:
        """Return the first position along an axis; a part of a longer file does not begin with number 0."""
        places = self.places.get(axis, np.empty(0, np.int64))
        known = places[places >= 0]
        return int(known.min()) if known.size else 0

    def reductions(self, scene: int | None) -> list[int]:
        """Return the reductions of the levels of a scene, but for the full resolution."""
        inside = np.ones(len(self.at), bool) if scene is None or "S" not in self.places else self.places["S"] == scene
        return sorted({int(factor) for factor in self.factors[inside]} - {1})

    def touched(self, frame: tuple[int, int, int, int], plane: Mapping[str, int]) -> NDArray[np.int64]:
        """Return the numbers of the tiles of a plane in a frame (left, top, width, height) of the full resolution."""
        left, top, width, height = frame
        x, y, w, h = self.frames.T
        inside = (x < left + width) & (x + w > left) & (y < top + height) & (y + h > top)
        for axis, position in plane.items():
            if axis in self.places:
                inside &= (self.places[axis] == position) | (self.places[axis] < 0)
        return np.flatnonzero(inside)


def read_directory(path: Path) -> Directory:
    """Return the directory of a CZI.

    Raises:
        ValueError: It is damaged, or the file ends before it does.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        (at,) = struct.unpack("<q", _read(file, DIRECTORY_AT, 8))
        kind, _, used = SEGMENT.unpack(_read(file, at, SEGMENT.size))
        if not kind.startswith(b"ZISRAWDIRECTORY") or not 0 <= used <= size - at:
            raise ValueError("the directory of its tiles is damaged")
        data = _read(file, at, SEGMENT.size + used)
    (count,) = struct.unpack_from("<i", data, SEGMENT.size)
    return _parse(data, count, size)


def _parse(data: bytes, count: int, size: int) -> Directory:
    at = DIRECTORY_HEAD
    rows: list[tuple[int, ...]] = []
    places: dict[str, NDArray[np.int64]] = {}
    for number in range(count):
        entry = read_entry(data, at)
        at += entry.length
        if entry.part != 0:
            raise ValueError(f"tile {number} lies in another file, number {entry.part}")
        if not 0 < entry.position <= size - SEGMENT.size:
            raise ValueError(f"tile {number} lies at byte {entry.position}, beyond the end of the file")
        for axis, (start, length, _) in entry.dimensions.items():
            if axis not in ("X", "Y", "M"):
                if not (0 <= start <= LARGEST_PLACE and 0 <= length <= LARGEST_PLACE):
                    raise ValueError(f"tile {number} is at position {start} of {length} along {axis}")
                places.setdefault(axis, np.full(count, -1, np.int64))[number] = start
        x, y = entry.dimensions["X"], entry.dimensions["Y"]
        width, height = entry.stored[1:]
        factor = max(round(max(x[1] / width, y[1] / height)), 1)
        rows.append((entry.position, x[0], y[0], x[1], y[1], factor, *entry.stored, entry.compression))
    table = np.array(rows, np.int64).reshape(-1, 10)
    return Directory(table[:, 0], table[:, 1:5], table[:, 5], table[:, 6:9], table[:, 9], places)


@dataclass(frozen=True)
class Entry:
    """What the directory, and a tile itself, say of the tile.

    Attributes:
        pixel_type: Number of the type of its pixels.
        position: Its first byte in the file.
        part: Number of the file.
        compression: Number of its compression.
        dimensions: For each axis the first position, the size, and the size as it is stored.
        length: Bytes of the entry.
    """

    pixel_type: int
    position: int
    part: int
    compression: int
    dimensions: Mapping[str, tuple[int, int, int]]
    length: int

    @property
    def stored(self) -> tuple[int, int, int]:
        """Type of the pixels, and their width and height as they are stored."""
        x, y = self.dimensions["X"], self.dimensions["Y"]
        return self.pixel_type, x[2] or x[1], y[2] or y[1]


def read_entry(data: bytes, at: int) -> Entry:
    """Return the entry at a place in some bytes.

    Raises:
        ValueError: It is damaged or cut off.
    """
    if at + ENTRY.size > len(data):
        raise ValueError("the directory of its tiles is cut off")
    schema, pixel_type, position, part, compression, _, count = ENTRY.unpack_from(data, at)
    start = at + ENTRY.size
    if schema != b"DV" or not 0 <= count <= (len(data) - start) // DIMENSION.size:
        raise ValueError("an entry in the directory of its tiles is damaged")
    dimensions = {}
    for name, first, length, _, stored in DIMENSION.iter_unpack(data[start : start + count * DIMENSION.size]):
        dimensions[name.rstrip(b"\0").decode("ascii", "replace")] = (first, length, stored)
    sizes = [size for axis in "XY" for size in dimensions.get(axis, (0, 0, 0))[1:]]
    if min(sizes) < 0 or 0 in sizes[::2]:
        raise ValueError("an entry in the directory of its tiles has no width or height")
    return Entry(pixel_type, position, part, compression, dimensions, ENTRY.size + count * DIMENSION.size)


class TileCheck:
    """Checks that tiles are whole before they are read, each once.

    Args:
        path: The file.
        directory: Its directory.
    """

    def __init__(self, path: Path, directory: Directory) -> None:
        self._file: Any = path.open("rb")
        self._size = path.stat().st_size
        self._directory = directory
        self._checked = np.zeros(len(directory.at), bool)

    def check(self, frame: tuple[int, int, int, int], plane: Mapping[str, int]) -> None:
        """Check the tiles of a plane in a frame.

        Raises:
            ValueError: One is damaged, or the file ends before it does.
        """
        for number in self._directory.touched(frame, plane):
            if not self._checked[number]:
                self._check_tile(int(number))
                self._checked[number] = True

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _check_tile(self, number: int) -> None:
        """Check that the parts of a tile lie inside of it, it in the file, and that it is what the directory says."""
        at = int(self._directory.at[number])
        head = _read(self._file, at, min(TILE_HEAD, self._size - at))
        kind, held, used = SEGMENT.unpack_from(head)
        metadata, attachment, pixels = TILE_SIZES.unpack_from(head, SEGMENT.size)
        length = metadata + attachment + pixels
        end = at + SEGMENT.size + max(used or held, length)
        if not kind.startswith(b"ZISRAWSUBBLOCK") or min(held, used, metadata, attachment, pixels) < 0:
            raise ValueError(f"the tile at byte {at} is damaged")
        if end > self._size or length > (used or held):
            raise ValueError(f"the tile at byte {at} is damaged, or the file is cut off: it would end at byte {end}")
        entry = read_entry(head, SEGMENT.size + TILE_SIZES.size)
        expected = tuple(int(one) for one in self._directory.stored[number])
        if entry.stored != expected or entry.compression != self._directory.compressions[number]:
            raise ValueError(f"the tile at byte {at} is another than the directory says")
        pixel_type, width, height = expected
        if entry.compression == UNCOMPRESSED and pixels < width * height * PIXEL_BYTES.get(pixel_type, 1):
            raise ValueError(f"the tile at byte {at} has too few pixels")


def _read(file: Any, at: int, count: int) -> bytes:
    """Return bytes of a file.

    Raises:
        ValueError: The file ends before.
    """
    if at < 0:
        raise ValueError(f"it points to byte {at}")
    file.seek(at)
    data: bytes = file.read(count)
    if len(data) < count:
        raise ValueError(f"the file ends before byte {at + count}")
    return data
