"""Annotations as an image: what was drawn on an image, read by windows like a mask."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unetkit.annotations.classes import is_ignored, is_region, number_of
from unetkit.annotations.objects import EVERYWHERE, Annotations, Drawn
from unetkit.annotations.outlines import check_outlines, check_size, note_on
from unetkit.annotations.places import plane_of
from unetkit.annotations.raster import Layer, Tally, paint
from unetkit.annotations.spans import Box, Ints
from unetkit.io.base.contracts import BadTile, ImageInfo, Window
from unetkit.io.base.stored import Encoding

Values = Literal["mask", "labels", "classes"]
"""What a pixel of an object gets: 255, the number of the object, or the number of its class."""

FOREGROUND, IGNORED = 255, 255
"""Values of a mask. Where some of its pixels are ignored, its foreground is 1."""

BAND_PIXELS = 2**24
"""How many pixels are painted at a time."""


class AnnotationSource:
    """What was drawn on an image, as an image of one channel: 0 for background.

    Later objects cover earlier ones. Pixels that are ignored have the largest value of the type.

    Args:
        annotations: What was drawn.
        image: Description of the image.
        values: What a pixel of an object gets.
        classes: Names of the classes, for the values "classes": the first is 1.
        ignored: Names of classes whose pixels are ignored.

    Attributes:
        info: Description of this image.
        bad_tiles: Always empty.
        objects: The objects in the order of their numbers, from 1.
        ignore_value: Value of pixels that are ignored; None if there are none.

    Raises:
        DataError: The annotations do not fit the image.
    """

    def __init__(
        self,
        annotations: Annotations,
        image: ImageInfo,
        values: Values,
        classes: Sequence[str] = (),
        ignored: Sequence[str] = (),
    ) -> None:
        self._annotations = annotations
        check_size(annotations, image)
        regions = [one for one in annotations.objects if is_region(one)]
        crowds = [one for one in annotations.objects if one.crowd and not is_region(one)]
        others = [one for one in annotations.objects if not (one.crowd or is_region(one))]
        left_out = [one for one in others if is_ignored(one, ignored)]
        self.objects = [one for one in others if not is_ignored(one, ignored)]
        ignores = bool(regions or crowds or left_out)
        dtype = type_for(len(self.objects)) if values == "labels" else np.dtype(np.uint8)
        ignore = int(np.iinfo(dtype).max)
        self.ignore_value = ignore if ignores else None
        if values == "labels":
            numbers = list(range(1, len(self.objects) + 1))
        elif values == "classes":
            numbers = [number_of(one, classes) for one in self.objects]
        else:
            numbers = [1 if ignores else FOREGROUND] * len(self.objects)
        self._shown = [*crowds, *self.objects, *left_out]
        given = [*[ignore] * len(crowds), *numbers, *[ignore] * len(left_out)]
        self._planes = [plane_of(one, image, annotations.path) for one in self._shown]
        self._layer, self._owners = _layer(self._shown, given, self._planes)
        planes = [plane_of(one, image, annotations.path) for one in regions]
        self._regions, owners = _layer(regions, [1] * len(regions), planes)
        self._notes = [
            *annotations.notes,
            *_note_planes(annotations.objects, image, annotations.path),
            *check_outlines(self._shown, self._layer.boxes, self._owners, image, annotations.path),
            *check_outlines(regions, self._regions.boxes, owners, image, annotations.path),
        ]
        self.bad_tiles: list[BadTile] = []
        self.info = ImageInfo(
            name=str(annotations.path),
            format="annotations",
            axes=f"{image.plane_axes}YX",
            shape=(*image.plane_shape, *image.size),
            dtype=dtype,
            plane_axes=image.plane_axes,
            plane_shape=image.plane_shape,
            channels=1,
            size=image.size,
            pixel_size_um=image.pixel_size_um,
            steps=image.steps,
            block=image.size,
            encoding=Encoding(ignored=self.ignore_value),
        )

    def read(self, item: int, window: Window, tally: Tally | None = None) -> NDArray[Any]:
        """Return pixels (1, h, w) of a window of a plane.

        Args:
            item: The plane.
            window: The window.
            tally: Counts what is painted, for `notes`.
        """
        rows, columns = window
        canvas = np.zeros((rows.stop - rows.start, columns.stop - columns.start), self.info.dtype)
        step = max(BAND_PIXELS // max(canvas.shape[1], 1), 1)
        for top in range(0, canvas.shape[0], step):
            band = canvas[top : top + step]
            box = Box(rows.start + top, rows.start + top + len(band), columns.start, columns.stop)
            paint(band, self._layer, box, item, tally)
            if self._regions.parts:
                inside = np.zeros(band.shape, np.uint8)
                paint(inside, self._regions, box, item)
                band[inside == 0] = np.iinfo(canvas.dtype).max
        return canvas[np.newaxis]

    def tally(self) -> Tally:
        """Return a tally for windows that cover planes once."""
        return Tally(self._layer)

    def notes(self, tally: Tally, planes: Collection[int]) -> list[str]:
        """Return sentences on what is odd about the annotations.

        Args:
            tally: What was painted.
            planes: The planes that were read whole with it.
        """
        path, count = self._annotations.path, len(self._shown)
        pixels = np.bincount(self._owners, tally.pixels, count)
        crossed = np.bincount(self._owners, tally.crossed, count) > 0
        due = [bool(planes) if plane < 0 else plane in planes for plane in self._planes]
        odd = [one.title for one, found in zip(self._shown, crossed, strict=True) if found]
        empty = [one.title for one, here, found in zip(self._shown, due, pixels, strict=True) if here and not found]
        return [
            *self._notes,
            *note_on(path, odd, "outlines cross themselves: what they surround twice is outside"),
            *note_on(path, empty, "outlines surround the centre of no pixel: nothing is drawn"),
        ]

    def close(self) -> None:
        """Nothing to release: the file was read before."""


def type_for(objects: int) -> np.dtype[Any]:
    """Return the type of labels of so many objects; its largest value is none of them."""
    return np.dtype(np.uint16 if objects < np.iinfo(np.uint16).max else np.uint32)


def _layer(drawn: Sequence[Drawn], values: Sequence[int], planes: Sequence[int]) -> tuple[Layer, Ints]:
    """Return objects as what is painted, and the place of the object that each part is of."""
    owners = [place for place, one in enumerate(drawn) for _ in one.parts]
    parts = [part for one in drawn for part in one.parts]
    layer = Layer.of(parts, [values[place] for place in owners], [planes[place] for place in owners])
    return layer, np.array(owners, np.int64)


def _note_planes(drawn: Sequence[Drawn], image: ImageInfo, path: Path) -> list[str]:
    """Return a note on objects that are in all planes of a stack since they name none."""
    titles = [one.title for one in drawn if one.place == EVERYWHERE] if image.planes > 1 else []
    return note_on(path, titles, f"objects name no plane: they are drawn in all {image.planes}")
