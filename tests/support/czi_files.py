"""CZI files for tests: written by Zeiss' library, which writes no pyramids; these are added to its files here."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HALF = 1_000_000
"""Tiles that are written this far to the right for each reduction become tiles of the pyramid."""

SEGMENT_HEADER = 32
SUBBLOCK_ENTRY = SEGMENT_HEADER + 16
DIRECTORY_ENTRIES = SEGMENT_HEADER + 128


def write_czi(
    path: Path,
    tiles: Sequence[tuple[NDArray[Any], dict[str, int], tuple[int, int], int | None]],
    *,
    channels: Sequence[str] = ("DAPI",),
    scale: tuple[float, float, float] = (3e-7, 2.5e-7, 2e-7),
    compression: str = "uncompressed:",
    pyramid: Sequence[tuple[NDArray[Any], dict[str, int], tuple[int, int], int]] = (),
) -> Path:
    """Write a CZI.

    Args:
        path: The file.
        tiles: Pixels (h, w) or (h, w, 3) in the order red, green, blue; place along other axes; first pixel (y, x);
            number of the scene, or None.
        channels: Names of the channels.
        scale: Size of a voxel (z, y, x) in metres.
        compression: As Zeiss' library names it.
        pyramid: Tiles of smaller levels: as `tiles`, with the reduction in place of the scene.
    """
    from pylibCZIrw import czi

    with czi.create_czi(str(path), exist_ok=True, compression_options=compression) as writer:
        for pixels, plane, (y, x), scene in tiles:
            stored = np.ascontiguousarray(pixels[..., ::-1] if pixels.ndim == 3 else pixels)
            extra = {} if scene is None else {"scene": scene}
            writer.write(stored, plane=plane, location=(x, y), **extra)
        for pixels, plane, (y, x), factor in pyramid:
            stored = np.ascontiguousarray(pixels[..., ::-1] if pixels.ndim == 3 else pixels)
            writer.write(stored, plane=plane, location=(HALF * factor + x, y))
        writer.write_metadata(
            "test",
            channel_names=dict(enumerate(channels)),
            scale_z=scale[0],
            scale_y=scale[1],
            scale_x=scale[2],
        )
    if pyramid:
        _make_pyramid(path)
    return path


def entries(data: bytes | bytearray) -> Iterator[int]:
    """Yield where the entries of all tiles begin: in the directory, and in the tiles themselves."""
    at = struct.unpack_from("<q", data, SEGMENT_HEADER + 52)[0]
    count = struct.unpack_from("<i", data, at + SEGMENT_HEADER)[0]
    place = at + DIRECTORY_ENTRIES
    for _ in range(count):
        yield place
        yield struct.unpack_from("<q", data, place + 6)[0] + SUBBLOCK_ENTRY
        place += 32 + 20 * struct.unpack_from("<i", data, place + 28)[0]


def encode_tiles(path: Path, encode: Callable[[NDArray[Any]], bytes], compression: int) -> None:
    """Compress the tiles of an uncompressed file of 16-bit pixels in place, by other means than Zeiss' library has."""
    data = bytearray(path.read_bytes())
    for number, place in enumerate(entries(data)):
        struct.pack_into("<i", data, place + 18, compression)
        if number % 2:  # the tile itself
            count = struct.unpack_from("<i", data, place + 28)[0]
            metadata, attachment, length = struct.unpack_from("<iiq", data, place - 16)
            sizes = {bytes(data[one : one + 1]): one for one in range(place + 32, place + 32 + 20 * count, 20)}
            width, height = (struct.unpack_from("<i", data, sizes[axis] + 8)[0] for axis in (b"X", b"Y"))
            start = place - 16 + max(256, 16 + 32 + 20 * count) + metadata
            pixels = np.frombuffer(bytes(data[start : start + length]), np.uint16).reshape(height, width)
            encoded = encode(pixels)
            assert len(encoded) <= length
            assert attachment == 0
            data[start : start + len(encoded)] = encoded
            struct.pack_into("<q", data, place - 8, len(encoded))
    path.write_bytes(data)


def _make_pyramid(path: Path) -> None:
    """Turn the tiles that lie far to the right into tiles of the pyramid."""
    data = bytearray(path.read_bytes())
    for place in list(entries(data)):
        dimensions = struct.unpack_from("<i", data, place + 28)[0]
        at = {bytes(data[one : one + 1]): one for one in range(place + 32, place + 32 + 20 * dimensions, 20)}
        factor, x = divmod(struct.unpack_from("<i", data, at[b"X"] + 4)[0], HALF)
        if factor:
            data[place + 22] = 2  # the tile is of a pyramid
            struct.pack_into("<i", data, at[b"X"] + 4, x)
            for axis in (b"X", b"Y"):
                stored = (
                    struct.unpack_from("<i", data, at[axis] + 16)[0] or struct.unpack_from("<i", data, at[axis] + 8)[0]
                )
                struct.pack_into("<i", data, at[axis] + 8, stored * factor)
                struct.pack_into("<i", data, at[axis] + 16, stored)
    path.write_bytes(data)
