"""Image files by name: which reader or writer takes a file, and which files of a folder are images."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from math import prod
from pathlib import Path

from PIL import Image

from unetkit.foundation.atomic import check_target
from unetkit.foundation.errors import ImageError, OutputError, UnetkitError
from unetkit.io.base.contracts import ImageSink, ImageSource, OutputSpec
from unetkit.io.base.format import Format, Writer
from unetkit.io.base.inner import file_of
from unetkit.io.base.read_options import WHOLE, ReadOptions, parse_region
from unetkit.io.base.series import Level, Series, broadcast_sizes
from unetkit.io.decoding.cache import CACHE_BYTES
from unetkit.io.foreign import refuse_foreign, refuse_overview, unknown_format
from unetkit.io.formats import (
    FOLDER_SUFFIXES,
    USUAL_SUFFIXES,
    format_of,
    format_of_output,
    is_image_by_name,
    output_suffixes,
)
from unetkit.io.views.orientation import make_upright
from unetkit.io.views.region import RegionSource
from unetkit.io.views.rescale import RescaledSource
from unetkit.io.views.spaced import SpacedSource
from unetkit.io.views.stain import StainSource
from unetkit.io.views.volume import VolumeSource
from unetkit.io.views.volume_sink import VolumeSink, spec_of_planes


def open_image(
    path: str | Path,
    reading: ReadOptions = WHOLE,
    *,
    dims: int = 2,
    as_stored: bool = False,
    cache_bytes: int = CACHE_BYTES,
) -> ImageSource:
    """Open an image: TIFF, PNG, JPEG, OME-Zarr or a format of `unetkit.io.formats`, as its content says.

    Args:
        path: The file, or the folder of an OME-Zarr.
        reading: What of it to read: axes, series, level or pixel size, channels, stain, region, and what to do at bad
            tiles.
        dims: Axes of its items: 2 for planes; 3 for volumes, which the planes along Z become.
        as_stored: Whether palette images come as the stored numbers and alpha as a channel, which is right for masks
            (see `unetkit.io.masks.meaning`). Otherwise a palette becomes RGB (or grey, for a grey palette), and alpha
            is dropped.
        cache_bytes: Bound of the decoded bytes that are kept in memory between reads.

    Raises:
        ImageError: The file is missing, empty, truncated, no image, or `reading` does not fit it.
    """
    path = Path(path)
    if dims == 3 and reading.pixel_sizes:
        reading = replace(reading, pixel_size=broadcast_sizes(reading.pixel_sizes, dims))  # the level depends on z too
    stored = replace(reading, pixel_size=None) if reading.spacings else reading  # its levels do not know their sizes
    source = make_upright(_recognise(path).open(path, stored, as_stored=as_stored, cache_bytes=cache_bytes))
    try:
        if reading.spacings:
            source = SpacedSource(source, reading.spacings)
        if dims == 3:
            source = VolumeSource(source)
        if reading.pixel_sizes:
            source = RescaledSource(source, reading.pixel_sizes)
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
    found = _recognise(path)
    if found.list_series is not None:
        return found.list_series(path)
    with closing(open_image(path)) as source:
        info = source.info
        return (
            Series("", info.axes, info.shape, str(info.dtype), (Level(info.height, info.width, info.pixel_size_um),)),
        )


def pixels_of(path: str | Path) -> int:
    """Return the pixels of all planes of an image, from headers alone; 0 where these cannot be read.

    It is meant for progress: opening the file says what is wrong with it.
    """
    path = Path(path)
    try:
        found = _recognise(path)
        if found.list_series is None:
            with Image.open(path) as image:
                return image.width * image.height
        first = found.list_series(path)[0]
    except (UnetkitError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 0
    return prod(size for axis, size in zip(first.axes, first.shape, strict=True) if axis not in "CS")


def read_notes(path: str | Path) -> dict[str, str]:
    """Return what unetkit has noted in an image that it wrote (`OutputSpec.notes`); empty for other files.

    Raises:
        ImageError: The file is missing, empty or no image.
    """
    path = Path(path)
    return _recognise(path).read_notes(path)


def create_sink(path: str | Path, spec: OutputSpec, *, overwrite: bool = False) -> ImageSink:
    """Return the sink for an output file, chosen by its suffix, after checking that it can be written.

    Args:
        path: A name that ends in .tif, .tiff, .zarr, .png, .nii or .nii.gz; in the folder `labels` of an OME-Zarr
            image, any name without an ending is a Zarr, too.
        spec: What will be written.
        overwrite: Whether an existing file may be replaced; it is kept until the new one is whole.

    Raises:
        OutputError: The file exists, its folder is missing or not writable, or the format cannot hold `spec`.
    """
    path = Path(path)
    writer = _writer(path, overwrite)
    _check_spec(path, spec, writer)
    if len(spec.size) == 2 or writer.takes_volumes:
        return writer.sink(path, spec)
    return VolumeSink(writer.sink(path, spec_of_planes(spec)), spec)


def check_output(path: Path, spec: OutputSpec | None = None, *, overwrite: bool) -> None:
    """Check that an output can be written; `create_sink` with the same arguments then raises nothing.

    Args:
        path: See `create_sink`.
        spec: What will be written; None where that is not known yet, and only name and place are checked.
        overwrite: Whether an existing file may be replaced.

    Raises:
        OutputError: It exists, its folder is missing or not writable, its suffix is not known, or the format cannot
            hold `spec`.
    """
    writer = _writer(path, overwrite)
    if spec is not None:
        _check_spec(path, spec, writer)


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
    images = [path for path in entries if not path.name.startswith(".") and is_image_by_name(path)]
    if not images:
        refuse_foreign(folder, entries)
        raise ImageError(
            f"The folder {folder} has no images.",
            f"Put files with {', '.join(USUAL_SUFFIXES)}, those of slide scanners, or {' or '.join(FOLDER_SUFFIXES)} "
            "directly into it.",
        )
    return images


def image_stem(path: str | Path) -> str:
    """Return the name of a file of an image without its suffix, and without ".ome" before it or ".nii" before ".gz".

    >>> image_stem("cells.ome.tif"), image_stem("cells.ome.zarr"), image_stem("head.nii.gz")
    ('cells', 'cells', 'head')
    """
    path = file_of(path)
    inner = ".nii" if path.suffix.lower() == ".gz" else ".ome"
    return path.stem[: -len(inner)] if path.stem.lower().endswith(inner) else path.stem


def _recognise(path: Path) -> Format:
    """Return the format of an image, or raise an ImageError."""
    found = format_of(path)
    if found is not None:
        return found
    if path.is_dir():
        raise ImageError(f"{path} is a folder, not an image.", "Give one image file.")
    refuse_overview(path)
    raise unknown_format(path)


def _writer(path: Path, overwrite: bool) -> Writer:
    """Return how an output is written, if its name and its place allow it."""
    found = format_of_output(path)
    if found is not None and found.writer is not None:
        found.writer.check_place(path, overwrite)
        return found.writer
    check_target(path, overwrite)
    kind = f"has the suffix '{path.suffix}'" if path.suffix else "has no suffix"
    *others, last = output_suffixes()
    raise OutputError(
        f"The output {path} {kind}, which does not say its format.", f"Use {', '.join(others)} or {last}."
    )


def _check_spec(path: Path, spec: OutputSpec, writer: Writer) -> None:
    if not writer.has_choices and (spec.compression, spec.layout) != ("auto", "auto"):
        raise OutputError(f"{path}: compression and layout are choices of TIFF.", "Leave them out, or write a .tif.")
    writer.check_spec(path, spec if writer.takes_volumes else spec_of_planes(spec))
