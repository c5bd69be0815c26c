"""Measure the objects of label images: a table with a row for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.atomic import claimed, make_folder, partial_file
from unetkit.foundation.errors import ConfigError, DataError, UnetkitError
from unetkit.io.files import image_stem, read_notes
from unetkit.measuring.image_file import IntensityFile
from unetkit.measuring.jobs import Job, plan_jobs
from unetkit.measuring.mask_doubt import MaskDoubt
from unetkit.measuring.mask_file import MaskFile
from unetkit.measuring.options import MeasureOptions
from unetkit.objects.frame import Frame
from unetkit.objects.label_file import LabelFile
from unetkit.objects.lookups import Lookup, by_range, read_class_note
from unetkit.objects.measurer import NO_CHANNELS, Channels, Measured, Measurer
from unetkit.objects.summary import SUMMARY_NAME, Summary, write_summaries
from unetkit.objects.table import open_table

Log = Callable[[str], None]
Progress = Callable[[int], None]
"""Called with the number of pixels that were measured since its last call."""

Begin = Callable[[str, int], Progress]
"""Called with the name of a label image and its number of pixels."""


def measure(
    labels: str | Path,
    image: str | Path | None,
    table: str | Path,
    *,
    ring: str | None = None,
    channels: str | None = None,
    connected: bool = False,
    axes: str | None = None,
    pixel_size_um: float | None = None,
    overwrite: bool = False,
    log: Log | None = None,
    progress: Begin | None = None,
) -> list[Summary]:
    """Measure the objects of a label image, or of a folder of them, into tables with a row for each object and plane.

    Files may be larger than memory. An object is the pixels of one plane with the same number, in however many pieces.
    `docs/measure.md` says what each column is. Values are those of `skimage.measure.regionprops_table`.

    Args:
        labels: TIFF, OME-Zarr or PNG of whole numbers, one for each object and 0 for background, of any program; or a
            folder of them.
        image: The image whose intensities are measured, or a folder of images with the names of the labels. None to
            measure sizes and shapes only.
        table: `.csv` or `.parquet`. For a folder of labels a folder, which gets a `.csv` for each and `summary.csv`.
        ring: See `MeasureOptions`, as all below.
        channels: Channels of the image to measure.
        connected: Whether the labels are masks whose connected parts are numbered first.
        axes: Axes of the labels.
        pixel_size_um: Size of a pixel in place of what the files say.
        overwrite: Whether existing tables are replaced.
        log: Called with sentences for people.
        progress: Called with the name of each label image and its number of pixels; returns what is called with the
            number of pixels that are done.

    Returns:
        The numbers of each label image.

    Raises:
        UnetkitError: Files cannot be read, do not fit each other, or are no labels; a table exists or cannot be
            written; a setting has no meaning. Of several label images the others are measured all the same.
    """
    options = MeasureOptions(ring, channels, connected, axes, pixel_size_um, overwrite)
    if image is None and (ring, channels) != (None, None):
        name = "ring" if ring is not None else "channels"
        raise ConfigError(f"{name} has no meaning without an image.", "Give the image whose intensities are measured.")
    target = Path(table)
    jobs = plan_jobs(Path(labels), None if image is None else Path(image), target, overwrite=overwrite)
    say = log or _say_nothing
    if jobs[0].table == target:
        return [_measure_file(jobs[0], options, say, progress)]
    make_folder(target)
    with claimed(target / SUMMARY_NAME):
        return _measure_folder(jobs, target, options, say, progress)


def _measure_folder(
    jobs: list[Job], folder: Path, options: MeasureOptions, log: Log, progress: Begin | None
) -> list[Summary]:
    """Measure all label images, and write their summary."""
    done: list[Summary] = []
    failed: list[UnetkitError] = []
    for job in jobs:
        try:
            done.append(_measure_file(job, options, log, progress))
        except ConfigError:
            raise
        except UnetkitError as error:
            failed.append(error)
    if done:
        with partial_file(folder / SUMMARY_NAME) as partial:
            write_summaries(partial, done)
    if failed:
        problems = " ".join(f"({number}) {error.problem}" for number, error in enumerate(failed, 1))
        raise DataError(f"{len(failed)} of {len(jobs)} label images were not measured: {problems}", failed[0].remedy)
    return done


def _measure_file(job: Job, options: MeasureOptions, log: Log, progress: Begin | None) -> Summary:
    """Measure one label image."""
    with ExitStack() as stack:
        labels: LabelFile | MaskFile
        labels = MaskFile(job.labels, options.axes, log) if options.connected else LabelFile(job.labels, options.axes)
        stack.callback(labels.close)
        image = None
        if job.image is not None:
            image = stack.enter_context(closing(IntensityFile(job.image, labels, options.channels)))
        for remark in (*labels.info.remarks, *(image.info.remarks if image is not None else ())):
            log(f"{labels.info.name}: {remark}")
        frame = _frame(labels, image, options, log)
        channels = NO_CHANNELS
        if image is not None:
            channels = Channels(image.channel_names, options.ring_px(frame.pixel_size_um))
        measurer = Measurer(frame, channels, _extras(job.labels), labels.find_last_rows)
        summary = Summary(image_stem(job.labels), frame)
        empty = measurer.empty(labels.dtype, None if image is None else image.info.dtype)
        advance = progress(labels.info.name, frame.pixels) if progress is not None else None
        doubt = MaskDoubt()
        with open_table(job.table, empty, overwrite=options.overwrite) as table:
            for measured in _batches(measurer, labels, image, advance):
                table.add(measured.objects.plane, measured.values)
                summary.add(measured.values)
                doubt.add(measured.objects)
        if not options.connected and doubt.text:
            log(f"{labels.info.name} {doubt.text}")
        if not summary.objects:
            log(f"{labels.info.name} has no objects, so its table has no rows.")
        return summary


def _batches(
    measurer: Measurer, labels: LabelFile | MaskFile, image: IntensityFile | None, advance: Progress | None
) -> Iterator[Measured]:
    """Push all rows of all planes, and yield what is measured."""
    for plane in range(labels.info.planes):
        pixels: Iterator[NDArray[Any] | None] = iter(lambda: None, 0) if image is None else image.strips(plane)
        for strip, part in zip(labels.strips(plane), pixels, strict=False):
            yield from measurer.add(strip, part)
            if advance is not None:
                advance(strip.size)


def _frame(labels: LabelFile | MaskFile, image: IntensityFile | None, options: MeasureOptions, log: Log) -> Frame:
    """Return the planes, with the size of a pixel from where it is known."""
    frame = labels.frame
    if options.pixel_size_um is not None:
        return replace(frame, pixel_size_um=(options.pixel_size_um, options.pixel_size_um))
    if image is None:
        return frame
    own, other = frame.pixel_size_um, image.info.pixel_size_um
    if own is None:
        frame = replace(frame, pixel_size_um=other)
    elif other is not None and not np.allclose(own, other, rtol=0.01):
        log(
            f"{labels.info.name} has pixels of {own[0]:.4g} x {own[1]:.4g} µm (y, x), and {image.info.name} of "
            f"{other[0]:.4g} x {other[1]:.4g} µm: those of the labels count. --pixel-size-um gives another size."
        )
    if not frame.steps and frame.plane_axes == image.info.plane_axes:
        frame = replace(frame, steps=image.info.steps)
    return frame


def _extras(path: Path) -> dict[str, Lookup]:
    """Return the class of each object where unetkit has noted the classes in its file."""
    note = read_notes(path).get("object_classes")
    classes = None if note is None else read_class_note(note)
    return {} if classes is None else {"class": by_range(*classes)}


def _say_nothing(_: str) -> None:
    """Log that does nothing."""
