"""Score files, folders or arrays of predicted masks against the true ones.

Masks are read in bands of rows, once to decide what their values mean and once to count, so memory does not grow with
the images; the counts of the bands add up exactly. Where objects are scored, 24 bytes are kept for each pair of labels
that meet, and a few times as many while they are matched; of volumes also the surfaces (`unetkit.scoring.surfaces`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
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
from unetkit.io.masks.meaning import CUT, Meaning, say_taken
from unetkit.io.masks.rules import Above
from unetkit.scoring.compared import Compared
from unetkit.scoring.drawn import as_drawn
from unetkit.scoring.given import GivenMask, OpenMask, as_array, check_numbers, check_threshold
from unetkit.scoring.instances import match_overlaps, sum_pairs
from unetkit.scoring.items import Item, choose_items
from unetkit.scoring.membranes import Regions, check_region_labels, compare_regions
from unetkit.scoring.planes import count_plane
from unetkit.scoring.regions import count_regions
from unetkit.scoring.result import Evaluation, Row
from unetkit.scoring.scale import Scale, find_scale, plane_sides
from unetkit.scoring.settings import Settings
from unetkit.scoring.table import pixel_scores, volume_scores
from unetkit.scoring.unnumbered import check_numbered
from unetkit.scoring.volumes import count_volume


def evaluate(
    prediction: str | Path | ArrayLike,
    truth: str | Path | ArrayLike,
    *,
    threshold: float | None = None,
    invert: bool = False,
    classes: int = 2,
    tolerance: float | str = 2.0,
    pages: str | None = None,
    instances: bool = False,
    ignore: int | None = None,
    dims: int | None = None,
    pixel_size_um: str | float | Sequence[float] | None = None,
    boundaries: bool = False,
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
        tolerance: Distance at which boundaries and surfaces are taken to agree: a number in pixels (of a volume, in
            shortest sides of a voxel), or with a unit, such as "1mm" or "0.5um".
        pages: Pages of stacks to score, counted from 0, both ends included: "24-26,30". All by default. Of volumes,
            planes along Z: each range is a volume of its own.
        instances: Score the objects too: both sides are instance labels, 0 for background and a number for each object.
        ignore: Value in the truth of pixels that nobody has annotated, for example 255. They are not scored, nor is a
            predicted object that is no true one and lies mostly on them.
        dims: 3 to score stacks as volumes, with surfaces in place of boundaries; 2 plane by plane. By default as the
            files say, see `unetkit.io.volumes.dims_of`.
        pixel_size_um: Size of a pixel along (y, x) or (z, y, x) in µm, or one for all axes, in place of what the truth
            says.
        boundaries: Compare the regions between borders too, as neurons between membranes: V_Rand and V_info. Of a mask,
            borders are the smaller part of the truth; of labels, they are 0. Of probabilities the best threshold
            counts. Of volumes, both sides are labels.
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
        >>> import numpy as np
        >>> truth = np.zeros((8, 8), bool)
        >>> truth[2:6, 2:6] = True
        >>> evaluate(np.where(truth, 0.9, 0.1), truth).pooled.dice
        1.0
    """
    settings = Settings(
        threshold, invert, classes, tolerance, pages, instances, ignore, dims, pixel_size_um, boundaries
    )
    place = Place(cluster, client, log or log_nothing, progress)
    if not place.is_here and not all(isinstance(given, (str, Path)) for given in (prediction, truth)):
        raise ConfigError(
            "Arrays cannot be scored on a cluster, whose workers read files.", "Give files or folders, or no cluster."
        )
    pairs, names = as_drawn(_pair_given(prediction, truth, ignore), classes)
    scale = find_scale(*pairs[0], settings)
    scored = _score_all(pairs, settings, scale, place)
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
            check_numbered(
                [(one.given[side], one.objects(side)) for one in open_to_doubt], pages, name, volumes=scale is not None
            )
        cut_by_user = threshold is not None and role == "prediction"
        meanings = [(one.given[side].name, one.meanings[side]) for one in scored]
        taken += say_taken([each for each in meanings if not cut_by_user or each[1].kind not in CUT], role)
        if threshold is not None and cut_by_user:
            taken += _describe_low(threshold, meanings)
    rows = tuple(row for one in scored for row in one.rows)
    taken += _say_infinite(rows)
    return Evaluation(rows, settings, tuple(taken), scale.unit if scale is not None else "")


def _say_infinite(rows: Sequence[Row]) -> list[str]:
    """Return a sentence on volumes whose surfaces have no distance."""
    distances = [row.surfaces.distances for row in rows if row.surfaces is not None]
    infinite = len(distances) - sum(map(isfinite, distances))
    if not infinite:
        return []
    return [
        f"HD95 and ASSD are infinite for {infinite} of {len(distances)} volumes and classes, where only one side has "
        "foreground; the means are of the others."
    ]


def _score_all(
    pairs: Sequence[tuple[GivenMask, GivenMask]], settings: Settings, scale: Scale | None, place: Place
) -> list[_Scored]:
    """Compare all pairs of masks; the first error ends it."""
    pairs = pairs if place.is_here else [(one.anywhere(), other.anywhere()) for one, other in pairs]
    files = [file_of(given.place) for pair in pairs for given in pair if isinstance(given.place, Path)]
    name = pairs[0][0].name if len(pairs) == 1 else f"{len(pairs)} pairs of masks"
    scored: list[_Scored] = []
    do = partial(_score, settings=settings, scale=scale)
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
    scale: Scale | None,
) -> tuple[tuple[Meaning, Meaning], list[Row]]:
    """Compare one pair of masks; return what their values mean, and the rows of the result."""
    prediction, truth = pair
    with prediction.opened() as predicted_source, truth.opened() as true_source:
        _check_fit(predicted_source, true_source)
        items = choose_items(predicted_source.info, settings.pages, volumes=scale is not None)
        planes = [plane for item in items for plane in item.planes]
        predicted, true = (
            OpenMask(given, source, given.decide(source, planes))
            for given, source in ((prediction, predicted_source), (truth, true_source))
        )
        if settings.threshold is not None:
            check_threshold(predicted)
        if settings.instances:
            check_numbers(predicted)
            check_numbers(true)
        if settings.boundaries and scale is not None:
            check_region_labels(predicted)
            check_region_labels(true)
        compared = Compared(predicted, true, settings)
        if scale is None:
            reach = settings.reach.pixels(plane_sides(predicted, true, settings), true.info.name)
            rows = [row for item in items for row in _plane_rows(compared, item, reach)]
            if settings.boundaries:
                rows = _with_regions(compared, items, rows)
        else:
            sides = scale.sides(predicted, true)
            reach = settings.reach.along(sides, scale.unit)
            rows = [row for item in items for row in _volume_rows(compared, item, sides, reach)]
        return (predicted.meaning, true.meaning), rows


def _plane_rows(compared: Compared, item: Item, reach: float) -> Iterator[Row]:
    """Yield the result for each class of a plane."""
    classes, objects = count_plane(compared, item.planes[0], reach)
    for k, counts in enumerate(classes, start=1):
        yield Row(compared.predicted.given.row + item.suffix, k, counts, pixel_scores(counts), objects)


def _with_regions(compared: Compared, items: Sequence[Item], rows: Sequence[Row]) -> list[Row]:
    """Return rows of planes with their regions, which are the larger part of the truth."""
    counts = [row.counts.of_background if compared.settings.invert else row.counts for row in rows]
    above = sum(each.tp + each.fn for each in counts)
    inside = 2 * above >= sum(each.pixels for each in counts)
    return [
        replace(row, regions=compare_regions(compared, item.planes[0], inside=inside))
        for item, row in zip(items, rows, strict=True)
    ]


def _volume_rows(compared: Compared, item: Item, sides: tuple[float, float, float], reach: float) -> Iterator[Row]:
    """Yield the result for each class of a volume."""
    classes, surfaces, overlaps = count_volume(compared, item.planes, sides, reach)
    settings = compared.settings
    objects = match_overlaps(overlaps) if settings.instances else None
    regions = (
        Regions((count_regions(sum_pairs(np.concatenate(overlaps)), alone=False),)) if settings.boundaries else None
    )
    for k, (counts, measured) in enumerate(zip(classes, surfaces, strict=True), start=1):
        scores = volume_scores(counts, measured)
        yield Row(compared.predicted.given.row + item.suffix, k, counts, scores, objects, measured, regions)


def _check_fit(predicted: ImageSource, true: ImageSource) -> None:
    sizes = [(s.info.planes, s.info.height, s.info.width) for s in (predicted, true)]
    if sizes[0] != sizes[1]:
        words = [f"{p} plane{'s' if p > 1 else ''} of {h} x {w} pixels" for p, h, w in sizes]
        raise DataError(
            f"{predicted.info.name} has {words[0]}, but {true.info.name} has {words[1]}.",
            "Compare masks of the same image at the same size.",
        )
