"""Metadata of OME-Zarr 0.1 to 0.6 (single images, collections, plates) and of plain Zarr arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr

from unetkit.foundation.errors import ImageError
from unetkit.io.base.axes import guess_axes, name_dimensions
from unetkit.io.base.channels import name_colours
from unetkit.io.base.series import Level, PixelSize, Series, scale_pixel_size
from unetkit.io.base.stored import Step
from unetkit.io.base.units import UNITS_UM, decode_unit, make_step
from unetkit.io.ome_zarr.placement import Placement, describe_axes, place_level

NAMED_IMAGES = 5
"""How many missing images a message names."""


@dataclass(frozen=True)
class ZarrImage:
    """One image of a Zarr hierarchy.

    Attributes:
        format: "OME-Zarr" with its version, or "Zarr" for a plain array.
        series: Its axes, sizes and levels.
        arrays: The array of each level.
        channel_names: Names of the channels; empty if none are given.
        colours: Whether the channels are the colours of one picture (RGB); None if their names do not say.
        steps: The steps of each level, see `ImageInfo`.
    """

    format: str
    series: Series
    arrays: tuple[zarr.Array[Any], ...]
    channel_names: tuple[str, ...]
    colours: bool | None = None
    steps: tuple[tuple[Step, ...], ...] = ((),)


@dataclass(frozen=True)
class MissingImage:
    """An image that a Zarr lists but does not have.

    Attributes:
        path: Where it should be, within the Zarr.
    """

    path: str


ZarrItem = zarr.Group | zarr.Array[Any] | MissingImage
"""An image of a Zarr: a group with multiscales, or an array."""


def damaged_zarr(name: str, what: object) -> ImageError:
    """Return the error for a Zarr that cannot be read."""
    return ImageError(
        f"{name} cannot be read as OME-Zarr ({what}).",
        "Give an OME-Zarr image of version 0.4 or 0.5, or one array of a Zarr, such as image.zarr/0.",
    )


def find_images(path: Path) -> list[ZarrItem]:
    """Return the images in a Zarr, missing ones included: groups with multiscales, or the array that the Zarr is.

    Raises:
        ImageError: The folder is no Zarr, is damaged, or has no images.
    """
    try:
        images: list[ZarrItem]
        root = zarr.open(str(path), mode="r")
        images = [root] if isinstance(root, zarr.Array) else [*_search(root)]
    # Broad: a Zarr is a folder of small JSON files, and what damaged ones raise in zarr has no limits.
    except Exception as error:
        raise damaged_zarr(str(path), error) from error
    if not images:
        raise damaged_zarr(
            str(path), "it has no 'multiscales' metadata, so nothing says which of its arrays is the image"
        )
    missing = [image for image in images if isinstance(image, MissingImage)]
    if len(missing) == len(images):
        raise damaged_zarr(str(path), f"{_some(missing)}, which it lists, is missing")
    return images


def choose_image(images: Sequence[ZarrItem]) -> tuple[int, tuple[str, ...]]:
    """Return the number of the first image that is not missing, which is read by default, and remarks on the others."""
    there = [number for number, image in enumerate(images) if not isinstance(image, MissingImage)]
    missing = [image for image in images if isinstance(image, MissingImage)]
    remarks = []
    if len(there) > 1:
        chosen, last = (images[number].path or "the first" for number in (there[0], there[-1]))
        remarks.append(
            f"It holds {len(there)} images (fields of a plate, or series), of which series {there[0]} ({chosen}) alone "
            f"is read; --series chooses another, up to {there[-1]} ({last})."
        )
    if missing:
        count = f"{len(missing)} of the images (wells or fields) that it lists {'is' if len(missing) == 1 else 'are'}"
        remarks.append(f"{count} missing: {_some(missing)}.")
    return there[0], tuple(remarks)


def read_image(image: ZarrItem, name: str, axes: str | None = None) -> ZarrImage:
    """Read the metadata of an image that `find_images` found.

    Args:
        image: A group with multiscales, or an array.
        name: Path of the file, for messages.
        axes: One letter for each dimension, in place of the axes in the metadata.

    Raises:
        ImageError: The metadata are damaged, or the image is missing.
    """
    if isinstance(image, MissingImage):
        raise ImageError(
            f"{name} lists the image (well or field) {image.path}, which is missing.",
            "Choose another series; `unetkit info` lists them.",
        )
    try:
        return _read_array(image, axes) if isinstance(image, zarr.Array) else _read_multiscales(image, axes)
    except Exception as error:  # broad for the same reason
        what = f"its metadata lack {error}" if isinstance(error, KeyError) else error
        raise damaged_zarr(name, what) from error


def describe_image(image: ZarrItem, name: str) -> Series:
    """Return the description of an image, which may be missing.

    Raises:
        ImageError: The metadata are damaged.
    """
    if isinstance(image, MissingImage):
        return Series(f"{image.path} (missing)", "", (), "", ())
    return read_image(image, name).series


def _some(missing: Sequence[MissingImage]) -> str:
    more = f" and {len(missing) - NAMED_IMAGES} more" if len(missing) > NAMED_IMAGES else ""
    return ", ".join(image.path for image in missing[:NAMED_IMAGES]) + more


def _ome(group: zarr.Group) -> dict[str, Any]:
    """Return the OME metadata of a group: since version 0.5 they are under a key of their own."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome")
    return ome if isinstance(ome, dict) else attributes


def _search(group: zarr.Group) -> Iterator[zarr.Group | MissingImage]:
    """Yield the groups with multiscales: this one, or those of a collection (bioformats2raw), a well or a plate."""
    ome = _ome(group)
    if "multiscales" in ome:
        yield group
    elif "plate" in ome:
        for well in ome["plate"]["wells"]:
            yield from _search_child(group, well["path"])
    elif "well" in ome:
        for field in ome["well"]["images"]:
            yield from _search_child(group, field["path"])
    else:
        names = _ome(_child(group, "OME")).get("series") if "OME" in group else None
        numbers = sorted((key for key, _ in group.groups() if key.isdigit()), key=int) if not names else ()
        for name in names or numbers:
            yield from _search_child(group, name)


def _search_child(group: zarr.Group, path: str) -> Iterator[zarr.Group | MissingImage]:
    """Yield the images below a group that its parent lists; a `MissingImage` if there are none."""
    found = list(_search(_child(group, path))) if path in group else []
    yield from found or [MissingImage(f"{group.path}/{path}".strip("/"))]


def _child(group: zarr.Group, path: str) -> zarr.Group:
    child = group[path]
    if not isinstance(child, zarr.Group):
        raise ValueError(f"{path} is an array where a group should be")
    return child


def _read_array(array: zarr.Array[Any], axes: str | None) -> ZarrImage:
    """Describe an array that is no level of an OME-Zarr. xarray and Zarr 3 name dimensions."""
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    if axes is None and isinstance(names, (list, tuple)) and len(names) == array.ndim:
        named = name_dimensions([str(name) for name in names])
        axes = named if {"Y", "X"} <= set(named) else None
    axes = (axes or guess_axes(array.shape)).upper()
    series = Series(Path(array.path).name, axes, array.shape, str(array.dtype), (_level(array, axes, None),))
    return ZarrImage("Zarr", series, (array,), ())


def _read_multiscales(group: zarr.Group, axes: str | None) -> ZarrImage:
    ome = _ome(group)
    multiscale = ome["multiscales"][0]
    described = describe_axes(multiscale)
    kinds = [str(one.get("type", "")) for one in described]
    axes = (axes or name_dimensions([str(one["name"]) for one in described], kinds)).upper()
    arrays = []
    for dataset in multiscale["datasets"]:
        array = group[dataset["path"]]
        if not isinstance(array, zarr.Array):
            raise ValueError(f"{dataset['path']} is no array")
        if array.ndim != len(axes):
            raise ValueError(f"{dataset['path']} has {array.ndim} dimensions, not {len(axes)} as in {axes}")
        arrays.append(array)
    units = [UNITS_UM.get(decode_unit(one.get("unit", ""))) for one in described]
    places = [place_level(multiscale, dataset, len(axes)) for dataset in multiscale["datasets"]]
    sizes = [_pixel_size(place, axes, units) for place in places]
    levels = [_level(array, axes, size) for array, size in zip(arrays, sizes, strict=True)]
    full = levels[0]
    texts = [str(one.get("unit", "")) for one in described]
    steps = tuple(_steps(place, axes, texts) for place in places)
    depths = [next((step.size for step in each if (step.axis, step.unit) == ("Z", "µm")), None) for each in steps]
    levels = [
        Level(one.height, one.width, one.pixel_size_um or _scaled(full, one), depth)
        for one, depth in zip(levels, depths, strict=True)
    ]
    labels = [one.get("label", "") for one in (ome.get("omero") or {}).get("channels", [])]
    version = ome.get("version") or multiscale.get("version") or "of an unknown version"
    name = str(multiscale.get("name") or group.name.rpartition("/")[2])
    series = Series(name, axes, arrays[0].shape, str(arrays[0].dtype), tuple(levels))
    return ZarrImage(
        f"OME-Zarr {version}",
        series,
        tuple(arrays),
        tuple(labels) if all(labels) else (),
        name_colours([str(label) for label in labels]) or (False if "C" in axes else None),
        steps,
    )


def _level(array: zarr.Array[Any], axes: str, size: PixelSize | None) -> Level:
    sizes = dict(zip(axes, array.shape, strict=False))
    return Level(sizes.get("Y", 0), sizes.get("X", 0), size)


def _scaled(full: Level, level: Level) -> PixelSize | None:
    return scale_pixel_size(full.pixel_size_um, (full.height, full.width), (level.height, level.width))


def _pixel_size(place: Placement | None, axes: str, units: list[float | None]) -> PixelSize | None:
    """Return the pixel size (y, x) in µm of one level; None without scales or units."""
    sizes = []
    for axis in "YX":
        i = axes.find(axis)
        unit = units[i] if 0 <= i < len(units) else None
        if place is None or unit is None:
            return None
        sizes.append(unit * place.scale[i])
    return (sizes[0], sizes[1]) if min(sizes) > 0 else None


def _steps(place: Placement | None, axes: str, units: list[str]) -> tuple[Step, ...]:
    """Return the steps of one level, see `ImageInfo`: along Z and T, and along Y and X without a unit.

    A scale of 1 without a unit means nothing and gives no step.
    """
    steps = []
    for i, axis in enumerate(axes):
        unit = units[i] if i < len(units) else ""
        if place is None or axis not in "TZYX" or (axis in "YX" and unit):
            continue
        step = make_step(axis, place.scale[i], unit)
        if step is not None and (step.unit or step.size != 1):
            steps.append(step)
    return tuple(steps)
