"""Export the objects of label images to files of other programs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Literal

from unetkit.exporting.base import Scene
from unetkit.exporting.exporters import exporter_of, open_export
from unetkit.exporting.options import ExportOptions
from unetkit.foundation.atomic import make_folder
from unetkit.foundation.errors import ConfigError, DataError, UnetkitError
from unetkit.io.files import image_stem
from unetkit.measuring.export_jobs import ExportJob, plan_exports
from unetkit.measuring.options import MeasureOptions
from unetkit.measuring.reading import Begin, Log, MeasuredFile

FOLDER_SUFFIX = ".geojson.gz"
"""Ending of the files in a folder of results."""


def export(
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
    pixel_size_um: float | None = None,
    overwrite: bool = False,
    log: Log | None = None,
    progress: Begin | None = None,
) -> list[int]:
    """Export the objects of a label image, or of a folder of them, to QuPath (GeoJSON) or Fiji (ROIs).

    Files may be larger than memory. Outlines are exact: filled again, they give the very same pixels. An object is the
    pixels of one plane with the same number, in however many pieces.

    Args:
        labels: TIFF, OME-Zarr or PNG of whole numbers, one for each object and 0 for background, of any program; or a
            folder of them.
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
        pixel_size_um: Size of a pixel in place of what the files say.
        overwrite: Whether existing files are replaced.
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
    measuring = MeasureOptions(ring, channels, connected, axes, pixel_size_um, overwrite)
    if no_measurements and image is not None:
        raise ConfigError("An image has no meaning without measurements.", "Leave one of the two out.")
    if image is None and (ring, channels) != (None, None):
        name = "ring" if ring is not None else "channels"
        raise ConfigError(f"{name} has no meaning without an image.", "Give the image whose intensities are measured.")
    target = Path(result)
    jobs = plan_exports(
        Path(labels), None if image is None else Path(image), target, options, suffix, overwrite=overwrite
    )
    run = _Run(options, measuring, not no_measurements, log or _say_nothing, progress)
    if jobs[0].result == target:
        return [run.export(jobs[0])]
    make_folder(target)
    return run.export_all(jobs)


class _Run:
    """What holds for all label images of a call."""

    def __init__(
        self, options: ExportOptions, measuring: MeasureOptions, measured: bool, log: Log, progress: Begin | None
    ) -> None:
        self._options = options
        self._measuring = measuring
        self._measured = measured
        self._log = log
        self._progress = progress

    def export_all(self, jobs: list[ExportJob]) -> list[int]:
        """Export each label image; raise one error for all that failed."""
        counts: list[int] = []
        failed: list[UnetkitError] = []
        for job in jobs:
            try:
                counts.append(self.export(job))
            except ConfigError:
                raise
            except UnetkitError as error:
                failed.append(error)
        if failed:
            problems = " ".join(f"({number}) {error.problem}" for number, error in enumerate(failed, 1))
            raise DataError(
                f"{len(failed)} of {len(jobs)} label images were not exported: {problems}", failed[0].remedy
            )
        return counts

    def export(self, job: ExportJob) -> int:
        """Export one label image and return the number of its objects."""
        count = 0
        with closing(MeasuredFile(job.labels, job.image, self._measuring, self._log)) as file:
            measured = self._measured and exporter_of(job.result).has_values
            batches = file.measured(self._progress) if measured else file.unmeasured(self._progress)
            scene = Scene(image_stem(job.labels), file.frame.plane_axes, file.frame.plane_shape)
            overwrite = self._measuring.overwrite
            with open_export(job.result, scene, self._options, warn=self._log, overwrite=overwrite) as writer:
                for batch in batches:
                    writer.add(batch.objects, batch.values)
                    count += len(batch)
            if not count:
                self._log(f"{file.name} has no objects, so {job.result} has none.")
        return count


def _say_nothing(_: str) -> None:
    """Log that does nothing."""
