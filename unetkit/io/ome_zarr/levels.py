"""The levels of an OME-Zarr image, which the labels in it have too: as many, as large and at the same places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray

from unetkit.foundation.errors import OutputError
from unetkit.io.ome_zarr.placement import Placement, describe_axes, place_level
from unetkit.io.writing.rechunk import Pick


@dataclass(frozen=True)
class ImageLevels:
    """The levels of an image, from one of them down, along the axes of its labels.

    Attributes:
        axes: Name, and type and unit where the image gives them, of each axis.
        shapes: Sizes of each level.
        places: Where the pixels of each level lie.
    """

    axes: tuple[dict[str, Any], ...]
    shapes: tuple[tuple[int, ...], ...]
    places: tuple[Placement, ...]


def image_levels(image: Path, axes: str, shape: Sequence[int]) -> ImageLevels | None:
    """Return the levels of an OME-Zarr image from that on which has the size of its labels.

    Args:
        image: The folder of the image.
        axes: Names of the axes of the labels, one letter each.
        shape: Size of the labels along them.

    Returns:
        The levels; None where the image has no level of that size (a region, another pixel size), or where its levels
        are not ever smaller.
    """
    try:
        described, shapes, places = _read_levels(image)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:  # of damaged metadata
        raise OutputError(
            f"The levels of {image} cannot be read ({error}), so labels in it cannot have the same.",
            "Mend its metadata, or write the output outside of the image.",
        ) from error
    names = [str(one.get("name")) for one in described]
    if not set(axes) <= set(names):
        return None
    order = [names.index(axis) for axis in axes]
    shapes = [tuple(sizes[i] for i in order) for sizes in shapes]
    if tuple(shape) not in shapes:
        return None
    first = shapes.index(tuple(shape))
    shapes = shapes[first:]
    if any(after > before for one, other in pairwise(shapes) for before, after in zip(one, other, strict=True)):
        return None
    known = [
        Placement(*(tuple(part[i] for i in order) for part in (place.scale, place.translation)))
        for place in places[first:]
        if place is not None
    ]
    if len(known) < len(shapes):
        known = [_place_by_size(shapes[0], sizes) for sizes in shapes]
    return ImageLevels(tuple(described[i] for i in order), tuple(shapes), tuple(known))


def _read_levels(
    image: Path,
) -> tuple[list[dict[str, Any]], list[tuple[int, ...]], list[Placement | None]]:
    """Return the axes of an image, and the sizes and the place of each level along them."""
    group = zarr.open_group(str(image), mode="r")
    attributes: dict[str, Any] = dict(group.attrs)
    multiscale: dict[str, Any] = (attributes.get("ome") or attributes)["multiscales"][0]
    described = describe_axes(multiscale)
    shapes = [cast(zarr.Array[Any], group[dataset["path"]]).shape for dataset in multiscale["datasets"]]
    if any(len(sizes) != len(described) for sizes in shapes):
        raise ValueError(f"its arrays have other dimensions than the {len(described)} axes")
    places = [place_level(multiscale, dataset, len(described)) for dataset in multiscale["datasets"]]
    return described, shapes, places


def pick_pixels(levels: ImageLevels, dims: int) -> list[Pick]:
    """Return for each level but the first which pixels of the level above it consists of.

    Args:
        levels: The levels.
        dims: Axes of an item, which are the last ones of the levels.

    A pixel of a level takes the value of the nearest pixel above it, of two the one before: no label appears that was
    not there.
    """
    picks = []
    for (above, sizes), (place_above, place) in zip(pairwise(levels.shapes), pairwise(levels.places), strict=True):
        nearest = [
            _nearest(above[i], sizes[i], place.scale[i], place.translation[i], place_above, i)
            for i in range(len(sizes))
        ]
        others = nearest[:-dims]
        grids = np.meshgrid(*others, indexing="ij")
        planes = np.ravel_multi_index(tuple(grids), above[:-dims]).ravel() if others else np.zeros(1, np.intp)
        picks.append(Pick(planes, tuple(nearest[-dims:])))
        assert len(planes) == prod(sizes[:-dims])
    return picks


def _nearest(above: int, length: int, scale: float, shift: float, place: Placement, axis: int) -> NDArray[np.intp]:
    """Return the positions along an axis that are nearest to those of a smaller level, each once."""
    if length == above:
        return np.arange(length)
    at = (np.arange(length) * scale + shift - place.translation[axis]) / place.scale[axis]
    found = np.ceil(np.round(at, 6) - 0.5).astype(np.intp)
    even = np.arange(length) * above // length  # for metadata that do not spread the pixels over the whole axis
    spread = (np.diff(found) > 0).all() and found[0] >= 0 and above - 2 * above / length <= found[-1] < above
    return found if spread else even


def _place_by_size(full: Sequence[int], sizes: Sequence[int]) -> Placement:
    """Return where the pixels of a level lie that does not say it."""
    scale = tuple(float(max(round(whole / size), 1)) for whole, size in zip(full, sizes, strict=True))
    return Placement(scale, (0.0,) * len(scale))
