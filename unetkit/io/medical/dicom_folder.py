"""Which folders are DICOM: one image, rather than a folder of images."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from unetkit.foundation.errors import UnetkitError
from unetkit.io.medical.dicom_signature import DIRECTORY, is_dicom_file
from unetkit.io.medical.needs import has

LOOKED_AT = 64
"""How many entries of a folder are looked at."""

OTHER_IMAGES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".zarr", ".nii", ".gz", ".svs", ".czi", ".nd2", ".lif")
"""Endings of images that no series has beside its slices."""


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
    if len(paths) == 1 or not has("pydicom"):
        return True
    from unetkit.io.medical.dicom_files import read_slices

    known: set[str] = set()
    for path in paths:
        try:
            first = read_slices(path)[:1]
        except UnetkitError:  # who opens the folder is told
            continue
        for one in first:
            if one.position is not None and one.series in known:
                return True
            known.add(one.series)
    return False
