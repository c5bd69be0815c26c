"""Tiled prediction from files to files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unetkit.foundation.console import log_nothing
from unetkit.foundation.errors import ConfigError, ImageError, UnetkitError
from unetkit.foundation.options import split_options
from unetkit.foundation.progress import pixel_progress
from unetkit.inference.engine.ensemble import Ensemble, Models, gather_models
from unetkit.inference.overview.collect import Overview, overview_of
from unetkit.inference.run.image import Begin, ImageRun
from unetkit.inference.run.jobs import Job, Named, Order, check_extras, take_order
from unetkit.inference.run.outcome import SegmentOutcome
from unetkit.inference.run.table import Classifying, TableRun, tabulate
from unetkit.inference.run.worth import write_worth
from unetkit.inference.spread.workers import workers_of
from unetkit.inference.tiling.object_options import ObjectOptions
from unetkit.inference.tiling.options import OutputOptions, SegmentOptions, TilingOptions
from unetkit.io.base.read_options import ReadOptions

if TYPE_CHECKING:
    from unetkit.cluster.crew import Crew


def segment(
    image: Named,
    result: str | Path,
    model: Models | None = None,
    *,
    progress: Begin | bool | None = None,
    log: Callable[[str], None] | None = None,
    verify_seams: bool = False,
    client: Any = None,
    **options: Any,
) -> list[SegmentOutcome]:
    """Segment an image file of any size into a file, or several into a folder.

    Args:
        image: TIFF, OME-Zarr, PNG or JPEG; a folder of them, a pattern such as "slides/*.svs", or several of these.
        result: `.tif`, `.tiff`, `.zarr` or `.png`, or a name in the folder `labels` of an OME-Zarr image; for several
            images the folder that gets one `.tif` for each. The image itself, if it is an OME-Zarr, or the folder of
            such images, gets a mask or labels inside, see `name`. For the output "classes" a `.csv`, with a line for
            each image.
        model: A model from `load_model`, the path of a model file, or the name of a built-in model; the mean of several
            counts. By default the built-in "nuclei".
        progress: True shows a bar for each image, in a notebook or a terminal. Or a function, which is called for each
            image with its name and its number of pixels; it returns a function that is called with the number of pixels
            predicted since its last call.
        log: Called with sentences about what happens, for people.
        verify_seams: Whether tiles of each result are compared with passes that see far more of the image.
        client: A `distributed.Client`: its workers segment the images, large ones together; the result is the same.
            Files lie on paths that all of them see, and the client too.
        **options: Any field of these classes: `unetkit.io.base.read_options.ReadOptions` (axes, series, level,
            pixel_size, channels, stain, region, on_bad_tile), `unetkit.inference.tiling.options.TilingOptions` (tile,
            halo, batch, device, backend, precision, memory, tta, skip_empty),
            `unetkit.inference.tiling.options.OutputOptions` (output, threshold, split, min_size, min_confidence,
            pyramid, compression, layout, overwrite, resume, name, report) and
            `unetkit.inference.tiling.object_options.ObjectOptions` (table, geojson, rois, ring).

    Returns:
        What was written.

    Raises:
        UnetkitError: An input cannot be read, the output exists or cannot be written, or a setting is not possible;
            workers do not see the files, or all of them or the scheduler are gone. Of
            several images the others are segmented all the same, and the error names those that failed.
    """
    classes = (ReadOptions, TilingOptions, OutputOptions, ObjectOptions)
    options_given = SegmentOptions(*split_options(options, *classes))
    log = log or log_nothing
    check_extras(options_given.write.output, verify_seams=verify_seams)
    order = take_order(image, Path(result), model, options_given, log)
    with (
        pixel_progress(asked=True) if progress is True else nullcontext(progress or None) as begin,
        workers_of(None, client, log) as crew,
    ):
        return SegmentRun(options_given, begin, log, verify_seams, crew).run(order)


class SegmentRun:
    """A run of `segment` over the images of an order.

    Args:
        options: The user's choices.
        progress: See `segment`.
        log: See `segment`.
        verify_seams: See `segment`.
        crew: The workers of a cluster; None for this machine alone.
    """

    def __init__(
        self,
        options: SegmentOptions,
        progress: Begin | None,
        log: Callable[[str], None],
        verify_seams: bool = False,
        crew: Crew | None = None,
    ) -> None:
        self._crew = crew
        self._options = options
        self._progress = progress
        self._log = log
        self._verify_seams = verify_seams

    def run(self, order: Order) -> list[SegmentOutcome]:
        """Segment or classify all images of an order; see `segment`."""
        ensemble = gather_models(order.models)
        ensemble.check_output(self._options.write.output)  # an impossible output is an error before an image is read
        with overview_of(order, ensemble, self._options, self._log) as overview:
            if order.images:
                classifying = self._classifying(order, ensemble)
                done, failed = tabulate(order.images, order.result, classifying, self._options.write.overwrite)
                for outcome in done:
                    overview.add(outcome)
                for error in failed:
                    overview.fail(error)
            else:
                done, failed = self._do_all(order, ensemble, overview)
        _raise_all(failed, order.count, "classified" if order.images else "segmented")
        return done

    def _classifying(self, order: Order, ensemble: Ensemble) -> Classifying:
        """Return what classifies images: this machine, or the workers of a cluster."""
        if self._crew is None:
            return TableRun(ensemble, self._options, self._log).all
        from unetkit.inference.spread.table import classify_on  # here, since only a cluster needs Dask

        crew, folder = self._crew, order.result.parent
        return lambda images: classify_on(crew, images, folder, ensemble, self._options, self._log)

    def _do_all(
        self, order: Order, ensemble: Ensemble, overview: Overview
    ) -> tuple[list[SegmentOutcome], list[UnetkitError]]:
        """Make the outputs of pixels; return what was done, and the errors of the images that failed."""
        done: dict[Path, SegmentOutcome] = {}
        failed: dict[Path, UnetkitError] = {}

        def found(job: Job, result: SegmentOutcome | UnetkitError) -> None:
            if isinstance(result, SegmentOutcome):
                done[job.image] = result
                overview.add(result)
                return
            if len(order.jobs) == 1 or isinstance(result, ConfigError):  # what is not possible for one is so for all
                raise result
            failed[job.image] = result
            overview.fail(result)

        if self._crew is None:
            self._one_by_one(order, ensemble, found)
        else:
            from unetkit.inference.spread.order import spread_order  # here, since only a cluster needs Dask

            spread_order(
                order,
                ensemble,
                self._options,
                self._crew,
                found,
                progress=self._progress,
                log=self._log,
                verify_seams=self._verify_seams,
            )
        in_order = [job.image for job in order.jobs]
        outcomes = [done[image] for image in in_order if image in done]
        self._write_tables(order, ensemble, outcomes)
        return outcomes, [failed[image] for image in in_order if image in failed]

    def _one_by_one(
        self, order: Order, ensemble: Ensemble, found: Callable[[Job, SegmentOutcome | UnetkitError], None]
    ) -> None:
        """Segment the images on this machine."""
        run = ImageRun(order, ensemble, self._options, self._progress, self._log, self._verify_seams)
        for job in order.jobs:
            try:
                result: SegmentOutcome | UnetkitError = run.do(job)
            except UnetkitError as error:
                result = error
            found(job, result)

    def _write_tables(self, order: Order, ensemble: Ensemble, done: Sequence[SegmentOutcome]) -> None:
        """Write what is said of all images together: which are worth annotating, and what their objects amount to."""
        fields = {outcome.image: outcome.field for outcome in done if outcome.field is not None}
        if fields:
            write_worth(order.result, fields, self._log)
        tables = {job.image: job.files.table for job in order.jobs if job.files.table is not None}
        if tables and order.folder is not None:
            from unetkit.inference.run.objects import write_summary  # here, since only objects need SciPy

            known = {outcome.image: outcome.summary for outcome in done if outcome.summary is not None}
            write_summary(tables, known, ensemble, self._options)


def _raise_all(failed: Sequence[UnetkitError], count: int, what: str) -> None:
    """Raise one error for all images that failed, if there are any; the rest of `count` are done."""
    if failed:
        problems = " ".join(f"({i}) {error.problem}" for i, error in enumerate(failed, 1))
        raise ImageError(f"{len(failed)} of {count} images were not {what}: {problems}", failed[0].remedy)
