"""Masks, labels and probabilities as OME-Zarr: a folder of chunks at several resolutions.

The format: https://ngff.openmicroscopy.org/0.5/, or 0.4 within an image of that version. What is stored as zarr is
always a pyramid, as viewers expect it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.atomic import errors_of, make_folder, partial_folder
from unetkit.io.base.axes import kept_steps, ome_axes
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.ome_zarr.labels import check_label, find_label_place, register_label
from unetkit.io.writing.rechunk import Block, cut_bands, cut_blocks, level_sizes
from unetkit.io.writing.workers import Workers

CHUNK = 1024

AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
"""Names and types of the axes, in the order that OME-Zarr wants."""

UNIT_NAMES = {"µm": "micrometer", "s": "second"}


class OmeZarrSink:
    """Writes an OME-Zarr folder, which appears under its name when it is whole.

    Axes are stored in the order t, c, z, y, x; those that are neither T nor Z are renamed or flattened as in OME-TIFF.
    Notes and channel names are in the group's attribute `unetkit`. Masks and labels carry "image-label", by which
    viewers know them for labels. It names no colours, as napari shows nothing of labels without one. In the folder
    `labels` of an OME-Zarr image they are of that image's version, name it as their source, and are added to its list.

    Args:
        path: The folder.
        spec: What will be written.

    Raises:
        OutputError: Probabilities are to become labels of an image.
    """

    def __init__(self, path: Path, spec: OutputSpec) -> None:
        axes, sizes = ome_axes(spec.plane_axes, spec.plane_shape)
        check_label(path, spec)
        self._place = find_label_place(path)
        self._zarr_format: Literal[2, 3] = 3 if self._place is None else self._place.zarr_format
        self._path = path
        self._source = spec
        self._spec = replace(spec, pyramid=True, plane_axes=axes.lower(), plane_shape=sizes)
        present = {*axes.lower(), "y", "x", *("c" if spec.channels > 1 else "")}
        self._axes = "".join(axis for axis in AXIS_TYPES if axis in present)

    def write(self, rows: Iterable[NDArray[Any]]) -> None:
        """Write the whole output from its rows.

        Raises:
            OutputError: The folder cannot be written.
        """
        if self._place is not None:
            make_folder(self._place.group)
        with (
            errors_of(rows) as safe_rows,
            partial_folder(self._path) as partial,
            Workers() as workers,
        ):
            arrays = self._create(partial)

            def store(block: Block) -> None:
                arrays[block.band.level][self._index(block)] = block.pixels

            # Chunk by chunk in our own threads: of a larger piece, zarr goes on to write after one chunk has failed.
            blocks = cut_blocks(cut_bands(self._spec, safe_rows, CHUNK), CHUNK)
            deque(workers.map(store, blocks), maxlen=0)
        register_label(self._path)

    def _create(self, folder: Path) -> list[Any]:
        """Create the group and the array of each level, all zeros."""
        import zarr

        spec = self._spec
        group = zarr.create_group(folder, zarr_format=self._zarr_format, attributes=self._attributes())
        lengths = {**dict(zip(spec.plane_axes, spec.plane_shape, strict=True)), "c": spec.channels}
        arrays = []
        for level, (height, width) in enumerate(level_sizes(spec)):
            lengths |= {"y": height, "x": width}
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

    def _encoding(self) -> dict[str, Any]:
        """Return what is different in the versions of Zarr."""
        itemsize = self._spec.dtype.itemsize
        if self._zarr_format == 3:
            from zarr.codecs import BloscCodec

            blosc = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", typesize=itemsize)
            return {"compressors": blosc, "dimension_names": tuple(self._axes)}
        from numcodecs import Blosc

        return {
            "compressors": Blosc(cname="zstd", clevel=1, shuffle=Blosc.BITSHUFFLE),
            "chunk_key_encoding": {"name": "v2", "separator": "/"},
        }

    def _index(self, block: Block) -> tuple[int | slice, ...]:
        """Return the index of a block in the array of its level."""
        spec, band = self._spec, block.band
        position = np.unravel_index(band.plane, spec.plane_shape) if spec.plane_shape else ()
        index: dict[str, int | slice] = {
            axis: int(place) for axis, place in zip(spec.plane_axes, position, strict=True)
        }
        height, width = block.pixels.shape
        index |= {"c": block.channel, "y": slice(band.top, band.top + height)}
        index["x"] = slice(block.left, block.left + width)
        return tuple(index[axis] for axis in self._axes)

    def _attributes(self) -> dict[str, Any]:
        """Return the attributes of the group: OME's, and our own."""
        spec = self._spec
        labels = spec.dtype.kind in "ui"
        units = {step.axis.lower(): UNIT_NAMES[step.unit] for step in kept_steps(self._source) if step.unit}
        units |= {"y": "micrometer", "x": "micrometer"} if spec.pixel_size_um is not None else {}
        axes = [
            {"name": axis, "type": AXIS_TYPES[axis], **({"unit": units[axis]} if axis in units else {})}
            for axis in self._axes
        ]
        multiscale = {
            "name": self._path.name.split(".", maxsplit=1)[0],
            "axes": axes,
            "datasets": [
                {"path": str(level), "coordinateTransformations": self._transformations(level)}
                for level in range(len(level_sizes(spec)))
            ],
            "type": "nearest" if labels else "mean",
            "metadata": {"description": "upper left of 2 x 2 pixels" if labels else "mean of 2 x 2 pixels"},
        }
        source = {} if self._place is None else {"source": {"image": "../../"}}
        own = {"unetkit": {"notes": dict(spec.notes), "channel_names": list(spec.channel_names)}}
        if self._zarr_format == 2:
            old: dict[str, Any] = {"multiscales": [{"version": "0.4", **multiscale}]}
            return {**old, **({"image-label": {"version": "0.4", **source}} if labels else {}), **own}
        ome: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale]}
        return {"ome": {**ome, **({"image-label": {"version": "0.5", **source}} if labels else {})}, **own}

    def _transformations(self, level: int) -> list[dict[str, Any]]:
        """Return where the centres of a level's pixels lie: those of means between the pixels that were averaged."""
        sizes = {"y": 1.0, "x": 1.0, **{step.axis.lower(): step.size for step in kept_steps(self._source)}}
        if self._spec.pixel_size_um is not None:
            sizes["y"], sizes["x"] = self._spec.pixel_size_um
        scale = [sizes.get(axis, 1.0) * (2.0**level if axis in "yx" else 1.0) for axis in self._axes]
        transformations: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if level and self._spec.dtype.kind == "f":
            shift = (2**level - 1) / 2
            translation = [sizes[axis] * shift if axis in "yx" else 0.0 for axis in self._axes]
            transformations.append({"type": "translation", "translation": translation})
        return transformations
