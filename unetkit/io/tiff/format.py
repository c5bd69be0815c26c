"""TIFF in the table of formats. tifffile is imported when a file is opened or written."""

from __future__ import annotations

from pathlib import Path

from unetkit.io.base.contracts import ImageSink, ImageSource, OutputSpec
from unetkit.io.base.format import Format, Writer
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.base.series import Series

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

USUAL = (".tif", ".tiff")
SLIDES = (".svs", ".ndpi", ".scn", ".bif", ".qptiff", ".avs", ".zif", ".ptif", ".ptiff")
OTHERS = (".btf", ".tf2", ".tf8", ".lsm", ".stk", ".qpi", ".pcoraw")


def _sniff(_: Path, start: bytes) -> bool:
    return start.startswith(SIGNATURES)


def _open(path: Path, reading: ReadOptions, *, as_stored: bool, cache_bytes: int) -> ImageSource:
    from unetkit.io.tiff.source import TiffSource

    return TiffSource(path, reading, as_stored=as_stored, cache_bytes=cache_bytes)


def _list_series(path: Path) -> tuple[Series, ...]:
    from unetkit.io.tiff.source import list_tiff_series

    return list_tiff_series(path)


def _read_notes(path: Path) -> dict[str, str]:
    from unetkit.io.tiff.notes import read_tiff_notes

    return read_tiff_notes(path)


def _sink(path: Path, spec: OutputSpec) -> ImageSink:
    from unetkit.io.tiff.sink import TiffSink

    return TiffSink(path, spec)


def _check_spec(path: Path, spec: OutputSpec) -> None:
    from unetkit.io.tiff.sink import check_tiff

    check_tiff(path, spec)


TIFF = Format(
    name="TIFF",
    suffixes=USUAL,
    sniff=_sniff,
    open=_open,
    list_series=_list_series,
    other_suffixes=(*SLIDES, *OTHERS),
    writer=Writer(USUAL, _sink, check_spec=_check_spec, has_choices=True),
    read_notes=_read_notes,
)
