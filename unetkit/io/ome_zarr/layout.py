"""How an output lies in an OME-Zarr: axes, arrays, chunks and attributes.

The format: https://ngff.openmicroscopy.org/0.5/, or 0.4 within an image of that version. What is stored as zarr is
always a pyramid, as viewers expect it. Within an image it has the levels of the image, as the format demands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any, Literal

import numpy as np

from unetkit.io.base.axes import ITEM_AXES, kept_steps, ome_axes
from unetkit.io.base.contracts import OutputSpec, Window
from unetkit.io.ome_zarr.labels import LabelPlace
from unetkit.io.ome_zarr.levels import image_levels, pick_pixels
from unetkit.io.writing.rechunk import level_factors, level_sizes

CHUNK = 1024
"""Side of a chunk of planes. A chunk of volumes has as many pixels, see `chunk_of`."""

DEEPEST_CHUNK = 64

AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
"""Names and types of the axes, in the order that OME-Zarr wants."""

HALVES = {
    2: ("upper left of 2 x 2 pixels", "mean of 2 x 2 pixels"),
    3: ("first of 2 voxels along each halved axis", "mean of 2 voxels along each halved axis"),
}
"""What a pixel of a smaller level is, of labels and of fractions, by the axes of an item."""

UNIT_NAMES = {"µm": "micrometer", "s": "second"}


def chunk_of(size: Sequence[int]) -> tuple[int, ...]:
    """Return the pixels of a chunk along each axis of an item.

    They are 2^20: enough that an image has few files, and few enough that a viewer has one in a moment. A chunk of a
    volume is as deep as the volume, up to 64 planes, so that a cut along any axis passes few chunks, and a band of
    whole planes fits in memory. The sides are powers of 2: a chunk of a smaller level is made of whole chunks.

    >>> chunk_of((5000, 5000)), chunk_of((500, 500, 500)), chunk_of((10, 5000, 5000))
    ((1024, 1024), (64, 128, 128), (16, 256, 256))
    """
    *depth, _, _ = size
    deep, side = 1, CHUNK
    while depth and deep < min(depth[0], DEEPEST_CHUNK):
        deep, side = 4 * deep, max(1, side // 2)
    return (*(deep for _ in depth), side, side)


class Layout:
    """The arrays of an output and what is said about them.

    Args:
        name: Name of the output.
        spec: What is written.
        place: Where in the labels of an image it lies, if it does.

    Attributes:
        spec: What is stored: a pyramid, its plane axes named as OME names them.
        chunk: Pixels of a chunk along each axis of an item.
        sizes: Size of each level.
        factors: By what each axis of the level above it is divided for each smaller level, see `level_factors`.
        picks: Which pixels each smaller level takes of that above it; None where it is half of that.
    """

    def __init__(self, name: str, spec: OutputSpec, place: LabelPlace | None) -> None:
        self._dims = len(spec.size)
        self._item_axes = ITEM_AXES[-self._dims :].lower()
        axes, sizes = ome_axes(spec.plane_axes, spec.plane_shape, self._dims)
        self._name = name
        self._labels = spec.dtype.kind in "ui"
        self._in_image = place is not None
        self._zarr_format: Literal[2, 3] = 3 if place is None else place.zarr_format
        self._steps = kept_steps(spec)
        self.spec = replace(spec, pyramid=True, plane_axes=axes.lower(), plane_shape=sizes)
        self.chunk = chunk_of(spec.size)
        along = f"{axes.lower()}{self._item_axes}"
        shape = (*sizes, *spec.size)
        present = {*along, *("c" if spec.channels > 1 else "")}
        self._axes = "".join(axis for axis in AXIS_TYPES if axis in present)
        self._levels = None if place is None else image_levels(place.group.parent, along, shape)
        self._order = [along.index(axis) for axis in self._axes if axis in along]
        self.picks = None if self._levels is None else pick_pixels(self._levels, self._dims)
        self.sizes = level_sizes(self.spec)
        self.factors = level_factors(self.spec)
        self._plane_shapes = [sizes] * len(self.sizes)
        if self._levels is not None:
            self.sizes = [shape[-self._dims :] for shape in self._levels.shapes]
            self._plane_shapes = [shape[: -self._dims] for shape in self._levels.shapes]

    def create(self, store: Any) -> list[Any]:
        """Create the group and the array of each level, all zeros.

        Args:
            store: A folder, or a store of zarr.
        """
        import zarr

        spec = self.spec
        group = zarr.create_group(store, zarr_format=self._zarr_format, attributes=self._attributes())
        arrays = []
        for level, size in enumerate(self.sizes):
            lengths = dict(zip(spec.plane_axes, self._plane_shapes[level], strict=True))
            lengths |= {"c": spec.channels, **dict(zip(self._item_axes, size, strict=True))}
            chunk = {axis: min(step, lengths[axis]) for axis, step in zip(self._item_axes, self.chunk, strict=True)}
            shape = tuple(lengths[axis] for axis in self._axes)
            arrays.append(
                group.create_array(
                    str(level),
                    shape=shape,
                    dtype=spec.dtype,
                    chunks=tuple(chunk.get(axis, 1) for axis in self._axes),
                    fill_value=0,
                    **self._encoding(),
                )
            )
        return arrays

    def open(self, store: Any) -> list[Any]:
        """Return the array of each level of what `create` made."""
        import zarr

        group = zarr.open_group(store, mode="r+", zarr_format=self._zarr_format)
        return [group[str(level)] for level in range(len(self.sizes))]

    def metadata(self) -> dict[str, bytes]:
        """Return the files that `create` writes, by their names in the folder."""
        from zarr.storage import MemoryStore

        files: dict[str, Any] = {}
        self.create(MemoryStore(files))
        return {name: content.to_bytes() for name, content in files.items()}

    def job(self) -> dict[str, Any]:
        """Return what decides where pixels lie and what smaller levels are made of, in values that JSON knows."""
        return {
            "axes": self._axes,
            "channels": self.spec.channels,
            "chunk": self.chunk,
            "dtype": self.spec.dtype.str,
            "levels": [[*shape, *size] for shape, size in zip(self._plane_shapes, self.sizes, strict=True)],
            "places": [self._transformations(level) for level in range(len(self.sizes))],
            "zarr_format": self._zarr_format,
        }

    def planes(self, level: int) -> int:
        """Return the number of planes of a level."""
        return prod(self._plane_shapes[level])

    def index(self, level: int, plane: int, channel: int, window: Window) -> tuple[int | slice, ...]:
        """Return the index of a window of one channel of a plane in the array of its level."""
        shape = self._plane_shapes[level]
        position = np.unravel_index(plane, shape) if shape else ()
        index: dict[str, int | slice] = {
            axis: int(place) for axis, place in zip(self.spec.plane_axes, position, strict=True)
        }
        index |= {"c": channel, **dict(zip(self._item_axes, window, strict=True))}
        return tuple(index[axis] for axis in self._axes)

    def _encoding(self) -> dict[str, Any]:
        """Return what is different in the versions of Zarr."""
        itemsize = self.spec.dtype.itemsize
        if self._zarr_format == 3:
            from zarr.codecs import BloscCodec

            blosc = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", typesize=itemsize)
            return {"compressors": blosc, "dimension_names": tuple(self._axes)}
        from numcodecs import Blosc

        return {
            "compressors": Blosc(cname="zstd", clevel=1, shuffle=Blosc.BITSHUFFLE),
            "chunk_key_encoding": {"name": "v2", "separator": "/"},
        }

    def _attributes(self) -> dict[str, Any]:
        """Return the attributes of the group: OME's, and our own."""
        spec, labels = self.spec, self._labels
        units = {step.axis.lower(): UNIT_NAMES[step.unit] for step in self._steps if step.unit}
        units |= dict.fromkeys(self._item_axes, "micrometer") if spec.pixel_size_um is not None else {}
        axes: list[dict[str, Any]] = [
            {"name": axis, "type": AXIS_TYPES[axis], **({"unit": units[axis]} if axis in units else {})}
            for axis in self._axes
        ]
        if self._levels is not None:
            axes = [{"type": AXIS_TYPES[self._axes[i]], **self._levels.axes[at]} for i, at in enumerate(self._order)]
        first, mean = HALVES[self._dims]
        picked = "nearest pixel" if self.picks is not None else first
        multiscale = {
            "name": self._name.split(".", maxsplit=1)[0],
            "axes": axes,
            "datasets": [
                {"path": str(level), "coordinateTransformations": self._transformations(level)}
                for level in range(len(self.sizes))
            ],
            "type": "nearest" if labels else "mean",
            "metadata": {"description": picked if labels else mean},
        }
        source = {"source": {"image": "../../"}} if self._in_image else {}
        own = {"unetkit": {"notes": dict(spec.notes), "channel_names": list(spec.channel_names)}}
        if self._zarr_format == 2:
            old: dict[str, Any] = {"multiscales": [{"version": "0.4", **multiscale}]}
            return {**old, **({"image-label": {"version": "0.4", **source}} if labels else {}), **own}
        ome: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale]}
        return {"ome": {**ome, **({"image-label": {"version": "0.5", **source}} if labels else {})}, **own}

    def _transformations(self, level: int) -> list[dict[str, Any]]:
        """Return where the centres of a level's pixels lie: those of means between the pixels that were averaged.

        Within an image they lie where those of the image lie.
        """
        if self._levels is not None:
            place = self._levels.places[level]
            moved = [{"type": "scale", "scale": [place.scale[i] for i in self._order]}]
            shift = [place.translation[i] for i in self._order]
            return [*moved, {"type": "translation", "translation": shift}] if any(shift) else moved
        sizes = {step.axis.lower(): step.size for step in self._steps}
        if self.spec.pixel_size_um is not None:
            sizes |= dict(zip(self._item_axes, self.spec.pixel_size_um, strict=True))
        divided = [prod(factors) for factors in zip(*self.factors[:level], strict=True)] or [1] * self._dims
        shrunk = dict(zip(self._item_axes, divided, strict=True))
        scale = [sizes.get(axis, 1.0) * shrunk.get(axis, 1) for axis in self._axes]
        transformations: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if level and not self._labels:
            translation = [sizes.get(axis, 1.0) * ((shrunk.get(axis, 1) - 1) / 2) for axis in self._axes]
            transformations.append({"type": "translation", "translation": translation})
        return transformations
