"""Image files by name: which reader or writer takes a file, and which files of a folder are images."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from unetkit.foundation.atomic import check_target, check_zarr_target
from unetkit.foundation.errors import ImageError, OutputError
from unetkit.foundation.names import check_local
from unetkit.io.base.contracts import ImageSink, ImageSource, OutputSpec
from unetkit.io.base.read_options import WHOLE, ReadOptions, parse_region
from unetkit.io.base.series import Level, Series
from unetkit.io.decoding.cache import CACHE_BYTES
from unetkit.io.foreign import refuse_foreign, refuse_overview, unknown_format
from unetkit.io.ome_zarr.labels import find_label_place
from unetkit.io.ome_zarr.sink import OmeZarrSink
from unetkit.io.raster import PngSink, RasterSource
from unetkit.io.tiff.sink import TiffSink
from unetkit.io.tiff.source import TiffSource, list_tiff_series
from unetkit.io.views.orientation import make_upright
from unetkit.io.views.region import RegionSource
from unetkit.io.views.rescale import RescaledSource
from unetkit.io.views.stain import StainSource

COMMON_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")
SLIDE_SUFFIXES = (".svs", ".ndpi", ".scn", ".bif", ".qptiff", ".avs", ".zif", ".ptif", ".ptiff")
OTHER_TIFF_SUFFIXES = (".btf", ".tf2", ".tf8", ".lsm", ".stk", ".qpi", ".pcoraw")

IMAGE_SUFFIXES = (*COMMON_SUFFIXES, *SLIDE_SUFFIXES, *OTHER_TIFF_SUFFIXES)
"""Suffixes (lower case) of the files that `find_images` takes for images."""

ZARR_SUFFIX = ".zarr"
ZARR_FILES = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
"""Files of which a Zarr has at least one."""

TIFF_SUFFIXES = (".tif", ".tiff")

RASTER_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff")
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_image(
    path: str | Path, reading: ReadOptions = WHOLE, *, as_stored: bool = False, cache_bytes: int = CACHE_BYTES
) -> ImageSource:
    """Open a TIFF, PNG or JPEG file or an OME-Zarr; its content decides which, not its suffix.

    Args:
        path: The file, or the folder of an OME-Zarr.
        reading: What of it to read: axes, series, level or pixel size, channels, stain, region, and what to do at bad
            tiles.
        as_stored: Whether palette images come as the stored numbers and alpha as a channel, which is right for masks
            (see `unetkit.io.masks.meaning`). Otherwise a palette becomes RGB (or grey, for a grey palette), and alpha
            is dropped.
        cache_bytes: Bound of the decoded bytes that are kept in memory between reads.

    Raises:
        ImageError: The file is missing, empty, truncated, no image, or `reading` does not fit it.
    """
    source = make_upright(_open_stored(Path(path), reading, as_stored, cache_bytes))
    try:
        if reading.pixel_size is not None:
            source = RescaledSource(source, reading.pixel_size)
        region = parse_region(reading.region)
        if region is not None:
            source = RegionSource(source, region)
        return source if reading.stain is None else StainSource(source, reading.stain)
    except BaseException:  # whatever it is, the file must not stay open
        source.close()
        raise


def list_series(path: str | Path) -> tuple[Series, ...]:
    """Return the images in a file and the levels of each, without reading pixels (but for PNG and JPEG).

    Raises:
        ImageError: The file is missing, empty, truncated or no image.
    """
    path = Path(path)
    if is_zarr(path):
        from unetkit.io.ome_zarr.source import list_zarr_series

        return list_zarr_series(path)
    refuse_overview(path)
    if _read_signature(path).startswith(TIFF_SIGNATURES):
        return list_tiff_series(path)
    with closing(open_image(path)) as source:
        info = source.info
        return (
            Series("", info.axes, info.shape, str(info.dtype), (Level(info.height, info.width, info.pixel_size_um),)),
        )


def is_zarr(path: str | Path) -> bool:
    """Return whether a folder is a Zarr, or says so by its name, rather than a folder of images."""
    path = Path(path)
    return path.is_dir() and (path.suffix.lower() == ZARR_SUFFIX or any((path / name).is_file() for name in ZARR_FILES))


def is_folder(path: str | Path) -> bool:
    """Return whether a path is a folder that may hold images, rather than one image."""
    return Path(path).is_dir() and not is_zarr(path)


def _open_stored(path: Path, reading: ReadOptions, as_stored: bool, cache_bytes: int) -> ImageSource:
    """Open an image as it is stored, at one of its levels."""
    if is_zarr(path):
        from unetkit.io.ome_zarr.source import OmeZarrSource  # here, since zarr takes half a second to import

        return OmeZarrSource(path, reading, cache_bytes=cache_bytes)
    refuse_overview(path)
    signature = _read_signature(path)
    if signature.startswith(RASTER_SIGNATURES):
        return RasterSource(path, reading, as_stored=as_stored, cache_bytes=cache_bytes)
    if signature.startswith(TIFF_SIGNATURES):
        return TiffSource(path, reading, as_stored=as_stored, cache_bytes=cache_bytes)
    raise unknown_format(path)


def create_sink(path: str | Path, spec: OutputSpec, *, overwrite: bool = False) -> ImageSink:
    """Return the sink for an output file, chosen by its suffix, after checking that it can be written.

    Args:
        path: A name that ends in .tif, .tiff, .zarr or .png; in the folder `labels` of an OME-Zarr image, any name
            without an ending is a Zarr, too.
        spec: What will be written.
        overwrite: Whether an existing file may be replaced; it is kept until the new one is whole.

    Raises:
        OutputError: The file exists, its folder is missing or not writable, or the format cannot hold `spec`.
    """
    path = Path(path)
    check_output(path, overwrite=overwrite)
    suffix = path.suffix.lower()
    if suffix not in TIFF_SUFFIXES and (spec.compression, spec.layout) != ("auto", "auto"):
        raise OutputError(f"{path}: compression and layout are choices of TIFF.", "Leave them out, or write a .tif.")
    if is_zarr_output(path):
        return OmeZarrSink(path, spec)
    if suffix in TIFF_SUFFIXES:
        return TiffSink(path, spec)
    if spec.planes != 1 or spec.channels != 1 or spec.dtype.kind != "u":
        raise OutputError(
            f"{path}: a PNG holds one plane of a mask or of labels, not {spec.planes} x {spec.channels} of "
            f"{spec.dtype}.",
            f"Write a TIFF: {path.with_suffix('.tif')}.",
        )
    if spec.pyramid:
        raise OutputError(f"{path}: a PNG holds no pyramid.", f"Write a TIFF: {path.with_suffix('.tif')}.")
    return PngSink(path, spec)


def check_output(path: Path, *, overwrite: bool) -> None:
    """Check that an output can be written, as far as its name and its place say.

    Raises:
        OutputError: It exists, its folder is missing or not writable, or its suffix is not known.
    """
    suffix = path.suffix.lower()
    if is_zarr_output(path):
        check_zarr_target(path, overwrite, make=find_label_place(path) is not None)
        return
    check_target(path, overwrite)
    if suffix not in (*TIFF_SUFFIXES, ".png"):
        kind = f"has the suffix '{path.suffix}'" if path.suffix else "has no suffix"
        raise OutputError(f"The output {path} {kind}, which does not say its format.", "Use .tif, .zarr or .png.")


def is_zarr_output(path: Path) -> bool:
    """Return whether an output is written as OME-Zarr: by its suffix, or since it is to lie in an OME-Zarr's labels."""
    return path.suffix.lower() == ZARR_SUFFIX or (not path.suffix and find_label_place(path) is not None)


def find_images(folder: str | Path) -> list[Path]:
    """Return the image files and Zarr folders in a folder, sorted by name.

    Hidden files and other subfolders are left out.

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
        if not path.name.startswith(".")
        and (
            (path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
            or (path.suffix.lower() == ZARR_SUFFIX and path.is_dir())
        )
    ]
    if not images:
        refuse_foreign(folder, entries)
        raise ImageError(
            f"The folder {folder} has no images.",
            f"Put files with {', '.join(COMMON_SUFFIXES)}, those of slide scanners, or {ZARR_SUFFIX} directly into it.",
        )
    return images


def image_stem(path: str | Path) -> str:
    """Return the name of an image without its suffix, and without ".ome" before it.

    >>> image_stem("cells.ome.tif"), image_stem("cells.ome.zarr")
    ('cells', 'cells')
    """
    stem = Path(path).stem
    return stem[:-4] if stem.lower().endswith(".ome") else stem


def _read_signature(path: Path) -> bytes:
    check_local(path)
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
