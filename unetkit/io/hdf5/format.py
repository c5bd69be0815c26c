"""HDF5 in the table of formats. h5py is imported when a file is opened."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from unetkit.io.base.contracts import ImageSource
from unetkit.io.base.format import Format
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.base.series import Series
from unetkit.io.medical.needs import has, require_reader

SIGNATURE = b"\x89HDF\r\n\x1a\n"

OTHERS = (".ims",)
"""Endings of formats that are made of HDF5, and are read by others."""


def _sniff(path: Path, start: bytes) -> bool:
    return start.startswith(SIGNATURE) and path.suffix.lower() not in OTHERS


def _open(path: Path, reading: ReadOptions, *, as_stored: bool, cache_bytes: int) -> ImageSource:  # noqa: ARG001
    require_reader("h5py", path, "HDF5")
    from unetkit.io.hdf5.source import Hdf5Source

    return Hdf5Source(path, reading, cache_bytes=cache_bytes)


def _list_series(path: Path) -> tuple[Series, ...]:
    require_reader("h5py", path, "HDF5")
    from unetkit.io.hdf5.source import list_hdf5_series

    return list_hdf5_series(path)


HDF5 = Format(
    name="HDF5",
    suffixes=(),
    sniff=_sniff,
    open=_open,
    list_series=_list_series,
    other_suffixes=(".h5", ".hdf5"),
    is_installed=partial(has, "h5py"),
)
