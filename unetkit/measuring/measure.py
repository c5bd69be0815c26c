"""Measure the objects of label images: a table with a row for each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from unetkit.cluster.in_order import Begin, Place
from unetkit.cluster.tasks import Log
from unetkit.foundation.atomic import claimed, make_folder, partial_file
from unetkit.foundation.console import log_nothing
from unetkit.foundation.errors import OutputError
from unetkit.io.files import image_stem
from unetkit.io.formats import is_folder
from unetkit.measuring.jobs import Job, check_free, check_image_options, do_all, plan_jobs, raise_all
from unetkit.measuring.options import MeasureOptions, lengths_text
from unetkit.measuring.reading import MeasuredFile
from unetkit.objects.summary import SUMMARY_NAME, Summary, write_summaries
from unetkit.objects.table import TABLE_SUFFIXES, check_table, open_table


def measure(
    labels: str | Path,
    image: str | Path | None,
    table: str | Path,
    *,
    ring: str | float | None = None,
    channels: str | None = None,
    connected: bool = False,
    axes: str | None = None,
    dims: Literal[2, 3] | None = None,
    pixel_size_um: str | float | Sequence[float] | None = None,
    overwrite: bool = False,
    cluster: str | None = None,
    client: Any = None,
    log: Log | None = None,
    progress: Begin | None = None,
) -> list[Summary]:
    """Measure the objects of a label image, or of a folder of them, into tables with a row for each object and plane.

    Files may be larger than memory. An object is the pixels of one plane, or the voxels of one volume, with the same
    number, in however many pieces. `docs/measure.md` says what each column is. Values are those of
    `skimage.measure.regionprops_table`.

    Args:
        labels: TIFF, OME-Zarr, NIfTI or PNG of whole numbers, one for each object and 0 for background, of any program;
            or a folder of them.
        image: The image whose intensities are measured, or a folder of images with the names of the labels. None to
            measure sizes and shapes only.
        table: `.csv` or `.parquet`. For a folder of labels a folder, which gets a `.csv` for each and `summary.csv`.
        ring: See `MeasureOptions`, as all below; a number is in pixels.
        channels: Channels of the image to measure.
        connected: Whether the labels are masks whose connected parts are numbered first.
        axes: Axes of the labels.
        dims: Whether the labels are planes (2) or volumes (3); None to let each file say it.
        pixel_size_um: Size of a pixel in place of what the files say: a number, or one for each axis.
        overwrite: Whether existing tables are replaced.
        cluster: See `ClusterOptions`: each label image is a task. The result is the same.
        client: A `distributed.Client` in place of `cluster`.
        log: Called with sentences for people.
        progress: Called with the name of each label image and its number of pixels; returns what is called with the
            number of pixels that are done.

    Returns:
        The numbers of each label image.

    Raises:
        UnetkitError: Files cannot be read, do not fit each other, or are no labels; a table exists or cannot be
            written; a setting has no meaning. Of several label images the others are measured all the same.
    """
    width = None if ring is None else str(ring)
    options = MeasureOptions(width, channels, connected, axes, dims, lengths_text(pixel_size_um), overwrite)
    check_image_options(image, options)
    target = Path(table)
    jobs = _plan(Path(labels), None if image is None else Path(image), target, overwrite=overwrite)
    place = Place(cluster, client, log or log_nothing, progress)
    do = partial(_measure_file, options=options if place.is_here else replace(options, overwrite=True))
    if jobs[0].result == target:
        done, failed = do_all(jobs, do, place)
        raise_all(failed, len(jobs), "measured")
        return done
    make_folder(target)
    with claimed(target / SUMMARY_NAME):
        done, failed = do_all(jobs, do, place)
        if done:
            with partial_file(target / SUMMARY_NAME) as unfinished:
                write_summaries(unfinished, done)
    raise_all(failed, len(jobs), "measured")
    return done


def _plan(labels: Path, image: Path | None, table: Path, *, overwrite: bool) -> list[Job]:
    """Pair label images, images and tables, and check that these can be written; see `plan_jobs`."""
    folder = is_folder(labels)
    if folder and table.suffix.lower() in TABLE_SUFFIXES:
        raise OutputError(f"{table} is a file, but {labels} is a folder.", "Give a folder for the tables.")
    if not folder and table.is_dir():
        raise OutputError(f"The table {table} is a folder.", f"Give a name that ends in {TABLE_SUFFIXES[0]}.")
    jobs = plan_jobs(labels, image, table, TABLE_SUFFIXES[0])
    if not folder:
        check_table(table, overwrite=overwrite)
        return jobs
    targets = [*(job.result for job in jobs), table / SUMMARY_NAME]
    if targets.count(table / SUMMARY_NAME) > 1:
        raise OutputError(f"Two tables would be written to {table / SUMMARY_NAME}.", "Rename the labels.")
    check_free(targets, table, overwrite=overwrite)
    return jobs


def _measure_file(job: Job, log: Log, progress: Begin | None, *, options: MeasureOptions) -> Summary:
    """Measure one label image."""
    with closing(MeasuredFile(job.labels, job.image, options, log)) as file:
        summary = Summary(image_stem(job.labels), file.frame)
        with open_table(job.result, file.empty, overwrite=options.overwrite) as table:
            for measured in file.measured(progress):
                table.add(measured.objects.plane, measured.values)
                summary.add(measured.values)
        if not summary.objects:
            log(f"{file.name} has no objects, so its table has no rows.")
        return summary
