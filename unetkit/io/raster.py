"""PNG and JPEG: small images that are decoded whole, and PNG masks."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile, PngInfo

from unetkit.errors import ImageError
from unetkit.io.image import ArraySource, OutputSpec
from unetkit.io.partial import partial_file
from unetkit.io.units import LARGEST_PIXEL_UM

UM_PER_INCH = 25_400.0
PNG_SIGNATURE = b"\x89PNG"
MODES_BY_KIND = {"1": "L", "LA": "LA", "La": "LA", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB"}
"""Pillow's mode that a stored mode is read as; other modes are read as they are."""


class RasterSource:
    """A PNG or JPEG file, decoded once, when it is opened.

    8-bit images of any kind come as grey or RGB, 1-bit images as 0 and 255, 16-bit PNG as uint16. Alpha is dropped.

    Args:
        path: The file.
        axes: "YX" for grey or "YXS" for colour; any other letters that name the stored dimensions.
        expand_palette: Whether a palette image becomes grey or RGB, rather than the stored numbers.

    Raises:
        ImageError: The file is truncated or cannot be decoded, or `axes` does not fit it.
    """

    def __init__(self, path: str | Path, axes: str | None = None, *, expand_palette: bool = True) -> None:
        name = str(path)
        try:
            data = Path(path).read_bytes()
            pixels, alpha, pixel_size_um = _decode(data, Path(path), expand_palette)
        # Pillow reports damaged PNG chunks as SyntaxError and damaged headers as ValueError or struct.error.
        except (OSError, SyntaxError, ValueError, RuntimeError, struct.error, IndexError, MemoryError) as error:
            raise ImageError(
                f"{name} cannot be decoded, it is truncated or damaged ({error}).", "Copy or export it again."
            ) from error
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[:, :, 0]
        self._pixels = ArraySource(pixels, (axes or "YXS"[: pixels.ndim]).upper(), name)
        self.info = replace(
            self._pixels.info,
            format="PNG" if data.startswith(PNG_SIGNATURE) else "JPEG",
            alpha=alpha,
            pixel_size_um=pixel_size_um,
            block=(self._pixels.info.height, self._pixels.info.width),
            compression="deflate" if data.startswith(PNG_SIGNATURE) else "jpeg",
        )

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return pixels (C, h, w); `plane` is 0 unless other axes were given."""
        return self._pixels.read(plane, rows, columns)

    def close(self) -> None:
        """Nothing to release: the file was read when it was opened."""


class PngSink:
    """Writes one plane of uint8 as PNG.

    Args:
        path: The file; it appears when it is whole.
        spec: One plane, one channel, uint8.
    """

    def __init__(self, path: Path, spec: OutputSpec) -> None:
        self._path = path
        self._spec = spec

    def write(self, rows: Iterable[NDArray[Any]]) -> None:
        """Collect `rows` and write them.

        Raises:
            OutputError: The file cannot be written.
        """
        pixels = np.concatenate([block[0] for block in rows])
        notes = PngInfo()
        for key, value in self._spec.notes:
            notes.add_itxt(key[:79], value)
        options: dict[str, Any] = {}
        if self._spec.pixel_size_um is not None:
            size_y, size_x = self._spec.pixel_size_um
            options["dpi"] = (UM_PER_INCH / size_x, UM_PER_INCH / size_y)
        with partial_file(self._path) as partial:
            Image.fromarray(pixels).save(partial, format="PNG", pnginfo=notes, **options)


def _decode(data: bytes, path: Path, expand_palette: bool) -> tuple[NDArray[Any], bool, tuple[float, float] | None]:
    """Return pixels (h, w) or (h, w, 3) without alpha, whether there was alpha, and the pixel size."""
    is_png = data.startswith(PNG_SIGNATURE)
    # The classes rather than Image.open, which refuses large images.
    with (PngImageFile if is_png else JpegImageFile)(path) as image:
        pixel_size_um = _pixel_size(image) if is_png else None
        image.load()
        # Byte 24 of a PNG is its bit depth; Pillow would cut 16-bit colour down to 8 bits.
        pixels = (
            imagecodecs.png_decode(data) if is_png and data[24] == 16 else np.asarray(_convert(image, expand_palette))
        )
    alpha = pixels.ndim == 3 and pixels.shape[2] in (2, 4)
    return (pixels[:, :, :-1] if alpha else pixels), alpha, pixel_size_um


def _convert(image: Image.Image, expand_palette: bool) -> Image.Image:
    """Return the image in a mode of whole bytes: L, LA, RGB or RGBA."""
    if image.mode == "P":
        if not expand_palette:
            return image
        colours = np.asarray(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        grey = bool((colours == colours[:, :1]).all())
        if "transparency" in image.info:
            return image.convert("LA" if grey else "RGBA")
        return image.convert("L" if grey else "RGB")
    mode = MODES_BY_KIND.get(image.mode, image.mode)
    return image if mode == image.mode else image.convert(mode)


def _pixel_size(image: Image.Image) -> tuple[float, float] | None:
    """Return the size of a pixel (y, x) in µm from a PNG's resolution, unless that is one for print or screens."""
    dpi = image.info.get("dpi")
    if dpi is None or not all(value > 0 for value in dpi):
        return None
    size = (UM_PER_INCH / dpi[1], UM_PER_INCH / dpi[0])
    return size if max(size) <= LARGEST_PIXEL_UM else None
