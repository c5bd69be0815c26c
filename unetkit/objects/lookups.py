"""Further columns of a table: what is known of objects by their labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Lookup = Callable[[NDArray[Any]], NDArray[Any]]
"""Returns a column (N,) for labels (N,): numbers, or text in an array of Python strings."""

CLASS_RANGE = re.compile(r"(?P<name>.+?) (?:none|(?P<first>\d+)-(?P<last>\d+))(?:, |$)")
"""One class of the note `object_classes`: "tumour 1-120, stroma none"."""


def by_label(values: NDArray[Any]) -> Lookup:
    """Return a column from an array that is indexed by the label.

    >>> by_label(np.array([0, 0.5, 0.9]))(np.array([2, 1]))
    array([0.9, 0.5])
    """
    return lambda labels: values[labels]


def constant(value: str | float) -> Lookup:
    """Return a column that is the same for all objects, such as `region` for SpatialData.

    >>> constant("nuclei")(np.array([1, 2]))
    array(['nuclei', 'nuclei'], dtype=object)
    """
    dtype = object if isinstance(value, str) else None
    return lambda labels: np.full(len(labels), value, dtype)


def by_range(names: Sequence[str], last: Sequence[int]) -> Lookup:
    """Return the class of objects whose labels follow each other class by class.

    Args:
        names: Names of the classes.
        last: The largest label of each class; that of the class before it where it has none.

    >>> by_range(["tumour", "stroma"], [2, 5])(np.array([1, 2, 3, 5])).tolist()
    ['tumour', 'tumour', 'stroma', 'stroma']
    """
    texts = np.array([*names, ""], object)
    return lambda labels: texts[np.searchsorted(last, labels)]


def read_class_note(note: str) -> tuple[list[str], list[int]] | None:
    """Return names and last labels of the classes in unetkit's note `object_classes`; None if it is none.

    >>> read_class_note("tumour 1-120, stroma none, lumen 121-300")
    (['tumour', 'stroma', 'lumen'], [120, 120, 300])
    """
    names: list[str] = []
    lasts: list[int] = []
    end = 0
    for found in CLASS_RANGE.finditer(note):
        before = lasts[-1] if lasts else 0
        if found.start() != end or (found["first"] is not None and int(found["first"]) != before + 1):
            return None
        names.append(found["name"])
        lasts.append(before if found["last"] is None else int(found["last"]))
        end = found.end()
    return (names, lasts) if names and end == len(note) else None
