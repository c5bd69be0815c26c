"""Tiled prediction from files to files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.atomic import beside, check_target, claimed, make_folder, partial_file
from unetkit.foundation.console import pixel_progress
from unetkit.foundation.errors import ConfigError, ImageError, OutputError, UnetkitError
from unetkit.foundation.options import split_options
from unetkit.inference.checks.domain_check import differences
from unetkit.inference.checks.skip_empty import draw_skipped
from unetkit.inference.engine.ensemble import Ensemble, Models, gather_models
from unetkit.inference.run.attention import attention_rows
from unetkit.inference.run.classify import classify, describe_classes, predicted_label
from unetkit.inference.run.inputs import composite_remarks, is_builtin, open_for
from unetkit.inference.run.jobs import Job, list_images, plan_jobs
from unetkit.inference.run.outcome import SegmentOutcome
from unetkit.inference.run.predictor import Predictor, Progress, log_nothing
from unetkit.inference.run.recipe import (
    describe_job,
    describe_output,
    least_confidence,
    smallest_size,
)
from unetkit.inference.run.unfinished import Bands, kept_bands, pin_choices, starts_anew
from unetkit.inference.tiling.options import WITHOUT_MASK, OutputOptions, TilingOptions
from unetkit.inference.tuning.device import cache_bytes, choose_device
from unetkit.io.base.contracts import ImageInfo, ImageSource, OutputSpec
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import create_sink
from unetkit.io.ome_zarr.labels import find_label_place, register_label
from unetkit.io.writing.resume_store import kept_and_new
from unetkit.models.image_head import ImageClassifier
from unetkit.models.sampling import ValidSource, sample_pixels
from unetkit.models.zoo import DEFAULT_MODEL, DEFAULT_NOTE, find_model

Begin = Callable[[str, int], Progress]
"""Called with the name of an image and its number of pixels; returns what is told of the pixels that are done."""


def segment(
    image: str | Path | Sequence[str | Path],
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
            images the folder that gets one `.tif` for each. For the output "classes" a `.csv`, with a line for each
            image.
        model: A model from `load_model`, the path of a model file, or the name of a built-in model; the mean of several
            counts. By default the built-in "nuclei".
        progress: True shows a bar for each image, in a notebook or a terminal. Or a function, which is called for each
            image with its name and its number of pixels; it returns a function that is called with the number of pixels
            predicted since its last call.
        log: Called with sentences about what happens, for people.
        verify_seams: Whether tiles of each result are compared with passes that see far more of the image.
        **options: Any field of these classes: `unetkit.io.base.read_options.ReadOptions` (axes, series, level,
            pixel_size, channels, stain, region, on_bad_tile), `unetkit.inference.tiling.options.TilingOptions` (tile,
            halo, batch, device, backend, precision, memory, tta, skip_empty) and
            `unetkit.inference.tiling.options.OutputOptions` (output, threshold, split, min_size, min_confidence,
            pyramid, compression, layout, overwrite, resume).

    Returns:
        What was written.

    Raises:
        UnetkitError: An input cannot be read, the output exists or cannot be written, or a setting is not possible. Of
            several images the others are segmented all the same, and the error names those that failed.
    """
    reading, tiling, written = split_options(options, ReadOptions, TilingOptions, OutputOptions)
    log = log or log_nothing
    if model is None:
        model = find_model(DEFAULT_MODEL)
        log(DEFAULT_NOTE)
    with pixel_progress(asked=True) if progress is True else nullcontext(progress or None) as begin:
        segmentation = SegmentRun(reading, tiling, written, begin, log)
        return segmentation.start(image, Path(result), model, verify_seams=verify_seams)


@dataclass
class SegmentRun:
    """A run of `segment`: the user's choices, and the models once they are warm.

    Attributes:
        reading: What is read of the images.
        tiling: How they are predicted.
        written: What is written.
        progress: See `segment`.
        log: See `segment`.
    """

    reading: ReadOptions
    tiling: TilingOptions
    written: OutputOptions
    progress: Begin | None
    log: Callable[[str], None]
    _predictor: Predictor | None = None
    _classifiers: tuple[ImageClassifier, ...] = ()

    def start(
        self, image: str | Path | Sequence[str | Path], result: Path, models: Models, *, verify_seams: bool
    ) -> list[SegmentOutcome]:
        """Segment images, or judge them where that is what is to be written; see `segment`."""
        if self.written.output == "classes":
            return self.tabulate(list_images(image), result, models)
        jobs = plan_jobs(image, result, overwrite=self.written.overwrite, resume=self.written.resume)
        return self.run(jobs, result, models, verify_seams=verify_seams)

    def run(self, jobs: Sequence[Job], result: Path, models: Models, *, verify_seams: bool) -> list[SegmentOutcome]:
        """Segment the images of all jobs; see `segment`."""
        ensemble = gather_models(models)
        ensemble.check_output(self.written.output)  # what is not possible is an error before an image is read
        if verify_seams and self.written.output in WITHOUT_MASK:
            problem = f"verify_seams compares masks, and the output '{self.written.output}' has none."
            raise ConfigError(problem, "Leave it out.")
        if ensemble.specs[0].image_classes:
            self._classifiers = tuple(ImageClassifier(segmenter) for segmenter in ensemble.segmenters)
        folder = None if jobs[0].result == result else result
        done: list[SegmentOutcome] = []
        failed: list[UnetkitError] = []
        for job in jobs:
            if job.done:
                register_label(job.result)  # it may have been killed just before
                done.append(SegmentOutcome(job.image, job.result, 0))
                continue
            try:
                if self.written.output == "attention":
                    done.append(self._attend(job, ensemble, folder))
                else:
                    done.append(self._segment(job, ensemble, jobs, folder, verify_seams=verify_seams))
            except ConfigError:  # what is not possible for one image is so for all
                raise
            except UnetkitError as error:
                if len(jobs) == 1:
                    raise
                failed.append(error)
        _raise_all(failed, len(jobs), "segmented")
        return done

    def tabulate(self, images: Sequence[Path], result: Path, models: Models) -> list[SegmentOutcome]:
        """Write a table (.csv) of the probability of each image class: a line for each image; see `segment`.

        The columns are image, the path as it was named or found, one for each class, and predicted.
        """
        if result.suffix.lower() != ".csv":
            raise OutputError(f"{result} is no table.", "Give a .csv for the classes of images.")
        ensemble = gather_models(models)
        ensemble.check_output("classes")
        check_target(result, self.written.overwrite)
        with claimed(result):
            check_target(result, self.written.overwrite)  # another run may have ended just now
            done, failed = self._judge(images, result, ensemble)
            if done:  # a table of nothing would only take the place of one that is there
                with (
                    partial_file(result) as path,
                    path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
                ):
                    table = csv.writer(file, lineterminator="\n")
                    table.writerow(["image", *ensemble.specs[0].image_classes, "predicted"])
                    table.writerows(
                        [item.image, *(f"{p:.6f}" for p in item.image_classes.values()), item.predicted]
                        for item in done
                    )
        _raise_all(failed, len(images), "judged")
        return done

    def _judge(
        self, images: Sequence[Path], result: Path, ensemble: Ensemble
    ) -> tuple[list[SegmentOutcome], list[UnetkitError]]:
        """Judge whole images for a table; return what could be judged, and the errors of what could not."""
        classifiers = tuple(ImageClassifier(segmenter) for segmenter in ensemble.segmenters)
        threshold = ensemble.image_threshold(self.written.threshold)
        done: list[SegmentOutcome] = []
        failed: list[UnetkitError] = []
        for image in images:
            start = monotonic()
            try:
                with closing(self.open(Job(image, result), ensemble)) as source:
                    classes = classify(source, classifiers)
                    pixels = source.info.planes * source.info.height * source.info.width
            except UnetkitError as error:
                if len(images) == 1 or isinstance(error, ConfigError):
                    raise
                failed.append(error)
            else:
                seconds, predicted = monotonic() - start, predicted_label(classes, threshold)
                done.append(
                    SegmentOutcome(image, result, pixels, seconds=seconds, image_classes=classes, predicted=predicted)
                )
        return done, failed

    def _segment(
        self, job: Job, ensemble: Ensemble, jobs: Sequence[Job], folder: Path | None, *, verify_seams: bool
    ) -> SegmentOutcome:
        """Segment the image of one of the jobs; the folder of the outputs is made when the first of them can be."""
        start = monotonic()
        with closing(self.open(job, ensemble)) as source:
            predictor = self.predictor(source, ensemble, jobs)
            info = source.info
            classes = classify(source, self._classifiers) if self._classifiers else {}
            spec = self._describe(info, predictor, classes)
            if folder is not None:
                make_folder(folder)
            create_sink(job.result, spec, overwrite=self.written.overwrite)  # what is not possible is an error now
            if find_label_place(job.result) is not None:
                make_folder(job.result.parent)
            pixels = info.planes * info.height * info.width
            work = describe_job(info, ensemble, predictor.plan, self.reading, self.tiling, self.written)
            advance = self.progress(job.image.name, pixels) if self.progress else None
            count = info.planes * len(predictor.grid(info).bands)
            with claimed(job.result), kept_bands(job.result, work, count, self.written, self.log) as bands:
                kept = sum(band.shape[1] for band in bands) * info.width
                objects, skipped = self._write(job.result, spec, source, predictor, bands, advance)
            picture = beside(job.result, ".skipped.png") if skipped else None
            if picture is not None:
                draw_skipped(picture, source, skipped)
            return SegmentOutcome(
                job.image,
                job.result,
                pixels,
                kept=kept,
                seconds=monotonic() - start,
                plan=str(predictor.plan),
                tiles=len(predictor.grid(info)) * info.planes,
                skipped=len(skipped),
                picture=picture,
                bad_tiles=tuple(source.bad_tiles),
                objects=objects,
                planes=info.planes,
                min_size=smallest_size(info, ensemble, self.written) if objects is not None else 0,
                min_confidence=least_confidence(ensemble, self.written) if objects is not None else None,
                seams=predictor.verify(source) if verify_seams else None,
                image_classes=classes,
            )

    def _attend(self, job: Job, ensemble: Ensemble, folder: Path | None) -> SegmentOutcome:
        """Write where the models looked in an image, which they see whole; see `_segment`."""
        start = monotonic()
        with closing(self.open(job, ensemble)) as source:
            info = source.info
            classes = classify(source, self._classifiers)
            notes = (("image_classes", describe_classes(classes)),)
            spec = describe_output(info, ensemble, None, self.reading, self.tiling, self.written, notes)
            if folder is not None:
                make_folder(folder)
            sink = create_sink(job.result, spec, overwrite=self.written.overwrite)
            pixels = info.planes * info.height * info.width
            advance = self.progress(job.image.name, pixels) if self.progress else None
            with claimed(job.result):
                sink.write(attention_rows(source, self._classifiers, advance))
        sizes = ", ".join(dict.fromkeys(f"{spec.image_size} x {spec.image_size}" for spec in ensemble.specs))
        seen = f"whole images, resized to {sizes} pixels"
        return SegmentOutcome(
            job.image, job.result, pixels, seconds=monotonic() - start, plan=seen, image_classes=classes
        )

    def predictor(self, source: ImageSource, ensemble: Ensemble, jobs: Sequence[Job]) -> Predictor:
        """Return the warm models; `source` is the first image of the jobs if they are not warm yet."""
        if self._predictor is None:
            tiling = self.tiling
            if self.written.split and ensemble.instances:
                self.log(f"{ensemble.name} tells touching objects apart by itself, so --split changes nothing.")
            if not starts_anew(self.written):
                tiling = pin_choices(tiling, ensemble, [job.result for job in jobs if not job.done])
            self._predictor = Predictor(
                ensemble,
                tiling,
                source,
                source.info.planes * source.info.height * source.info.width * sum(not job.done for job in jobs),
                kind=ensemble.kind(self.written.output),
                threshold=self.written.threshold,
                log=self.log,
            )
        return self._predictor

    def open(self, job: Job, ensemble: Ensemble) -> ImageSource:
        """Open an image; tell in what it differs from what the models were trained on, and what reading it takes."""
        cached = cache_bytes(self.tiling.memory_bytes, choose_device(self.tiling.device))
        stored, chosen = open_for(job.image, ensemble, self.reading, cached)
        source = ValidSource(stored)
        info = source.info
        for remark in (*info.remarks, *chosen):
            self.log(f"{info.name}: {remark}")
        if info.scratch_bytes:
            self.log(
                f"{info.name} is compressed in one large piece, so it is decoded once into a temporary file of "
                f"{info.scratch_bytes / 1e9:.1f} GB."
            )
        sample = sample_pixels(source, 0)
        if (holes := source.holes(0)) is not None and holes.nodata.share:
            self.log(f"{info.name}: {holes.nodata.describe()}")
        for remark in composite_remarks(info, sample) if is_builtin(ensemble) else ():
            self.log(f"{info.name}: {remark}")
        for text in dict.fromkeys(text for spec in ensemble.specs for text in differences(info, sample, spec)):
            self.log(f"{info.name} does not look like the training images. {text}")
        return source

    def _describe(self, info: ImageInfo, predictor: Predictor, classes: dict[str, float]) -> OutputSpec:
        notes = (("image_classes", describe_classes(classes)),) if classes else ()
        plan = predictor.plan
        return describe_output(info, predictor.ensemble, plan, self.reading, self.tiling, self.written, notes)

    def _write(
        self,
        result: Path,
        spec: OutputSpec,
        source: ImageSource,
        predictor: Predictor,
        bands: Bands,
        progress: Progress | None,
    ) -> tuple[int | None, list[Any]]:
        """Predict and write; return the number of objects and the tiles that were skipped."""
        info = source.info
        known = len(bands)
        if progress is not None:
            progress(sum(band.shape[1] for band in bands) * info.width if known else 0)
        if self.written.output != "labels":
            sink = create_sink(result, spec, overwrite=self.written.overwrite)

            def write(rows: Iterator[NDArray[Any]]) -> None:
                sink.write(kept_and_new(bands, known, rows))

            return None, predictor.run(source, write, first_band=known, progress=progress)

        from unetkit.inference.run.labelling import (
            describe_object_classes,
            make_labels,
        )  # here, since only labels need OpenCV and its memory

        def store(rows: Iterator[NDArray[Any]]) -> None:
            for band in rows:
                bands.append(band)
                del band

        skipped = predictor.run(source, store, first_band=known, progress=progress)
        labels = make_labels(bands, info, predictor.ensemble, self.written)
        spec = replace(spec, dtype=np.dtype(labels.dtype))
        if classes := describe_object_classes(labels, predictor.ensemble):
            spec = replace(spec, notes=(*spec.notes, ("object_classes", classes)))
            self.log(f"{result}: the numbers of the objects are, by class: {classes}.")
        sink = create_sink(result, spec, overwrite=self.written.overwrite)
        sink.write(labels.rows())
        return labels.count, skipped


def _raise_all(failed: Sequence[UnetkitError], count: int, what: str) -> None:
    """Raise one error for all images that failed, if there are any; the others of `count` were segmented or judged."""
    if failed:
        problems = " ".join(f"({i}) {error.problem}" for i, error in enumerate(failed, 1))
        raise ImageError(f"{len(failed)} of {count} images were not {what}: {problems}", failed[0].remedy)
