"""What the page says, in words: numbers with their units, sentences and links."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from unetkit.drawing.histogram import histogram, small_histogram
from unetkit.drawing.pixels import class_colour
from unetkit.foundation.errors import UnetkitError
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.overview.gather import ShownImage
from unetkit.inference.overview.outliers import LEAST_IMAGES, RULE
from unetkit.inference.overview.statistics import Numbers, Statistics
from unetkit.inference.run.classify import describe_classes
from unetkit.inference.tiling.options import SegmentOptions
from unetkit.objects.summary import POWERS

MOST_BAD_TILES = 5
"""Most parts of an image that could not be decoded that are named one by one."""

NOTHING = "-"
"""What stands in place of a number that there is not."""

TITLES = {
    "mask": "Regions",
    "labels": "Objects",
    "probabilities": "Probabilities",
    "uncertainty": "Uncertainty",
    "attention": "Attention",
    "classes": "Image classes",
}


def page_values(statistics: Statistics, folder: Path, most_pictures: int, ordered: int) -> dict[str, Any]:
    """Return what the template shows of the images.

    Args:
        statistics: The images and their numbers.
        folder: Where the page lies, for links.
        most_pictures: Most images that are shown as pictures.
        ordered: Number of images that the run was for.
    """
    images = [_image(statistics, number, folder) for number in range(len(statistics.images))]
    remarks = _common_remarks(images)
    pictured = _pictured(statistics, most_pictures)
    axis = statistics.axis
    pooled = None
    if axis is not None:
        counts = sum(axis.count(*statistics.areas(number)) for number in range(len(images)))
        word = statistics.size_word
        label = f"{word} in {statistics.area_unit}"
        pooled = histogram(axis, np.asarray(counts), label, f"{word.title()}s of all objects")
    return {
        "title": TITLES[statistics.output],
        "facts": facts_of(statistics, ordered),
        "images": images,
        "pictured": pictured,
        "pooled": pooled,
        "size_word": statistics.size_word,
        "in_um": statistics.in_um,
        "log_axis": axis is not None and axis.logarithmic,
        "sorts": _sorts(statistics),
        "outliers": [image for image in images if image["marks"]],
        "rule": RULE,
        "judged": len(images) >= LEAST_IMAGES and statistics.output != "classes",
        "remarks": remarks,
        "legend": _legend(statistics),
        "has_layer": statistics.output != "classes" and any(image["picture"] for image in images),
        "is_map": statistics.output in ("probabilities", "uncertainty", "attention") and not _legend(statistics),
        "without_areas": statistics.output == "mask" and not statistics.has_objects,
    }


def facts_of(statistics: Statistics, ordered: int) -> list[tuple[str, str]]:
    """Return the headline numbers: each with its name."""
    done = len(statistics.images)
    facts = [("image" if ordered == 1 else "images", f"{done:,}" if done == ordered else f"{done:,} of {ordered:,}")]
    noun = "regions" if statistics.output == "mask" else "objects"
    if statistics.has_objects:
        facts.append((noun, f"{statistics.objects:,}"))
        facts.append((f"median {statistics.size_word}", with_unit(statistics.median_area, statistics.area_unit)))
    area, mm = statistics.area_mm, f"mm{POWERS[statistics.dims]}"
    total = f"{plain(statistics.pixels / 1e6)} Mpx" if area is None else f"{plain(area)} {mm}"
    facts.append((f"total {statistics.size_word}", total))
    if isfinite(statistics.share):
        facts.append((_share_name(statistics), _share(statistics, statistics.share)))
    if statistics.output == "classes":
        predicted = Counter(image.outcome.predicted for image in statistics.images)
        facts += [(f"predicted {name}", f"{count:,}") for name, count in predicted.most_common()]
    return facts


def describe_run(
    images: Sequence[ShownImage], ensemble: Ensemble, options: SegmentOptions, begun: datetime
) -> dict[str, str]:
    """Return how the results were made: words by their names."""
    seconds = sum(image.outcome.seconds for image in images)
    new = [image.outcome for image in images if image.outcome.pixels]
    there = len(images) - len(new)
    kept = f"; {there:,} of {len(images):,} results were there already" if there else ""
    return {
        "model": ensemble.name + (f" (sha256 {ensemble.sha256[:12]})" if ensemble.sha256 else ""),
        "output": options.write.output,
        "begun": f"{begun:%Y-%m-%d %H:%M %Z}",
        "time": f"{_duration(seconds)} for {sum(item.pixels for item in new) / 1e6:,.4g} Mpx{kept}",
        "how": "; ".join(dict.fromkeys(item.plan for item in new if item.plan)) or "nothing was left to do",
    }


def describe_stop(error: BaseException, done: int, count: int) -> str:
    """Say why a run ended before all images were done."""
    why = f"{error.problem} {error.remedy}" if isinstance(error, UnetkitError) else ""
    why = why or ("It was stopped." if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}")
    return f"This run ended when {done:,} of {count:,} images were done. {why}"


def plain(value: float) -> str:
    """Write a number with three digits at least.

    >>> plain(0.01234), plain(12.34), plain(1234.5)
    ('0.0123', '12.3', '1,234')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def with_unit(value: float, unit: str) -> str:
    """Write a number with its unit; a dash if there is none."""
    return f"{plain(value)} {unit}" if isfinite(value) else NOTHING


def relative_link(path: Path, folder: Path) -> str | None:
    """Return the address of a file for a page in a folder; None if the two lie on different drives.

    >>> relative_link(Path("masks/a b.tif"), Path("."))
    'masks/a%20b.tif'
    """
    try:
        relative = os.path.relpath(path.absolute(), folder.absolute())
    except ValueError:
        return None
    return quote(os.fsencode(Path(relative).as_posix()))


def _image(statistics: Statistics, number: int, folder: Path) -> dict[str, Any]:
    """Return what the page says of one image."""
    image, numbers = statistics.images[number], statistics.numbers[number]
    outcome, axis = image.outcome, statistics.axis
    bars = None
    if axis is not None and image.found is not None and image.found.areas is not None and len(image.found.areas):
        bars = small_histogram(
            axis.count(*statistics.areas(number)), f"{statistics.size_word.title()}s in {outcome.image.name}"
        )
    files = [outcome.result, *outcome.files, *([outcome.picture] if outcome.picture else [])]
    return {
        "number": number,
        "name": outcome.image.name,
        "cells": _cells(statistics, image, numbers),
        "keys": _keys(statistics, number),
        "size": _size(image),
        "remarks": _remarks(image),
        "marks": statistics.marks[number],
        "picture": image.picture,
        "fields": image.fields,
        "histogram": bars,
        "links": [(path.name, relative_link(path, folder)) for path in files if path.exists()],
    }


def _cells(statistics: Statistics, image: ShownImage, numbers: Numbers) -> list[tuple[str, str]]:
    """Return the numbers of an image with their names, the same for all images."""
    in_um, power = numbers.pixel_um is not None, POWERS[statistics.dims]
    cells = []
    if statistics.has_objects:
        noun = "regions" if statistics.output == "mask" else "objects"
        cells.append((noun, f"{numbers.count:,.0f}" if isfinite(numbers.count) else NOTHING))
        median = with_unit(numbers.median(in_um=in_um), f"µm{power}" if in_um else "px")
        cells.append((f"median {statistics.size_word}", median))
        unit = f"/mm{power}" if in_um else "/Mpx"
        cells.append(("density", with_unit(numbers.density(in_um=in_um), unit)))
    if statistics.output == "classes":
        return [("predicted", image.outcome.predicted), ("probability", describe_classes(image.outcome.image_classes))]
    cells.append((_share_name(statistics), _share(statistics, numbers.share)))
    found = image.found
    if found is not None and len(found.shares) > 1:
        names = found.class_names
        counts = [found.by_class.get(each) for each in names]
        parts = [
            f"{each} {f'{count:,}, ' if count is not None else ''}{_share(statistics, share)}"
            for each, count, share in zip(names, counts, found.shares, strict=True)
        ]
        cells.append(("classes", "; ".join(parts)))
    return cells


def _share_name(statistics: Statistics) -> str:
    means = {"probabilities": "mean probability", "uncertainty": "mean uncertainty", "attention": "mean attention"}
    return means.get(statistics.output, "covered")


def _share(statistics: Statistics, share: float) -> str:
    if not isfinite(share):
        return NOTHING
    return f"{share:.1%}" if statistics.output in ("mask", "labels") else f"{share:.3f}"


def _size(image: ShownImage) -> str:
    """Return the size of an image and of its pixels, and which plane is shown."""
    if image.info is None:
        return ""
    info = image.info
    um = info.pixel_size_um
    pixels = "pixel size unknown" if um is None else f"{um[0]:.4g} x {um[1]:.4g} µm pixels"
    planes = f", {info.planes} planes: plane {image.plane} (from 0) is shown, numbers are of all"
    return f"{info.height:,} x {info.width:,}, {pixels}{planes if info.planes > 1 else ''}"


def _keys(statistics: Statistics, number: int) -> dict[str, float]:
    """Return by what an image can be sorted, -1 where there is no number."""
    numbers = statistics.numbers[number]
    keys = {"name": float(number)}
    if statistics.has_objects:
        keys |= {"count": numbers.count, "area": numbers.median(in_um=statistics.in_um)}
        keys |= {"density": numbers.density(in_um=statistics.in_um)}
    if statistics.output == "classes":
        keys["share"] = [*statistics.images[number].outcome.image_classes.values()][-1]
    else:
        keys["share"] = numbers.share
    keys["marks"] = float(len(statistics.marks[number]))
    return {name: value if isfinite(value) else -1.0 for name, value in keys.items()}


def _sorts(statistics: Statistics) -> list[tuple[str, str]]:
    """Return the orders that the page offers: key and word."""
    share = {
        "classes": "probability",
        "mask": f"{statistics.size_word} share",
        "labels": f"{statistics.size_word} share",
    }.get(statistics.output, "mean")
    objects = (
        [("count", "count"), ("area", f"median {statistics.size_word}"), ("density", "density")]
        if statistics.has_objects
        else []
    )
    marks = [("marks", "outliers")] if any(statistics.marks) else []
    return [("name", "name"), *objects, ("share", share), *marks]


def _remarks(image: ShownImage) -> list[str]:
    """Return the sentences on an image, without its name."""
    outcome, path = image.outcome, str(image.outcome.image)
    texts = [text.removeprefix(f"{path}: ").replace(f"{path} ", "It ", 1) for text in image.remarks]
    if outcome.skipped:
        texts.append(f"{outcome.skipped:,} of {outcome.tiles:,} tiles were skipped as empty.")
    if outcome.bad_tiles:
        places = "; ".join(
            f"y {bad.start[0]}, x {bad.start[1]} ({bad.size[0]} x {bad.size[1]})"
            for bad in outcome.bad_tiles[:MOST_BAD_TILES]
        )
        more = f"; and {len(outcome.bad_tiles) - MOST_BAD_TILES:,} more" * (len(outcome.bad_tiles) > MOST_BAD_TILES)
        texts.append(f"Parts of the image could not be decoded and are background: {places}{more}.")
    if outcome.seams is not None:
        texts.append(outcome.seams.summary())
    return texts


def _common_remarks(images: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    """Return the sentences that were said of several images, with their number, the most frequent first.

    Those that were said of all are taken from the images.
    """
    counts = Counter(text for image in images for text in image["remarks"])
    common = [(text, count) for text, count in counts.most_common() if count > 1]
    of_all = {text for text, count in common if count == len(images)}
    for image in images:
        image["remarks"] = [text for text in image["remarks"] if text not in of_all]
    return common


def _legend(statistics: Statistics) -> list[tuple[str, str]]:
    """Return the classes with their colours, where there are several."""
    names = next((image.found.class_names for image in statistics.images if image.found is not None), ())
    return [(name, "rgb({}, {}, {})".format(*class_colour(number))) for number, name in enumerate(names, 1)]


def _pictured(statistics: Statistics, most: int) -> set[int]:
    """Return the numbers of the images that are shown as pictures: those that differ first, then evenly spread ones."""
    shown = [number for number, image in enumerate(statistics.images) if image.picture is not None]
    if len(shown) <= most:
        return set(shown)
    marked = [number for number in shown if statistics.marks[number]][: most // 2]
    others = [number for number in shown if number not in set(marked)]
    spread = np.linspace(0, len(others) - 1, most - len(marked)).round().astype(int).tolist()
    return {*marked, *(others[place] for place in spread)}


def _duration(seconds: float) -> str:
    """Write a time for people."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
