"""Image files by name: which reader or writer takes a file, and which files of a folder are images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unetkit.errors import ImageError, OutputError
from unetkit.io.image import ImageSink, ImageSource, OutputSpec
from unetkit.io.ome_zarr_sink import OmeZarrSink
from unetkit.io.partial import check_target, check_zarr_target
from unetkit.io.raster import PngSink, RasterSource
from unetkit.io.tiff import TiffSource
from unetkit.io.tiff_sink import TiffSink

IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")
"""Suffixes (lower case) of the files that `find_images` takes for images."""

TIFF_SUFFIXES = (".tif", ".tiff")

RASTER_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff")
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_image(path: str | Path, axes: str | None = None, *, expand_palette: bool = True) -> ImageSource:
    """Open a TIFF, PNG or JPEG file; its content decides which, not its suffix.

    Args:
        path: The file.
        axes: One letter for each stored dimension, where the file says nothing or something wrong: Y and X, C or S for
            channels, any other for planes.
        expand_palette: Whether images with a palette become RGB (or grey, for a grey palette). False gives the stored
            numbers, which is right for label images.

    Raises:
        ImageError: The file is missing, empty, truncated, no image, or `axes` does not fit it.
    """
    path = Path(path)
    signature = _read_signature(path)
    if signature.startswith(RASTER_SIGNATURES):
        return RasterSource(path, axes, expand_palette=expand_palette)
    if signature.startswith(TIFF_SIGNATURES):
        return TiffSource(path, axes, expand_palette=expand_palette)
    raise ImageError(
        f"{path} is not a TIFF, PNG or JPEG image.",
        "Give one of these, or convert the file to OME-TIFF first (for example with Fiji or bfconvert).",
    )


def create_sink(path: str | Path, spec: OutputSpec, *, overwrite: bool = False) -> ImageSink:
    """Return the sink for an output file, chosen by its suffix, after checking that it can be written.

    Args:
        path: A name that ends in .tif, .tiff, .zarr or .png.
        spec: What will be written.
        overwrite: Whether an existing file may be replaced; it is kept until the new one is whole.

    Raises:
        OutputError: The file exists, its folder is missing or not writable, or the format cannot hold `spec`.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".zarr":
        check_zarr_target(path, overwrite)
        return OmeZarrSink(path, spec)
    check_target(path, overwrite)
    if suffix in TIFF_SUFFIXES:
        return TiffSink(path, spec)
    if suffix != ".png":
        kind = f"has the suffix '{path.suffix}'" if path.suffix else "has no suffix"
        raise OutputError(f"The output {path} {kind}, which does not say its format.", "Use .tif, .zarr or .png.")
    if spec.planes != 1 or spec.channels != 1 or spec.dtype != np.uint8:
        raise OutputError(
            f"{path}: a PNG output holds one plane of uint8, not {spec.planes} x {spec.channels} of {spec.dtype}.",
            f"Write a TIFF: {path.with_suffix('.tif')}.",
        )
    if spec.pyramid:
        raise OutputError(f"{path}: a PNG holds no pyramid.", f"Write a TIFF: {path.with_suffix('.tif')}.")
    return PngSink(path, spec)


def find_images(folder: str | Path) -> list[Path]:
    """Return the image files in a folder, sorted by name; hidden files and subfolders are left out.

    Raises:
        ImageError: The folder is missing, cannot be read or has no images.
    """
    folder = Path(folder)
    try:
        entries = sorted(folder.iterdir())
    except FileNotFoundError as error:
        raise ImageError(f"The folder {folder} does not exist.", "Check its name.") from error
    except NotADirectoryError as error:
        raise ImageError(f"{folder} is not a folder.", "Give the folder that holds the images.") from error
    except OSError as error:
        raise ImageError(f"The folder {folder} cannot be read: {error.strerror}.", "Check its permissions.") from error
    images = [
        path
        for path in entries
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    if not images:
        raise ImageError(
            f"The folder {folder} has no images.", f"Put files with {', '.join(IMAGE_SUFFIXES)} directly into it."
        )
    return images


def image_stem(path: str | Path) -> str:
    """Return the name of an image without its suffix, and without ".ome" before it.

    >>> image_stem("cells.ome.tif")
    'cells'
    """
    stem = Path(path).stem
    return stem[:-4] if stem.lower().endswith(".ome") else stem


def _read_signature(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            signature = file.read(4)
    except FileNotFoundError as error:
        raise ImageError(f"The image {path} does not exist.", "Check its name and folder.") from error
    except IsADirectoryError as error:
        raise ImageError(f"{path} is a folder, not an image.", "Give one image file.") from error
    except OSError as error:
        raise ImageError(f"The image {path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    if not signature:
        raise ImageError(f"The image {path} is empty (0 bytes).", "Copy or export it again.")
    return signature
