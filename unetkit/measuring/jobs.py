"""Which labels are measured with which images into which tables; checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unetkit.data.folders import pair_folders
from unetkit.data.names import KNOWN_MASK_NAMES, any_names
from unetkit.data.pairs import check_exists
from unetkit.foundation.atomic import check_place
from unetkit.foundation.errors import DataError, OutputError
from unetkit.io.files import find_images, image_stem
from unetkit.io.formats import is_folder
from unetkit.objects.summary import SUMMARY_NAME
from unetkit.objects.table import TABLE_SUFFIXES, check_table


@dataclass(frozen=True)
class Job:
    """A label image to measure.

    Attributes:
        labels: Its file.
        image: The image of the intensities, if there is one.
        table: Its table.
    """

    labels: Path
    image: Path | None
    table: Path


def plan_jobs(labels: Path, image: Path | None, table: Path, *, overwrite: bool) -> list[Job]:
    """Pair label images, images and tables.

    Args:
        labels: A file, or a folder of them.
        image: A file; for a folder of labels a folder, whose files are paired by name.
        table: A file; for a folder of labels a folder, which may be missing, for a .csv for each and their summary.
        overwrite: Whether existing tables may be replaced.

    Raises:
        DataError: A path does not exist, or files cannot be paired.
        OutputError: A table exists, cannot be written, or is no table by its name.
    """
    for path in (labels, image):
        if path is not None:
            check_exists(path)
    if image is not None and is_folder(image) != is_folder(labels):
        raise DataError(f"{labels} and {image} are a folder and a file.", "Give two files or two folders.")
    if not is_folder(labels):
        if table.is_dir():
            raise OutputError(f"The table {table} is a folder.", f"Give a name that ends in {TABLE_SUFFIXES[0]}.")
        check_table(table, overwrite=overwrite)
        return [Job(labels, image, table)]
    if table.suffix.lower() in TABLE_SUFFIXES or table.is_file():
        raise OutputError(f"{table} is a file, but {labels} is a folder.", "Give a folder for the tables.")
    pairs = [(one, None) for one in find_images(labels)] if image is None else pair_images(labels, image)
    jobs = [Job(one, other, table / f"{image_stem(one)}.csv") for one, other in pairs]
    _check_free(jobs, table, overwrite)
    return jobs


def pair_images(labels: Path, images: Path) -> list[tuple[Path, Path | None]]:
    """Return each label image of a folder with the image of the same name in another, which may hold more images.

    Raises:
        DataError: A label image has no image.
    """
    pairs, _, no_image = pair_folders(images, labels, any_names)
    if no_image:
        more = ", ..." if len(no_image) > 3 else ""
        names = ", ".join(path.name for path in no_image[:3])
        raise DataError(
            f"Labels in {labels} have no image in {images}: {names}{more} ({len(no_image)} in all).",
            f"Give folders that hold the same images under the same names, or {KNOWN_MASK_NAMES}.",
        )
    return sorted((own, image) for _, image, own in pairs)


def _check_free(jobs: Sequence[Job], folder: Path, overwrite: bool) -> None:
    targets = [job.table for job in jobs]
    twice = [target for target in targets if targets.count(target) > 1 or target.name == SUMMARY_NAME]
    if twice:
        raise OutputError(f"Two tables would be written to {twice[0]}.", "Rename the labels.")
    if not folder.exists():
        check_place(folder, overwrite)
        return
    existing = [target for target in (*targets, folder / SUMMARY_NAME) if target.exists()]
    if existing and not overwrite:
        raise OutputError(
            f"{len(existing)} of {len(targets) + 1} tables exist already, for example {existing[0]}.",
            "Pass --overwrite to replace them, or choose another folder.",
        )
