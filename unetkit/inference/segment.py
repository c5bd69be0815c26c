"""Tiled prediction from files to files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from numpy.typing import NDArray

from unetkit.foundation.atomic import beside, claimed, make_folder
from unetkit.foundation.console import log_nothing, pixel_progress
from unetkit.foundation.errors import ConfigError, ImageError, UnetkitError
from unetkit.foundation.options import split_options
from unetkit.inference.checks.skip_empty import draw_skipped
from unetkit.inference.checks.uncertain_fields import Field, Fields, find_field
from unetkit.inference.engine.ensemble import Ensemble, Models, gather_models
from unetkit.inference.overview.collect import Overview, overview_of
from unetkit.inference.run.attention import attention_rows
from unetkit.inference.run.classify import classify
from unetkit.inference.run.inputs import open_input
from unetkit.inference.run.jobs import Job, Named, Order, check_extras, take_order
from unetkit.inference.run.object_files import check_object_files
from unetkit.inference.run.outcome import Remarks, SegmentOutcome
from unetkit.inference.run.predictor import Predictor, Progress
from unetkit.inference.run.recipe import Recipe, make_recipe
from unetkit.inference.run.table import tabulate
from unetkit.inference.run.unfinished import Bands, kept_bands, pin_choices, starts_anew
from unetkit.inference.run.worth import write_worth
from unetkit.inference.tiling.object_options import ObjectOptions
from unetkit.inference.tiling.options import OutputOptions, SegmentOptions, TilingOptions
from unetkit.inference.tuning.device import choose_device
from unetkit.io.base.contracts import ImageSource
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import check_output, create_sink
from unetkit.io.ome_zarr.labels import label_folder, register_label
from unetkit.io.writing.resume_store import kept_and_new
from unetkit.models.image_head import ImageClassifier
from unetkit.models.sampling import ValidSource
from unetkit.objects.ring_width import ring_in_pixels

Begin = Callable[[str, int], Progress]
"""Called with the name of an image and its number of pixels; returns what is called with the pixels that are done."""


def segment(
    image: Named,
    result: str | Path,
    model: Models | None = None,
    *,
    progress: Begin | bool | None = None,
    log: Callable[[str], None] | None = None,
    verify_seams: bool = False,
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
        **options: Any field of these classes: `unetkit.io.base.read_options.ReadOptions` (axes, series, level,
            pixel_size, channels, stain, region, on_bad_tile), `unetkit.inference.tiling.options.TilingOptions` (tile,
            halo, batch, device, backend, precision, memory, tta, skip_empty),
            `unetkit.inference.tiling.options.OutputOptions` (output, threshold, split, min_size, min_confidence,
            pyramid, compression, layout, overwrite, resume, name, report) and
            `unetkit.inference.tiling.object_options.ObjectOptions` (table, geojson, rois, ring).

    Returns:
        What was written.

    Raises:
        UnetkitError: An input cannot be read, the output exists or cannot be written, or a setting is not possible. Of
            several images the others are segmented all the same, and the error names those that failed.
    """
    classes = (ReadOptions, TilingOptions, OutputOptions, ObjectOptions)
    options_given = SegmentOptions(*split_options(options, *classes))
    log = log or log_nothing
    check_extras(options_given.write.output, verify_seams=verify_seams)
    order = take_order(image, Path(result), model, options_given, log)
    with pixel_progress(asked=True) if progress is True else nullcontext(progress or None) as begin:
        return SegmentRun(options_given, begin, log, verify_seams).run(order)


class SegmentRun:
    """A run of `segment`: the user's choices, and the models once they are warm.

    Args:
        options: The user's choices.
        progress: See `segment`.
        log: See `segment`.
        verify_seams: See `segment`.
    """

    def __init__(
        self,
        options: SegmentOptions,
        progress: Begin | None,
        log: Callable[[str], None],
        verify_seams: bool = False,
    ) -> None:
        device = str(choose_device(options.tiling.device))
        self._given = options
        self._options = replace(options, tiling=replace(options.tiling, device=device))
        self._progress = progress
        self._log = log
        self._note = Remarks(log)
        self._verify_seams = verify_seams
        self._predictor: Predictor | None = None
        self._classifiers: tuple[ImageClassifier, ...] = ()
        self._fields: dict[Path, Field] = {}
        self._summaries: dict[Path, Any] = {}

    def run(self, order: Order) -> list[SegmentOutcome]:
        """Segment or classify all images of an order; see `segment`."""
        ensemble = gather_models(order.models)
        ensemble.check_output(self._options.write.output)  # an impossible output is an error before an image is read
        with overview_of(order, ensemble, self._given, self._log) as overview:
            if order.images:
                done, failed = tabulate(order.images, order.result, ensemble, self._options, self._log)
                for outcome in done:
                    overview.add(outcome)
                for error in failed:
                    overview.fail(error)
            else:
                done, failed = self._do_all(order, ensemble, overview)
        _raise_all(failed, order.count, "classified" if order.images else "segmented")
        return done

    def _do_all(
        self, order: Order, ensemble: Ensemble, overview: Overview
    ) -> tuple[list[SegmentOutcome], list[UnetkitError]]:
        """Make the outputs of pixels; return what was done, and the errors of the images that failed."""
        if ensemble.specs[0].image_classes:
            self._classifiers = tuple(ImageClassifier(segmenter) for segmenter in ensemble.segmenters)
        done: list[SegmentOutcome] = []
        failed: list[UnetkitError] = []
        for job in order.jobs:
            self._note = Remarks(self._log)
            try:
                done.append(replace(self._do(job, ensemble, order), remarks=self._note.taken))
            except ConfigError:  # what is not possible for one image is so for all
                raise
            except UnetkitError as error:
                if len(order.jobs) == 1:
                    raise
                failed.append(error)
                overview.fail(error)
            else:
                overview.add(done[-1])
        if self._fields:
            write_worth(order.result, self._fields, self._log)
        self._write_summaries(order)
        return done, failed

    def prepare(self, job: Job, ensemble: Ensemble, order: Order) -> tuple[ValidSource, Predictor, Recipe]:
        """Open an image and decide everything about it; the caller closes the image.

        Raises:
            UnetkitError: The image cannot be read, or a choice is not possible for it.
        """
        source = open_input(job.image, ensemble, self._options, self._note)
        try:
            predictor = self._predictor = self._predictor or self._warm_up(source, ensemble, order)
            ring_in_pixels(self._options.objects.ring, source.info.pixel_size_um)  # before any work
            classes = classify(source, self._classifiers) if self._classifiers else {}
            return source, predictor, make_recipe(self._options, ensemble, source.info, predictor, classes)
        except BaseException:  # whatever it is, the file must not stay open
            source.close()
            raise

    def _do(self, job: Job, ensemble: Ensemble, order: Order) -> SegmentOutcome:
        """Make the output of one image."""
        if job.done:
            register_label(job.result)  # it may have been killed just before
            if order.ranks:
                self._fields[job.image] = find_field(job.result)
            return SegmentOutcome(job.image, job.result, 0)
        if self._options.write.output == "attention":
            return self._attend(job, ensemble, order.folder)
        return self._segment(job, ensemble, order)

    def _write_summaries(self, order: Order) -> None:
        """Write the table of what the objects of each image amount to, beside the tables of several images."""
        tables = {job.image: job.files.table for job in order.jobs if job.files.table is not None}
        if not tables or order.folder is None:
            return
        from unetkit.inference.run.objects import write_summary

        write_summary(tables, self._summaries, self._options.read)

    def _segment(self, job: Job, ensemble: Ensemble, order: Order) -> SegmentOutcome:
        """Segment one image; the folder of the outputs is made when the first of them can be."""
        start = monotonic()
        source, predictor, recipe = self.prepare(job, ensemble, order)
        info, grid, write = recipe.info, recipe.grid, recipe.options.write
        assert grid is not None
        with closing(source):
            self._check_output(job, recipe, order.folder)
            advance = self._progress(job.image.name, info.pixels) if self._progress else None
            count = info.planes * len(grid.bands)
            fields = Fields(info, recipe.output.channels) if order.ranks else None
            with (
                label_folder(job.result),
                claimed(job.result),
                kept_bands(job.result, recipe.job, count, write, self._log) as bands,
            ):
                kept = sum(band[0].size for band in bands)
                objects, skipped = self._predict(job, recipe, source, predictor, bands, advance, fields)
            if fields is not None:
                self._fields[job.image] = fields.best
            shown = job.image.with_name(f"{job.image.name}.{job.result.name}") if job.is_inside else job.result
            picture = beside(shown, ".skipped.png") if skipped else None
            if picture is not None:
                draw_skipped(picture, source, skipped)
            return SegmentOutcome(
                job.image,
                job.result,
                info.pixels,
                kept=kept,
                seconds=monotonic() - start,
                plan=str(recipe.plan),
                tiles=len(grid) * info.planes,
                skipped=len(skipped),
                picture=picture,
                bad_tiles=tuple(source.bad_tiles),
                objects=objects,
                planes=info.planes,
                min_size=recipe.min_size or 0,
                min_confidence=recipe.min_confidence,
                seams=predictor.verify(source, grid) if self._verify_seams else None,
                image_classes=dict(recipe.image_classes),
                files=(*job.new_files,),
            )

    def _attend(self, job: Job, ensemble: Ensemble, folder: Path | None) -> SegmentOutcome:
        """Write where the models looked in an image, which they see whole."""
        start = monotonic()
        with closing(open_input(job.image, ensemble, self._options, self._note)) as source:
            info = source.info
            classes = classify(source, self._classifiers)
            recipe = make_recipe(self._options, ensemble, info, None, classes)
            self._check_output(job, recipe, folder)
            advance = self._progress(job.image.name, info.pixels) if self._progress else None
            sink = create_sink(job.result, recipe.output, overwrite=self._options.write.overwrite)
            with claimed(job.result):
                sink.write(attention_rows(source, self._classifiers, advance))
        sizes = ", ".join(dict.fromkeys(f"{spec.image_size} x {spec.image_size}" for spec in ensemble.specs))
        seen, seconds = f"whole images, resized to {sizes} pixels", monotonic() - start
        return SegmentOutcome(job.image, job.result, info.pixels, seconds=seconds, plan=seen, image_classes=classes)

    def _check_output(self, job: Job, recipe: Recipe, folder: Path | None) -> None:
        """Raise an OutputError now if the output cannot be written; make the folder that it goes to."""
        if folder is not None:
            make_folder(folder)
        if not job.is_kept:
            check_output(job.result, recipe.output, overwrite=self._options.write.overwrite)
        check_object_files(job.new_files, overwrite=self._options.write.overwrite)

    def _warm_up(self, source: ImageSource, ensemble: Ensemble, order: Order) -> Predictor:
        """Return the models with their plan, for all images of an order, of which this is the first to be predicted."""
        tiling, write = self._options.tiling, self._options.write
        left = [job.result for job in order.jobs if not job.done]
        if write.split and ensemble.instances:
            self._log(f"{ensemble.name} separates touching objects by itself, so --split changes nothing.")
        if not starts_anew(write):
            tiling = pin_choices(tiling, ensemble, left)
        return Predictor(
            ensemble,
            tiling,
            source,
            source.info.pixels * len(left),
            kind=ensemble.kind(write.output),
            threshold=write.threshold,
            log=self._log,
        )

    def _predict(
        self,
        job: Job,
        recipe: Recipe,
        source: ImageSource,
        predictor: Predictor,
        bands: Bands,
        progress: Progress | None,
        fields: Fields | None,
    ) -> tuple[int | None, list[Any]]:
        """Predict and write; return the number of objects and the tiles that were skipped."""
        assert recipe.grid is not None
        known = len(bands)
        if progress is not None:
            progress(sum(band[0].size for band in bands) if known else 0)
        if recipe.options.write.output != "labels":
            sink = create_sink(job.result, recipe.output, overwrite=recipe.options.write.overwrite)

            def write(rows: Iterator[NDArray[Any]]) -> None:
                every = kept_and_new(bands, known, rows)
                sink.write(every if fields is None else fields.watch(every))

            return None, predictor.run(source, recipe.blocks, write, first_band=known, progress=progress)

        from unetkit.inference.run.labelling import write_labels  # here: only labels need OpenCV and its memory

        def store(rows: Iterator[NDArray[Any]]) -> None:
            for band in rows:
                bands.append(band)
                del band

        skipped = predictor.run(source, recipe.blocks, store, first_band=known, progress=progress)
        objects, summary = write_labels(job, bands, recipe, self._note)
        if summary is not None:
            self._summaries[job.image] = summary
        return objects, skipped


def _raise_all(failed: Sequence[UnetkitError], count: int, what: str) -> None:
    """Raise one error for all images that failed, if there are any; the rest of `count` are done."""
    if failed:
        problems = " ".join(f"({i}) {error.problem}" for i, error in enumerate(failed, 1))
        raise ImageError(f"{len(failed)} of {count} images were not {what}: {problems}", failed[0].remedy)
