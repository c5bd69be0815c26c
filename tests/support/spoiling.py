"""Ways to spoil a data set, and to see what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import imread, imwrite

from unetkit.data.pairs import find_pairs
from unetkit.planning.measure import look_at_all, measure
from unetkit.planning.warn import Concern, find_concerns

Edit = Callable[[NDArray[Any]], NDArray[Any]]


def check(folder: Path, crop: int = 128, held_out: tuple[int, ...] = (0,)) -> dict[str, Concern]:
    """Find the concerns about a folder, by kind."""
    looks = look_at_all(find_pairs(folder))
    found = find_concerns(looks, measure(looks), (crop, crop), [index in held_out for index in range(len(looks))])
    assert len({concern.kind for concern in found}) == len(found)
    return {concern.kind: concern for concern in found}


def edit(folder: Path, change: Edit, *, numbers: range = range(10)) -> None:
    """Change the images or the masks of these numbers in place."""
    for number in numbers:
        path = folder / f"cells_{number:03}.tif"
        imwrite(path, np.ascontiguousarray(change(imread(path))))
