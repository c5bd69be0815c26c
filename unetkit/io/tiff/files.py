"""OME-TIFF in several files: which of them are missing, and where their metadata lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tifffile import TiffFile, TiffPageSeries

from unetkit.foundation.errors import ImageError
from unetkit.io.base.read_options import OnBadTile

NAMED_FILES = 3
"""How many files a message names."""


@dataclass(frozen=True)
class Siblings:
    """The files of an OME-TIFF, as its metadata name them.

    Attributes:
        count: Number of files, this one included.
        missing: Names of the files that are missing.
    """

    count: int
    missing: tuple[str, ...]


def find_companion(file: TiffFile) -> Path | None:
    """Return the companion file of an OME-TIFF, None if it has none.

    An OME-TIFF may hold pixels only and name another file that holds the metadata. That file may be missing.
    """
    root = _parse(file)
    binary = next((child for child in root if child.tag.endswith("BinaryOnly")), None) if root is not None else None
    name = binary.get("MetadataFile") if binary is not None else None
    return Path(file.filehandle.dirname) / name if name else None


def check_files(
    file: TiffFile, all_series: Sequence[TiffPageSeries], number: int, name: str, on_bad_tile: OnBadTile
) -> tuple[str, ...]:
    """Return remarks on planes of a series that are in no file.

    Args:
        file: The open file.
        all_series: All series of it.
        number: Number of the series that is read.
        name: Path of the file, for messages.
        on_bad_tile: "background" reads what is missing as background.

    Raises:
        ImageError: Files that the metadata name are missing, and bad tiles are to stop.
    """
    companion = find_companion(file)
    if companion is not None and not companion.is_file():
        return (
            f"It is one file of an OME-TIFF in several. Their metadata, {companion.name}, are missing: its own pages "
            "alone are read.",
        )
    root = _parse(file)
    if root is None:
        return ()
    siblings = _siblings(root, file)
    series = all_series[number]
    if series.kind != "ome":
        return _unread(siblings, name, on_bad_tile)
    absent = sum(page is None for page in series.pages)
    if not absent:
        return ()
    if not siblings.missing:
        return (f"{absent} of its {len(series.pages)} planes are in no file, and are read as 0.",)
    what = f"{len(siblings.missing)} of its {siblings.count} files are missing ({_some(siblings.missing)})"
    if on_bad_tile == "stop":
        raise ImageError(
            f"{name} is an OME-TIFF in several files: {what}, with {absent} of its {len(series.pages)} planes.",
            "Copy them into the same folder, or read what is missing as background (--on-bad-tile background).",
        )
    return (f"{what[0].upper()}{what[1:]}: {absent} of {len(series.pages)} planes are read as background.",)


def _unread(siblings: Siblings, name: str, on_bad_tile: OnBadTile) -> tuple[str, ...]:
    """Return remarks on a file that is read by its own pages, because the files that its metadata name are missing."""
    if not siblings.missing:
        return ()
    if siblings.count > 2 and on_bad_tile == "stop":
        raise ImageError(
            f"{name} is one file of an OME-TIFF in several, and those with its pixels are missing "
            f"({_some(siblings.missing)}).",
            "Copy them into the same folder, or give another of the files.",
        )
    return (
        f"Its metadata belong to {_some(siblings.missing)}, which is missing (was it renamed?), so it is read by its "
        "pages, without them.",
    )


def _siblings(root: ElementTree.Element, file: TiffFile) -> Siblings:
    own = root.get("UUID")
    names: dict[str, None] = {}
    for element in root.iter():
        name = element.get("FileName") if element.tag.endswith("}UUID") else None
        if name and (own is None or element.text != own) and name.lower() != file.filename.lower():
            names[name] = None
    folder = Path(file.filehandle.dirname)
    return Siblings(len(names) + 1, tuple(name for name in names if not (folder / name).is_file()))


def _parse(file: TiffFile) -> ElementTree.Element | None:
    if not file.is_ome:
        return None
    try:
        return ElementTree.fromstring(file.ome_metadata or "")
    except ElementTree.ParseError:  # tifffile reads such a file by its pages
        return None


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_FILES} more" if len(names) > NAMED_FILES else ""
    return ", ".join(names[:NAMED_FILES]) + more
