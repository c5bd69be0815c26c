"""Zeiss CZI, read by windows through Zeiss' own library: mosaics are put together, and pyramids are levels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.io.base.series import Level, PixelSize, scale_pixel_size
from unetkit.io.base.stored import Step
from unetkit.io.base.units import make_step, plausible_size
from unetkit.io.decoding.chunk_format import Box
from unetkit.io.microscopes.czi_directory import TileCheck, read_directory
from unetkit.io.microscopes.pieces import PIECE, Pieces, Scene
from unetkit.io.microscopes.planes import round_size

PIXELS: dict[str, tuple[np.dtype[Any], int]] = {
    "gray8": (np.dtype(np.uint8), 1),
    "gray16": (np.dtype(np.uint16), 1),
    "gray32float": (np.dtype(np.float32), 1),
    "bgr24": (np.dtype(np.uint8), 3),
    "bgr48": (np.dtype(np.uint16), 3),
    "bgr96float": (np.dtype(np.float32), 3),
}
"""Type and samples of the pixels that Zeiss' library reads, by its names for them in lower case."""

PLANE_AXES = "RIHVBTZC"
"""Axes of planes in a CZI, in the order in which they are given: rotation, illumination, phase, view, block, ..."""

ROWS = 256
"""Rows of what is read at once: few, since a halo needs the last of them again. The library keeps decoded tiles."""

ZOOM_MARGIN = 1e-6
"""What is added to a zoom, in parts of it, as the library cuts the size of what it reads down to whole pixels."""


COMPRESSIONS = {0: "none", 1: "jpeg", 2: "lzw", 4: "jpegxr", 5: "zstd", 6: "zstd"}
"""Names of the compressions of tiles."""


class CziFile:
    """An open CZI file.

    Args:
        path: The file.

    Raises:
        ValueError: Its directory is damaged, or the file is cut off.
        RuntimeError: Zeiss' library cannot read it.
    """

    def __init__(self, path: Path) -> None:
        from pylibCZIrw import czi

        self._name = str(path)
        self._path = path
        self._czi = czi
        self._directory = read_directory(path)
        self._reader: Any = czi.CziReader(str(path))
        box = self._reader.total_bounding_box_no_pyramid
        self._counts = {axis: int(box[axis][1] - box[axis][0]) for axis in PLANE_AXES if axis in box}
        self._types = {int(channel): str(kind) for channel, kind in self._reader.pixel_types.items()}
        frames = dict(self._reader.scenes_bounding_rectangle_no_pyramid)
        whole = self._reader.total_bounding_rectangle_no_pyramid
        self._frames: list[tuple[int | None, Any]] = sorted(frames.items()) or [(None, whole)]
        self._firsts = {axis: self._directory.first(axis) for axis in self._counts}
        self._check = TileCheck(path, self._directory)

    @property
    def scenes(self) -> int:
        """Number of scenes; what lies in none is one."""
        return len(self._frames)

    def describe(self, number: int) -> Scene:
        """Return what a scene is.

        Raises:
            ImageError: Its pixels are of a type that Zeiss' library does not read.
        """
        scene, frame = self._frames[number]
        dtype, samples = self._pixels
        axes = "".join(axis for axis in PLANE_AXES if self._counts.get(axis, 1) > 1)
        shape = (*(self._counts[axis] for axis in axes), frame.h, frame.w)
        size = self._pixel_size
        levels = [
            Level(height, width, scale_pixel_size(size, (frame.h, frame.w), (height, width)))
            for height, width in ((frame.h // factor, frame.w // factor) for factor in self._factors(scene))
        ]
        return Scene(
            name=self._scene_name(scene),
            axes=f"{axes}YX{'S' if samples > 1 else ''}",
            shape=(*shape, samples) if samples > 1 else shape,
            dtype=dtype,
            levels=tuple(levels),
            channel_names=self._channel_names,
            steps=self._steps,
            compression=self._compression,
        )

    def pieces(self, number: int, level: int, cache_bytes: int) -> Pieces:
        """Return the pixels of a level of a scene; the library keeps `cache_bytes` of decoded tiles."""
        scene, frame = self._frames[number]
        described = self.describe(number)
        factor = self._factors(scene)[level]
        self._reader.close()
        options = self._czi.CacheOptions(self._czi.CacheType.Standard, max_memory_usage=cache_bytes)
        self._reader = self._czi.CziReader(str(self._path), cache_options=options)
        planes = "".join(axis for axis in described.axes if axis in PLANE_AXES)
        _, samples = self._pixels
        size = (described.levels[level].height, described.levels[level].width)
        shape = (*described.shape[: len(planes)], *size, *([samples] if samples > 1 else []))

        def read_box(box: Box) -> NDArray[Any]:
            places = [range(part.start, part.stop) for part in box[: len(planes)]]
            rows, columns = box[len(planes)], box[len(planes) + 1]
            tiles = [
                self._read(scene, frame, factor, dict(zip(planes, place, strict=True)), rows, columns)
                for place in product(*places)
            ]
            lengths = [len(place) for place in places]
            stacked = np.stack([tile if samples > 1 else tile[..., 0] for tile in tiles])
            return stacked.reshape(*lengths, *stacked.shape[1:])

        chunks = (*(1 for _ in planes), min(ROWS, size[0]), min(PIECE, size[1]), *([samples] if samples > 1 else []))
        return Pieces(self._name, shape, described.dtype, chunks, read_box)

    def close(self) -> None:
        """Release the file."""
        self._reader.close()
        self._check.close()

    def _read(
        self, scene: int | None, frame: Any, factor: int, plane: dict[str, int], rows: slice, columns: slice
    ) -> NDArray[Any]:
        """Return pixels (h, w, samples) of a plane, red first."""
        height, width = rows.stop - rows.start, columns.stop - columns.start
        place = (frame.x + columns.start * factor, frame.y + rows.start * factor, width * factor, height * factor)
        zoom = 1.0 if factor == 1 else (1 + ZOOM_MARGIN) / factor
        kind = self._types[plane.get("C", min(self._types))]
        plane = {axis: number + self._firsts[axis] for axis, number in plane.items()}
        self._check.check(place, plane if scene is None else {**plane, "S": scene})
        pixels = np.asarray(self._reader.read(roi=place, plane=plane, scene=scene, zoom=zoom, pixel_type=kind))
        if pixels.shape[:2] != (height, width):
            raise ValueError(f"{height} x {width} pixels were to be read, and {pixels.shape[:2]} came")
        return pixels[..., ::-1] if pixels.shape[2] == 3 else pixels

    @cached_property
    def _pixels(self) -> tuple[np.dtype[Any], int]:
        """Type and samples of the pixels of all channels."""
        unread = sorted({kind for kind in self._types.values() if kind.lower() not in PIXELS})
        if unread or not self._types:
            raise ImageError(
                f"{self._name} has pixels of the type {', '.join(unread) or 'none'}, which pylibCZIrw does not read.",
                "Export it as OME-TIFF with ZEN.",
            )
        kinds = [PIXELS[kind.lower()] for kind in self._types.values()]
        samples = {count for _, count in kinds}
        if len(samples) > 1:
            raise ImageError(
                f"{self._name} has grey channels beside colour pictures ({', '.join(self._types.values())}).",
                "Export one of them with ZEN.",
            )
        return np.result_type(*[dtype for dtype, _ in kinds]), samples.pop()

    def _factors(self, scene: int | None) -> list[int]:
        """Return how many pixels along an axis one pixel of each level of a scene stands for."""
        frame = next(frame for number, frame in self._frames if number == scene)
        return [1, *(factor for factor in self._directory.reductions(scene) if factor <= min(frame.h, frame.w))]

    @property
    def _compression(self) -> str:
        return ", ".join(
            sorted({COMPRESSIONS.get(one, f"number {one}") for one in map(int, set(self._directory.compressions))})
        )

    @cached_property
    def _image(self) -> ElementTree.Element:
        """The description of the image; an empty one if there is none."""
        text = self._reader.raw_metadata
        try:
            return ElementTree.fromstring(text)
        except ElementTree.ParseError:
            return ElementTree.Element("ImageDocument")

    def _scene_name(self, scene: int | None) -> str:
        for one in self._image.iterfind("./Metadata/Information/Image/Dimensions/S/Scenes/Scene"):
            if one.get("Index") == str(scene):
                return one.get("Name") or ""
        return ""

    @cached_property
    def _channel_names(self) -> tuple[str, ...]:
        channels = self._image.findall("./Metadata/Information/Image/Dimensions/Channels/Channel")
        names = tuple(one.get("Name") or "" for one in channels)
        return names if all(names) else ()

    @cached_property
    def _pixel_size(self) -> PixelSize | None:
        sizes = dict(self._distances())
        return plausible_size((sizes["Y"], sizes["X"])) if {"Y", "X"} <= set(sizes) else None

    @cached_property
    def _steps(self) -> tuple[Step, ...]:
        interval = self._image.find("./Metadata/Information/Image/Dimensions/T/Positions/Interval/Increment")
        steps = [
            make_step("Z", dict(self._distances()).get("Z"), "µm"),
            make_step("T", None if interval is None else interval.text, "s"),
        ]
        return tuple(step for step in steps if step is not None and self._counts.get(step.axis, 1) > 1)

    def _distances(self) -> Iterator[tuple[str, float]]:
        """Yield axes and sizes of a pixel along them, in micrometres."""
        for one in self._image.iterfind("./Metadata/Scaling/Items/Distance"):
            step = make_step("Z", one.findtext("Value"), "m")
            if step is not None:
                yield str(one.get("Id")), round_size(step.size)
