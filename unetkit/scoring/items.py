"""What of a stack is scored by itself: planes, volumes, or slabs of volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unetkit.data.pairs import parse_pages
from unetkit.io.base.contracts import ImageInfo
from unetkit.io.views.volume import depth_axis
from unetkit.scoring.given import choose_planes


@dataclass(frozen=True)
class Item:
    """A plane or a volume.

    Attributes:
        suffix: What its row is called after the name of the file: "" for the only one.
        planes: Numbers of its planes, in order.
    """

    suffix: str
    planes: tuple[int, ...]


def choose_items(info: ImageInfo, pages: str | None, *, volumes: bool) -> list[Item]:
    """Return the planes or volumes of an image to score.

    Args:
        info: The image, as planes.
        pages: Pages, see `Settings`; of volumes, planes along Z: each run of neighbours is a volume of its own.
        volumes: Whether its planes along Z are volumes.

    Raises:
        DataError: It has no such pages.
        ImageError: It is to be a volume and has no axis that can be Z.
    """
    if not volumes:
        return [Item(f"[{plane}]" if info.planes > 1 else "", (plane,)) for plane in choose_planes(info, pages)]
    axis = depth_axis(info)
    depth = info.plane_shape[axis]
    each = np.moveaxis(np.arange(info.planes).reshape(info.plane_shape), axis, -1).reshape(-1, depth)
    runs = [range(depth)] if pages is None else _runs(parse_pages(pages, depth, Path(info.name)))
    items = []
    for number, planes in enumerate(each):
        for run in runs:
            place = [str(number)] if len(each) > 1 else []
            place += [f"{run.start}-{run.stop - 1}"] if pages is not None else []
            items.append(Item(f"[{','.join(place)}]" if place else "", tuple(planes[run.start : run.stop].tolist())))
    return items


def _runs(pages: Sequence[int]) -> list[range]:
    """Return the ranges that neighbouring numbers make.

    >>> _runs([2, 3, 4, 7])
    [range(2, 5), range(7, 8)]
    """
    runs: list[range] = []
    for page in pages:
        if runs and runs[-1].stop == page:
            runs[-1] = range(runs[-1].start, page + 1)
        else:
            runs.append(range(page, page + 1))
    return runs
