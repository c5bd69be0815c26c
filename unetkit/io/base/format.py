"""What a kind of image file is: how it is recognised, read and written. `unetkit.io.formats` is the table of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from unetkit.foundation.atomic import check_target
from unetkit.io.base.contracts import ImageSink, ImageSource, OutputSpec
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.base.series import Series


class Opener(Protocol):
    """Opens an image of one format."""

    def __call__(self, path: Path, reading: ReadOptions, *, as_stored: bool, cache_bytes: int) -> ImageSource:
        """Return the image as it is stored, at one of its levels.

        Args:
            path: The file or folder.
            reading: Axes, series, level, channels, and what to do at bad tiles. Where a pixel size is asked for, the
                coarsest level that is as fine is taken; region, stain and resampling are left to `open_image`.
            as_stored: Whether palette images come as the stored numbers and alpha as a channel, as masks need it.
            cache_bytes: Bound of the decoded bytes that are kept in memory between reads.

        Raises:
            ImageError: It cannot be read, or `reading` does not fit it.
        """


def _takes_any(_: Path, __: OutputSpec) -> None:
    """Accept every output."""


def _no_notes(_: Path) -> dict[str, str]:
    """Return that a file has no notes."""
    return {}


def _always() -> bool:
    """Return that nothing more has to be installed."""
    return True


def _by_suffix_only(_: Path) -> bool:
    """Return that no place makes an output one of this format."""
    return False


@dataclass(frozen=True)
class Writer:
    """How a format is written.

    Attributes:
        suffixes: Endings (lower case) of the outputs that are written so; errors name the first.
        sink: Makes the sink for a path. It checks what `check_spec` does.
        check_place: Raises an OutputError if a path cannot be written; given the path, and whether it may be replaced.
        check_spec: Raises an OutputError if the format cannot hold an output; given the path and what is to be written.
        is_place: Whether a path without a suffix is written so since it lies where such outputs belong.
        has_choices: Whether `OutputSpec.compression` and `OutputSpec.layout` have a meaning here.
        takes_volumes: Whether the sink takes items of three axes; if not, a volume comes as planes along Z.
    """

    suffixes: tuple[str, ...]
    sink: Callable[[Path, OutputSpec], ImageSink]
    check_place: Callable[[Path, bool], None] = check_target
    check_spec: Callable[[Path, OutputSpec], None] = _takes_any
    is_place: Callable[[Path], bool] = _by_suffix_only
    has_choices: bool = False
    takes_volumes: bool = False


@dataclass(frozen=True)
class Format:
    """A kind of image file, or of folder that holds one image.

    Another package adds one with an entry point in the group `unetkit.formats` whose object is a `Format`. In its
    `pyproject.toml`:

        [project.entry-points."unetkit.formats"]
        nifti = "my_package.nifti:NIFTI"

    It is imported when no built-in format takes a file. Its functions import what is heavy when they are called.

    Attributes:
        name: What it is called.
        suffixes: Usual endings (lower case, such as ".tif" or ".nii.gz") of the names of such images.
        sniff: Whether an image is of this format, given its path and its first bytes (`START_BYTES` of them; b"" for a
            folder). It raises nothing.
        open: Opens one.
        list_series: Returns the images in a file and their levels without reading pixels. Where it is None, the image
            is opened, and is the only one.
        other_suffixes: Further endings, which messages name after the usual ones of all formats.
        is_folder: Whether such an image is a folder.
        writer: How it is written, if it is.
        read_notes: Returns what unetkit has noted in one (`OutputSpec.notes`); empty if there is nothing.
        is_installed: Whether what reads it is there. If not, such images are not looked for in folders, and opening one
            is an error that says what to install.
    """

    name: str
    suffixes: tuple[str, ...]
    sniff: Callable[[Path, bytes], bool]
    open: Opener
    list_series: Callable[[Path], tuple[Series, ...]] | None = None
    other_suffixes: tuple[str, ...] = ()
    is_folder: bool = False
    writer: Writer | None = None
    read_notes: Callable[[Path], dict[str, str]] = _no_notes
    is_installed: Callable[[], bool] = _always

    def has_suffix(self, path: Path) -> bool:
        """Return whether a path ends as the images of this format do."""
        return ends_with(path, (*self.suffixes, *self.other_suffixes))


START_BYTES = 512
"""Bytes from the start of a file that formats are recognised by."""


def ends_with(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Return whether a name ends with one of `suffixes` and has something before it; upper case counts as lower.

    >>> ends_with(Path("a.NII.gz"), (".nii.gz",)), ends_with(Path(".tif"), (".tif",))
    (True, False)
    """
    name = path.name.lower()
    return any(name.endswith(suffix) and len(name) > len(suffix) for suffix in suffixes)
