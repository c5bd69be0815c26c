"""Label images and the tables of their objects, for the tests of measurements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray
from skimage.measure import label

from unetkit.objects.collector import LastRows
from unetkit.objects.columns import Measurements
from unetkit.objects.frame import Frame
from unetkit.objects.measurer import Channels, Measurer


def blobs(shape: tuple[int, ...], seed: int, sigma: float = 3.0, *, above: float = 0.0) -> NDArray[np.uint32]:
    """Return labels of smooth blobs of all shapes; pixels that touch, diagonally too, are one."""
    noise = ndi.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    return label(noise > above * noise.std(), connectivity=len(shape)).astype(np.uint32)


def last_rows_of(labels: NDArray[Any]) -> LastRows:
    """Return where the objects of a plane or volume end, found one by one."""
    found = np.unique(labels[labels > 0])
    labels = labels.reshape(-1, labels.shape[-1])
    return LastRows(found, np.array([np.flatnonzero((labels == one).any(1))[-1] for one in found], np.int32))


def measure_rows(
    labels: NDArray[Any],
    image: NDArray[Any] | None = None,
    *,
    ring: float = 0.0,
    heights: Sequence[int] = (),
    pixel_size_um: tuple[float, ...] | None = None,
) -> Measurements:
    """Return the columns of the objects of a plane or volume, by label, from strips of these heights (depths)."""
    names = () if image is None else tuple(f"c{number}" for number in range(len(image)))
    frame = Frame(labels.shape, pixel_size_um=pixel_size_um)
    measurer = Measurer(frame, Channels(names, ring), last_rows=lambda _: last_rows_of(labels))
    batches, top = [], 0
    for height in [*heights, len(labels)]:
        rows = slice(top, top + height)
        if top < len(labels):
            batches += list(measurer.add(labels[rows], None if image is None else image[:, rows]))
        top += height
    empty = measurer.empty(labels.dtype, None if image is None else image.dtype)
    columns = {name: np.concatenate([one, *(batch.values[name] for batch in batches)]) for name, one in empty.items()}
    assert all(columns[name].dtype == empty[name].dtype for name in empty)
    order = np.argsort(columns["label"])
    return {name: column[order] for name, column in columns.items()}
