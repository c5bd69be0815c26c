"""Which labels go with which images to which results, for measure and export alike; checked before any work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from unetkit.cluster.in_order import Begin, Place, in_common
from unetkit.cluster.tasks import Log
from unetkit.data.folders import pair_folders
from unetkit.data.names import KNOWN_MASK_NAMES, any_names
from unetkit.data.pairs import check_exists
from unetkit.foundation.atomic import check_place
from unetkit.foundation.errors import ConfigError, DataError, OutputError, UnetkitError
from unetkit.io.base.inner import file_of
from unetkit.io.files import find_images, image_stem, pixels_of
from unetkit.io.formats import is_folder
from unetkit.measuring.options import MeasureOptions

Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """A label image whose objects are measured or exported.

    Attributes:
        labels: Its file.
        image: The image of the intensities, if there is one.
        result: The file of its objects.
    """

    labels: Path
    image: Path | None
    result: Path

    def anywhere(self) -> Job:
        """Return the job as it is understood in every working folder."""
        image = None if self.image is None else self.image.absolute()
        return Job(self.labels.absolute(), image, self.result.absolute())


def plan_jobs(labels: Path, image: Path | None, result: Path, suffix: str) -> list[Job]:
    """Pair label images, images and results.

    Args:
        labels: A file, or a folder of them.
        image: A file; for a folder of labels a folder, whose files are paired by name and which may hold more.
        result: A file; for a folder of labels a folder, which may be missing.
        suffix: Ending of the results in a folder, which have the stems of the labels.

    Raises:
        DataError: A path does not exist, or files cannot be paired.
        OutputError: The result is a file, and the labels are a folder; or two results have one name.
    """
    for path in (labels, image):
        if path is not None:
            check_exists(path)
    if image is not None and is_folder(image) != is_folder(labels):
        raise DataError(f"{labels} and {image} are a folder and a file.", "Give two files or two folders.")
    if not is_folder(labels):
        return [Job(labels, image, result)]
    if result.is_file():
        raise OutputError(f"{result} is a file, but {labels} is a folder.", "Give a folder for the results.")
    pairs = [(one, None) for one in find_images(labels)] if image is None else _pair_images(labels, image)
    jobs = [Job(one, other, result / f"{image_stem(one)}{suffix}") for one, other in pairs]
    targets = [job.result for job in jobs]
    if len(set(targets)) < len(targets):
        twice = next(target for target in targets if targets.count(target) > 1)
        raise OutputError(f"Two results would be written to {twice}.", "Rename the labels.")
    return jobs


def check_free(targets: Sequence[Path], folder: Path, *, overwrite: bool) -> None:
    """Check that results can be written to a folder, which may be missing.

    Raises:
        OutputError: Some exist already, or the folder cannot be made.
    """
    if not folder.exists():
        check_place(folder, overwrite)
        return
    existing = [target for target in targets if target.exists()]
    if existing and not overwrite:
        raise OutputError(
            f"{len(existing)} of {len(targets)} results exist already, for example {existing[0]}.",
            "Pass --overwrite to replace them, or choose another folder.",
        )


def check_image_options(image: str | Path | None, options: MeasureOptions) -> None:
    """Raise a ConfigError for a choice of intensities without an image."""
    if image is None and (options.ring, options.channels) != (None, None):
        name = "ring" if options.ring is not None else "channels"
        raise ConfigError(f"{name} has no meaning without an image.", "Give the image whose intensities are measured.")


def do_all(
    jobs: Sequence[Job], do: Callable[[Job, Log, Begin | None], Result], place: Place
) -> tuple[list[Result], list[UnetkitError]]:
    """Do every job, whatever becomes of the others; return the results, and the errors of those that failed.

    Args:
        jobs: The jobs.
        do: Does one of them; for a cluster a `partial` of a function at the top of a module.
        place: Where they are done.

    Raises:
        ConfigError: What is not possible for one is so for all.
        ClusterError: The cluster cannot be used.
    """
    jobs = jobs if place.is_here else [job.anywhere() for job in jobs]
    name = jobs[0].labels.name if len(jobs) == 1 else f"{len(jobs)} label images"
    read = [file_of(path) for job in jobs for path in (job.labels, job.image) if path is not None]
    written = {job.result.parent: job.result for job in jobs}
    done: list[Result] = []
    failed: list[UnetkitError] = []
    with closing(
        place.each(do, jobs, name, about=_about, reads=in_common(read), writes=[*written.values()])
    ) as results:
        for result in results:
            if isinstance(result, ConfigError):
                raise result
            if isinstance(result, UnetkitError):
                failed.append(result)
            else:
                done.append(result)
    return done, failed


def _about(job: Job) -> tuple[str, int]:
    """Return the name of a job and its number of pixels."""
    return job.labels.name, pixels_of(job.labels)


def raise_all(failed: Sequence[UnetkitError], count: int, what: str) -> None:
    """Raise one error for all that failed, if any did; the rest of `count` are done."""
    if failed and count == 1:
        raise failed[0]
    if failed:
        problems = " ".join(f"({number}) {error.problem}" for number, error in enumerate(failed, 1))
        raise DataError(f"{len(failed)} of {count} label images were not {what}: {problems}", failed[0].remedy)


def _pair_images(labels: Path, images: Path) -> list[tuple[Path, Path | None]]:
    """Return each label image of a folder with the image of the same name in another, which may hold more images."""
    pairs, _, no_image = pair_folders(images, labels, any_names)
    if no_image:
        more = ", ..." if len(no_image) > 3 else ""
        names = ", ".join(path.name for path in no_image[:3])
        raise DataError(
            f"Labels in {labels} have no image in {images}: {names}{more} ({len(no_image)} in all).",
            f"Give folders that hold the same images under the same names, or {KNOWN_MASK_NAMES}.",
        )
    return sorted((own, image) for _, image, own in pairs)
