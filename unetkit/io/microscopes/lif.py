"""Leica LIF, read through the package liffile; of pixels that lie in the file as they are only windows are read."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.io.base.series import PixelSize
from unetkit.io.base.stored import Step
from unetkit.io.base.units import make_step, plausible_size
from unetkit.io.decoding.chunk_format import Box
from unetkit.io.decoding.uncompressed import read_box
from unetkit.io.microscopes.pieces import Pieces, Scene
from unetkit.io.microscopes.planes import Planes, letter_axes, round_size, square_chunks


class LifFile:
    """An open LIF file. Tiles of a scan that Leica's program has not merged are planes along M.

    Args:
        path: The file.

    Raises:
        ImageError: It has no image.
    """

    def __init__(self, path: Path) -> None:
        import liffile

        self._name = str(path)
        self._file: Any = liffile.LifFile(path)
        self._raw = path.open("rb", buffering=0)
        images: list[Any] = list(self._file.images)
        self._images = [image for image in images if _is_read(image)]
        self._left_out = len(images) - len(self._images)
        self._planes = cache(self._open_planes)
        if not self._images:
            self.close()
            kinds = f"no images but {len(images)} of kinds that are not read" if images else "no images"
            raise ImageError(f"{path} holds {kinds}.", "Export its images as OME-TIFF with LAS X.")

    @property
    def scenes(self) -> int:
        """Number of images with rows and columns."""
        return len(self._images)

    def describe(self, number: int) -> Scene:
        """Return what an image is."""
        image, planes = self._images[number], self._planes(number)
        tiles = planes.size("M")
        remarks = [f"Its {tiles} tiles are not put together: each is a plane."] if tiles > 1 else []
        if self._left_out:
            remarks.append(f"Not read are images of other kinds in the file ({self._left_out}: FLIM, line scans, ...).")
        steps = _steps(image)
        size = _pixel_size(steps)
        return planes.scene(
            str(image.path), size, _channel_names(image), (steps.get("Z"), steps.get("T")), tuple(remarks)
        )

    def pieces(self, number: int, level: int, cache_bytes: int) -> Pieces:  # noqa: ARG002
        """Return the pixels of an image."""
        return self._planes(number).pieces(self._name)

    def close(self) -> None:
        """Release the file."""
        self._file.close()
        self._raw.close()

    def _open_planes(self, number: int) -> Planes:
        image = self._images[number]
        axes, shape, dtype = letter_axes(list(image.sizes)), tuple(map(int, image.shape)), np.dtype(image.dtype)
        block = image.memory_block
        if block.offset <= 0 or block.size != prod(shape) * dtype.itemsize:
            whole = tuple(size if axis in "YXS" else 1 for axis, size in zip(axes, shape, strict=True))
            return Planes(axes, shape, dtype, whole, lambda box: _read_frames(image, axes, box), "")
        end = block.offset + block.size
        if end > Path(self._name).stat().st_size:
            raise ValueError(f"the pixels of {image.path} end at byte {end}, beyond the end of the file")
        colours = slice(None, None, -1 if image._is_bgr else 1)

        def read_part(box: Box) -> NDArray[Any]:
            pixels = read_box(self._raw, block.offset, shape, dtype, box)
            return pixels[..., colours] if axes[-1] == "S" else pixels

        return Planes(axes, shape, dtype, square_chunks(axes, shape), read_part)


def _is_read(image: Any) -> bool:
    """Return whether an image has rows and columns, and pixels of one type."""
    try:
        return not image.is_flim and {"Y", "X"} <= set(image.sizes) and image.dtype.kind in "uf"
    except (ValueError, KeyError, AssertionError):  # liffile's answers to images that it does not know
        return False


def _read_frames(image: Any, axes: str, box: Box) -> NDArray[Any]:
    """Return a part of an image that is read a frame at a time."""
    labels = list(image.sizes)
    inner = [i for i, axis in enumerate(axes) if axis in "YXS"]
    sizes = [part.stop - part.start for part in box]
    outer = [i for i in range(len(axes)) if i not in inner]
    pixels = np.empty(sizes, image.dtype)
    for place in np.ndindex(*(sizes[i] for i in outer)):
        indices = {labels[i]: box[i].start + at for i, at in zip(outer, place, strict=True)}
        frame = image.frame(**indices).reshape([image.sizes[labels[i]] for i in inner])
        target: list[int | slice] = [slice(None)] * len(axes)
        for i, at in zip(outer, place, strict=True):
            target[i] = at
        pixels[tuple(target)] = frame[tuple(box[i] for i in inner)]
    return pixels


def _steps(image: Any) -> dict[str, Step]:
    """Return how far neighbours along each axis are apart, where the file says it."""
    steps = {}
    for dimension in image._dimensions:
        count = dimension.number_elements
        if count > 1 and dimension.label in ("T", "Z", "Y", "X"):
            step = make_step(dimension.label, abs(dimension.length) / (count - 1), dimension.unit)
            if step is not None and step.unit:
                steps[dimension.label] = replace(step, size=round_size(step.size))
    return steps


def _pixel_size(steps: dict[str, Step]) -> PixelSize | None:
    return plausible_size((steps["Y"].size, steps["X"].size)) if {"Y", "X"} <= set(steps) else None


def _channel_names(image: Any) -> tuple[str, ...]:
    """Return the names of the dyes, or of the lookup tables, which is what Leica shows for channels."""
    if "S" in image.sizes:
        return ()
    found = []
    for one in image.xml_element.iterfind("./Data/Image/ImageDescription/Channels/ChannelDescription"):
        properties = {entry.findtext("Key"): entry.findtext("Value") for entry in one.iterfind("./ChannelProperty")}
        dye = properties.get("DyeName") or ""
        found.append(dye if dye not in ("", "None") else one.get("LUTName") or "")
    return tuple(found) if all(found) else ()
