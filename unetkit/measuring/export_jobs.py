"""Which labels are exported with which images to which files; checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unetkit.data.pairs import check_exists
from unetkit.exporting.exporters import check_export, exporter_of
from unetkit.exporting.options import ExportOptions
from unetkit.foundation.atomic import check_place
from unetkit.foundation.errors import ConfigError, DataError, OutputError
from unetkit.io.files import find_images, image_stem
from unetkit.io.formats import is_folder
from unetkit.measuring.jobs import pair_images


@dataclass(frozen=True)
class ExportJob:
    """A label image to export.

    Attributes:
        labels: Its file.
        image: The image whose intensities are measured, if there is one.
        result: The file of its objects.
    """

    labels: Path
    image: Path | None
    result: Path


def plan_exports(
    labels: Path, image: Path | None, result: Path, options: ExportOptions, suffix: str, *, overwrite: bool
) -> list[ExportJob]:
    """Pair label images, images and results.

    Args:
        labels: A file, or a folder of them.
        image: A file; for a folder of labels a folder, whose files are paired by name.
        result: A file; for a folder of labels a folder, which may be missing.
        options: How objects are written.
        suffix: Ending of the files in a folder of results.
        overwrite: Whether existing files may be replaced.

    Raises:
        DataError: A path does not exist, or files cannot be paired.
        OutputError: A result exists, cannot be written, or has an unknown suffix.
        ConfigError: An option does not fit, or a package is missing.
    """
    for path in (labels, image):
        if path is not None:
            check_exists(path)
    if image is not None and is_folder(image) != is_folder(labels):
        raise DataError(f"{labels} and {image} are a folder and a file.", "Give two files or two folders.")
    if not is_folder(labels):
        check_export(result, options, overwrite=overwrite)
        jobs = [ExportJob(labels, image, result)]
    else:
        jobs = _plan_folder(labels, image, result, suffix)
        _check_free(jobs, result, options, overwrite)
    if image is not None and not exporter_of(jobs[0].result).has_values:
        raise ConfigError(
            f"{jobs[0].result} cannot hold measurements.", "Leave the image out, or write .geojson or .geojson.gz."
        )
    return jobs


def _plan_folder(labels: Path, images: Path | None, folder: Path, suffix: str) -> list[ExportJob]:
    exporter_of(Path(f"any{suffix}"))
    if folder.is_file():
        raise OutputError(f"{folder} is a file, but {labels} is a folder.", "Give a folder for the results.")
    pairs = [(one, None) for one in find_images(labels)] if images is None else pair_images(labels, images)
    return [ExportJob(one, other, folder / f"{image_stem(one)}{suffix}") for one, other in pairs]


def _check_free(jobs: Sequence[ExportJob], folder: Path, options: ExportOptions, overwrite: bool) -> None:
    targets = [job.result for job in jobs]
    twice = [target for target in targets if targets.count(target) > 1]
    if twice:
        raise OutputError(f"The objects of two label images would be written to {twice[0]}.", "Rename the labels.")
    if not folder.exists():
        check_place(folder, overwrite)
        exporter_of(targets[0]).check(targets[0], options)
        return
    existing = [target for target in targets if target.exists()]
    if existing and not overwrite:
        raise OutputError(
            f"{len(existing)} of {len(targets)} files exist already, for example {existing[0]}.",
            "Pass --overwrite to replace them, or choose another folder.",
        )
    for target in targets:
        check_export(target, options, overwrite=overwrite)
