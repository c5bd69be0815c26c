"""Small LIF files for tests: a header in XML, and a block of memory for each image."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = {"X": 1, "Y": 2, "Z": 3, "T": 4, "M": 10}
"""Leica's numbers of axes."""


@dataclass
class LifImage:
    """An image for a LIF.

    Attributes:
        name: What it is called.
        pixels: Its pixels along `axes`.
        axes: Axes, of which C is stored as channels and S as interleaved colours.
        steps: How far neighbours along an axis are apart, in metres or seconds.
        dyes: Names of the channels.
        is_bgr: Whether colours are stored blue first.
        rest: Bytes in the block of memory after the pixels.
    """

    name: str
    pixels: NDArray[Any]
    axes: str
    steps: dict[str, float]
    dyes: Sequence[str] = ()
    is_bgr: bool = False
    rest: int = 0


def write_lif(path: Path, images: Sequence[LifImage], extra: str = "") -> Path:
    """Write a LIF; `extra` is XML of further elements."""
    elements = "".join(_element(image, i) for i, image in enumerate(images))
    header = (
        '<LMSDataContainerHeader Version="2"><Element Name="project" UniqueID="1"><Memory Size="0" '
        f'MemoryBlockID="MemBlock_0"/><Children>{elements}{extra}</Children></Element></LMSDataContainerHeader>'
    )
    with path.open("wb") as file:
        text = header.encode("utf-16-le")
        file.write(struct.pack("<IIBI", 0x70, len(text) + 5, 0x2A, len(header)) + text)
        for i, image in enumerate(images):
            stored = image.pixels[..., ::-1] if image.is_bgr else image.pixels
            _write_block(file, f"MemBlock_{i + 1}", np.ascontiguousarray(stored).tobytes() + bytes(image.rest))
    return path


def _write_block(file: Any, name: str, data: bytes) -> None:
    text = name.encode("utf-16-le")
    file.write(struct.pack("<IIBQBI", 0x70, 14 + len(text), 0x2A, len(data), 0x2A, len(name)) + text + data)


def _element(image: LifImage, number: int) -> str:
    pixels = np.ascontiguousarray(image.pixels)
    counts = [int(np.prod(pixels.shape[i + 1 :])) for i in range(pixels.ndim)]  # NumPy's strides of size 1 are any
    strides = {axis: count * pixels.itemsize for axis, count in zip(image.axes, counts, strict=True)}
    sizes = dict(zip(image.axes, pixels.shape, strict=True))
    colours = "BGR" if image.is_bgr else "RGB"
    places = [strides[axis] * i for axis in "CS" for i in range(sizes.get(axis, 0))] or [0]
    channels = "".join(
        f'<ChannelDescription DataType="{int(pixels.dtype.kind == "f")}" '
        f'ChannelTag="{1 + "RGB".index(colours[i]) if "S" in sizes else 0}" Resolution="{8 * pixels.dtype.itemsize}" '
        f'NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" LUTName="Gray" IsLUTInverted="0" BytesInc="{place}" '
        f'BitInc="0">{_dye(image, i)}</ChannelDescription>'
        for i, place in enumerate(places)
    )
    dimensions = "".join(
        f'<DimensionDescription DimID="{DIMENSIONS[axis]}" NumberOfElements="{sizes[axis]}" Origin="0" '
        f'Length="{image.steps.get(axis, 0) * (sizes[axis] - 1)}" Unit="{"s" if axis == "T" else "m"}" '
        f'BytesInc="{strides[axis]}" BitInc="0"/>'
        for axis in image.axes
        if axis not in "CS"
    )
    return (
        f'<Element Name="{image.name}">'
        f'<Memory Size="{pixels.nbytes + image.rest}" MemoryBlockID="MemBlock_{number + 1}"/><Data><Image>'
        f"<ImageDescription><Channels>{channels}</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription>"
        "</Image></Data></Element>"
    )


def _dye(image: LifImage, number: int) -> str:
    if number >= len(image.dyes):
        return ""
    return f"<ChannelProperty><Key>DyeName</Key><Value>{image.dyes[number]}</Value></ChannelProperty>"
