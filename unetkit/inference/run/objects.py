"""The objects of an image on the way of its labels to their file: measured, and written to tables and outlines."""

from __future__ import annotations

import csv
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.exporting.base import ObjectsWriter, scene_of
from unetkit.exporting.exporters import open_export
from unetkit.foundation.atomic import cannot_write, partial_file
from unetkit.foundation.errors import OutputError, UnetkitError
from unetkit.foundation.threads import read_ahead
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.run.grids import output_reading
from unetkit.inference.run.jobs import Job
from unetkit.inference.run.recipe import Recipe
from unetkit.inference.tiling.options import SegmentOptions
from unetkit.io.base.contracts import Extent, ImageInfo, ImageSource, OutputSpec
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import image_stem, open_image
from unetkit.objects.channel_names import as_numbers, name_channels
from unetkit.objects.frame import Frame
from unetkit.objects.lookups import Lookup, by_label, by_range, constant
from unetkit.objects.measurer import NO_CHANNELS, Channels, Measured, Measurer
from unetkit.objects.ring_width import ring_in_pixels
from unetkit.objects.summary import SUMMARY_NAME, Summary, write_summaries
from unetkit.objects.table import Table, open_table
from unetkit.postprocess.blocks import label_tile
from unetkit.postprocess.joined import Numbered

AHEAD_BYTES = 1 << 26
"""Largest strip of an image that is read ahead."""

Rows = Iterator[NDArray[Any]]

Write = Callable[[Measured], None]
"""Writes a batch of measured objects."""


class ObjectStream:
    """Takes note of labels that pass by, and writes the files of their objects.

    An error in these files, or of the image that is read for them, does not stop the labels: it is kept until `finish`.

    Args:
        measurer: Measures the objects.
        pixels: The raw pixels (C, ...) of the same rows as the labels; None where only outlines are written.
        summary: Adds up what the objects amount to.
        stack: The open files.
        writers: The files, and what is called with each batch of measured objects.
    """

    def __init__(
        self,
        measurer: Measurer,
        pixels: Iterator[NDArray[Any]] | None,
        summary: Summary,
        stack: ExitStack,
        writers: list[tuple[Path, Write]],
    ) -> None:
        self._measurer = measurer
        self._pixels = pixels
        self._stack = stack
        self._summary = summary
        self._writers = writers
        self._error: UnetkitError | None = None

    def watch(self, rows: Iterable[NDArray[Any]]) -> Rows:
        """Yield the rows (1, h, width) of the labels, or of volumes (1, d, height, width), in order."""
        for strip in rows:
            if self._error is None:
                self._add(strip[0])
            yield strip

    def finish(self) -> None:
        """Let the files appear.

        Raises:
            UnetkitError: The first error of one of them.
        """
        if self._error is not None:
            raise self._error
        self._stack.close()

    def _add(self, labels: NDArray[Any]) -> None:
        try:
            pixels = None if self._pixels is None else next(self._pixels)
            for measured in self._measurer.add(labels, pixels):
                self._summary.add(measured.values)
                for path, write in self._writers:
                    _write(path, write, measured)
        except UnetkitError as error:
            self._error = self._abandon(error)

    def _abandon(self, error: UnetkitError) -> UnetkitError:
        """Remove what is unfinished, and return the error."""
        try:
            with self._stack:
                raise error
        except UnetkitError as named:
            return named


@contextmanager
def open_objects(
    job: Job, labels: Numbered, recipe: Recipe, summary: Summary, log: Callable[[str], None]
) -> Iterator[ObjectStream]:
    """Give the stream through which the labels of an image pass. The files appear at the end.

    Args:
        job: The image and its files.
        labels: The objects.
        recipe: The decisions about the image.
        summary: Where the numbers of the image are added up.
        log: Called with sentences for people.

    Raises:
        UnetkitError: A file cannot be written, or the image cannot be read again.
    """
    info, files, overwrite = recipe.info, job.new_files, recipe.options.write.overwrite
    frame = summary.frame
    with ExitStack() as reading, ExitStack() as stack:
        channels, pixels, kind = NO_CHANNELS, None, None
        if files.table is not None or files.geojson is not None:
            image = reading.enter_context(closing(open_raw(job.image, recipe.reading, info)))
            ring = ring_in_pixels(recipe.options.objects.ring, frame.pixel_size_um, len(frame.size))
            channels, kind = Channels(name_channels(image.info), ring), image.info.dtype
            pixels = reading.enter_context(closing(_strips(image)))
        measurer = Measurer(frame, channels, extras_of(labels, recipe, image_stem(job.result)))
        writers: list[tuple[Path, Write]] = []
        if files.table is not None:
            empty = measurer.empty(np.dtype(labels.dtype), kind)
            table = stack.enter_context(open_table(files.table, empty, overwrite=overwrite))
            writers.append((files.table, partial(_add_rows, table)))
        scene = scene_of(image_stem(job.result), info)
        for path in files.exports:
            export = stack.enter_context(open_export(path, scene, warn=log, overwrite=overwrite))
            writers.append((path, partial(_add_outlines, export)))
        stream = ObjectStream(measurer, pixels, summary, stack, writers)
        yield stream
        stream.finish()


def frame_of(info: ImageInfo | OutputSpec) -> Frame:
    """Return the planes or volumes of an image."""
    return Frame(info.size, info.plane_axes, info.plane_shape, info.pixel_size_um, info.steps)


def class_names(ensemble: Ensemble) -> tuple[str, ...]:
    """Return the names of the classes of objects, the background left out."""
    names = ensemble.specs[0].class_names
    return names[1:] if len(names) == ensemble.classes else tuple(f"class {i}" for i in range(1, ensemble.classes))


def extras_of(labels: Numbered, recipe: Recipe, region: str) -> dict[str, Lookup]:
    """Return the columns that follow the label: its region, and its class and confidence where they are known.

    `region` is what the label image is called: with it and `label`, SpatialData joins tables to images.
    """
    extras = {"region": constant(region)}
    if recipe.ensemble.classes > 1:
        extras["class"] = by_range(class_names(recipe.ensemble), labels.last)
    elif labels.confidences is not None:
        extras["confidence"] = by_label(np.pad(labels.confidences, 1))  # for the background, and if there are none
    return extras


def open_raw(path: Path, reading: ReadOptions, info: ImageInfo) -> ImageSource:
    """Open an image again as it was read for the models, with all its channels as they are stored.

    Args:
        path: The image.
        reading: How it was read.
        info: The image as it was interpreted.
    """
    reading = replace(reading, channels=None, stain=None)
    source = open_image(path, reading, dims=len(info.size))
    if source.info.axes != info.axes:  # pages that were taken for channels
        source.close()
        source = open_image(path, replace(reading, axes=info.axes), dims=len(info.size))
    return source


def kept_rows(path: Path, rows: Rows, info: Extent) -> Rows:
    """Yield rows of labels that are in a file already.

    Args:
        path: The file.
        rows: The rows (1, h, width), or of volumes (1, d, height, width).
        info: Sizes of what the labels are of.

    Raises:
        OutputError: The file holds other labels.
    """
    other = OutputError(
        f"{path} holds other labels than this run makes, so its objects would not be those of the file.",
        "Pass --overwrite to make it anew, or measure the file itself with `unetkit measure`.",
    )
    with closing(open_image(path, dims=len(info.size), as_stored=True)) as source:
        if (source.info.planes, source.info.size) != (info.planes, info.size):
            raise other
        extent, *others = info.size
        plane = top = 0
        for strip in rows:
            bottom = top + strip.shape[1]
            window = slice(top, bottom), *(slice(0, length) for length in others)
            if not np.array_equal(source.read(plane, window), strip):
                raise other
            plane, top = (plane + 1, 0) if bottom == extent else (plane, bottom)
            yield strip


def summary_of(table: Path, image: str, frame: Frame) -> Summary:
    """Return the numbers of an image from its table (.csv), which an earlier run has written."""
    summary = Summary(image, frame)
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            summary.add(_measured(row))
    return summary


def write_summary(
    tables: Mapping[Path, Path], known: Mapping[Path, Summary], ensemble: Ensemble, options: SegmentOptions
) -> None:
    """Write the summary of several images beside their tables; an image without a table is left out.

    Args:
        tables: The table of each image.
        known: What the objects amount to in the images of this run. Those of earlier ones are read from their tables.
        ensemble: The models.
        options: The user's choices.

    Raises:
        UnetkitError: It cannot be written, or a table or an image cannot be read again.
    """
    summaries = []
    for image, table in tables.items():
        if image in known:
            summaries.append(known[image])
        elif table.exists():
            reading = output_reading(image, ensemble, options)
            with closing(open_image(image, reading, dims=ensemble.dims)) as source:
                summaries.append(summary_of(table, image_stem(image), frame_of(source.info)))
    if summaries:
        with partial_file(next(iter(tables.values())).parent / SUMMARY_NAME) as partial:
            write_summaries(partial, summaries)


def _measured(row: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    size = "area_px" if "area_px" in row else "volume_px"
    found = {
        "label": np.array([int(row["label"])]),
        size: np.array([int(row[size])]),
        "touches_border": np.array([row["touches_border"] == "true"]),
    }
    return found | ({"class": np.array([row["class"]], object)} if "class" in row else {})


def _write(path: Path, write: Write, measured: Measured) -> None:
    """Write a batch; all files are open together, so an error is named after its own here."""
    try:
        write(measured)
    except OSError as error:
        raise cannot_write(path, error) from error


def _add_rows(table: Table, measured: Measured) -> None:
    table.add(measured.objects.plane, measured.values)


def _add_outlines(writer: ObjectsWriter, measured: Measured) -> None:
    writer.add(measured.objects, measured.values)


def _strips(image: ImageSource) -> Generator[NDArray[Any], None, None]:
    """Yield the raw pixels (C, ...) of the rows or sections in which labels come; a thread reads small ones ahead."""
    info, step = image.info, label_tile(image.info.size)[0]
    extent, *others = info.size
    whole = tuple(slice(0, length) for length in others)
    windows = (
        (plane, (slice(top, min(top + step, extent)), *whole))
        for plane in range(info.planes)
        for top in range(0, extent, step)
    )
    strips = (as_numbers(image.read(plane, window)) for plane, window in windows)
    large = info.channels * step * prod(others) * info.dtype.itemsize > AHEAD_BYTES
    yield from strips if large else read_ahead(strips, most=1)
