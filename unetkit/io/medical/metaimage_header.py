"""The header of a MetaImage (.mha, .mhd): lines of a key and its values."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.io.base.space import Space
from unetkit.io.medical.affine import from_axes, size_in_um, to_affine
from unetkit.io.medical.streams import open_deflate
from unetkit.io.medical.volume_header import VolumeHeader

TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
"""Types of NumPy, without their byte order. MET_LONG is left out: its size is that of the machine which wrote it."""

LAST = "ElementDataFile"
"""The key of the last line."""

MOST_BYTES = 2**16
"""Bytes in which the header has to end."""

LPS = (-1.0, -1.0, 1.0)
"""The space of ITK: to the left, to the back and up."""


def read_metaimage_header(path: Path) -> VolumeHeader:
    """Read the header of a MetaImage.

    Raises:
        ImageError: It is damaged, or its pixels are stored in a way that is not read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(MOST_BYTES)
        return _parse(*_lines(start), path)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise ImageError(
            f"{path} has no header of a MetaImage that can be read, it is truncated or damaged ({error}).",
            "Copy or export it again.",
        ) from error


def _lines(start: bytes) -> tuple[dict[str, str], int]:
    """Return the values by their keys, and where the header ends."""
    found: dict[str, str] = {}
    end = 0
    while LAST not in found:
        after = start.index(b"\n", end) + 1
        key, sign, value = start[end:after].decode("latin-1").partition("=")
        if not sign:
            raise ValueError("a line has no '='")
        found[key.strip()] = value.strip()
        end = after
    return found, end


def _parse(found: dict[str, str], end: int, path: Path) -> VolumeHeader:
    sizes = [int(size) for size in found["DimSize"].split()]
    if not 2 <= len(sizes) <= 4 or len(sizes) != int(found["NDims"]):
        raise _refused(path, f"{found['NDims']} dimensions")
    if found.get("BinaryData", "True").lower() != "true" or found.get("ElementType") not in TYPES:
        raise _refused(path, f"pixels of {found.get('ElementType', 'no type')}")
    channels = int(found.get("ElementNumberOfChannels", 1))
    pixels, offset = _where(found, end, path)
    compressed = found.get("CompressedData", "False").lower() == "true"
    big = found.get("BinaryDataByteOrderMSB", found.get("ElementByteOrderMSB", "False")).lower() == "true"
    dtype = np.dtype(f"{'>' if big else '<'}{TYPES[found['ElementType']]}")
    if offset < 0:  # the pixels are the end of their file
        offset = pixels.stat().st_size - int(np.prod(sizes)) * channels * dtype.itemsize
    samples = (channels,) if channels > 1 else ()
    matrix = _matrix(found, len(sizes))
    return VolumeHeader(
        format="MetaImage",
        pixels=pixels,
        compression="deflate" if compressed else "none",
        stream=partial(open_deflate, pixels, offset) if compressed else None,
        offset=0 if compressed else offset,
        axes=("TZYX"[-len(sizes) :]) + ("S" if channels in (3, 4) else "C" if channels > 1 else ""),
        shape=(*sizes[::-1], *samples),
        dtype=dtype,
        space=Space(to_affine(matrix)),
        voxel_um=size_in_um(matrix) if "ElementSpacing" in found or "ElementSize" in found else None,
    )


def _matrix(found: dict[str, str], dims: int) -> NDArray[np.float64]:
    """Return the affine to RAS+ in mm."""
    count = min(dims, 3)
    spacing = _numbers(found, ("ElementSpacing", "ElementSize"), np.ones(dims))
    origin = _numbers(found, ("Offset", "Position", "Origin"), np.zeros(dims))
    turned = _numbers(found, ("TransformMatrix", "Rotation", "Orientation"), np.eye(dims).ravel()).reshape(dims, dims)
    directions, first = np.eye(3), np.zeros(3)
    directions[:count, :count] = turned[:count, :count] * spacing[:count, None]
    first[:count] = origin[:count]
    return from_axes(directions, first, LPS)


def _numbers(found: dict[str, str], keys: tuple[str, ...], default: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the numbers of the first of some keys that is there."""
    key = next((key for key in keys if key in found), None)
    return default if key is None else np.array([float(one) for one in found[key].split()])


def _where(found: dict[str, str], end: int, path: Path) -> tuple[Path, int]:
    """Return the file with the pixels, and the bytes before them; -1 where they are its end."""
    name = found[LAST]
    if name.upper() == "LOCAL":
        return path, end
    if name.upper().startswith("LIST") or "%" in name:
        raise _refused(path, "pixels in several files")
    pixels = path.parent / name
    if not pixels.is_file():
        raise ImageError(f"The file {pixels}, which holds the pixels of {path}, is missing.", "Copy it too.")
    return pixels, int(found.get("HeaderSize", 0))


def _refused(path: Path, what: str) -> ImageError:
    return ImageError(
        f"{path} has {what}, which are not read.", "Save it again, for example as NIfTI, with 3D Slicer or ITK-SNAP."
    )
