"""One image after the other, from file to file, with models that stay warm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from numpy.typing import NDArray

from unetkit.foundation.atomic import beside, claimed, make_folder
from unetkit.inference.checks.skip_empty import draw_skipped
from unetkit.inference.checks.uncertain_fields import Field, Fields, find_field
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.run.attention import attention_rows
from unetkit.inference.run.classify import classify
from unetkit.inference.run.directions import Directions
from unetkit.inference.run.grids import find_regrid
from unetkit.inference.run.inputs import open_input
from unetkit.inference.run.jobs import Job, Order
from unetkit.inference.run.object_files import check_object_files
from unetkit.inference.run.outcome import Remarks, SegmentOutcome
from unetkit.inference.run.output import write_bands
from unetkit.inference.run.predictor import Predictor, Progress
from unetkit.inference.run.recipe import Recipe, make_recipe
from unetkit.inference.run.unfinished import Bands, kept_bands, pin_choices, starts_anew, sweep
from unetkit.inference.run.zoom import find_zoom, largest_zoom, with_zoom
from unetkit.inference.tiling.grid import Tile
from unetkit.inference.tiling.options import SegmentOptions
from unetkit.inference.tuning.device import choose_device
from unetkit.io.base.contracts import ImageSource
from unetkit.io.files import check_output, create_sink
from unetkit.io.ome_zarr.labels import label_folder, register_label
from unetkit.io.views.regrid import unzoomed
from unetkit.io.views.rescale import ZoomedSource
from unetkit.io.writing.resume_store import kept_and_new
from unetkit.models.image_head import ImageClassifier
from unetkit.models.sampling import ValidSource
from unetkit.objects.ring_width import ring_in_pixels

Begin = Callable[[str, int], Progress]
"""Called with the name of an image and its number of pixels; returns what is called with the pixels that are done."""


MANY_PIXELS = 50 * 10**6
"""Of enlarged images that have more pixels it is said that they take longer."""


class ImageRun:
    """Segments the images of an order, one after the other.

    Args:
        order: The images.
        ensemble: The models, loaded.
        options: The user's choices.
        progress: Called with the name of an image and its number of pixels.
        log: Called with sentences about what happens.
        verify_seams: Whether tiles of each result are compared with passes that see far more of the image.

    Attributes:
        order: The images.
        ensemble: The models.
        options: The user's choices, with the name of a device that is there.
        classifiers: The models as classifiers of whole images, if they are.
    """

    def __init__(
        self,
        order: Order,
        ensemble: Ensemble,
        options: SegmentOptions,
        progress: Begin | None,
        log: Callable[[str], None],
        verify_seams: bool = False,
    ) -> None:
        device = str(choose_device(options.tiling.device))
        self.order = order
        self.ensemble = ensemble
        self.options = replace(options, tiling=replace(options.tiling, device=device))
        whole = ensemble.segmenters if ensemble.specs[0].image_classes else ()
        self.classifiers = tuple(ImageClassifier(segmenter) for segmenter in whole)
        self._progress = progress
        self._log = log
        self._note, self._start = Remarks(log), monotonic()
        self._verify_seams = verify_seams
        self._predictor: Predictor | None = None

    def do(self, job: Job) -> SegmentOutcome:
        """Make the output of one image.

        Raises:
            UnetkitError: The image cannot be read, its output cannot be written, or a choice is not possible for it.
        """
        if job.done:
            return done_before(job, ranks=self.order.ranks)
        if self.options.write.output == "attention":
            return self._attend(job)
        if self.options.tiling.directions > 1:
            return self._see_all_around(job)
        return self.segment(job, *self.prepare(job))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was noticed about the image that was opened last."""
        return self._note.taken

    def prepare(self, job: Job) -> tuple[ValidSource, Predictor, Recipe]:
        """Open an image and decide everything about it; the caller closes the image.

        Raises:
            UnetkitError: The image cannot be read, or a choice is not possible for it.
        """
        self._begin()
        source = open_input(job.image, self.ensemble, self.options, self._note)
        try:
            predictor = self.predictor(source)
            ring_in_pixels(
                self.options.objects.ring, source.info.pixel_size_um, len(source.info.size)
            )  # before any work
            classes = classify(source, self.classifiers) if self.classifiers else {}
            back = find_regrid(job.image, self.ensemble, self.options, source.info)
            zoom = find_zoom(source, predictor, self.options)
            if zoom != 1:
                stored, source = source.info, source.zoomed(zoom)
                back = unzoomed(source.info, stored)
                if source.info.pixels > MANY_PIXELS and self.options.tiling.zoom == "auto":
                    self._note(
                        f"{source.info.name} is seen {zoom:g} x as large, since its objects are small: {zoom**2:.1f} "
                        "times as many pixels. --zoom 1 is faster."
                    )
            options = with_zoom(self.options, zoom)
            recipe = make_recipe(options, self.ensemble, source.info, predictor.plan, classes, back)
            return source, predictor, recipe
        except BaseException:  # whatever it is, the file must not stay open
            source.close()
            raise

    def use(self, predictor: Predictor) -> None:
        """Use models that are warm already."""
        self._predictor = predictor

    def predictor(self, source: ImageSource | None) -> Predictor:
        """Return the models with their plan, for all images of the order.

        Args:
            source: The image for which they are planned if they are not warm yet; None if they are.

        Raises:
            UnetkitError: A choice is not possible for it.
        """
        if self._predictor is None:
            assert source is not None
            left = [job.result for job in self.order.jobs if not job.done]
            self._predictor = warm_up(self.ensemble, self.options, source, left, self._log)
        return self._predictor

    def segment(self, job: Job, source: ValidSource, predictor: Predictor, recipe: Recipe) -> SegmentOutcome:
        """Segment an image that was prepared, and close it; the folder of the outputs is made when the first can be."""
        info, grid, write = recipe.info, recipe.grid, recipe.options.write
        assert grid is not None
        with closing(source):
            check_results(job, recipe, self.order.folder)
            advance = self._progress(job.image.name, info.pixels) if self._progress else None
            count = sum(len(block.bands) for block in recipe.blocks)
            fields = Fields(info, recipe.output.channels) if self.order.ranks and len(info.size) == 2 else None
            with (
                label_folder(job.result),
                claimed(job.result),
                kept_bands(job.result, recipe.job, count, write, self._log) as bands,
            ):
                kept = round(sum(band[0].size for band in bands) / info.pixels * recipe.pixels)
                skipped, found = self._predict(job, recipe, source, predictor, bands, advance, fields)
            shown = job.image.with_name(f"{job.image.name}.{job.result.name}") if job.is_inside else job.result
            picture = beside(shown, ".skipped.png") if skipped else None
            if picture is not None:
                draw_skipped(picture, source, skipped)
            return SegmentOutcome(
                job.image,
                job.result,
                recipe.pixels,
                kept=kept,
                seconds=monotonic() - self._start,
                plan=str(recipe.plan),
                tiles=len(grid) * info.planes,
                skipped=len(skipped),
                picture=picture,
                bad_tiles=tuple(source.bad_tiles),
                planes=info.planes,
                min_size=recipe.min_size or 0,
                min_confidence=recipe.min_confidence,
                zoom=recipe.zoom,
                seams=predictor.verify(source, grid) if self._verify_seams else None,
                image_classes=dict(recipe.image_classes),
                files=(*job.new_files,),
                remarks=self.remarks,
                field=self._find_field(job, fields, recipe),
                **found,
            )

    def _find_field(self, job: Job, fields: Fields | None, recipe: Recipe) -> Field | None:
        """Return the least sure field of an image that is ranked; that of a volume is sought in its planes."""
        if not self.order.ranks:
            return None
        if fields is None:
            return find_field(job.result)
        return fields.best if recipe.back is None else fields.best.put_back(recipe.back)

    def _attend(self, job: Job) -> SegmentOutcome:
        """Write where the models looked in an image, which they see whole."""
        self._begin()
        with closing(open_input(job.image, self.ensemble, self.options, self._note)) as source:
            info = source.info
            classes = classify(source, self.classifiers)
            recipe = make_recipe(self.options, self.ensemble, info, None, classes)
            check_results(job, recipe, self.order.folder)
            advance = self._progress(job.image.name, info.pixels) if self._progress else None
            sink = create_sink(job.result, recipe.output, overwrite=self.options.write.overwrite)
            with claimed(job.result):
                sink.write(attention_rows(source, self.classifiers, advance))
        sizes = ", ".join(dict.fromkeys(" x ".join(map(str, spec.image_sides)) for spec in self.ensemble.specs))
        return SegmentOutcome(
            job.image,
            job.result,
            info.pixels,
            seconds=monotonic() - self._start,
            plan=f"whole images, resized to {sizes} pixels",
            image_classes=classes,
            remarks=self.remarks,
        )

    def _see_all_around(self, job: Job) -> SegmentOutcome:
        """Make the output of a volume that models of planes see in three directions."""
        self._begin()
        with closing(Directions(job.image, self.ensemble, self.options, self._note)) as seen:
            predictor, info = self.predictor(seen.planes), seen.info
            recipe = seen.recipe(predictor.plan)
            check_results(job, recipe, self.order.folder)
            advance = self._progress(job.image.name, info.pixels) if self._progress else None
            with label_folder(job.result), claimed(job.result):
                found = seen.segment(job, predictor, recipe, advance)
            return SegmentOutcome(
                job.image,
                job.result,
                info.pixels,
                seconds=monotonic() - self._start,
                plan=f"{recipe.plan}; the mean of three directions",
                bad_tiles=seen.bad_tiles,
                planes=info.planes,
                min_size=recipe.min_size or 0,
                files=(*job.new_files,),
                remarks=self.remarks,
                **found,
            )

    def _begin(self) -> None:
        self._note, self._start = Remarks(self._log), monotonic()

    def _predict(
        self,
        job: Job,
        recipe: Recipe,
        source: ImageSource,
        predictor: Predictor,
        bands: Bands,
        progress: Progress | None,
        fields: Fields | None,
    ) -> tuple[list[tuple[int, Tile]], dict[str, Any]]:
        """Predict and write; return the tiles that were skipped, and what the outcome says of the objects."""
        assert recipe.grid is not None
        known = len(bands)
        if progress is not None:
            progress(sum(band[0].size for band in bands) if known else 0)
        if recipe.options.write.output != "labels":
            sink = create_sink(job.result, recipe.output, overwrite=recipe.options.write.overwrite)

            def write(rows: Iterator[NDArray[Any]]) -> None:
                every = kept_and_new(bands, known, rows)
                write_bands(sink, job.result, recipe, every if fields is None else fields.watch(every), bands)

            return predictor.run(source, recipe.blocks, write, first_band=known, progress=progress), {}

        from unetkit.inference.run.labelling import write_labels  # here: only labels need OpenCV and its memory

        def store(rows: Iterator[NDArray[Any]]) -> None:
            for band in rows:
                bands.append(band)
                del band

        skipped = predictor.run(source, recipe.blocks, store, first_band=known, progress=progress)
        objects, summary = write_labels(job, bands, recipe, self._note)
        return skipped, {"objects": objects, "summary": summary}


def done_before(job: Job, *, ranks: bool) -> SegmentOutcome:
    """Return the outcome of an image whose output is there already.

    Args:
        job: The image.
        ranks: See `Order`.
    """
    register_label(job.result)  # it may have been killed just before
    sweep(job.result)
    return SegmentOutcome(job.image, job.result, 0, field=find_field(job.result) if ranks else None)


def check_results(job: Job, recipe: Recipe, folder: Path | None) -> None:
    """Check that the output of an image, and the files of its objects, can be written; make the folder that it goes to.

    Args:
        job: The image and its files.
        recipe: The decisions about it.
        folder: The folder of the outputs of several images.

    Raises:
        OutputError: One cannot be written.
    """
    if folder is not None:
        make_folder(folder)
    if not job.is_kept:
        check_output(job.result, recipe.output, overwrite=recipe.options.write.overwrite)
    check_object_files(job.new_files, overwrite=recipe.options.write.overwrite)


def warm_up(
    ensemble: Ensemble,
    options: SegmentOptions,
    source: ImageSource,
    results: Sequence[Path],
    log: Callable[[str], None],
) -> Predictor:
    """Return models with their plan, for all images of a run.

    Args:
        ensemble: The models.
        options: The user's choices, with the name of a device that is there.
        source: The first image that is to be predicted.
        results: The outputs of all that are. Unfinished ones may lie beside them, whose plan is kept.
        log: Called with sentences about what happens.

    Raises:
        UnetkitError: A choice is not possible for the image.
    """
    tiling, write = options.tiling, options.write
    if write.split and ensemble.instances and tiling.directions == 1:
        log(f"{ensemble.name} separates touching objects by itself, so --split changes nothing.")
    if not starts_anew(write):
        tiling = pin_choices(tiling, ensemble, results)
    zoom = largest_zoom(ensemble, options)
    if zoom != 1:  # planned for images of the size that they may have
        source = ZoomedSource(source, zoom)
    return Predictor(
        ensemble,
        tiling,
        source,
        source.info.pixels * len(results),
        kind="probabilities" if tiling.directions > 1 else ensemble.kind(write),
        threshold=write.threshold,
        log=log,
    )
