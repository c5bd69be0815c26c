"""How NIfTI files begin."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

GZIP = b"\x1f\x8b"

SIZES = {1: 348, 2: 540}
"""First number of a header, in either byte order, by version."""

MARKS = {1: (344, b"n+1\0", b"ni1\0"), 2: (4, b"n+2\0", b"ni2\0")}
"""Where the mark of a version stands, that of a single file, and that of two files."""


def version_of(start: bytes) -> tuple[int, bool]:
    """Return the version of NIfTI that a file has, 0 if none, and whether its pixels lie in another file."""
    for version, (at, single, pair) in MARKS.items():
        size = SIZES[version]
        if size in (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big")):
            mark = start[at : at + 4]
            if mark in (single, pair):
                return version, mark == pair
    return 0, False


def is_nifti(path: Path, start: bytes) -> bool:
    """Return whether a file is NIfTI by its content; one that is compressed and damaged is it by its name."""
    if not start.startswith(GZIP):
        return version_of(start)[0] > 0
    try:
        with gzip.open(path, "rb") as file:
            start = file.read(352)
    except (OSError, EOFError, zlib.error):
        return path.name.lower().endswith(".nii.gz")
    return version_of(start)[0] > 0
