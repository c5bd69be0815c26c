"""Which files and folders are DICOM."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

MARK = b"DICM"
MARK_AT = 128

DIRECTORY = "DICOMDIR"
"""Name of the file that lists the files of a medium."""

LOOKED_AT = 64
"""How many entries of a folder are looked at."""

OTHER_IMAGES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".zarr", ".nii", ".gz", ".svs", ".czi", ".nd2", ".lif")
"""Endings of images that no series has beside its slices."""


def is_dicom(start: bytes) -> bool:
    """Return whether a file with these first bytes is DICOM."""
    return start[MARK_AT : MARK_AT + len(MARK)] == MARK


def is_dicom_file(path: Path) -> bool:
    """Return whether a file is DICOM by its content."""
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(MARK_AT + len(MARK)))
    except OSError:
        return False


def is_dicom_folder(path: Path) -> bool:
    """Return whether a folder holds DICOM files that are slices of volumes, so that it is one image.

    A folder of files that each are an image of their own, such as radiographs, is none.
    """
    try:
        if (path / DIRECTORY).is_file():
            return True
        with os.scandir(path) as entries:
            names = [one.name for one in islice(entries, LOOKED_AT) if one.is_file() and not one.name.startswith(".")]
    except OSError:
        return False
    if any(name.lower().endswith(OTHER_IMAGES) for name in names):
        return False
    slices = [path / name for name in names if is_dicom_file(path / name)]
    return bool(slices) and _make_a_stack(slices)


def _make_a_stack(paths: list[Path]) -> bool:
    """Return whether two files are of one series and have a place, or there is but one file."""
    from unetkit.io.medical.needs import has

    if len(paths) == 1 or not has("pydicom"):
        return True
    from unetkit.io.medical.dicom_files import read_slices

    known: set[str] = set()
    for path in paths:
        for one in read_slices(path)[:1]:
            if one.position is not None and one.series in known:
                return True
            known.add(one.series)
    return False
