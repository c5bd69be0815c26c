"""Export the objects of label images to files of other programs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from unetkit.cluster.in_order import Begin, Place
from unetkit.cluster.tasks import Log
from unetkit.exporting.base import scene_of
from unetkit.exporting.exporters import check_export, exporter_of, open_export
from unetkit.exporting.options import ExportOptions
from unetkit.foundation.atomic import make_folder
from unetkit.foundation.console import log_nothing
from unetkit.foundation.errors import ConfigError
from unetkit.io.files import image_stem
from unetkit.measuring.jobs import Job, check_free, check_image_options, do_all, plan_jobs, raise_all
from unetkit.measuring.options import MeasureOptions, lengths_text
from unetkit.measuring.reading import MeasuredFile

FOLDER_SUFFIX = ".geojson.gz"
"""Ending of the files in a folder of results."""


def export_objects(
    labels: str | Path,
    result: str | Path,
    image: str | Path | None = None,
    *,
    object_type: Literal["detection", "annotation"] = "detection",
    simplify: float = 0.0,
    no_measurements: bool = False,
    suffix: str = FOLDER_SUFFIX,
    ring: str | None = None,
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
) -> list[int]:
    """Export the objects of a label image, or of a folder of them, to QuPath (GeoJSON) or Fiji (ROIs).

    Files may be larger than memory. Outlines are exact: filled again, they give the very same pixels. An object is the
    pixels of one plane with the same number, in however many pieces; or the voxels of one volume, which have an outline
    in each plane.

    Args:
        labels: TIFF, OME-Zarr, NIfTI or PNG of whole numbers, one for each object and 0 for background, of any program;
            or a folder of them.
        result: `.geojson`, `.geojson.gz` (QuPath reads both) or `.zip` (ROIs of ImageJ and Fiji). For a folder of
            labels a folder.
        image: The image whose intensities are measured, or a folder of images with the names of the labels. None to
            measure sizes and shapes only.
        object_type: What QuPath takes objects for.
        simplify: Leave out corners that are nearer than this to the simpler outline, in pixels; 0 for exact outlines.
        no_measurements: Whether objects get no measurements, which makes files smaller and takes half the time.
        suffix: Ending of the files in a folder of results.
        ring: See `MeasureOptions`, as all below.
        channels: Channels of the image to measure.
        connected: Whether the labels are masks whose connected parts are numbered first.
        axes: Axes of the labels.
        dims: Whether the labels are planes (2) or volumes (3), whose objects have an outline in each plane; None to let
            each file say it.
        pixel_size_um: Size of a pixel in place of what the files say: a number, or one for each axis.
        overwrite: Whether existing files are replaced.
        cluster: See `ClusterOptions`: each label image is a task. The result is the same.
        client: A `distributed.Client` in place of `cluster`.
        log: Called with sentences for people.
        progress: Called with the name of each label image and its number of pixels; returns what is called with the
            number of pixels that are done.

    Returns:
        The number of objects in each label image.

    Raises:
        UnetkitError: Files cannot be read, do not fit each other, or are no labels; a result exists or cannot be
            written; a setting has no meaning. Of several label images the others are exported all the same.
    """
    options = ExportOptions(object_type, simplify)
    measuring = MeasureOptions(ring, channels, connected, axes, dims, lengths_text(pixel_size_um), overwrite)
    if no_measurements and image is not None:
        raise ConfigError("An image has no meaning without measurements.", "Leave one of the two out.")
    check_image_options(image, measuring)
    target = Path(result)
    jobs = plan_jobs(Path(labels), None if image is None else Path(image), target, suffix)
    _check(jobs, target, options, overwrite=overwrite)
    place = Place(cluster, client, log or log_nothing, progress)
    written = measuring if place.is_here else replace(measuring, overwrite=True)
    if jobs[0].result != target:
        make_folder(target)
    run = partial(_export_file, options=options, measuring=written, measured=not no_measurements)
    done, failed = do_all(jobs, run, place)
    raise_all(failed, len(jobs), "exported")
    return done


def _check(jobs: Sequence[Job], target: Path, options: ExportOptions, *, overwrite: bool) -> None:
    """Check that all results can be written.

    Raises:
        OutputError: One exists, cannot be written, or has an unknown suffix.
        ConfigError: An option does not fit, or a package is missing.
    """
    first = jobs[0]
    exporter = exporter_of(first.result)
    if first.result != target:
        check_free([job.result for job in jobs], target, overwrite=overwrite)
        exporter.check(first.result, options)
    for job in jobs if first.result == target or target.exists() else ():
        check_export(job.result, options, overwrite=overwrite)
    if first.image is not None and not exporter.has_values:
        raise ConfigError(
            f"{first.result} cannot hold measurements.", "Leave the image out, or write .geojson or .geojson.gz."
        )


def _export_file(
    job: Job,
    log: Log,
    progress: Begin | None,
    *,
    options: ExportOptions,
    measuring: MeasureOptions,
    measured: bool,
) -> int:
    """Export one label image and return the number of its objects."""
    count = 0
    with closing(MeasuredFile(job.labels, job.image, measuring, log)) as file:
        has_values = measured and exporter_of(job.result).has_values
        batches = file.measured(progress) if has_values else file.unmeasured(progress)
        scene = scene_of(image_stem(job.labels), file.frame)
        with open_export(job.result, scene, options, warn=log, overwrite=measuring.overwrite) as writer:
            for batch in batches:
                writer.add(batch.objects, batch.values)
                count += len(batch)
        if not count:
            log(f"{file.name} has no objects, so {job.result} has none.")
    return count
