"""The table of formats: those of unetkit, and those that other packages add.

Other packages add a `Format` by the entry point group `unetkit.formats`, or are plug-ins of bioio.

The content of a file decides how it is read, and the suffix of an output how it is written. Other packages' formats are
loaded only when none of unetkit's own takes a file, a folder or a suffix.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from unetkit.foundation.errors import ConfigError, ImageError
from unetkit.foundation.names import check_local
from unetkit.io.base.format import START_BYTES, Format, ends_with
from unetkit.io.base.inner import file_of
from unetkit.io.foreign import KNOWN, is_overview
from unetkit.io.hdf5.format import HDF5
from unetkit.io.medical.format import MEDICAL
from unetkit.io.microscopes.format import MICROSCOPES, plugin_formats
from unetkit.io.ome_zarr.format import OME_ZARR
from unetkit.io.raster import RASTER
from unetkit.io.tiff.format import TIFF

BUILT_IN = (TIFF, OME_ZARR, RASTER, *MEDICAL, HDF5, *MICROSCOPES)

GROUP = "unetkit.formats"

USUAL_SUFFIXES = tuple(suffix for one in BUILT_IN if not one.is_folder for suffix in one.suffixes)

IMAGE_SUFFIXES = (*USUAL_SUFFIXES, *(suffix for one in BUILT_IN for suffix in one.other_suffixes))
"""Suffixes (lower case) of the files that unetkit reads, those of microscopes with the extra `formats`."""

FOLDER_SUFFIXES = tuple(suffix for one in BUILT_IN if one.is_folder for suffix in one.suffixes)


def format_of(path: Path) -> Format | None:
    """Return the format of an image, by its content; None if there is none.

    Raises:
        ImageError: It is missing, empty or cannot be read.
        ConfigError: A format of another package cannot be loaded.
    """
    is_folder = path.is_dir()
    start = b"" if is_folder else _read_start(file_of(path))
    known = () if is_overview(path) else BUILT_IN

    def fits(one: Format) -> bool:
        return one.is_folder == is_folder and one.sniff(path, start)

    return _first(fits, known) or next((one for one in _plugins_for(path) if fits(one)), None)


def format_of_output(path: Path) -> Format | None:
    """Return the format that an output is written in, by its suffix or its place; None if there is none.

    Raises:
        ConfigError: A format of another package cannot be loaded.
    """

    def writes(one: Format) -> bool:
        writer = one.writer
        return writer is not None and (ends_with(path, writer.suffixes) or (not path.suffix and writer.is_place(path)))

    return _first(writes, BUILT_IN, ask_others=bool(path.suffix))


def is_folder(path: str | Path) -> bool:
    """Return whether a path is a folder that may hold images, rather than one image."""
    path = Path(path)
    return path.is_dir() and None is _first(
        lambda one: one.is_folder and one.sniff(path, b""), BUILT_IN, ask_others=bool(path.suffix)
    )


def has_image_suffix(path: Path) -> bool:
    """Return whether a path ends as images do, also those that need a package that is missing."""
    return bool(_by_suffix(file_of(path)))


def is_image_by_name(path: Path) -> bool:
    """Return whether a path ends as images that can be read do, and is a file (a folder where a format has folders)."""
    return any(path.is_dir() if one.is_folder else path.is_file() for one in _by_suffix(path) if one.is_installed())


def output_suffixes() -> list[str]:
    """Return the suffix of each format that can be written."""
    return [one.writer.suffixes[0] for one in (*BUILT_IN, *others()) if one.writer is not None]


@cache
def others() -> tuple[Format, ...]:
    """Return the formats that other packages add, sorted by the names of their entry points.

    Raises:
        ConfigError: One of them cannot be loaded, or is no `Format`.
    """
    return tuple(_load(entry) for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name))


@cache
def plugins() -> tuple[Format, ...]:
    """Return the formats that plug-ins of bioio read, sorted by the names of the plug-ins.

    Raises:
        ConfigError: One of them cannot be loaded.
    """
    return plugin_formats(KNOWN)


def _plugins_for(path: Path) -> tuple[Format, ...]:
    """Return the plug-ins of bioio, which take seconds to import, if the name of a file is of no format of unetkit."""
    return plugins() if path.suffix and path.is_file() and not ends_with(path, IMAGE_SUFFIXES) else ()


def _load(entry: EntryPoint) -> Format:
    where = f"'{entry.name}' ({entry.value}{f' of the package {entry.dist.name}' if entry.dist else ''})"
    remedy = "Update or uninstall that package."
    try:
        found = entry.load()
    except Exception as error:  # broad: what the import of another package raises has no limits
        raise ConfigError(
            f"The image format {where} cannot be loaded ({type(error).__name__}: {error}).", remedy
        ) from error
    if not isinstance(found, Format):
        raise ConfigError(
            f"The image format {where} is a {type(found).__name__}, and no unetkit.io.base.format.Format.", remedy
        )
    return found


def _by_suffix(path: Path) -> list[Format]:
    """Return the formats whose images end as a path does."""
    own = [one for one in BUILT_IN if one.has_suffix(path)]
    if own or not path.suffix:
        return own
    by_bioio = plugins() if ends_with(path, tuple(KNOWN)) else ()
    return [one for one in (*others(), *by_bioio) if one.has_suffix(path)]


def _first(fits: Callable[[Format], bool], known: tuple[Format, ...], *, ask_others: bool = True) -> Format | None:
    """Return the first format that fits; those of other packages come last and are loaded only then."""
    own = next((one for one in known if fits(one)), None)
    return own or (next((one for one in others() if fits(one)), None) if ask_others else None)


def _read_start(path: Path) -> bytes:
    check_local(path)
    try:
        with path.open("rb") as file:
            start = file.read(START_BYTES)
    except FileNotFoundError as error:
        raise ImageError(f"The image {path} does not exist.", "Check its name and folder.") from error
    except OSError as error:
        raise ImageError(f"The image {path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    if not start:
        raise ImageError(f"The image {path} is empty (0 bytes).", "Copy or export it again.")
    return start
