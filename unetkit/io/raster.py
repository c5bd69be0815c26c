"""PNG and JPEG: images that are decoded whole, and PNG masks."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile, PngInfo

from unetkit.foundation.atomic import partial_file
from unetkit.foundation.errors import ImageError, OutputError
from unetkit.io.base.arrays import ArraySource, check_axes
from unetkit.io.base.channels import pick_channels
from unetkit.io.base.contracts import BadTile, OutputSpec, Window
from unetkit.io.base.format import Format, Writer
from unetkit.io.base.read_options import WHOLE, ReadOptions, parse_channels
from unetkit.io.base.series import Level, Series, pick_level, pick_series
from unetkit.io.base.stored import AS_SEEN, Encoding
from unetkit.io.base.units import UM_PER_INCH, plausible_size
from unetkit.io.decoding.cache import CACHE_BYTES, is_oversize
from unetkit.io.decoding.scratch import ScratchArray
from unetkit.io.writing.block_store import OrderedSink

PNG_SIGNATURE = b"\x89PNG"
JPEG_SIGNATURE = b"\xff\xd8\xff"

ORIENTATION = 274
"""Number of the tag Orientation in EXIF."""

LARGEST_PNG = np.dtype(np.uint16)
MODES_BY_KIND = {"1": "L", "LA": "LA", "La": "LA", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB"}
"""Pillow's mode that a stored mode is read as; other modes are read as they are."""


class RasterSource:
    """A PNG or JPEG file, decoded once, when it is opened; a large one is kept in a temporary file.

    8-bit images of any kind come as grey or RGB, 1-bit images as 0 and 255, 16-bit PNG as uint16. Alpha is dropped.

    Args:
        path: The file.
        reading: Channels; axes, which are "YX" for grey or "YXS" for colour otherwise.
        as_stored: Whether a palette image comes as the stored numbers and alpha as the last channel, as masks need it.
        cache_bytes: Bound of the decoded bytes that are kept in memory; larger images go to a temporary file.

    Attributes:
        info: The image as it is interpreted.
        bad_tiles: Always empty: a damaged file cannot be opened.

    Raises:
        ImageError: The file is truncated or cannot be decoded, has no such series, level or channels, or `axes` does
            not fit it.
    """

    def __init__(
        self,
        path: str | Path,
        reading: ReadOptions = WHOLE,
        *,
        as_stored: bool = False,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        name = str(path)
        self.bad_tiles: list[BadTile] = []
        try:
            data = Path(path).read_bytes()
            pixels, alpha, header, palette = _decode(data, Path(path), as_stored)
        # Pillow reports damaged PNG chunks as SyntaxError and damaged headers as ValueError or struct.error.
        except (OSError, SyntaxError, ValueError, RuntimeError, struct.error, IndexError, MemoryError) as error:
            raise ImageError(
                f"{name} cannot be decoded, it is truncated or damaged ({error}).", "Copy or export it again."
            ) from error
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[:, :, 0]
        axes = (reading.axes or "YXS"[: pixels.ndim]).upper()
        check_axes(axes, pixels.shape, name)
        height, width = pixels.shape[axes.index("Y")], pixels.shape[axes.index("X")]
        level = Level(height, width, header.pixel_size_um)
        pick_series(1, reading.series, lambda _: Series("", axes, pixels.shape, str(pixels.dtype), (level,)), name)
        pick_level([level], reading, name, header.stated)
        large = is_oversize(pixels.nbytes, cache_bytes)
        stored = ScratchArray.of(pixels, name) if large else pixels
        total = ArraySource(stored, axes, name).info.channels
        picked = pick_channels(parse_channels(reading.channels), (), total, axes, name)
        self._pixels = ArraySource(stored, axes, name, picked)
        self.info = replace(
            self._pixels.info,
            format="PNG" if data.startswith(PNG_SIGNATURE) else "JPEG",
            alpha=alpha,
            encoding=Encoding(palette, alpha=alpha, lossy=not data.startswith(PNG_SIGNATURE)) if as_stored else AS_SEEN,
            pixel_size_um=header.pixel_size_um,
            orientation=header.orientation,
            colours=None if "C" in axes else pixels.ndim == 3 or None,
            block=(height, width),
            compression="deflate" if data.startswith(PNG_SIGNATURE) else "jpeg",
            scratch_bytes=pixels.nbytes if large else 0,
        )

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, h, w); `plane` is 0 unless other axes were given."""
        return self._pixels.read(item, window)

    def close(self) -> None:
        """Nothing to release: the file was read when it was opened."""


def check_png(path: Path, spec: OutputSpec) -> None:
    """Check that a PNG can hold an output. Whether it has numbers for all labels is known when they are counted.

    Raises:
        OutputError: It is more than a plane of whole numbers, or a pyramid.
    """
    remedy = f"Write a TIFF: {path.with_suffix('.tif')}."
    if spec.planes != 1 or spec.channels != 1 or spec.dtype.kind != "u":
        raise OutputError(
            f"{path}: a PNG holds one plane of a mask or of labels, not {spec.planes} x {spec.channels} of "
            f"{spec.dtype}.",
            remedy,
        )
    if spec.pyramid:
        raise OutputError(f"{path}: a PNG holds no pyramid.", remedy)


class PngSink(OrderedSink):
    """Writes one plane of a mask (8 bits) or of labels (16 bits) as PNG.

    Args:
        path: The file; it appears when it is whole.
        spec: One plane, one channel of whole numbers.

    Raises:
        OutputError: It is anything else.
    """

    def __init__(self, path: Path, spec: OutputSpec) -> None:
        check_png(path, spec)
        super().__init__(path, spec)

    def begin(self) -> None:
        """Make an empty store of blocks.

        Raises:
            OutputError: It cannot be made, or the numbers may be larger than a PNG holds.
        """
        self._check_numbers()
        super().begin()

    def write(self, rows: Iterable[NDArray[Any]]) -> None:
        """Collect `rows` and write them.

        Raises:
            OutputError: The file cannot be written, or has larger numbers than a PNG holds.
        """
        self._check_numbers()
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

    def _check_numbers(self) -> None:
        if self._spec.dtype.itemsize > LARGEST_PNG.itemsize:
            raise OutputError(
                f"{self._path}: there are more objects than a PNG has numbers for ({np.iinfo(LARGEST_PNG).max:,}).",
                f"Write a TIFF: {self._path.with_suffix('.tif')}.",
            )


class Header(NamedTuple):
    """What a file says beside its pixels: the size of one (y, x) in µm, its resolution in words, its orientation."""

    pixel_size_um: tuple[float, float] | None
    stated: str
    orientation: int


def _decode(data: bytes, path: Path, as_stored: bool) -> tuple[NDArray[Any], bool, Header, bytes]:
    """Return pixels (h, w) or (h, w, C), whether there was alpha, the header, and the palette if it is kept."""
    is_png = data.startswith(PNG_SIGNATURE)
    # The classes rather than Image.open, which refuses large images.
    with (PngImageFile if is_png else JpegImageFile)(path) as image:
        image.load()
        header = _read_header(image)
        # Byte 24 of a PNG is its bit depth; Pillow would cut 16-bit colour down to 8 bits.
        pixels = imagecodecs.png_decode(data) if is_png and data[24] == 16 else np.asarray(_convert(image, as_stored))
        palette = _palette(image) if as_stored and image.mode == "P" else b""
    alpha = pixels.ndim == 3 and pixels.shape[2] in (2, 4)
    return (pixels[:, :, :-1] if alpha and not as_stored else pixels), alpha, header, palette


def _convert(image: Image.Image, as_stored: bool) -> Image.Image:
    """Return the image in a mode of whole bytes: L, LA, RGB or RGBA."""
    if image.mode == "P":
        if as_stored:
            return image
        colours = np.asarray(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        grey = bool((colours == colours[:, :1]).all())
        if "transparency" in image.info:
            return image.convert("LA" if grey else "RGBA")
        return image.convert("L" if grey else "RGB")
    if as_stored and image.mode in ("L", "RGB") and "transparency" in image.info:
        return image.convert("LA" if image.mode == "L" else "RGBA")
    mode = MODES_BY_KIND.get(image.mode, image.mode)
    return image if mode == image.mode else image.convert(mode)


def _palette(image: Image.Image) -> bytes:
    """Return red, green, blue and alpha of each number of a palette image, whose palette is given its alpha."""
    image.apply_transparency()
    return bytes(image.getpalette("RGBA") or ())


def _read_header(image: Image.Image) -> Header:
    """Read resolution and orientation; a resolution for print or screens is no pixel size."""
    orientation = image.getexif().get(ORIENTATION, 1)
    dpi = image.info.get("dpi")
    if dpi is None or not all(value > 0 for value in dpi):
        return Header(None, "", orientation)
    size = plausible_size((UM_PER_INCH / float(dpi[1]), UM_PER_INCH / float(dpi[0])))
    return Header(size, f"{float(dpi[0]):g} x {float(dpi[1]):g} pixels per inch", orientation)


def _read_notes(path: Path) -> dict[str, str]:
    """Return the texts of a PNG."""
    with Image.open(path) as image:
        return {key: str(value) for key, value in image.info.items() if isinstance(key, str) and isinstance(value, str)}


def _sniff(_: Path, start: bytes) -> bool:
    return start.startswith((PNG_SIGNATURE, JPEG_SIGNATURE))


RASTER = Format(
    name="PNG or JPEG",
    suffixes=(".png", ".jpg", ".jpeg"),
    sniff=_sniff,
    open=RasterSource,
    writer=Writer((".png",), PngSink, check_spec=check_png),
    read_notes=_read_notes,
)
