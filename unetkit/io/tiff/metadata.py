"""What a TIFF file says about its pixels: their size and the names of the channels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from tifffile import TiffFile, TiffPage, TiffPageSeries

from unetkit.io.base.units import UNITS_UM, decode_unit, plausible_size
from unetkit.io.tiff.makers import maker_channel_names, maker_pixel_size

RESOLUTION_UNITS = {2: "inch", 3: "cm", 4: "mm", 5: "µm"}
"""Units of the tag ResolutionUnit."""


PLACE_IN_STACK = re.compile(r"^(?:[czt]:\d+/\d+\s*)+(?:-\s*)?", re.IGNORECASE)
"""Beginning of the label of a plane that Bio-Formats writes for ImageJ: "c:1/3 z:1/5 - DAPI"."""

GDAL_NODATA = 42113
"""Number of the tag GDAL_NODATA: geographic programs write the value of pixels without data there."""


def read_pixel_size(file: TiffFile, all_series: Sequence[TiffPageSeries], number: int) -> tuple[float, float] | None:
    """Return the size of a pixel (y, x) of a series at full resolution in micrometres, None if unknown.

    OME and ImageJ metadata count first, then what the makers of microscopes write, then the resolution tags.
    """
    series = all_series[number]
    size: tuple[float, float] | None = None
    if file.is_ome:
        size = _ome_pixel_size(ome_pixels(file, all_series, number))
    if size is None and file.imagej_metadata is not None:
        unit = decode_unit(file.imagej_metadata.get("unit", ""))
        if unit in UNITS_UM:
            size = _resolution(series.keyframe, unit)
            return plausible_size(size) if UNITS_UM[unit] == UNITS_UM["inch"] else size
    if size is None:
        size = maker_pixel_size(file, number)
    return plausible_size(_resolution(series.keyframe, _resolution_unit(series.keyframe))) if size is None else size


def state_resolution(series: TiffPageSeries) -> str:
    """Return the resolution tags of a series as a phrase for messages; "" if they say nothing."""
    pixels = _pixels_per_unit(series.keyframe)
    unit = _resolution_unit(series.keyframe)
    if pixels is None or (unit is None and pixels == (1, 1)):  # what writers fill in where nothing is known
        return ""
    return f"{pixels[1]:g} x {pixels[0]:g} pixels {f'per {unit}' if unit else 'in a unit that it does not name'}"


def read_channel_names(file: TiffFile, all_series: Sequence[TiffPageSeries], number: int) -> tuple[str, ...]:
    """Return the channel names of a series, empty if there are none: OME's, ImageJ's labels, some makers'."""
    series = all_series[number]
    if file.is_ome:
        pixels = ome_pixels(file, all_series, number)
        found = [child for child in pixels if child.tag.endswith("}Channel")] if pixels is not None else []
        return _all_named([child.get("Name", "") for child in found])
    count = dict(zip(series.axes, series.shape, strict=True)).get("C", 0)
    if not count:
        return ()
    if file.imagej_metadata is not None:
        labels = file.imagej_metadata.get("Labels") or []
        return _all_named([PLACE_IN_STACK.sub("", str(label)) for label in labels[:count]])
    return _all_named(maker_channel_names(file))


def _all_named(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names, empty if one is missing or two are equal."""
    names = [name.strip() for name in names]
    return tuple(names) if all(names) and len(set(names)) == len(names) else ()


def read_nodata(page: TiffPage) -> float | None:
    """Return the value of the tag GDAL_NODATA, None if there is none."""
    tag = page.tags.get(GDAL_NODATA)
    try:
        return float(str(tag.value).strip("\0 ")) if tag is not None else None
    except ValueError:
        return None


def ome_pixels(file: TiffFile, all_series: Sequence[TiffPageSeries], number: int) -> ElementTree.Element | None:
    """Return the element Pixels of a series in the OME-XML. There may be elements without pages in the file."""
    try:
        root = ElementTree.fromstring(file.ome_metadata or "")
    except ElementTree.ParseError:  # tifffile reads such a file by its pages
        return None
    found = [element for element in root.iter() if element.tag.endswith("}Pixels")]
    if len(found) == len(all_series):
        return found[number]
    page = all_series[number].keyframe
    size = (str(page.imagewidth), str(page.imagelength))
    return next((element for element in found if (element.get("SizeX"), element.get("SizeY")) == size), None)


def _ome_pixel_size(pixels: ElementTree.Element | None) -> tuple[float, float] | None:
    sizes: list[float] = []
    for axis in "YX":
        value = pixels.get(f"PhysicalSize{axis}") if pixels is not None else None
        unit = pixels.get(f"PhysicalSize{axis}Unit", "µm") if pixels is not None else ""
        um = UNITS_UM.get(decode_unit(unit))
        try:
            size = float(value or "") * (um or 0.0)
        except ValueError:
            return None
        sizes.append(size)
    return (sizes[0], sizes[1]) if min(sizes) > 0 else None


def _resolution(page: TiffPage, unit: str | None) -> tuple[float, float] | None:
    """Return the pixel size (y, x) in µm from the tags XResolution and YResolution (pixels in a unit)."""
    pixels = _pixels_per_unit(page)
    if pixels is None or unit is None:
        return None
    return (UNITS_UM[unit] / pixels[0], UNITS_UM[unit] / pixels[1])


def _resolution_unit(page: TiffPage) -> str | None:
    """Return the unit of the resolution tags; without a tag it is the inch, as TIFF says."""
    tag = page.tags.get("ResolutionUnit")
    return RESOLUTION_UNITS.get(2 if tag is None else int(tag.value))


def _pixels_per_unit(page: TiffPage) -> tuple[float, float] | None:
    """Return the tags YResolution and XResolution. They are fractions in TIFF, but some files have numbers."""
    found = []
    for name in ("YResolution", "XResolution"):
        tag = page.tags.get(name)
        if tag is None:
            return None
        pixels, *units = tag.value if isinstance(tag.value, tuple) else (tag.value,)
        if len(units) > 1 or units == [0]:
            return None
        found.append(float(pixels) / (units[0] if units else 1))
    return (found[0], found[1]) if min(found) > 0 and max(found) < float("inf") else None
