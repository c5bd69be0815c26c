"""Score files or folders of predicted masks against the true ones.

Masks are read in bands of rows, so memory does not grow with the images; the counts of the bands add up exactly. Where
objects are scored, 24 bytes are kept for each pair of labels that meet, and a few times as many while they are matched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.data.pairs import MASK_SUFFIXES, parse_pages
from unetkit.errors import DataError
from unetkit.io.files import find_images, image_stem, is_folder, open_image
from unetkit.io.image import ImageSource
from unetkit.io.names import check_local
from unetkit.scoring.instances import InstanceCounts, Overlaps, check_labels, count_overlaps, match_overlaps
from unetkit.scoring.result import Evaluation, Row, Settings
from unetkit.scoring.scores import Counts, Mask, boundary_reach, count_pixels
from unetkit.scoring.unnumbered import refuse_masks

BAND_PIXELS = 2**22
"""Pixels that are compared at once: some 50 MB."""


def evaluate(
    prediction: str | Path,
    truth: str | Path,
    *,
    threshold: float = 0.0,
    invert: bool = False,
    classes: int = 2,
    tolerance: float = 2.0,
    pages: str | None = None,
    instances: bool = False,
) -> Evaluation:
    """Score predicted masks against the true ones: two files, or two folders whose files are paired by stem.

    Args:
        prediction: Predicted mask or probability, or a folder of them.
        truth: True mask (0/1, 0/255 or instance labels: above zero is foreground), or a folder of them. Stems may end
            in _mask, _masks, _label, _labels or _seg. Each needs a prediction, and each prediction a truth.
        threshold: A pixel of the prediction above it is foreground, for example 0.5 for probabilities.
        invert: Score the background instead, for example membranes that are drawn as 0.
        classes: Number of classes, background included. With more than 2, values are class numbers, and each foreground
            class is scored against all others.
        tolerance: Distance in pixels at which boundaries are taken to agree.
        pages: Pages of stacks to score, counted from 0, both ends included: "24-26,30". All by default.
        instances: Score the objects too: both sides are instance labels, 0 for background and a number for each object.

    Raises:
        DataError: Files are missing, cannot be paired, or do not fit each other.
        ImageError: A file cannot be read.
        ConfigError: A setting has no meaning.
    """
    settings = Settings(threshold, invert, classes, tolerance, pages, instances)
    pairs = pair_masks(Path(prediction), Path(truth))
    result = Evaluation(tuple(row for pair in pairs for row in _score_files(*pair, settings)), settings)
    if result.instances is not None:
        counts = result.instances.rows.values()
        if all(each.predicted <= 1 for each in counts):
            refuse_masks([file for file, _ in pairs], pages, f"The prediction {prediction}")
        if all(each.true <= 1 for each in counts):
            refuse_masks([file for _, file in pairs], pages, f"The truth {truth}")
    return result


def pair_masks(prediction: Path, truth: Path) -> list[tuple[Path, Path]]:
    """Return pairs (prediction, truth) of files, sorted by stem.

    Raises:
        DataError: A path does not exist, one is a folder and the other is not, or the stems do not match one to one.
    """
    for path in (prediction, truth):
        check_local(path)
        if not path.exists():
            raise DataError(f"{path} does not exist.", "Give a mask or a folder of masks.")
    if is_folder(prediction) != is_folder(truth):
        raise DataError(f"{prediction} and {truth} are a folder and a file.", "Give two files or two folders.")
    if not is_folder(prediction):
        return [(prediction, truth)]
    predictions, truths = _by_stem(prediction), _by_stem(truth)
    _check_all(predictions.keys() - truths.keys(), f"Predictions in {prediction} have no true mask in {truth}")
    _check_all(truths.keys() - predictions.keys(), f"True masks in {truth} have no prediction in {prediction}")
    return [(predictions[stem], truths[stem]) for stem in sorted(predictions)]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in find_images(folder):
        stem = image_stem(path)
        stem = next((stem[: -len(suffix)] for suffix in MASK_SUFFIXES if stem.lower().endswith(suffix)), stem)
        if stem in found:
            raise DataError(
                f"{found[stem].name} and {path.name} in {folder} have the same stem '{stem}'.",
                "Keep one mask for each image in a folder.",
            )
        found[stem] = path
    return found


def _check_all(lonely: Iterable[str], problem: str) -> None:
    names = sorted(lonely)
    if names:
        more = ", ..." if len(names) > 3 else ""
        raise DataError(
            f"{problem}: {', '.join(names[:3])}{more} ({len(names)} in all).",
            "Give folders that hold masks of the same images under the same names.",
        )


def _score_files(prediction: Path, truth: Path, settings: Settings) -> list[Row]:
    """Return the rows for one pair of files."""
    with (
        closing(open_image(prediction, expand_palette=False)) as predicted,
        closing(open_image(truth, expand_palette=False)) as true,
    ):
        _check_fit(predicted, true)
        name, count = image_stem(prediction), predicted.info.planes
        rows: list[Row] = []
        for plane in range(count) if settings.pages is None else parse_pages(settings.pages, count, prediction):
            row_name = name if count == 1 else f"{name}[{plane}]"
            classes, objects = _count_plane(predicted, true, plane, settings)
            rows += [Row(row_name, k, counts, counts.scores, objects) for k, counts in enumerate(classes, start=1)]
        return rows


def _check_fit(predicted: ImageSource, true: ImageSource) -> None:
    sizes = [(s.info.planes, s.info.height, s.info.width) for s in (predicted, true)]
    if sizes[0] != sizes[1]:
        words = [f"{p} plane{'s' if p > 1 else ''} of {h} x {w} pixels" for p, h, w in sizes]
        raise DataError(
            f"{predicted.info.name} has {words[0]}, but {true.info.name} has {words[1]}.",
            "Compare masks of the same image at the same size.",
        )


def _count_plane(
    predicted: ImageSource, true: ImageSource, plane: int, settings: Settings
) -> tuple[list[Counts], InstanceCounts | None]:
    """Return the counts of each foreground class in one plane, and those of its objects if they are asked for."""
    overlaps: list[Overlaps] = []
    totals = [Counts()] * (settings.classes - 1)
    for core, rows in _bands(predicted, settings.tolerance):
        columns = slice(0, predicted.info.width)
        values = _one_value(predicted.read(plane, rows, columns), predicted)
        true_values = _one_value(true.read(plane, rows, columns), true)
        if settings.classes == 2:
            masks = [((values > settings.threshold) ^ settings.invert, (true_values > 0) ^ settings.invert)]
        else:
            masks = list(_class_masks(values, predicted, true_values, true, settings.classes))
        inside = slice(core.start - rows.start, core.stop - rows.start)
        for k, (mask, true_mask) in enumerate(masks):
            totals[k] += count_pixels(mask, true_mask, settings.tolerance, inside)
        if settings.instances:
            check_labels(values, predicted.info.name)
            check_labels(true_values, true.info.name)
            overlaps.append(count_overlaps(values[inside], true_values[inside]))
    return totals, match_overlaps(overlaps) if overlaps else None


def _bands(source: ImageSource, tolerance: float) -> Iterator[tuple[slice, slice]]:
    """Yield the rows to count and the rows to read for them, from top to bottom."""
    height, width = source.info.height, source.info.width
    margin, step = boundary_reach(tolerance), max(BAND_PIXELS // width, 1)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        yield slice(top, bottom), slice(max(top - margin, 0), min(bottom + margin, height))


def _one_value(pixels: NDArray[Any], source: ImageSource) -> NDArray[Any]:
    """Return the mask (h, w) in pixels (C, h, w): grey, or grey that was stored as RGB."""
    if not np.isfinite(pixels).all():
        raise DataError(f"{source.info.name} has pixels that are not finite numbers.", "Repair or remove this file.")
    if any(not np.array_equal(pixels[0], channel) for channel in pixels[1:]):
        raise DataError(
            f"{source.info.name} has {pixels.shape[0]} channels that differ, so it is no mask.",
            "Give one value for each pixel: 0 for background, and above.",
        )
    first: NDArray[Any] = pixels[0]
    return first


def _class_masks(
    values: NDArray[Any], predicted: ImageSource, true_values: NDArray[Any], true: ImageSource, classes: int
) -> Iterator[tuple[Mask, Mask]]:
    """Yield the masks (h, w) of prediction and truth for each foreground class."""
    for pixels, source in ((values, predicted), (true_values, true)):
        if not np.isin(pixels, np.arange(classes)).all():
            raise DataError(
                f"{source.info.name} has values up to {pixels.max()}, not only the class numbers 0 to {classes - 1}.",
                "Give masks of class numbers, or the right number of classes.",
            )
    for k in range(1, classes):
        yield values == k, true_values == k
