"""The reader: slides and files of microscopes as layers of which only what is shown is read.

napari itself opens many slides, but the full resolution whole, and no files of microscopes. Ordinary images are left to
it, and OME-Zarr to napari-ome-zarr.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from napari.utils.notifications import show_error, show_info
from numpy.typing import NDArray

from unetkit.foundation.errors import UnetkitError
from unetkit.io.base.contracts import ImageInfo, ImageSource
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.base.series import Series
from unetkit.io.files import image_stem, list_series, open_image
from unetkit.io.formats import has_image_suffix

LayerTuple = tuple[Any, ...]
"""Data, arguments and kind of a layer, as napari takes them from readers."""

NOTHING: list[LayerTuple] = [(None,)]
"""What a reader returns where there is no layer, and the user knows why."""

CHUNK = 1024
"""Pixels of a chunk along Y and X, or a little more: whole pieces of the file."""

MOST_SERIES = 16
"""Most images of one file that are opened; plates have hundreds."""

COLOURS = 3


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerTuple]] | None:
    """Return the reader of a file, None if it is none that unetkit reads."""
    if not isinstance(path, str) or "://" in path or not has_image_suffix(Path(path)):
        return None
    return read_layers


def read_layers(path: str) -> list[LayerTuple]:
    """Return a layer for each image in a file, or for each of its channels; pixels are read when they are shown."""
    try:
        found = list_series(path)
        shown = found[:MOST_SERIES]
        layers = [layer for number, one in enumerate(shown) for layer in _read_series(path, number, one, len(found))]
    except UnetkitError as error:
        show_error(f"{error.problem} {error.remedy}")
        return NOTHING
    if len(found) > len(shown):
        show_info(f"{path} holds {len(found)} images. The first {len(shown)} were opened.")
    return layers


def _read_series(path: str, number: int, series: Series, count: int) -> list[LayerTuple]:
    """Return the layers of one image."""
    sources = [open_image(path, ReadOptions(series=number, level=level)) for level in range(len(series.levels))]
    info = sources[0].info
    levels = [_lazy(source) for source in sources]
    name = image_stem(path) + (f" {series.name or number}" if count > 1 else "")
    arguments: dict[str, Any] = {"name": name, "multiscale": len(levels) > 1, **_place(info)}
    if info.channels == COLOURS and (info.colours is True or "S" in info.axes):
        return [(_one_or_all([_colours_last(level) for level in levels]), arguments | {"rgb": True}, "image")]
    names = info.channel_names or tuple(f"channel {channel}" for channel in range(info.channels))
    layers: list[LayerTuple] = []
    for channel, called in enumerate(names):
        own = {} if info.channels == 1 else {"name": f"{name} {called}", "blending": "additive"}
        data = _one_or_all([level[..., channel, :, :] for level in levels])
        layers.append((data, arguments | {"rgb": False} | own, "image"))
    return layers


def _colours_last(array: Any) -> Any:
    """Return an array (..., channels, height, width) as napari has RGB."""
    import dask.array

    return dask.array.moveaxis(array, -3, -1)


def _one_or_all(levels: list[Any]) -> Any:
    """Return levels as napari takes them: the only one by itself."""
    return levels if len(levels) > 1 else levels[0]


def _place(info: ImageInfo) -> dict[str, Any]:
    """Return scale, units and names of the axes, as far as they are known."""
    axes = f"{info.plane_axes}YX"
    steps = {step.axis: (step.size, step.unit or "pixel") for step in info.steps}
    if info.pixel_size_um is not None:
        steps |= {axis: (size, "µm") for axis, size in zip("YX", info.pixel_size_um, strict=True)}
    scale, units = zip(*(steps.get(axis, (1.0, "pixel")) for axis in axes), strict=True)
    return {"scale": scale, "units": units, "axis_labels": tuple(axes.lower())}


class SourceArray:
    """An image source as an array (planes ..., channels, height, width) that is read where it is sliced.

    Args:
        source: The image.
    """

    def __init__(self, source: ImageSource) -> None:
        info = source.info
        self._source = source
        self._planes = info.plane_shape
        self._lock = Lock()
        self.dtype = info.dtype
        self.shape = (*info.plane_shape, info.channels, *info.size)
        self.ndim = len(self.shape)

    def __getitem__(self, index: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read a block; `index` has a number or a slice for each axis."""
        parts = [part if isinstance(part, slice) else slice(part, part + 1) for part in index]
        whole = [slice(*part.indices(size)) for part, size in zip(parts, self.shape, strict=True)]
        *planes, channels, rows, columns = whole
        ranges = [range(part.start, part.stop) for part in planes]
        shape = [part.stop - part.start for part in whole]
        block = np.empty(shape, self.dtype)
        for place in np.ndindex(*shape[:-3]):
            plane = [along[at] for along, at in zip(ranges, place, strict=True)]
            item = int(np.ravel_multi_index(plane, self._planes)) if plane else 0
            with self._lock:
                block[place] = self._source.read(item, (rows, columns))[channels]
        return block[tuple(slice(None) if isinstance(part, slice) else 0 for part in index)]


def _lazy(source: ImageSource) -> Any:
    """Return a dask array whose chunks are whole pieces of the file, of one plane, with all channels."""
    import dask.array

    info = source.info
    pieces = zip(info.block, info.size, strict=True)
    tile = [min(ceil(CHUNK / max(block, 1)) * max(block, 1), size) for block, size in pieces]
    chunks = (*(1 for _ in info.plane_axes), info.channels, *tile)
    from_array: Any = dask.array.from_array
    return from_array(SourceArray(source), chunks=chunks, name=False)
