"""The table of formats of objects. The suffix of a file decides how it is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unetkit.exporting.base import NO_VALUES, Exporter, ObjectsWriter, Scene, Values, Warn
from unetkit.exporting.geojson import GEOJSON, GEOJSON_GZIP
from unetkit.exporting.imagej_rois import IMAGEJ_ROIS
from unetkit.exporting.options import DEFAULT_EXPORT, ExportOptions
from unetkit.foundation.atomic import check_target, claimed, partial_file
from unetkit.foundation.errors import OutputError
from unetkit.io.base.format import ends_with
from unetkit.objects.collector import Objects
from unetkit.objects.sections import sections_of

EXPORTERS = (GEOJSON, GEOJSON_GZIP, IMAGEJ_ROIS)

EXPORT_SUFFIXES = tuple(suffix for one in EXPORTERS for suffix in one.suffixes)
"""Endings of files of objects."""


def check_export(path: Path, options: ExportOptions = DEFAULT_EXPORT, *, overwrite: bool = False) -> None:
    """Check that objects can be written to a file, before the work that goes into it is done.

    Raises:
        OutputError: It exists, its folder is missing or not writable, or its suffix is not known.
        ConfigError: An option does not fit, or a package is missing.
    """
    exporter = exporter_of(path)
    check_target(path, overwrite)
    if options.simplify:
        from unetkit.exporting.simplify import check_installed

        check_installed()
    exporter.check(path, options)


@contextmanager
def open_export(
    path: Path, scene: Scene, options: ExportOptions = DEFAULT_EXPORT, *, warn: Warn, overwrite: bool = False
) -> Iterator[ObjectsWriter]:
    """Give a writer of objects; the file appears when the block ends without an error.

    An object of a volume gets an outline in each plane that it reaches, each with all that is known of the object.

    Args:
        path: The file: `.geojson`, `.geojson.gz`, ...
        scene: Where the objects lie.
        options: How they are written.
        warn: Takes sentences for the user.
        overwrite: Whether an existing file may be replaced.

    Raises:
        OutputError: See `check_export`; or the disk is full.
        ConfigError: See `check_export`.
    """
    check_export(path, options, overwrite=overwrite)
    with claimed(path), partial_file(path) as partial, exporter_of(path).open(partial, scene, options, warn) as writer:
        yield _Sections(writer, scene)


class _Sections:
    """Writes the objects of planes as they are, and those of volumes plane by plane."""

    def __init__(self, writer: ObjectsWriter, scene: Scene) -> None:
        self._writer = writer
        self._scene = scene

    def add(self, objects: Objects, values: Values = NO_VALUES) -> None:
        """Write some complete objects."""
        if objects.section is None:
            self._writer.add(objects, values)
            return
        for place, planar in sections_of(objects, self._scene.plane_shape[-1]):
            self._writer.add(planar, {name: column[place] for name, column in values.items()})


def exporter_of(path: Path) -> Exporter:
    """Return the format of a file of objects, by its suffix.

    Raises:
        OutputError: There is none.
    """
    for exporter in EXPORTERS:
        if ends_with(path, exporter.suffixes):
            return exporter
    kind = f"has the suffix '{path.suffix}'" if path.suffix else "has no suffix"
    *others, last = EXPORT_SUFFIXES
    raise OutputError(
        f"The output {path} {kind}, which is no format of objects.", f"Use {', '.join(others)} or {last}."
    )
