"""How an output lies in an OME-Zarr: axes, arrays, chunks and attributes.

The format: https://ngff.openmicroscopy.org/0.5/, or 0.4 within an image of that version. What is stored as zarr is
always a pyramid, as viewers expect it. Within an image it has the levels of the image, as the format demands.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any, Literal

import numpy as np

from unetkit.io.base.axes import kept_steps, ome_axes
from unetkit.io.base.contracts import OutputSpec, Window
from unetkit.io.ome_zarr.labels import LabelPlace
from unetkit.io.ome_zarr.levels import image_levels, pick_pixels
from unetkit.io.writing.rechunk import level_sizes

CHUNK = 1024

AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
"""Names and types of the axes, in the order that OME-Zarr wants."""

UNIT_NAMES = {"µm": "micrometer", "s": "second"}


class Layout:
    """The arrays of an output and what is said about them.

    Args:
        name: Name of the output.
        spec: What is written.
        place: Where in the labels of an image it lies, if it does.

    Attributes:
        spec: What is stored: a pyramid, its plane axes named as OME names them.
        sizes: Height and width of each level.
        picks: Which pixels each smaller level takes of that above it; None where it is half of that.
    """

    def __init__(self, name: str, spec: OutputSpec, place: LabelPlace | None) -> None:
        axes, sizes = ome_axes(spec.plane_axes, spec.plane_shape)
        self._name = name
        self._labels = spec.dtype.kind in "ui"
        self._in_image = place is not None
        self._zarr_format: Literal[2, 3] = 3 if place is None else place.zarr_format
        self._steps = kept_steps(spec)
        self.spec = replace(spec, pyramid=True, plane_axes=axes.lower(), plane_shape=sizes)
        present = {*axes.lower(), "y", "x", *("c" if spec.channels > 1 else "")}
        self._axes = "".join(axis for axis in AXIS_TYPES if axis in present)
        along = f"{axes.lower()}yx"
        shape = (*sizes, spec.height, spec.width)
        self._levels = None if place is None else image_levels(place.group.parent, along, shape)
        self._order = [along.index(axis) for axis in self._axes if axis in along]
        self.picks = None if self._levels is None else pick_pixels(self._levels, along)
        self.sizes = level_sizes(self.spec)
        self._plane_shapes = [sizes] * len(self.sizes)
        if self._levels is not None:
            self.sizes = [(height, width) for *_, height, width in self._levels.shapes]
            self._plane_shapes = [tuple(others) for *others, _, _ in self._levels.shapes]

    def create(self, store: Any) -> list[Any]:
        """Create the group and the array of each level, all zeros.

        Args:
            store: A folder, or a store of zarr.
        """
        import zarr

        spec = self.spec
        group = zarr.create_group(store, zarr_format=self._zarr_format, attributes=self._attributes())
        arrays = []
        for level, (height, width) in enumerate(self.sizes):
            lengths = dict(zip(spec.plane_axes, self._plane_shapes[level], strict=True))
            lengths |= {"c": spec.channels, "y": height, "x": width}
            shape = tuple(lengths[axis] for axis in self._axes)
            arrays.append(
                group.create_array(
                    str(level),
                    shape=shape,
                    dtype=spec.dtype,
                    chunks=tuple(min(CHUNK, lengths[axis]) if axis in "yx" else 1 for axis in self._axes),
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
        index |= {"c": channel, "y": window[0], "x": window[1]}
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
        units |= {"y": "micrometer", "x": "micrometer"} if spec.pixel_size_um is not None else {}
        axes: list[dict[str, Any]] = [
            {"name": axis, "type": AXIS_TYPES[axis], **({"unit": units[axis]} if axis in units else {})}
            for axis in self._axes
        ]
        if self._levels is not None:
            axes = [{"type": AXIS_TYPES[self._axes[i]], **self._levels.axes[at]} for i, at in enumerate(self._order)]
        picked = "nearest pixel" if self.picks is not None else "upper left of 2 x 2 pixels"
        multiscale = {
            "name": self._name.split(".", maxsplit=1)[0],
            "axes": axes,
            "datasets": [
                {"path": str(level), "coordinateTransformations": self._transformations(level)}
                for level in range(len(self.sizes))
            ],
            "type": "nearest" if labels else "mean",
            "metadata": {"description": picked if labels else "mean of 2 x 2 pixels"},
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
        sizes = {"y": 1.0, "x": 1.0, **{step.axis.lower(): step.size for step in self._steps}}
        if self.spec.pixel_size_um is not None:
            sizes["y"], sizes["x"] = self.spec.pixel_size_um
        scale = [sizes.get(axis, 1.0) * (2.0**level if axis in "yx" else 1.0) for axis in self._axes]
        transformations: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if level and not self._labels:
            centre = (2**level - 1) / 2
            translation = [sizes[axis] * centre if axis in "yx" else 0.0 for axis in self._axes]
            transformations.append({"type": "translation", "translation": translation})
        return transformations
