"""Which files are written of the objects of each image; checked before any work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unetkit.foundation.atomic import check_target
from unetkit.foundation.errors import OutputError
from unetkit.inference.tiling.object_options import FILES, ObjectOptions
from unetkit.io.base.format import ends_with
from unetkit.io.files import image_stem
from unetkit.objects.summary import SUMMARY_NAME

SUFFIXES = {"table": (".csv", ".parquet"), "geojson": (".geojson", ".geojson.gz"), "rois": (".zip",)}
"""Suffixes that the file of a single image may have."""


@dataclass(frozen=True)
class ObjectFiles:
    """The files of the objects of one image, see `ObjectOptions`.

    Attributes:
        table: A row for each object.
        geojson: Outlines for QuPath.
        rois: Regions for ImageJ.
    """

    table: Path | None = None
    geojson: Path | None = None
    rois: Path | None = None

    def __iter__(self) -> Iterator[Path]:
        return iter([path for path in (self.table, self.geojson, self.rois) if path is not None])

    @property
    def exports(self) -> tuple[Path, ...]:
        """Those that are no table."""
        return tuple(path for path in (self.geojson, self.rois) if path is not None)

    @property
    def missing(self) -> ObjectFiles:
        """Those that are not there yet."""
        table, geojson, rois = (
            None if path is None or path.exists() else path for path in (self.table, self.geojson, self.rois)
        )
        return ObjectFiles(table, geojson, rois)

    def moved(self, move: Callable[[Path], Path]) -> ObjectFiles:
        """Return the same files in other places."""
        table, geojson, rois = (None if path is None else move(path) for path in (self.table, self.geojson, self.rois))
        return ObjectFiles(table, geojson, rois)

    def __len__(self) -> int:
        return len([*iter(self)])


NO_FILES = ObjectFiles()
"""No file but the labels."""


def plan_object_files(images: Sequence[Path], options: ObjectOptions, *, several: bool) -> list[ObjectFiles]:
    """Name the files of the objects of each image.

    Args:
        images: The images.
        options: The user's choices.
        several: Whether outputs go to folders, under the stems of the images.

    Raises:
        OutputError: A file is given for several images, or one with another suffix than its format has.
    """
    for name in options.asked:
        place: Path = getattr(options, name)
        if several and (place.is_file() or ends_with(place, SUFFIXES[name])):
            raise OutputError(f"{name}: {place} is a file, but there are several images.", "Give a folder.")
        if not several and not ends_with(place, SUFFIXES[name]):
            kind = f"has the suffix '{place.suffix}'" if place.suffix else "has no suffix"
            raise OutputError(f"{name}: {place} {kind}.", f"Use {' or '.join(SUFFIXES[name])}.")
    if not several:
        return [ObjectFiles(options.table, options.geojson, options.rois)] * len(images)
    if options.table is not None and (same := [path for path in images if image_stem(path) == Path(SUMMARY_NAME).stem]):
        raise OutputError(f"The table of {same[0]} would be that of all images, {SUMMARY_NAME}.", "Rename the image.")
    return [
        ObjectFiles(**{name: getattr(options, name) / f"{image_stem(image)}{FILES[name]}" for name in options.asked})
        for image in images
    ]


def check_object_files(files: ObjectFiles, *, overwrite: bool) -> None:
    """Check that the files of one image can be written, as far as possible before it is opened.

    Those in folders that will be made are free.

    Raises:
        OutputError: One exists, or its folder is missing or not writable.
        ConfigError: A package is missing.
    """
    if not files:
        return
    from unetkit.exporting.exporters import check_export  # here, since only outlines need SciPy
    from unetkit.objects.table import check_table

    if files.table is not None and files.table.parent.exists():
        check_table(files.table, overwrite=overwrite)
    for path in files.exports:
        if path.parent.exists():
            check_export(path, overwrite=overwrite)


def check_summary(folder: Path, *, overwrite: bool) -> None:
    """Check that the summary of the tables in a folder can be written.

    Raises:
        OutputError: It exists and may not be replaced.
    """
    if folder.is_dir():
        check_target(folder / SUMMARY_NAME, overwrite)
