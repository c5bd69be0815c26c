"""Layers of napari as plain data: the pixels, which part of them is meant, and where a result belongs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from napari.utils.transforms import CompositeAffine
from numpy.typing import NDArray

from unetkit.foundation.errors import ConfigError, ImageError
from unetkit.io.base.array_likes import OTHER_NAMES, check_array
from unetkit.io.base.axes import SPARE_AXES, name_dimensions
from unetkit.io.base.contracts import UNNAMED_AXES
from unetkit.napari.part import Part

Region = Literal["whole", "view", "rectangle"]
"""The whole image, the field in view, or a rectangle of a shapes layer."""

Box = tuple[slice, slice]
"""Rows and columns."""

COLOURS = 3
"""Channels of an RGB layer; a fourth is alpha, which is left out."""


@dataclass(frozen=True)
class Picture:
    """What is to be segmented of an image layer. It is taken in the viewer's thread and used in another.

    Attributes:
        name: Name of the layer.
        pixels: All pixels at full resolution, the samples of RGB last.
        rgb: Whether the last axis holds samples.
        labels: Names of the axes, without that of samples; empty if they have none.
        box: Rows and columns that are meant.
        shown: Position along each axis before rows and columns, where only the plane that is shown is meant.
        transform: Scale, translation and so on of the layer, as napari's layers take them.
        pixel_size_um: Size of a pixel (y, x) in µm, if the layer has units.
    """

    name: str
    pixels: Any
    rgb: bool
    labels: tuple[str, ...]
    box: Box
    shown: tuple[int, ...] | None
    transform: Mapping[str, Any]
    pixel_size_um: tuple[float, float] | None

    def axes(self, channels: int, guess: Callable[[Any, int], str]) -> str:
        """Return one letter for each axis of `pixels`, with Y and X as the last ones but for the samples.

        An axis called "c" is the channels only if it has as many as the model takes; else each is a plane of its own.

        Args:
            channels: Channels that the model takes.
            guess: Returns the axes of an array about which the layer says nothing, given the array and `channels`.

        Raises:
            ImageError: The channels come last, but the layer is not RGB.
        """
        if self.rgb:
            return "QTZ"[5 - (len(self.pixels.shape) - 1) :] + "YXS"
        named = name_dimensions([OTHER_NAMES.get(name.lower(), name) for name in self.labels])
        if named.endswith("YX"):
            return named if dict(zip(named, self.pixels.shape, strict=True)).get("C") == channels else _as_planes(named)
        axes = guess(self.pixels, channels)
        if not axes.endswith("YX"):
            raise ImageError(
                f"The layer '{self.name}' of shape {tuple(self.pixels.shape)} has its channels last and is not RGB.",
                "Add it with rgb=True, or with its channels before its rows.",
            )
        return axes

    def depth(self, axes: str) -> int | None:
        """Return which axis is the depth of a stack of which only one plane is meant; None without one.

        Args:
            axes: See `axes`.
        """
        leading = [axis for axis in axes if axis not in "CYXS"]
        named = "Z" if "Z" in leading else leading[0] if len(leading) == 1 and leading[0] in UNNAMED_AXES else None
        return None if named is None or self.shown is None else axes.index(named)

    def part(self, axes: str, check: Callable[[], None], whole: int | None = None) -> tuple[Part, str]:
        """Return the pixels that are meant, and the axes that they have.

        Args:
            axes: See `axes`.
            check: Called before each read.
            whole: Axis of which all positions are meant, though only one plane is shown.
        """
        index: list[int | slice] = [slice(0, int(size)) for size in self.pixels.shape]
        index[axes.index("Y")], index[axes.index("X")] = self.box
        if self.rgb:
            index[-1] = slice(0, min(COLOURS, int(self.pixels.shape[-1])))
        if self.shown is not None:
            for axis, position in enumerate(self.shown):
                index[axis] = index[axis] if axes[axis] == "C" or axis == whole else position
        kept = "".join(axis for axis, at in zip(axes, index, strict=True) if isinstance(at, slice))
        return Part(self.pixels, index, check), kept

    def place(self, result: NDArray[Any], axes: str) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return a result with the axes of the layer, and where it belongs in the viewer.

        The layer of the result has as many axes as that of the image, so napari shows both at the same positions: one
        plane of a stack is shown only there, and what is made of all channels is shown with each of them.

        Args:
            result: (planes ..., height, width).
            axes: See `axes`.
        """
        own = axes.removesuffix("S")
        offset, stretch, shape = np.zeros(len(own)), np.ones(len(own)), list(result.shape)
        offset[-2:] = [part.start for part in self.box]
        for axis, letter in enumerate(own[:-2]):
            if letter == "C":
                channels = int(self.pixels.shape[axis])
                offset[axis], stretch[axis] = (channels - 1) / 2, channels
                shape.insert(axis, 1)
            elif self.shown is not None:
                offset[axis] = self.shown[axis]
                shape.insert(axis, 1)
        transform = dict(self.transform)
        scale, rotate, shear = (transform[name] for name in ("scale", "rotate", "shear"))
        linear = CompositeAffine(scale=scale, rotate=rotate, shear=shear, ndim=len(own)).linear_matrix
        transform["translate"] = np.asarray(transform["translate"]) + linear @ offset
        transform["scale"] = np.asarray(scale) * stretch
        return result.reshape(shape), transform


def take_picture(
    viewer: ViewerModel,
    layer: Image | None,
    region: Region = "whole",
    rectangles: Shapes | None = None,
    *,
    shown_only: bool = True,
) -> Picture:
    """Return what is to be segmented of a layer.

    Args:
        viewer: The viewer that shows it.
        layer: The image; None if there is none.
        region: Which part of each plane.
        rectangles: Layer of the rectangle, for that region.
        shown_only: Whether only the plane that is shown is meant, not all planes of a stack.

    Raises:
        ImageError: There is no layer, or it is no image.
        ConfigError: There is no such region.
    """
    if layer is None:
        raise ImageError("There is no image layer.", "Open an image: drag its file into the window.")
    pixels = layer.data[0] if layer.multiscale else layer.data
    check_array(pixels)
    size = tuple(int(length) for length in pixels.shape[layer.ndim - 2 : layer.ndim])
    box = (slice(0, size[0]), slice(0, size[1]))
    if region != "whole":
        world = _view(viewer) if region == "view" else _rectangle(rectangles)
        box = _to_box(layer, world, viewer.dims.point, size)
    point = layer.world_to_data(viewer.dims.point)[: layer.ndim - 2]
    leading = pixels.shape[: layer.ndim - 2]
    shown = tuple(int(np.clip(round(at), 0, length - 1)) for at, length in zip(point, leading, strict=True))
    names = tuple(layer.axis_labels)
    transform = {name: getattr(layer, name) for name in ("scale", "translate", "rotate", "shear", "affine", "units")}
    default = tuple(str(number) for number in range(-layer.ndim, 0))
    return Picture(
        name=layer.name,
        pixels=pixels,
        rgb=layer.rgb,
        labels=() if names == default else names,
        box=box,
        shown=shown if shown_only else None,
        transform=transform | {"axis_labels": names},
        pixel_size_um=_pixel_size(layer),
    )


def _as_planes(axes: str) -> str:
    """Return axes with another letter for the channels, which makes them planes."""
    return axes.replace("C", next(letter for letter in SPARE_AXES if letter not in axes))


def _view(viewer: ViewerModel) -> NDArray[np.float64]:
    """Return the corners (4, 2) of what the canvas shows, in world coordinates.

    Raises:
        ConfigError: The viewer shows volumes, or other planes than those of rows and columns.
    """
    count = viewer.dims.ndim
    if viewer.dims.ndisplay != 2 or tuple(viewer.dims.displayed) != (count - 2, count - 1):
        raise ConfigError(
            "The viewer does not show rows and columns, so there is no field in view.",
            "Switch back to 2D and to the usual order of axes, or choose another region.",
        )
    height, width = np.asarray(viewer.canvas.viewbox_size(viewer.layers)) / viewer.scene.camera.zoom / 2
    y, x = viewer.scene.camera.center[-2:]
    return np.array([(y + down * height, x + right * width) for down, right in product((-1, 1), repeat=2)])


def _rectangle(layer: Shapes | None) -> NDArray[np.float64]:
    """Return the corners (4, 2) of the rectangle of a shapes layer, in world coordinates.

    Raises:
        ConfigError: There is no rectangle, or it is not clear which one is meant.
    """
    draw = "Draw one rectangle in a shapes layer, and choose that layer."
    if layer is None:
        raise ConfigError("There is no shapes layer with a rectangle.", draw)
    meant = sorted(layer.selected_data) or range(layer.nshapes)
    found = [number for number in meant if layer.shape_type[number] == "rectangle"]
    if not found:
        raise ConfigError(f"The layer '{layer.name}' has no rectangle.", draw)
    if len(found) > 1:
        problem = f"It is not clear which of the {len(found)} rectangles of '{layer.name}' is meant."
        raise ConfigError(problem, "Select one of them.")
    return np.array([layer.data_to_world(corner)[-2:] for corner in layer.data[found[0]]])


def _to_box(layer: Image, corners: NDArray[np.float64], point: Sequence[float], size: Sequence[int]) -> Box:
    """Return the pixels of a layer whose centres lie between corners (n, 2) in world coordinates.

    Raises:
        ConfigError: There are none.
    """
    leading = [float(at) for at in point[:-2]]
    inside = np.array([layer.world_to_data([*leading, *corner])[-2:] for corner in corners])
    first = np.clip(np.ceil(inside.min(0)).astype(int), 0, size)
    last = np.clip(np.floor(inside.max(0)).astype(int) + 1, 0, size)
    if (first >= last).any():
        raise ConfigError(f"The region holds no pixel of '{layer.name}'.", "Move it onto the image.")
    return slice(int(first[0]), int(last[0])), slice(int(first[1]), int(last[1]))


def _pixel_size(layer: Image) -> tuple[float, float] | None:
    """Return the size of a pixel (y, x) in µm, None if the layer's units are no lengths."""
    units = layer.units[-2:]
    if not all(unit.is_compatible_with("micrometer") for unit in units):
        return None
    height, width = (
        float((abs(scale) * unit).to("micrometer").magnitude)
        for scale, unit in zip(layer.scale[-2:], units, strict=True)
    )
    return height, width
