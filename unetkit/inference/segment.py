"""Tiled prediction from files to files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.errors import ConfigError, ImageError, OutputError, UnetkitError
from unetkit.inference.classify import classify, describe_classes
from unetkit.inference.device import cache_bytes, choose_device
from unetkit.inference.emptiness import draw_skipped
from unetkit.inference.ensemble import Ensemble, Models, gather_models
from unetkit.inference.jobs import Job, list_images, make_folder, plan_jobs
from unetkit.inference.options import Result, Tiling
from unetkit.inference.output import (
    describe_job,
    describe_output,
    least_confidence,
    pin_choices,
    smallest_size,
    unfinished_file,
)
from unetkit.inference.predictor import Predictor, Progress, say_nothing
from unetkit.inference.resemblance import differences
from unetkit.inference.seams import Seams
from unetkit.io.bands import BandStore, read_job
from unetkit.io.cache import CACHE_BYTES
from unetkit.io.files import create_sink, open_image
from unetkit.io.image import UNNAMED_AXES, BadTile, ImageInfo, ImageSource, OutputSpec
from unetkit.io.partial import check_target, claimed, partial_file
from unetkit.io.reading import Reading
from unetkit.models.image_head import ImageClassifier
from unetkit.models.statistics import sample_pixels
from unetkit.models.zoo import DEFAULT_MODEL, DEFAULT_NOTE, find_model
from unetkit.options import split_options

Begin = Callable[[str, int], Progress]
"""Called with the name of an image and its number of pixels; returns what is told of the pixels that are done."""


@dataclass(frozen=True)
class Segmented:
    """One output of `segment`.

    Attributes:
        image: The image.
        result: The file that was written.
        pixels: Number of pixels of the image; 0 if the result was there already.
        kept: How many of them the run had predicted that was resumed.
        seconds: Time that it took.
        plan: Backend, precision, tile, halo and batch, and why.
        tiles: Number of tiles.
        skipped: Tiles that were left out as empty.
        picture: Picture of what was left out, if there was any.
        bad_tiles: Parts of the image that could not be decoded, and are background.
        objects: Largest label, of labels.
        min_size: Objects of fewer pixels were left out, of labels.
        min_confidence: Objects that the models were less sure of were left out, of labels; None where they do not say.
        seams: What comparing tiles with far more context gave, if it was asked for.
        image_classes: Probability of each class of the whole image, where the models judge them.
    """

    image: Path
    result: Path
    pixels: int
    kept: int = 0
    seconds: float = 0.0
    plan: str = ""
    tiles: int = 0
    skipped: int = 0
    picture: Path | None = None
    bad_tiles: tuple[BadTile, ...] = ()
    objects: int | None = None
    min_size: int = 0
    min_confidence: float | None = None
    seams: Seams | None = None
    image_classes: dict[str, float] = field(default_factory=dict)


def segment(
    image: str | Path | Sequence[str | Path],
    result: str | Path,
    model: Models | None = None,
    *,
    progress: Begin | None = None,
    tell: Callable[[str], None] | None = None,
    verify_seams: bool = False,
    **options: Any,
) -> list[Segmented]:
    """Segment an image file of any size into a file, or several into a folder.

    Args:
        image: TIFF, OME-Zarr, PNG or JPEG; a folder of them, a pattern such as "slides/*.svs", or several of these.
        result: `.tif`, `.tiff`, `.zarr` or `.png`; for several images the folder that gets one `.tif` for each. For the
            output "classes" a `.csv`, with a line for each image.
        model: A model from `load_model`, the path of a model file, or the name of a built-in model; the mean of several
            counts. By default the built-in "nuclei".
        progress: Called for each image with its name and its number of pixels; returns a function that is called with
            the number of pixels predicted since its last call.
        tell: Called with sentences about what happens, for people.
        verify_seams: Whether tiles of each result are compared with passes that see far more of the image.
        **options: Any field of `unetkit.io.reading.Reading` (axes, series, level, pixel_size, channels, stain, region,
            on_bad_tile), `unetkit.inference.options.Tiling` (tile, halo, batch, device, backend, precision, memory,
            tta, skip_empty) and `unetkit.inference.options.Result` (output, threshold, split, min_size, min_confidence,
            pyramid, overwrite, resume).

    Returns:
        What was written.

    Raises:
        UnetkitError: An input cannot be read, the output exists or cannot be written, or a setting is not possible. Of
            several images the others are segmented all the same, and the error names those that failed.
    """
    reading, tiling, written = split_options(options, Reading, Tiling, Result)
    tell = tell or say_nothing
    if model is None:
        model = find_model(DEFAULT_MODEL)
        tell(DEFAULT_NOTE)
    segmentation = Segmentation(reading, tiling, written, progress, tell)
    if written.output == "classes":
        return segmentation.tabulate(list_images(image), Path(result), model)
    return segmentation.run(
        plan_jobs(image, Path(result), overwrite=written.overwrite, resume=written.resume),
        Path(result),
        model,
        verify_seams=verify_seams,
    )


@dataclass
class Segmentation:
    """A run of `segment`: the user's choices, and the models once they are warm.

    Attributes:
        reading: What is read of the images.
        tiling: How they are predicted.
        written: What is written.
        progress: See `segment`.
        tell: See `segment`.
    """

    reading: Reading
    tiling: Tiling
    written: Result
    progress: Begin | None
    tell: Callable[[str], None]
    _predictor: Predictor | None = None
    _classifiers: tuple[ImageClassifier, ...] = ()

    def run(self, jobs: Sequence[Job], result: Path, models: Models, *, verify_seams: bool) -> list[Segmented]:
        """Segment the images of all jobs; see `segment`."""
        ensemble = gather_models(models)
        ensemble.kind(self.written.output)  # what is not possible is an error before an image is read
        if ensemble.specs[0].image_classes:
            self._classifiers = tuple(ImageClassifier(segmenter) for segmenter in ensemble.segmenters)
        folder = None if jobs[0].result == result else result
        done: list[Segmented] = []
        failed: list[UnetkitError] = []
        for job in jobs:
            if job.done:
                done.append(Segmented(job.image, job.result, 0))
                continue
            try:
                done.append(self._segment(job, ensemble, len(jobs), folder, verify_seams=verify_seams))
            except ConfigError:  # what is not possible for one image is so for all
                raise
            except UnetkitError as error:
                if len(jobs) == 1:
                    raise
                failed.append(error)
        _raise_all(failed, len(jobs), "segmented")
        return done

    def tabulate(self, images: Sequence[Path], result: Path, models: Models) -> list[Segmented]:
        """Write a table (.csv) of the probability of each image class: a line for each image; see `segment`.

        The columns are image, the path as it was named or found, and one for each class.
        """
        if result.suffix.lower() != ".csv":
            raise OutputError(f"{result} is no table.", "Give a .csv for the classes of images.")
        ensemble = gather_models(models)
        if not ensemble.specs[0].image_classes:
            raise ConfigError(
                f"{ensemble.name} does not judge whole images.",
                "Use a model that was trained with data.image_labels and model.image_classes.",
            )
        check_target(result, self.written.overwrite)
        with claimed(result):
            check_target(result, self.written.overwrite)  # another run may have ended just now
            done, failed = self._judge(images, result, ensemble)
            if done:  # a table of nothing would only take the place of one that is there
                with partial_file(result) as path, path.open("w", newline="", encoding="utf-8") as file:
                    table = csv.writer(file, lineterminator="\n")
                    table.writerow(["image", *ensemble.specs[0].image_classes])
                    table.writerows([item.image, *(f"{p:.6f}" for p in item.image_classes.values())] for item in done)
        _raise_all(failed, len(images), "judged")
        return done

    def _judge(
        self, images: Sequence[Path], result: Path, ensemble: Ensemble
    ) -> tuple[list[Segmented], list[UnetkitError]]:
        """Judge whole images for a table; return what could be judged, and the errors of what could not."""
        classifiers = tuple(ImageClassifier(segmenter) for segmenter in ensemble.segmenters)
        done: list[Segmented] = []
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
                done.append(Segmented(image, result, pixels, seconds=monotonic() - start, image_classes=classes))
        return done, failed

    def _segment(
        self, job: Job, ensemble: Ensemble, count: int, folder: Path | None, *, verify_seams: bool
    ) -> Segmented:
        """Segment one of `count` images; the folder of the outputs is made when the first of them can be."""
        start = monotonic()
        with closing(self.open(job, ensemble)) as source:
            predictor = self.predictor(source, ensemble, count, job.result)
            info = source.info
            classes = classify(source, self._classifiers) if self._classifiers else {}
            spec = self._describe(info, predictor, classes)
            if folder is not None:
                make_folder(folder)
            create_sink(job.result, spec, overwrite=self.written.overwrite)  # what is not possible is an error now
            pixels = info.planes * info.height * info.width
            advance = self.progress(job.image.name, pixels) if self.progress else None
            with claimed(job.result), self._bands(job.result, source, predictor) as bands:
                kept = sum(band.shape[1] for band in bands) * info.width
                objects, skipped = self._write(job.result, spec, source, predictor, bands, advance)
            picture = job.result.with_name(f"{job.result.name}.skipped.png") if skipped else None
            if picture is not None:
                draw_skipped(picture, source, skipped)
            return Segmented(
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
                min_size=smallest_size(info, ensemble, self.written) if objects is not None else 0,
                min_confidence=least_confidence(ensemble, self.written) if objects is not None else None,
                seams=predictor.verify(source) if verify_seams else None,
                image_classes=classes,
            )

    def predictor(self, source: ImageSource, ensemble: Ensemble, count: int, result: Path) -> Predictor:
        """Return the warm models; `source` is the first of `count` images if they are not warm yet."""
        if self._predictor is None:
            tiling = self.tiling
            if self.written.split and ensemble.instances:
                self.tell(f"{ensemble.name} tells touching objects apart by itself, so --split changes nothing.")
            if self.written.resume:
                tiling = pin_choices(tiling, read_job(unfinished_file(result)))
            self._predictor = Predictor(
                ensemble,
                tiling,
                source,
                source.info.planes * source.info.height * source.info.width * count,
                kind=ensemble.kind(self.written.output),
                threshold=self.written.threshold,
                tell=self.tell,
            )
        return self._predictor

    def open(self, job: Job, ensemble: Ensemble) -> ImageSource:
        """Open an image; tell in what it differs from what the models were trained on, and what reading it takes."""
        cached = cache_bytes(self.tiling.memory_bytes, choose_device(self.tiling.device))
        source = open_for(job.image, ensemble.channels, self.reading, cached)
        info = source.info
        for remark in info.remarks:
            self.tell(f"{info.name}: {remark}")
        if info.scratch_bytes:
            self.tell(
                f"{info.name} is compressed in one large piece, so it is decoded once into a temporary file of "
                f"{info.scratch_bytes / 1e9:.1f} GB."
            )
        sample = sample_pixels(source, 0)
        for text in dict.fromkeys(text for spec in ensemble.specs for text in differences(info, sample, spec)):
            self.tell(f"{info.name} does not look like the training images. {text}")
        return source

    def _describe(self, info: ImageInfo, predictor: Predictor, classes: dict[str, float]) -> OutputSpec:
        notes = (("image_classes", describe_classes(classes)),) if classes else ()
        plan = predictor.plan
        return describe_output(info, predictor.ensemble, plan, self.reading, self.tiling, self.written, notes)

    @contextmanager
    def _bands(self, result: Path, source: ImageSource, predictor: Predictor) -> Iterator[BandStore | list[Any]]:
        """Keep the bands that are done beside the output until it is whole; an image of one band needs no file."""
        path = unfinished_file(result)
        count = source.info.planes * len(predictor.grid(source.info).rows)
        if count == 1 and not path.exists():
            yield []
            return
        job = describe_job(source.info, predictor.ensemble, predictor.plan, self.reading, self.tiling, self.written)
        store = BandStore.resume(path, job) if self.written.resume else BandStore.create(path, job)
        if len(store):
            self.tell(
                f"{path} holds {len(store)} of {count} rows of tiles: going on from there. Parts of them that were "
                "skipped or could not be decoded are not listed again."
            )
        try:
            yield store
        except BaseException as error:  # Ctrl-C, too
            if len(store):
                store.close()
                self.tell(f"What is done is kept in {path}: the same command with --resume goes on from there.")
            else:
                store.remove()
                if isinstance(error, KeyboardInterrupt):
                    self.tell("Stopped before the first row of tiles was done: nothing is left to go on from.")
            raise
        store.remove()

    def _write(
        self,
        result: Path,
        spec: OutputSpec,
        source: ImageSource,
        predictor: Predictor,
        bands: BandStore | list[Any],
        progress: Progress | None,
    ) -> tuple[int | None, list[Any]]:
        """Predict and write; return the largest label and the tiles that were skipped."""
        info = source.info
        known = len(bands)
        if progress is not None:
            progress(sum(band.shape[1] for band in bands) * info.width if known else 0)
        if self.written.output != "labels":
            sink = create_sink(result, spec, overwrite=self.written.overwrite)

            def write(rows: Iterator[NDArray[Any]]) -> None:
                sink.write(_kept_and_new(bands, known, rows))

            return None, predictor.run(source, write, first_band=known, progress=progress)

        from unetkit.inference.labelling import make_labels  # here, since only labels need OpenCV and its memory

        def store(rows: Iterator[NDArray[Any]]) -> None:
            for band in rows:
                bands.append(band)
                del band

        skipped = predictor.run(source, store, first_band=known, progress=progress)
        labels = make_labels(bands, info, predictor.ensemble, self.written)
        sink = create_sink(result, replace(spec, dtype=np.dtype(labels.dtype)), overwrite=self.written.overwrite)
        sink.write(labels.rows())
        return labels.count, skipped


def _kept_and_new(bands: BandStore | list[Any], known: int, rows: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Yield the bands that were kept, then the new ones as they are kept too."""
    for i in range(known):
        yield bands[i]
    for band in rows:
        bands.append(band)
        yield band
        del band  # as wide as the image: there should not be two


def _raise_all(failed: Sequence[UnetkitError], count: int, what: str) -> None:
    """Raise one error for all images that failed, if there are any; the others of `count` were segmented or judged."""
    if failed:
        problems = " ".join(f"({i}) {error.problem}" for i, error in enumerate(failed, 1))
        raise ImageError(f"{len(failed)} of {count} images were not {what}: {problems}", failed[0].remedy)


def open_for(path: Path, channels: int, reading: Reading, cached: int = CACHE_BYTES) -> ImageSource:
    """Open an image for a model: an axis without a name that has the model's number of channels is the channels."""
    source = open_image(path, reading, cache_bytes=cached)
    info = source.info
    unnamed = [i for i, axis in enumerate(info.axes) if axis in UNNAMED_AXES]
    if channels > 1 and info.channels == 1 and len(unnamed) == 1 and info.shape[unnamed[0]] == channels:
        source.close()
        return open_image(
            path, replace(reading, axes=info.axes.replace(info.axes[unnamed[0]], "C")), cache_bytes=cached
        )
    return source
