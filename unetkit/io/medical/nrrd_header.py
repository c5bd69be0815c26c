"""The header of an NRRD file, read by pynrrd."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import nrrd
import numpy as np

from unetkit.foundation.errors import ImageError
from unetkit.io.base.space import Space
from unetkit.io.base.units import UNITS_UM
from unetkit.io.medical.affine import UM_PER_MM, from_axes, size_in_um, to_affine
from unetkit.io.medical.streams import open_gzip
from unetkit.io.medical.volume_header import VolumeHeader

SIGNS = {"right": 1.0, "left": -1.0, "anterior": 1.0, "posterior": -1.0, "superior": 1.0, "inferior": -1.0}
"""What turns an axis that runs to such an end to the right, to the front or up."""

SHORT = {"r": "right", "l": "left", "a": "anterior", "p": "posterior", "s": "superior", "i": "inferior"}

COLOURS = ("rgb-color", "rgba-color")
"""Kinds of an axis that holds colours."""

SPATIAL = ("domain", "space", "???", "none", "")
"""Kinds of axes that are axes of space, in files that give no directions."""

TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
"""Types of NumPy, without their byte order, by those of the format's definition."""


def read_nrrd_header(path: Path) -> VolumeHeader:
    """Read the header of an NRRD file.

    Raises:
        ImageError: It is damaged, or its pixels are stored in a way that is not read.
    """
    try:
        with path.open("rb") as file:
            header: dict[str, Any] = nrrd.read_header(file)
            return _parse(header, path, file.tell())
    except (nrrd.NRRDError, OSError, EOFError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ImageError(
            f"{path} has no header of an NRRD file that can be read, it is truncated or damaged ({error}).",
            "Copy or export it again.",
        ) from error


def _parse(header: dict[str, Any], path: Path, end: int) -> VolumeHeader:
    sizes = [int(size) for size in header["sizes"]]
    letters = _letters(header, len(sizes), path)
    pixels, offset = _where(header, path, end)
    encoding = str(header["encoding"]).lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise _refused(path, f"pixels in the encoding {encoding}")
    compressed = encoding != "raw"
    order = {"little": "<", "big": ">"}[str(header.get("endian", "little"))]
    if str(header["type"]) not in TYPES:
        raise _refused(path, f"pixels of the type {header['type']}")
    matrix = _matrix(header, letters)
    units = header.get("space units") or header.get("units") or ()
    mm = next((UNITS_UM[str(unit).lower()] / UM_PER_MM for unit in units if str(unit).lower() in UNITS_UM), 1.0)
    placed = matrix is not None and "space" in header and "space directions" in header
    return VolumeHeader(
        format="NRRD",
        pixels=pixels,
        compression="gzip" if compressed else "none",
        stream=partial(open_gzip, pixels, offset) if compressed else None,
        offset=0 if compressed else offset,
        axes=letters[::-1],
        shape=tuple(sizes[::-1]),
        dtype=np.dtype(f"{order}{TYPES[str(header['type'])]}"),
        space=Space(to_affine(np.diag([mm, mm, mm, 1]) @ matrix)) if placed and matrix is not None else None,
        voxel_um=None if matrix is None else size_in_um(matrix, mm),
    )


def _letters(header: dict[str, Any], count: int, path: Path) -> str:
    """Return a letter for each axis, the fastest first."""
    kinds = [str(kind).lower() for kind in header.get("kinds") or [""] * count]
    directions = header.get("space directions")
    letters = ""
    space = iter("XYZ")
    others = iter("CTUV")
    for i in range(count):
        known = directions is not None and np.isfinite(np.asarray(directions[i], float)).all()
        if known if directions is not None else kinds[i] in SPATIAL:
            letters += next(space, "") or next(others)
        elif kinds[i] == "time":
            letters += "T"
        else:
            letters += "S" if kinds[i] in COLOURS and not letters else next(others)
    if len(letters) != count or not {"X", "Y"} <= set(letters) or len(set(letters)) != count:
        raise _refused(path, f"axes of the kinds {', '.join(kinds)}")
    return letters


def _matrix(header: dict[str, Any], letters: str) -> Any:
    """Return the affine to RAS+ in the unit of the file; None if it gives no distances."""
    at = [letters.find(axis) for axis in "XYZ"]
    directions = np.eye(3)
    if header.get("space directions") is not None:
        given = header["space directions"]
        for axis, i in enumerate(at):
            if i >= 0:
                row = np.asarray(given[i], float)
                directions[axis, : len(row)] = row
        origin = np.zeros(3)
        first = np.asarray(header.get("space origin", np.zeros(3)), float)
        origin[: len(first)] = first
        return from_axes(directions, origin, _signs(str(header.get("space", ""))))
    if header.get("spacings") is None:
        return None
    spacings = [float(header["spacings"][i]) if i >= 0 else 1.0 for i in at]
    return np.diag([*spacings, 1.0])


def _signs(space: str) -> tuple[float, float, float]:
    """Return what turns the axes of a space to the right, to the front and up.

    >>> _signs("left-posterior-superior"), _signs("RAS")
    ((-1.0, -1.0, 1.0), (1.0, 1.0, 1.0))
    """
    words = [SHORT.get(letter, "") for letter in space.lower()] if len(space) == 3 else space.lower().split("-")
    x, y, z = (SIGNS.get(word, 1.0) for word in (words + [""] * 3)[:3])
    return x, y, z


def _where(header: dict[str, Any], path: Path, end: int) -> tuple[Path, int]:
    """Return the file with the pixels, and the bytes before them."""
    skip = int(header.get("byte skip", 0))
    name = header.get("data file", header.get("datafile"))
    if "line skip" in header or skip < 0:
        raise _refused(path, "pixels that begin after lines that are to be skipped")
    if name is None:
        return path, end + skip
    if not isinstance(name, str) or name.startswith("LIST") or "%" in name:
        raise _refused(path, "pixels in several files")
    pixels = path.parent / name
    if not pixels.is_file():
        raise ImageError(f"The file {pixels}, which holds the pixels of {path}, is missing.", "Copy it too.")
    return pixels, skip


def _refused(path: Path, what: str) -> ImageError:
    return ImageError(
        f"{path} has {what}, which are not read.", "Save it again, for example as NIfTI, with 3D Slicer or ITK-SNAP."
    )
