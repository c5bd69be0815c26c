"""Levels as OME-Zarr 0.4, made up while they are asked for: what describes them, and their chunks.

The browser's viewer reads OME-Zarr over HTTP, with any number of axes, and levels of any ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import UnetkitError
from unetkit.viewing.levels import Wanted
from unetkit.viewing.once import ArrayCache
from unetkit.viewing.opening import Picture
from unetkit.viewing.scene import UNITS, Axis, Scene

CHUNK = 256
"""Side of a chunk in pixels."""

CACHE_BYTES = 32 * 2**20
"""Bound of the chunks of a picture that stay in memory: channels are asked for one after another, and read together."""

Log = Callable[[str], None]


class ChunkedPicture:
    """A picture whose chunks are read by several threads.

    What cannot be read is background, and said once.

    Args:
        picture: The picture.
        scene: Where the image lies, which this fills.
        log: Called with a sentence where something cannot be read.
    """

    def __init__(self, picture: Picture, scene: Scene, log: Log) -> None:
        self.picture = picture
        self._scene = scene
        self._log = log
        self._cache = ArrayCache(CACHE_BYTES)
        self._said: set[str] = set()
        self._lock = Lock()

    def axes(self) -> tuple[Axis, ...]:
        """Return the axes of the finest level: planes, y and x, in the units of the image."""
        height, width = self.picture.info.size
        own = [
            Axis(axis.name, length, axis.step * axis.length / length, axis.unit)
            for axis, length in ((self._scene.y, height), (self._scene.x, width))
        ]
        return (*self._scene.planes, *own)

    def describe(self, channels: slice) -> dict[str, Any]:
        """Return the attributes (`.zattrs`) of a layer that shows some channels."""
        axes = list(self.axes())
        datasets = []
        for number, level in enumerate(self.picture.levels):
            scale = [axis.step for axis in axes]
            scale[-2:] = [axis.step * factor for axis, factor in zip(axes[-2:], level.scale, strict=True)]
            # The centre of the first pixel, so that all levels begin at the same edge.
            centre = [size / 2 for size in scale]
            datasets.append(
                {
                    "path": str(number),
                    "coordinateTransformations": [
                        {"type": "scale", "scale": _with_channel(scale, 1.0, channels)},
                        {"type": "translation", "translation": _with_channel(centre, 0.5, channels)},
                    ],
                }
            )
        described = [_describe_axis(axis) for axis in axes]
        channel = {"name": "c^", "type": "other"}
        return {
            "multiscales": [
                {
                    "version": "0.4",
                    "axes": _with_channel(described, channel, channels),
                    "datasets": datasets,
                }
            ]
        }

    def describe_level(self, number: int, channels: slice) -> dict[str, Any]:
        """Return what an array (`.zarray`) of a layer is.

        Raises:
            IndexError: There is no such level.
        """
        level = self.picture.levels[number]
        planes = [axis.length for axis in self._scene.planes]
        count = channels.stop - channels.start
        return {
            "zarr_format": 2,
            "shape": _with_channel([*planes, *level.size], count, channels),
            "chunks": _with_channel([1] * len(planes) + [CHUNK, CHUNK], count, channels),
            "dtype": self.picture.dtype.newbyteorder("<").str,
            "compressor": None,
            "fill_value": 0,
            "filters": None,
            "order": "C",
            "dimension_separator": "/",
        }

    def chunk(self, number: int, place: Sequence[int], channels: slice, wanted: Wanted) -> bytes:
        """Return the pixels of a chunk (C, CHUNK, CHUNK), with zeros beyond the image.

        Args:
            number: Number of the level.
            place: Number of the chunk along each axis of the array.
            channels: The channels of the layer.
            wanted: Whether somebody still waits for it.

        Raises:
            IndexError: There is no such chunk.
            NotWantedError: Nobody waits for it any more.
        """
        level = self.picture.levels[number]
        *planes, row, column = _without_channel(place, channels)
        lengths = [axis.length for axis in self._scene.planes]
        counts = [*lengths, *(ceil(length / CHUNK) for length in level.size)]
        if len(planes) != len(lengths) or any(
            one >= count for one, count in zip((*planes, row, column), counts, strict=True)
        ):
            raise IndexError(place)
        plane = self._scene.plane_number(tuple(planes))
        window = tuple(
            slice(part * CHUNK, min((part + 1) * CHUNK, length))
            for part, length in zip((row, column), level.size, strict=True)
        )
        try:
            pixels = self._cache.get((number, plane, row, column), lambda: level.read(plane, window, wanted))
        except UnetkitError as error:
            self._say(type(error).__name__, str(error))
            return bytes((channels.stop - channels.start) * CHUNK * CHUNK * self.picture.dtype.itemsize)
        self._say_damage()
        return _fill(pixels[channels], self.picture.dtype)

    def _say_damage(self) -> None:
        """Say once that parts of the file could not be decoded."""
        if any(source.bad_tiles for source in self.picture.sources):
            self._say(
                "damage",
                f"{self.picture.info.name}: some parts cannot be decoded, and are shown as background. Copy or export "
                "it again.",
            )

    def _say(self, kind: str, text: str) -> None:
        """Log the first sentence of a kind: there may be one for each chunk."""
        with self._lock:
            if kind in self._said:
                return
            self._said.add(kind)
        self._log(text)


def _fill(pixels: NDArray[Any], dtype: np.dtype[Any]) -> bytes:
    """Return the bytes of pixels (C, h, w) at the upper left of whole chunks."""
    little = dtype.newbyteorder("<")
    if pixels.shape[1:] == (CHUNK, CHUNK):
        return np.ascontiguousarray(pixels, little).tobytes()
    chunk = np.zeros((len(pixels), CHUNK, CHUNK), little)
    chunk[:, : pixels.shape[1], : pixels.shape[2]] = pixels
    return chunk.tobytes()


def _describe_axis(axis: Axis) -> dict[str, str]:
    unit = UNITS[axis.unit][0]
    return {"name": axis.name, "type": "time" if axis.name == "t" else "space"} | ({"unit": unit} if unit else {})


def _with_channel(values: Sequence[Any], channel: Any, channels: slice) -> list[Any]:
    """Return values of all axes, with that of the channels before those of y and x if the layer has several."""
    return list(values) if channels.stop - channels.start == 1 else [*values[:-2], channel, *values[-2:]]


def _without_channel(place: Sequence[int], channels: slice) -> list[int]:
    """Return numbers of a chunk without that of the channels, which are all in one."""
    if channels.stop - channels.start == 1:
        return list(place)
    if len(place) < 3 or place[-3] != 0:
        raise IndexError(place)
    return [*place[:-3], *place[-2:]]
