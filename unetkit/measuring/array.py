"""Measure the objects of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unetkit.foundation.errors import ConfigError, DataError
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.axes import guess_axes
from unetkit.io.base.contracts import ImageInfo, ImageSource
from unetkit.io.volumes import as_items
from unetkit.measuring.options import MeasureOptions, lengths_text
from unetkit.objects.collector import LastRows
from unetkit.objects.columns import Measurements
from unetkit.objects.frame import Frame
from unetkit.objects.label_file import as_labels, strips_of
from unetkit.objects.measurer import NO_CHANNELS, Channels, Measurer
from unetkit.objects.runs import find_runs


def measure_array(
    labels: ArrayLike,
    image: Any = None,
    *,
    axes: str | None = None,
    image_axes: str | None = None,
    channel_names: Sequence[str] = (),
    dims: Literal[2, 3] = 2,
    pixel_size_um: float | tuple[float, ...] | None = None,
    ring: str | float | None = None,
) -> Measurements:
    """Measure the objects of an array of labels.

    `unetkit.measure` does the same with files, and says what the columns are.

    Args:
        labels: (height, width), or with further axes before; whole numbers, one for each object, 0 for background.
        image: The image of the labels; an axis of channels may come first or last. It may be anything that can be
            sliced like an array (zarr, dask, memmap), of which only a few rows are read at a time.
        axes: One letter for each axis of the labels, such as "TZYX", for the names of columns. By default "YX", with an
            axis without a name before.
        image_axes: One letter for each axis of the image, such as "ZCYX", where the channels are elsewhere.
        channel_names: One for each channel.
        dims: 2 where each plane is an image of its own; 3 for volumes, whose objects go through planes: Z is the axis
            of that name, or the one without a name.
        pixel_size_um: Size of a pixel in µm, or one number for each axis: (y, x), of volumes (z, y, x).
        ring: Width of a ring around each object whose intensities are measured too: "5um", or 10 for pixels.

    Returns:
        A column (N,) for each measurement, with a row for each object of each plane or volume, in their order and that
        of labels;
        `pandas.DataFrame` takes it as it is.

    Raises:
        DataError: The labels are no labels, or the image does not fit them.
        ConfigError: A setting has no meaning.

    Example:
        >>> labels = np.zeros((8, 8), int)
        >>> labels[2:5, 2:6] = 3
        >>> columns = measure_array(labels, labels * 10)
        >>> columns["area_px"].tolist(), columns["intensity_mean"].tolist()
        ([12], [30.0])
    """
    numbers = as_labels(np.asarray(labels), "The array of labels")
    if numbers.ndim < 2 or not numbers.size:
        raise DataError(f"The labels have the shape {numbers.shape}.", "Give an array (height, width).")
    source: ImageSource = ArraySource(numbers, axes or guess_axes(numbers.shape), "The array of labels")
    planes = source.info
    source = as_items(source, None, dims)
    info = source.info
    if info.channels > 1:
        raise DataError(f"The labels have {info.channels} channels (axes {info.axes}).", "Name other axes.")
    size = MeasureOptions(pixel_size_um=lengths_text(pixel_size_um)).lengths(dims)
    frame = Frame(info.size, info.plane_axes, info.plane_shape, size)
    pixels = None if image is None else as_items(_open_image(_as_array(image), planes, image_axes), None, dims)
    channels = NO_CHANNELS
    if pixels is not None:
        names = _names(channel_names, pixels.info.channels)
        channels = Channels(names, MeasureOptions(None if ring is None else str(ring)).ring_px(size, dims))
    elif ring is not None or channel_names:
        raise ConfigError("ring and channel_names have no meaning without an image.", "Give the image.")

    def last_rows(plane: int) -> LastRows:
        runs = find_runs(source.read(plane, tuple(slice(0, extent) for extent in info.size))[0])
        found, place = np.unique(runs.labels[::-1], return_index=True)
        return LastRows(found, runs.rows[::-1][place])

    measurer = Measurer(frame, channels, last_rows=last_rows)
    parts: list[list[Measurements]] = [[] for _ in range(info.planes)]
    for plane, values in enumerate(parts):
        for rows in strips_of(info):
            window = (rows, *(slice(0, extent) for extent in info.size[1:]))
            part = None if pixels is None else pixels.read(plane, window)
            values += [found.values for found in measurer.add(source.read(plane, window)[0], part)]
    empty = measurer.empty(numbers.dtype, None if pixels is None else pixels.info.dtype)
    return _join(empty, parts)


class _Native:
    """An array whose parts come in the machine's order of bytes, and truth values as 0 and 1."""

    def __init__(self, array: Any) -> None:
        stored = np.dtype(array.dtype)
        self._array = array
        self.shape = tuple(int(size) for size in array.shape)
        self.dtype = np.dtype(np.uint8) if stored == np.bool_ else stored.newbyteorder("=")

    def __getitem__(self, index: Any) -> NDArray[Any]:
        return np.asarray(self._array[index]).astype(self.dtype, copy=False)


def _as_array(image: Any) -> _Native:
    """Return an array that is read in parts, if it can be."""
    try:
        np.dtype(image.dtype)
    except (AttributeError, TypeError):
        image = np.asarray(image)
    if np.dtype(image.dtype).kind not in "buif":
        raise DataError(f"The image is an array of {image.dtype}.", "Give an array of numbers.")
    return _Native(image)


def _open_image(image: _Native, labels: ImageInfo, axes: str | None) -> ArraySource:
    """Return an image whose axes are named, or are those of its labels with channels first, last, or none."""
    if axes is not None:
        source = ArraySource(image, axes, "The image")
        if (source.info.plane_shape, source.info.size) == (labels.plane_shape, labels.size):
            return source
    free = "C" if "C" not in labels.axes else "S"
    guesses = (
        (image.shape, labels.axes),
        (image.shape[1:], free + labels.axes),
        (image.shape[:-1], labels.axes + free),
    )
    for shape, own in guesses if axes is None else ():
        if shape == labels.shape:
            return ArraySource(image, own, "The image")
    raise DataError(
        f"The image has the shape {image.shape}, but the labels {labels.shape}.",
        "Give the image of the labels; an axis of channels may come first or last.",
    )


def _names(names: Sequence[str], channels: int) -> tuple[str, ...]:
    if names and len(names) != channels:
        raise ConfigError(f"There are {len(names)} names for {channels} channels.", "Give one for each.")
    if len(set(names)) < len(names):
        raise ConfigError(f"Two channels have the same name: {', '.join(names)}.", "Give each a name of its own.")
    if names:
        return tuple(names)
    return ("intensity",) if channels == 1 else tuple(f"channel_{number}" for number in range(channels))


def _join(empty: Measurements, parts: list[list[Measurements]]) -> Measurements:
    """Put the rows of each plane in the order of their labels, plane after plane."""
    columns: dict[str, list[NDArray[Any]]] = {name: [column] for name, column in empty.items()}
    for batches in parts:
        if batches:
            order = np.argsort(np.concatenate([values["label"] for values in batches]))
            for name, column in columns.items():
                column.append(np.concatenate([values[name] for values in batches])[order])
    return {name: np.concatenate(column) for name, column in columns.items()}
