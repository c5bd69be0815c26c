"""`unetkit rasterize`: annotation files to masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from numpy.typing import NDArray

from unetkit.annotations.classes import names_of, settle_names
from unetkit.annotations.formats import read_annotations
from unetkit.annotations.raster import Tally
from unetkit.annotations.source import BAND_PIXELS, AnnotationSource, Values
from unetkit.data.drawn_files import find_drawn, image_of, is_shared
from unetkit.data.folders import check_paired, pair_files
from unetkit.foundation.atomic import claimed, make_folder
from unetkit.foundation.errors import ConfigError, DataError, OutputError, closest
from unetkit.foundation.names import printable
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.files import check_output, create_sink, find_images, image_stem, open_image
from unetkit.io.formats import is_folder


@dataclass(frozen=True)
class Rasterized:
    """A mask that was made of annotations.

    Attributes:
        annotations: The annotation file.
        image: The image that it is of.
        result: The mask.
        objects: How many objects were drawn.
        classes: Names of the values from 1 on; empty unless the values are classes.
        ignore_value: Value of pixels that are ignored; None if there are none.
        notes: Sentences on what is odd about the annotations.
    """

    annotations: Path
    image: Path
    result: Path
    objects: int
    classes: tuple[str, ...]
    ignore_value: int | None
    notes: tuple[str, ...]


def rasterize(
    annotations: str | Path,
    image: str | Path,
    result: str | Path,
    *,
    output: Values = "mask",
    classes: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] = (),
    overwrite: bool = False,
) -> list[Rasterized]:
    """Make masks of what people drew: in QuPath (GeoJSON), Fiji (ROI), labelme or as COCO.

    A pixel belongs to an object if its centre lies inside. Later objects cover earlier ones. Pixels of objects of the
    class "ignore", those of COCO's crowds where no object is, and, where there are objects of the class "region", all
    pixels outside of these, are ignored: they have the largest value of the type (255 in masks and classes), and the
    foreground of a mask is 1 then.

    Args:
        annotations: Annotation file; a folder with one for each image; or a COCO file for all images.
        image: The image that was annotated, or the folder of the images. Only sizes are read.
        result: The mask, as .tif, .zarr or .png; for a folder the folder that gets one .tif for each image.
        output: "mask" is 0 and 255. "labels" is a number for each object. "classes" is a number for each class.
        classes: Names of the classes in the order of their numbers, from 1; by default they are sorted.
        ignore: Names of further classes whose pixels are ignored.
        overwrite: Whether existing outputs may be replaced.

    Returns:
        What was made, in the order of the images.

    Raises:
        DataError: A file cannot be read, does not fit its image, or has other classes.
        ImageError: An image cannot be read.
        OutputError: An output exists or cannot be written.
    """
    if output not in get_args(Values):
        raise ConfigError(f"There is no output '{output}'.", closest(output, get_args(Values)))
    files = _find(Path(annotations), Path(image), Path(result), overwrite)
    ignored = _as_names(ignore) or ()
    wanted = _as_names(classes)
    if wanted is not None and output != "classes":
        raise ConfigError(f"classes have no meaning for the output '{output}'.", "Leave them out, or ask for classes.")
    names = _settle(files, wanted, ignored, Path(annotations)) if ignored or output == "classes" else ()
    names = names if output == "classes" else ()
    if is_folder(image):
        make_folder(Path(result))
    return [_rasterize_one(*file, output, names, ignored, overwrite) for file in files]


def _as_names(given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    parts = given.split(",") if isinstance(given, str) else given
    return tuple(part.strip() for part in parts if part.strip())


def _find(annotations: Path, image: Path, result: Path, overwrite: bool) -> list[tuple[Path, Path, Path]]:
    """Return annotation file, image and output of each image; nothing is written if one cannot be."""
    if not annotations.exists():
        raise DataError(f"There is no file or folder {annotations}.", "Check its name and folder.")
    if not is_folder(image):
        if annotations.is_dir():
            raise DataError(f"{annotations} is a folder, but {image} is one image.", "Give the folder of the images.")
        if result.exists() and any(path.exists() and result.samefile(path) for path in (image, annotations)):
            raise OutputError(f"The output {result} is an input.", "Choose another name.")
        check_output(result, overwrite=overwrite)
        return [(annotations, image, result)]
    drawn = find_drawn(annotations) if annotations.is_dir() else [annotations]
    if not drawn or not (annotations.is_dir() or is_shared(annotations)):
        what = "has no annotation files" if annotations.is_dir() else f"is of one image, but {image} is a folder"
        raise DataError(
            f"{annotations} {what}.", "Give a folder with an annotation file for each image, or a COCO file for all."
        )
    if result.exists() and (not is_folder(result) or any(result.samefile(path) for path in (image, annotations))):
        raise OutputError(f"The output {result} is no folder of its own.", "Give another folder for the masks.")
    pairs, without, unused = pair_files(find_images(image), drawn)
    check_paired(without, unused, image, annotations)
    files = [(mask, path, result / f"{image_stem(path)}.tif") for _, path, mask in pairs]
    for _, _, target in files:
        if result.exists():
            check_output(target, overwrite=overwrite)
    return files


def _settle(
    files: Sequence[tuple[Path, Path, Path]], wanted: tuple[str, ...] | None, ignored: tuple[str, ...], where: Path
) -> tuple[str, ...]:
    """Return the names of the classes of all files in the order of their numbers.

    Raises:
        DataError: An object has another class than those wanted, or none has one that is to be ignored.
    """
    found: set[str] = set()
    for drawn, image, _ in files:
        found |= names_of(read_annotations(drawn, image_of(drawn, image)).objects)
    unknown = [name for name in ignored if name not in found]
    if unknown:
        raise DataError(f"No object in {where} has the class '{unknown[0]}'.", closest(unknown[0], found))
    return settle_names(found - set(ignored), wanted, str(where))


def _rasterize_one(
    drawn: Path,
    image: Path,
    result: Path,
    output: Values,
    names: tuple[str, ...],
    ignored: tuple[str, ...],
    overwrite: bool,
) -> Rasterized:
    with closing(open_image(image)) as opened:
        info = opened.info
    source = AnnotationSource(read_annotations(drawn, image_of(drawn, image)), info, output, names, ignored)
    tally = source.tally()
    spec = OutputSpec(
        size=info.size,
        dtype=source.info.dtype,
        plane_axes=info.plane_axes,
        plane_shape=info.plane_shape,
        pixel_size_um=info.pixel_size_um,
        notes=(
            ("made_by", f"unetkit {version('unetkit')}"),
            ("annotations", printable(drawn.name)),
            ("output", output),
            *((("classes", printable(describe_classes(names))),) if names else ()),
            *((("ignored", str(source.ignore_value)),) if source.ignore_value is not None else ()),
        ),
        steps=info.steps,
        name=printable(image_stem(image)),
    )
    sink = create_sink(result, spec, overwrite=overwrite)
    with claimed(result):
        sink.write(_rows(source, tally))
    notes = source.notes(tally, range(info.planes))
    return Rasterized(drawn, image, result, len(source.objects), names, source.ignore_value, tuple(notes))


def _rows(source: AnnotationSource, tally: Tally) -> Iterator[NDArray[Any]]:
    """Yield the rows of all planes."""
    info = source.info
    step = max(BAND_PIXELS // info.width, 1)
    for plane in range(info.planes):
        for top in range(0, info.height, step):
            yield source.read(plane, (slice(top, min(top + step, info.height)), slice(0, info.width)), tally)


def describe_classes(names: Sequence[str]) -> str:
    """Return the numbers and names of classes: "1 stroma, 2 tumour"."""
    return ", ".join(f"{number} {name or '(no class)'}" for number, name in enumerate(names, start=1))


def describe(done: Sequence[Rasterized]) -> list[str]:
    """Return sentences on what was made."""
    lines = [note for one in done for note in one.notes]
    first = done[0]
    where = str(first.result) if len(done) == 1 else f"{first.result.parent}: {len(done)} masks"
    objects = sum(one.objects for one in done)
    lines.append(f"{where}: {objects:,} object{'' if objects == 1 else 's'}.")
    if first.classes:
        lines.append(f"Values: 0 background, {describe_classes(first.classes)}.")
    ignored = {one.ignore_value for one in done} - {None}
    if ignored:
        value = ", ".join(str(one) for one in sorted(ignored, key=str))
        lines.append(f"Pixels that are ignored have the value {value}. Train with --data.ignore {value}.")
    return lines
