"""What a TIFF file says about its pixels: their size and the names of the channels."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from tifffile import TiffFile, TiffPage, TiffPageSeries

from unetkit.io.tiff_makers import maker_pixel_size
from unetkit.io.units import LARGEST_PIXEL_UM, UNITS_UM, decode_unit

RESOLUTION_UNITS_UM = {3: 1e4, 4: 1e3, 5: 1.0}
"""Micrometres in a unit of the tag ResolutionUnit: centimetre, millimetre, micrometre. Inches mean print, not size."""


def read_pixel_size(file: TiffFile, all_series: Sequence[TiffPageSeries], number: int) -> tuple[float, float] | None:
    """Return the size of a pixel (y, x) of a series at full resolution in micrometres, None if unknown.

    OME and ImageJ metadata count first, then what the makers of microscopes write, then the resolution tags.
    """
    series = all_series[number]
    size: tuple[float, float] | None = None
    if file.is_ome:
        size = _ome_pixel_size(ome_pixels(file, all_series, number))
    if size is None and file.imagej_metadata is not None:
        unit = UNITS_UM.get(decode_unit(file.imagej_metadata.get("unit", "")))
        return _resolution(series.keyframe, unit)
    if size is None:
        size = maker_pixel_size(file, number)
    if size is None:
        tag = series.keyframe.tags.get("ResolutionUnit")
        size = _resolution(series.keyframe, RESOLUTION_UNITS_UM.get(tag.value) if tag is not None else None)
        if size is not None and max(size) > LARGEST_PIXEL_UM:
            size = None
    return size


def read_channel_names(file: TiffFile, all_series: Sequence[TiffPageSeries], number: int) -> tuple[str, ...]:
    """Return the channel names of a series of an OME-TIFF, empty if there are none."""
    if not file.is_ome:
        return ()
    pixels = ome_pixels(file, all_series, number)
    names = [child.get("Name", "") for child in pixels if child.tag.endswith("}Channel")] if pixels is not None else []
    return tuple(names) if names and all(names) else ()


def ome_pixels(file: TiffFile, all_series: Sequence[TiffPageSeries], number: int) -> ElementTree.Element | None:
    """Return the element Pixels that describes a series in the OME-XML; not every one has pages in the file."""
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


def _resolution(page: TiffPage, unit_um: float | None) -> tuple[float, float] | None:
    """Return the pixel size (y, x) in µm from the tags XResolution and YResolution (pixels in a unit)."""
    sizes = []
    for name in ("YResolution", "XResolution"):
        tag = page.tags.get(name)
        if tag is None or unit_um is None or not isinstance(tag.value, tuple) or len(tag.value) != 2:
            return None
        pixels, units = tag.value
        sizes.append(unit_um * units / pixels if pixels else 0.0)
    return (sizes[0], sizes[1]) if min(sizes) > 0 else None
