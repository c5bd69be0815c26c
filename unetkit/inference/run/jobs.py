"""The order for `segment`: which images go to which outputs with which models, checked before PyTorch is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path
from typing import Any

from unetkit.foundation.atomic import check_place
from unetkit.foundation.errors import ConfigError, ImageError, OutputError
from unetkit.foundation.names import check_local
from unetkit.inference.run.object_files import (
    NO_FILES,
    ObjectFiles,
    check_object_files,
    check_summary,
    plan_object_files,
)
from unetkit.inference.run.worth import check_worth
from unetkit.inference.tiling.options import INTO_IMAGES, OUTPUTS_WITHOUT_MASK, OutputOptions, SegmentOptions
from unetkit.io.base.format import ends_with
from unetkit.io.base.inner import file_of
from unetkit.io.files import check_output, find_images, image_stem
from unetkit.io.formats import FOLDER_SUFFIXES, IMAGE_SUFFIXES, has_image_suffix, is_folder
from unetkit.io.ome_zarr.labels import is_consolidated, label_path
from unetkit.models.builtin_models import DEFAULT_MODEL, DEFAULT_NOTE
from unetkit.zoo.references import find_model

Named = str | Path | Sequence[str | Path]
"""One file or folder, or several."""

REPORT_SUFFIXES = (".html", ".htm")
"""Suffixes of the page that shows all images."""

Inside = Callable[[Path], Path]
"""Returns where the output of an image lies inside this image, an OME-Zarr."""


@dataclass(frozen=True)
class Job:
    """One image to segment.

    Attributes:
        image: The image.
        result: Its output.
        done: Whether all is there already, from the run that is resumed.
        files: The files of its objects.
        new_files: Those that are to be written.
        is_kept: Whether the output is there already, but not all files of its objects.
    """

    image: Path
    result: Path
    done: bool = False
    files: ObjectFiles = NO_FILES
    new_files: ObjectFiles = NO_FILES
    is_kept: bool = False

    @property
    def is_inside(self) -> bool:
        """Whether the output lies inside the image."""
        return self.image in self.result.parents

    @property
    def absolute(self) -> Job:
        """The same job for a process in another working directory."""
        return replace(
            self,
            image=self.image.absolute(),
            result=self.result.absolute(),
            files=self.files.moved(Path.absolute),
            new_files=self.new_files.moved(Path.absolute),
        )


@dataclass(frozen=True)
class Order:
    """All images, outputs and models of a run of `segment`.

    Attributes:
        images: The images of a table of classes; empty for outputs of pixels.
        jobs: The images and their outputs; empty for a table.
        result: The output, the folder of the outputs, or the table.
        models: The models, loaded or by their files.
        ranks: Whether a table says which images are worth annotating next.
        words: The images and the output as the user named them.
        cluster: The cluster as the user named it.
    """

    images: tuple[Path, ...]
    jobs: tuple[Job, ...]
    result: Path
    models: Any
    ranks: bool = False
    words: tuple[str, ...] = ()
    cluster: str | None = None

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.images or self.jobs)

    @property
    def folder(self) -> Path | None:
        """The folder of the outputs; None for a single output."""
        return None if self.jobs[0].result == self.result else self.result


def take_order(images: Named, result: Path, models: Any, options: SegmentOptions, log: Callable[[str], None]) -> Order:
    """Find the images and the models, and check all that can be checked before PyTorch is loaded.

    Args:
        images: See `plan_jobs`.
        result: See `plan_jobs`; for a table of classes a `.csv`.
        models: Loaded models, files, or names of built-in ones; None or an empty list for the built-in one.
        options: The user's choices.
        log: Called with a sentence where no model is named.

    Raises:
        ImageError: An image or a folder does not exist, or no image matches a pattern.
        OutputError: An output or the page is an input, exists already, cannot be written, or is that of two images.
        ModelError: There is no such model.
    """
    write = options.write
    words = (*map(str, _named(images)), str(result))
    if write.report is not None:
        _check_report(write.report, result, write)
    if write.output == "classes":
        if result.suffix.lower() != ".csv":
            raise OutputError(f"{result} is no table.", "Give a .csv for the classes of images.")
        found, jobs = list_images(images), []
    else:
        inside = _inside(options) if write.output in INTO_IMAGES else None
        found, jobs = [], plan_jobs(images, result, overwrite=write.overwrite, resume=write.resume, inside=inside)
        if write.name is not None and not jobs[0].is_inside:
            raise ConfigError(
                f"name has a meaning only for an output inside of its image, and {result} is another.",
                "Give the image, an OME-Zarr, as the output too; or leave name out.",
            )
        check_outputs(jobs, result, write)
        jobs = _with_objects(jobs, options, several=not _is_one_image(images))
        for job in jobs:
            if job.is_inside and is_consolidated(job.result):
                log(
                    f"{job.image} has consolidated metadata, which do not list what is added. Programs that read only "
                    "these show it after `zarr.consolidate_metadata`."
                )
        if len(jobs) == 1 and jobs[0].is_inside:
            result = jobs[0].result
    ranks = write.output == "uncertainty" and jobs[0].result != result
    if ranks:
        check_worth(result, overwrite=write.overwrite or write.resume)
    if models is None or (isinstance(models, Sequence) and not models):
        models = find_model(DEFAULT_MODEL)
        log(DEFAULT_NOTE)
    for one in models if isinstance(models, Sequence) and not isinstance(models, str) else [models]:
        if isinstance(one, str | Path):
            find_model(one)
    return Order(tuple(found), tuple(jobs), result, models, ranks, words)


def _check_report(page: Path, result: Path, write: OutputOptions) -> None:
    """Raise an OutputError if the page that shows all images cannot be written."""
    if page.suffix.lower() not in REPORT_SUFFIXES:
        raise OutputError(f"report: {page} is no page.", f"Give a name that ends in {REPORT_SUFFIXES[0]}.")
    if page.is_dir():
        raise OutputError(f"The output {page} is a folder.", "Give the name of a file.")
    if result.exists() or result not in page.parents:  # in a folder of outputs that will be made, it is free
        check_place(page, write.overwrite or write.resume, make=True)


def check_extras(output: str, *, verify_seams: bool = False, dry_run: bool = False) -> None:
    """Raise a ConfigError if `verify_seams` or `dry_run` has no meaning for an output."""
    if output == "classes" and (dry_run or verify_seams):
        raise ConfigError("dry_run and verify_seams have no meaning for a table of classes.", "Leave them out.")
    if verify_seams and output in OUTPUTS_WITHOUT_MASK:
        raise ConfigError(f"verify_seams compares masks, and the output '{output}' has none.", "Leave it out.")
    if output == "attention" and dry_run:
        raise ConfigError("dry_run has no meaning for attention, which is not tiled.", "Leave it out.")


def plan_jobs(
    images: Named,
    result: Path,
    *,
    suffix: str = ".tif",
    overwrite: bool = False,
    resume: bool = False,
    inside: Inside | None = None,
) -> list[Job]:
    """Pair images with outputs, and raise before any work if an output could not be written.

    Args:
        images: An image file, a folder of images, a pattern such as "slides/**/*.svs", or several of these. A name that
            exists is no pattern, and a `.zarr` folder is an image.
        result: For a single image file the output, else the folder of the outputs, which may be missing.
        suffix: Suffix of the outputs in a folder, which have the stems of their images.
        overwrite: Whether existing outputs are replaced.
        resume: Whether existing outputs are those of the run that is resumed, and so done. With `overwrite` none is
            done: the run may have been about to replace it.
        inside: Where the output of an image lies if the image, or the folder of the images, is `result` itself; None
            for outputs that do not go into images.

    Returns:
        A job for each image, in the order in which they were named; those of a folder or a pattern sorted.

    Raises:
        ImageError: An image or a folder does not exist, or no image matches a pattern.
        OutputError: An output is an input, exists already, or is that of two images.
    """
    named = _named(images)
    if _is_one_image(named):
        return [_plan_file(named[0], result, resume and not overwrite, inside)]
    found = list_images(named)
    if _is_file(result):
        what = (
            f"{named[0]} is a folder" if len(named) == 1 and is_folder(named[0]) else f"it is for {len(found)} images"
        )
        raise OutputError(f"{result} is a file, but {what}.", "Give a folder for the outputs.")
    beside = [path.parent for path in found if result.exists() and path.parent.resolve() == result.resolve()]
    if inside is not None and len(beside) == len(found) and all(path.is_dir() for path in found):
        targets = [inside(path) for path in found]
    elif beside:
        raise OutputError(f"The outputs would go into the folder of the inputs, {beside[0]}.", "Give another folder.")
    else:
        targets = [result / f"{image_stem(path)}{suffix}" for path in found]
    _check_free(targets, overwrite or resume)
    done = resume and not overwrite
    return [Job(path, target, done and target.exists()) for path, target in zip(found, targets, strict=True)]


def _with_objects(jobs: Sequence[Job], options: SegmentOptions, *, several: bool) -> list[Job]:
    """Return the jobs with the files of their objects; check that these can be written.

    Raises:
        OutputError: One exists already or cannot be written, or is not named as it has to be.
    """
    write, tables = options.write, options.objects.table
    if several and tables is not None:
        check_summary(tables, overwrite=write.overwrite or write.resume)
    planned = plan_object_files([job.image for job in jobs], options.objects, several=several)
    named = []
    for job, files in zip(jobs, planned, strict=True):
        new_files = files.missing if write.resume and not write.overwrite else files
        check_object_files(new_files, overwrite=write.overwrite)
        is_done = job.done and not new_files
        named.append(replace(job, done=is_done, files=files, new_files=new_files, is_kept=job.done and not is_done))
    return named


def _is_one_image(images: Named) -> bool:
    """Whether one image is named, and not a folder or a pattern."""
    named = _named(images)
    return len(named) == 1 and not is_folder(named[0]) and not _is_pattern(named[0])


def list_images(images: Named) -> list[Path]:
    """Return the image files that names, folders and patterns stand for, see `plan_jobs`.

    Raises:
        ImageError: An image or a folder does not exist, or no image matches a pattern.
    """
    return list(dict.fromkeys(path for name in _named(images) for path in _expand(name)))


def check_outputs(jobs: Sequence[Job], result: Path, written: OutputOptions) -> None:
    """Check that the outputs can be written, as far as possible before an image is opened.

    Args:
        jobs: From `plan_jobs`.
        result: The same as for `plan_jobs`; a folder of outputs need not exist.
        written: Whether existing outputs are replaced.

    Raises:
        OutputError: One exists, its folder is missing or its suffix is not known.
    """
    for job in jobs:
        if not job.done and (job.result == result or result.is_dir()):
            check_output(job.result, overwrite=written.overwrite)


def _named(images: Named) -> list[Path]:
    named = [Path(images)] if isinstance(images, str | Path) else [Path(image) for image in images]
    if not named:
        raise ImageError("No images are named.", "Name one or more, or a folder of them.")
    return named


def _inside(options: SegmentOptions) -> Inside:
    """Return the function that says where in an image its output goes.

    Raises:
        OutputError: Only a region of the images is read, which has another size and place.
    """
    write, read = options.write, options.read

    def place(image: Path) -> Path:
        if read.region is not None:
            raise OutputError(
                f"The {write.output} inside of {image} would be of a region of it, {read.region}.",
                "Leave region out, or write to another file.",
            )
        return label_path(image, write.name or write.output, read.series)

    return place


def _plan_file(image: Path, result: Path, keep: bool, inside: Inside | None) -> Job:
    _check_exists(image)
    if result.exists() and result.samefile(file_of(image)):
        if inside is None or not image.is_dir():
            remedy = f"Choose another name{'' if inside else ': only masks and labels go into an image'}."
            raise OutputError(f"The output {result} is the input itself.", remedy)
        result = inside(image)
    return Job(image, result, keep and result.exists())


def _expand(name: Path) -> list[Path]:
    """Return the images that a name stands for."""
    if is_folder(name):
        return find_images(name)
    if not _is_pattern(name):
        _check_exists(name)
        return [name]
    matches = sorted(glob(str(name), recursive=True))  # noqa: PTH207  # Path.glob refuses absolute patterns
    images = [path for path in map(Path, matches) if _is_image(path)]
    if not images:
        raise ImageError(
            f"No images match {name}.",
            f"Check the pattern and the folder; images are files with {', '.join(IMAGE_SUFFIXES)}.",
        )
    return images


def _check_exists(image: Path) -> None:
    check_local(image)
    if not file_of(image).exists():
        raise ImageError(f"The image {image} does not exist.", "Check its name and folder.")


def _is_file(result: Path) -> bool:
    """Whether this is a file, or would be one by its name."""
    if result.exists():
        return not is_folder(result)
    return has_image_suffix(result)


def _is_pattern(path: Path) -> bool:
    """Whether this is a pattern of file names. A file of that very name comes first."""
    return any(sign in str(path) for sign in "*?[") and not path.exists()


def _is_image(path: Path) -> bool:
    """Whether this is an image by its name, and no part of an image that is a folder."""
    inside = any(ends_with(parent, FOLDER_SUFFIXES) for parent in path.parents)
    return not inside and not is_folder(path) and has_image_suffix(path)


def _check_free(targets: Sequence[Path], replace: bool) -> None:
    twice = [target for target, count in Counter(targets).items() if count > 1]
    if twice:
        raise OutputError(
            f"Several inputs would be written to {twice[0]}.", "Rename them, so that each has a stem of its own."
        )
    existing = [target for target in targets if target.exists()]
    if existing and not replace:
        raise OutputError(
            f"{len(existing)} of {len(targets)} outputs exist already, for example {existing[0]}.",
            "Pass --resume to segment only the others, --overwrite to replace them, or choose another folder.",
        )
