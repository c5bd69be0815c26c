"""Score files, folders or arrays of predicted masks against the true ones.

Masks are read in bands of rows, once to decide what their values mean and once to count, so memory does not grow with
the images; the counts of the bands add up exactly. Where objects are scored, 24 bytes are kept for each pair of labels
that meet, and a few times as many while they are matched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unetkit.annotations.formats import has_annotation_suffix
from unetkit.cluster.in_order import Begin, Place, in_common
from unetkit.cluster.tasks import Log
from unetkit.data.annotated import check_annotated
from unetkit.data.drawn_files import is_shared
from unetkit.data.folders import find_masks, pair_files
from unetkit.data.names import KNOWN_MASK_NAMES, any_names
from unetkit.foundation.console import log_nothing
from unetkit.foundation.errors import ConfigError, DataError, UnetkitError
from unetkit.foundation.names import check_local
from unetkit.io.base.contracts import ImageSource
from unetkit.io.base.inner import file_of
from unetkit.io.files import find_images, image_stem, pixels_of
from unetkit.io.formats import is_folder
from unetkit.io.masks.ignored import find_ignored
from unetkit.io.masks.meaning import CUT, Meaning, say_taken
from unetkit.io.masks.rules import Above
from unetkit.scoring.drawn import as_drawn
from unetkit.scoring.given import GivenMask, OpenMask, as_array, check_numbers, check_threshold, choose_planes
from unetkit.scoring.instances import InstanceCounts, Overlaps, check_labels, count_overlaps, match_overlaps
from unetkit.scoring.pixels import Counts, Mask, boundary_reach, count_pixels
from unetkit.scoring.result import Evaluation, Row, Settings
from unetkit.scoring.table import pixel_scores
from unetkit.scoring.unnumbered import check_numbered

BAND_PIXELS = 2**22
"""Number of pixels that are compared at a time: about 50 MB."""


def evaluate(
    prediction: str | Path | ArrayLike,
    truth: str | Path | ArrayLike,
    *,
    threshold: float | None = None,
    invert: bool = False,
    classes: int = 2,
    tolerance: float = 2.0,
    pages: str | None = None,
    instances: bool = False,
    ignore: int | None = None,
    cluster: str | None = None,
    client: Any = None,
    log: Log | None = None,
    progress: Begin | None = None,
) -> Evaluation:
    """Score predicted masks against the true ones: two files, two folders whose files are paired by name, two arrays.

    The meaning of the values of a mask is decided as in training, see `unetkit.io.masks.meaning`. The `taken` of the
    result says how, where there was a doubt. Give arrays as files hold them: (H, W), or (planes, H, W), of numbers or
    True and False.

    Args:
        prediction: Predicted mask or probability, as a file or an array; or a folder of files.
        truth: True mask (0/1, 0/255 or instance labels: above zero is foreground), as a file or an array; annotations
            of QuPath, Fiji or labelme; a folder of these files; or a COCO file. Names may have the endings of masks,
            such as _mask, _labels or _cp_masks. Each needs a prediction, and each prediction a truth.
        threshold: A value of the prediction above it is foreground. By default above 0, but from 0.5 on for
            probabilities from 0 to 1, and from half of the highest value on for masks with blurred borders.
        invert: Score the background instead, for example membranes that are drawn as 0.
        classes: Number of classes, background included. With more than 2, values are class numbers, and each foreground
            class is scored against all others.
        tolerance: Distance in pixels at which boundaries are taken to agree.
        pages: Pages of stacks to score, counted from 0, both ends included: "24-26,30". All by default.
        instances: Score the objects too: both sides are instance labels, 0 for background and a number for each object.
        ignore: Value in the truth of pixels that nobody has annotated, for example 255. They are not scored, nor is a
            predicted object that is no true one and lies mostly on them.
        cluster: See `ClusterOptions`: each pair of files is a task. The result is the same.
        client: A `distributed.Client` in place of `cluster`.
        log: Called with sentences for people, of a cluster.
        progress: Called with the name of all pairs together and their number of pixels, of a cluster; returns what is
            called with the number of pixels that are done.

    Raises:
        DataError: Files are missing, cannot be paired, or do not fit each other.
        ImageError: A file cannot be read.
        ConfigError: A setting has no meaning; or arrays are to be scored on a cluster.
        ClusterError: The cluster cannot be used.

    Example:
        >>> truth = np.zeros((8, 8), bool)
        >>> truth[2:6, 2:6] = True
        >>> evaluate(np.where(truth, 0.9, 0.1), truth).pooled.dice
        1.0
    """
    settings = Settings(threshold, invert, classes, tolerance, pages, instances, ignore)
    place = Place(cluster, client, log or log_nothing, progress)
    if not place.is_here and not all(isinstance(given, (str, Path)) for given in (prediction, truth)):
        raise ConfigError(
            "Arrays cannot be scored on a cluster, whose workers read files.", "Give files or folders, or no cluster."
        )
    pairs, names = as_drawn(_pair_given(prediction, truth, ignore), classes)
    scored = _score_all(pairs, settings, place)
    check_annotated([(row.name, row.counts.pixels) for one in scored for row in one.rows])
    taken = (
        [f"The classes of the truth are {', '.join(f'{k} {name}' for k, name in enumerate(names, 1))}."]
        if names
        else []
    )
    for side, (role, given) in enumerate((("prediction", prediction), ("truth", truth))):
        name = f"The {role} {given}" if isinstance(given, (str, Path)) else f"The {role}"
        if instances:
            open_to_doubt = [one for one in scored if not one.given[side].is_numbered]
            check_numbered([(one.given[side], one.objects(side)) for one in open_to_doubt], pages, name)
        cut_by_user = threshold is not None and role == "prediction"
        meanings = [(one.given[side].name, one.meanings[side]) for one in scored]
        taken += say_taken([each for each in meanings if not cut_by_user or each[1].kind not in CUT], role)
        if threshold is not None and cut_by_user:
            taken += _describe_low(threshold, meanings)
    return Evaluation(tuple(row for one in scored for row in one.rows), settings, tuple(taken))


def _score_all(pairs: Sequence[tuple[GivenMask, GivenMask]], settings: Settings, place: Place) -> list[_Scored]:
    """Compare all pairs of masks; the first error ends it."""
    pairs = pairs if place.is_here else [(one.anywhere(), other.anywhere()) for one, other in pairs]
    files = [file_of(given.place) for pair in pairs for given in pair if isinstance(given.place, Path)]
    name = pairs[0][0].name if len(pairs) == 1 else f"{len(pairs)} pairs of masks"
    scored: list[_Scored] = []
    do = partial(_score, settings=settings)
    with closing(place.each(do, pairs, name, about=_about, reads=in_common(files))) as results:
        for pair, result in zip(pairs, results, strict=True):
            if isinstance(result, UnetkitError):
                raise result
            scored.append(_Scored(pair, *result))
    return scored


def _about(pair: tuple[GivenMask, GivenMask]) -> tuple[str, int]:
    """Return the name of a pair of files and its number of pixels."""
    prediction = pair[0].place
    return pair[0].name, pixels_of(prediction) if isinstance(prediction, Path) else 0


def _describe_low(threshold: float, meanings: Sequence[tuple[str, Meaning]]) -> list[str]:
    """Return sentences on a threshold between 0 and 1 that is compared with values far above 1."""
    rules = [(name, meaning.rule) for name, meaning in meanings if meaning.kind in CUT]
    low = [name for name, rule in rules if isinstance(rule, Above) and 0 < threshold < 1 <= rule.threshold]
    if not low:
        return []
    return [
        f"The threshold {threshold:g} is far below the middle of the values, which are compared as they are ({low[0]})."
    ]


def _pair_given(
    prediction: str | Path | ArrayLike, truth: str | Path | ArrayLike, ignore: int | None
) -> list[tuple[GivenMask, GivenMask]]:
    """Return the pairs of masks that are given as paths, arrays, or one of each."""
    if isinstance(prediction, (str, Path)) and isinstance(truth, (str, Path)):
        found: list[tuple[Path | NDArray[Any], Path | NDArray[Any]]] = [*pair_masks(Path(prediction), Path(truth))]
    else:
        one, other = (
            Path(given) if isinstance(given, (str, Path)) else as_array(given, role)
            for given, role in ((prediction, "prediction"), (truth, "truth"))
        )
        found = [(one, other)]
    return [(GivenMask(one, "prediction"), GivenMask(other, "truth", ignore)) for one, other in found]


def pair_masks(prediction: Path, truth: Path) -> list[tuple[Path, Path]]:
    """Return pairs (prediction, truth) of files, sorted by stem.

    Raises:
        DataError: A path does not exist, one is a folder and the other is not, or the stems do not match one to one.
    """
    for path in (prediction, truth):
        check_local(path)
        if not file_of(path).exists():
            raise DataError(f"{path} does not exist.", "Give a mask or a folder of masks.")
    shared = has_annotation_suffix(truth) and is_shared(truth)
    if is_folder(prediction) != is_folder(truth) and not (is_folder(prediction) and shared):
        raise DataError(f"{prediction} and {truth} are a folder and a file.", "Give two files or two folders.")
    if not is_folder(prediction):
        return [(prediction, truth)]
    masks = [truth] if shared else find_masks(truth)
    pairs, no_truth, no_prediction = pair_files(find_images(prediction), masks, any_names)
    _check_all(no_truth, f"Predictions in {prediction} have no true mask in {truth}")
    _check_all(no_prediction, f"True masks in {truth} have no prediction in {prediction}")
    return sorted(((predicted, true) for _, predicted, true in pairs), key=lambda pair: image_stem(pair[0]))


def _check_all(lonely: Sequence[Path], problem: str) -> None:
    names = [path.name for path in lonely]
    if names:
        more = ", ..." if len(names) > 3 else ""
        raise DataError(
            f"{problem}: {', '.join(names[:3])}{more} ({len(names)} in all).",
            f"Give folders that hold masks of the same images under the same names, or {KNOWN_MASK_NAMES}.",
        )


@dataclass(frozen=True)
class _Scored:
    """One pair of masks: the given files, the meaning of their values, and their rows."""

    given: tuple[GivenMask, GivenMask]
    meanings: tuple[Meaning, Meaning]
    rows: list[Row]

    def objects(self, side: int) -> list[int]:
        """Return how many objects one of the two has in each plane."""
        counts = [row.instances for row in self.rows if row.instances is not None]
        return [each.true if side else each.predicted for each in counts]


def _score(
    pair: tuple[GivenMask, GivenMask],
    log: Log,  # noqa: ARG001  # it has nothing to say
    progress: Begin | None,  # noqa: ARG001
    *,
    settings: Settings,
) -> tuple[tuple[Meaning, Meaning], list[Row]]:
    """Compare one pair of masks; return what their values mean, and the rows of the result."""
    prediction, truth = pair
    with prediction.opened() as predicted_source, truth.opened() as true_source:
        _check_fit(predicted_source, true_source)
        planes = choose_planes(predicted_source.info, settings.pages)
        predicted, true = (
            OpenMask(given, source, given.decide(source, planes))
            for given, source in ((prediction, predicted_source), (truth, true_source))
        )
        if settings.threshold is not None:
            check_threshold(predicted)
        if settings.instances:
            check_numbers(predicted)
            check_numbers(true)
        several = predicted_source.info.planes > 1
        rows: list[Row] = []
        for plane in planes:
            classes, objects = _count_plane(predicted, true, plane, settings)
            name = f"{prediction.row}[{plane}]" if several else prediction.row
            rows += [Row(name, k, counts, pixel_scores(counts), objects) for k, counts in enumerate(classes, start=1)]
        return (predicted.meaning, true.meaning), rows


def _check_fit(predicted: ImageSource, true: ImageSource) -> None:
    sizes = [(s.info.planes, s.info.height, s.info.width) for s in (predicted, true)]
    if sizes[0] != sizes[1]:
        words = [f"{p} plane{'s' if p > 1 else ''} of {h} x {w} pixels" for p, h, w in sizes]
        raise DataError(
            f"{predicted.info.name} has {words[0]}, but {true.info.name} has {words[1]}.",
            "Compare masks of the same image at the same size.",
        )


def _count_plane(
    predicted: OpenMask, true: OpenMask, plane: int, settings: Settings
) -> tuple[list[Counts], InstanceCounts | None]:
    """Return the counts of each foreground class in one plane, and those of its objects if they are asked for."""
    overlaps: list[Overlaps] = []
    totals = [Counts()] * (settings.classes - 1)
    for core, rows in _bands(predicted.source, settings.tolerance):
        labels, true_labels = predicted.labels(plane, rows), true.labels(plane, rows)
        ignored = find_ignored(true_labels) | find_ignored(labels)
        some = ignored if ignored.any() else None
        labels, true_labels = (each if some is None else np.where(ignored, 0, each) for each in (labels, true_labels))
        if settings.classes == 2:
            threshold = settings.threshold
            found = labels > 0 if threshold is None else predicted.above(plane, rows, threshold)
            masks = [(found ^ settings.invert, (true_labels > 0) ^ settings.invert)]
        else:
            masks = list(_class_masks(labels, predicted, true_labels, true, settings.classes))
        inside = slice(core.start - rows.start, core.stop - rows.start)
        for k, (mask, true_mask) in enumerate(masks):
            totals[k] += count_pixels(mask, true_mask, settings.tolerance, inside, some)
        if settings.instances:
            check_labels(labels, predicted.info.name)
            check_labels(true_labels, true.info.name)
            overlaps.append(count_overlaps(labels[inside], true_labels[inside], ignored[inside]))
    return totals, match_overlaps(overlaps) if overlaps else None


def _bands(source: ImageSource, tolerance: float) -> Iterator[tuple[slice, slice]]:
    """Yield the rows to count and the rows to read for them, from top to bottom."""
    height, width = source.info.height, source.info.width
    margin, step = boundary_reach(tolerance), max(BAND_PIXELS // width, 1)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        yield slice(top, bottom), slice(max(top - margin, 0), min(bottom + margin, height))


def _class_masks(
    labels: NDArray[Any], predicted: OpenMask, true_labels: NDArray[Any], true: OpenMask, classes: int
) -> Iterator[tuple[Mask, Mask]]:
    """Yield the masks (h, w) of prediction and truth for each foreground class."""
    for values, mask in ((labels, predicted), (true_labels, true)):
        if not np.isin(values, np.arange(classes)).all():
            taken = f" {mask.meaning.taken}." if mask.meaning.taken else ""
            raise DataError(
                f"{mask.info.name} has values up to {values.max()}, not only the class numbers 0 to {classes - 1}."
                f"{taken}",
                "Give masks of class numbers, or the right number of classes.",
            )
        if mask.meaning.kind in CUT and values.any():
            raise DataError(
                f"{mask.info.name} does not hold the numbers of {classes} classes. {mask.meaning.taken}.",
                "Give masks of class numbers in PNG or TIFF, or leave classes at 2.",
            )
    for k in range(1, classes):
        yield labels == k, true_labels == k
