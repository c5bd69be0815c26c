"""OME-Zarr in the table of formats. zarr, which takes half a second to import, is when one is opened or written."""

from __future__ import annotations

from pathlib import Path

from unetkit.foundation.atomic import check_place
from unetkit.foundation.errors import OutputError
from unetkit.io.base.contracts import ImageSink, ImageSource, OutputSpec
from unetkit.io.base.format import Format, Writer
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.base.series import Series
from unetkit.io.ome_zarr.labels import check_label, find_label_place

SUFFIX = ".zarr"

ZARR_FILES = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
"""Files of which a Zarr, of version 3 or 2, has at least one."""


def _is_zarr(path: Path) -> bool:
    return any((path / name).is_file() for name in ZARR_FILES)


def _sniff(path: Path, _: bytes) -> bool:
    """Return whether a folder is a Zarr, or says so by its name, rather than a folder of images."""
    return path.suffix.lower() == SUFFIX or _is_zarr(path)


def _open(path: Path, reading: ReadOptions, *, as_stored: bool, cache_bytes: int) -> ImageSource:  # noqa: ARG001
    from unetkit.io.ome_zarr.source import OmeZarrSource

    return OmeZarrSource(path, reading, cache_bytes=cache_bytes)


def _list_series(path: Path) -> tuple[Series, ...]:
    from unetkit.io.ome_zarr.source import list_zarr_series

    return list_zarr_series(path)


def _read_notes(path: Path) -> dict[str, str]:
    import zarr

    own = dict(zarr.open(path, mode="r").attrs).get("unetkit")
    notes = own.get("notes") if isinstance(own, dict) else None
    return {str(key): str(value) for key, value in notes.items()} if isinstance(notes, dict) else {}


def _sink(path: Path, spec: OutputSpec) -> ImageSink:
    from unetkit.io.ome_zarr.sink import OmeZarrSink

    return OmeZarrSink(path, spec)


def _check_place(path: Path, overwrite: bool) -> None:
    """Check that a Zarr can be written, and that what it replaces is one and not some other folder."""
    if path.exists() and not _is_zarr(path):
        raise OutputError(
            f"The output {path} exists and is no Zarr.", "Choose another name: only a Zarr can be replaced by one."
        )
    check_place(path, overwrite, make=find_label_place(path) is not None)


def _is_place(path: Path) -> bool:
    return find_label_place(path) is not None


OME_ZARR = Format(
    name="OME-Zarr",
    suffixes=(SUFFIX,),
    sniff=_sniff,
    open=_open,
    list_series=_list_series,
    is_folder=True,
    writer=Writer((SUFFIX,), _sink, _check_place, check_label, _is_place, takes_volumes=True),
    read_notes=_read_notes,
)
