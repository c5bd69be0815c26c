"""The formats of microscopes in the table of formats. Their libraries are imported when a file is opened."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from unetkit.foundation.errors import ConfigError
from unetkit.io.base.contracts import ImageSource
from unetkit.io.base.format import Format, ends_with
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.base.series import Series
from unetkit.io.microscopes.vendors import CZI, DV, LIF, ND2, VENDORS, Vendor

PLUGINS = "bioio.readers"
"""Group of the entry points of bioio's plug-ins."""

Opener = Callable[[Path], Any]
"""Opens a file as a `unetkit.io.microscopes.pieces.MicroscopeFile`."""


def plugin_formats(known: Collection[str]) -> tuple[Format, ...]:
    """Return the plug-ins of bioio that are installed as formats, sorted by their names.

    Args:
        known: Suffixes by which files are looked for in folders. A file that is named itself is read with any suffix
            that a plug-in takes; there are plug-ins that take .txt and .xml.

    Raises:
        ConfigError: One of them cannot be loaded.
    """
    entries = sorted(entry_points(group=PLUGINS), key=lambda entry: entry.name)
    return tuple(_plugin(entry, known) for entry in entries)


def _plugin(entry: EntryPoint, known: Collection[str]) -> Format:
    """Return a plug-in as a format."""
    try:
        metadata = entry.load().ReaderMetadata
        taken = tuple(f".{suffix.lower().lstrip('.')}" for suffix in metadata.get_supported_extensions())
    except Exception as error:  # broad: what the import of another package raises has no limits
        raise ConfigError(
            f"The plug-in {entry.name} of bioio cannot be loaded ({type(error).__name__}: {error}).",
            "Update or uninstall that package.",
        ) from error

    def open_file(path: Path) -> Any:
        from unetkit.io.microscopes.bioio_plugin import BioioFile

        return BioioFile(metadata.get_reader(), path)

    def sniff(path: Path, _: bytes) -> bool:
        return ends_with(path, taken)

    def open_image(path: Path, reading: ReadOptions, *, as_stored: bool, cache_bytes: int) -> ImageSource:
        return _open(open_file, entry.name, entry.name, path, reading, as_stored=as_stored, cache_bytes=cache_bytes)

    suffixes = tuple(suffix for suffix in taken if suffix in known)
    return Format(entry.name, suffixes, sniff, open_image, list_series=partial(_list_series, open_file, entry.name))


def _vendor(vendor: Vendor, open_file: Opener) -> Format:
    """Return a format of the table of makers as a format of unetkit."""

    def open_needed(path: Path) -> Any:
        vendor.require(path)
        return open_file(path)

    def open_image(path: Path, reading: ReadOptions, *, as_stored: bool, cache_bytes: int) -> ImageSource:
        return _open(
            open_needed, vendor.name, vendor.maker, path, reading, as_stored=as_stored, cache_bytes=cache_bytes
        )

    return Format(
        vendor.maker,
        (),
        lambda _, start: vendor.begins(start),
        open_image,
        list_series=partial(_list_series, open_needed, vendor.maker),
        other_suffixes=vendor.suffixes,
        is_installed=vendor.is_installed,
    )


def _open(
    open_file: Opener,
    name: str,
    maker: str,
    path: Path,
    reading: ReadOptions,
    *,
    as_stored: bool,
    cache_bytes: int,
) -> ImageSource:
    from unetkit.io.microscopes.pieces import translated
    from unetkit.io.microscopes.source import MicroscopeSource

    with translated(str(path), maker):
        file = open_file(path)
    try:
        return MicroscopeSource(file, path, name, maker, reading, as_stored=as_stored, cache_bytes=cache_bytes)
    except BaseException:  # whatever it is, the file must not stay open
        file.close()
        raise


def _list_series(open_file: Opener, maker: str, path: Path) -> tuple[Series, ...]:
    from unetkit.io.microscopes.pieces import translated
    from unetkit.io.microscopes.source import list_scenes

    with translated(str(path), maker):
        file = open_file(path)
    try:
        return list_scenes(file, path, maker)
    finally:
        file.close()


def _czi(path: Path) -> Any:
    from unetkit.io.microscopes.czi import CziFile

    return CziFile(path)


def _nd2(path: Path) -> Any:
    from unetkit.io.microscopes.nd2 import Nd2File

    return Nd2File(path)


def _lif(path: Path) -> Any:
    from unetkit.io.microscopes.lif import LifFile

    return LifFile(path)


def _dv(path: Path) -> Any:
    from unetkit.io.microscopes.dv import DvFile

    return DvFile(path)


OPENERS: dict[str, Opener] = {CZI.name: _czi, ND2.name: _nd2, LIF.name: _lif, DV.name: _dv}

MICROSCOPES = tuple(_vendor(vendor, OPENERS[vendor.name]) for vendor in VENDORS)
