"""What a TIFF file says about its pixels: their size and the names of the channels."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from tifffile import TiffFile, TiffPage

LARGEST_PIXEL_UM = 20.0
"""Larger pixels than this are taken for a resolution of print or screens (1270 dpi), not for microscopy."""

UNITS_UM = {
    "pm": 1e-6,
    "å": 1e-4,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "µm": 1.0,  # micro sign
    "μm": 1.0,  # Greek mu
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
}
"""Micrometres in a unit of length, as OME and ImageJ name them (in lower case)."""

RESOLUTION_UNITS_UM = {3: 1e4, 4: 1e3, 5: 1.0}
"""Micrometres in a unit of the tag ResolutionUnit: centimetre, millimetre, micrometre. Inches mean print, not size."""


def read_pixel_size(file: TiffFile) -> tuple[float, float] | None:
    """Return the size of a pixel (y, x) in micrometres from OME, ImageJ or resolution metadata, None if unknown."""
    size: tuple[float, float] | None = None
    if file.is_ome:
        size = _ome_pixel_size(_ome_pixels(file))
    if size is None and file.imagej_metadata is not None:
        unit = UNITS_UM.get(_decode_unit(file.imagej_metadata.get("unit", "")))
        size = _resolution(file.pages.first, unit)
    elif size is None:
        tag = file.pages.first.tags.get("ResolutionUnit")
        size = _resolution(file.pages.first, RESOLUTION_UNITS_UM.get(tag.value) if tag is not None else None)
        if size is not None and max(size) > LARGEST_PIXEL_UM:
            size = None
    return size


def read_channel_names(file: TiffFile) -> tuple[str, ...]:
    """Return the channel names of an OME-TIFF, empty if there are none."""
    if not file.is_ome:
        return ()
    pixels = _ome_pixels(file)
    names = [child.get("Name", "") for child in pixels if child.tag.endswith("}Channel")] if pixels is not None else []
    return tuple(names) if names and all(names) else ()


def _ome_pixels(file: TiffFile) -> ElementTree.Element | None:
    """Return the element Pixels of the first image in the OME-XML."""
    try:
        root = ElementTree.fromstring(file.ome_metadata or "")
    except ElementTree.ParseError:  # tifffile reads such a file by its pages
        return None
    return next((element for element in root.iter() if element.tag.endswith("}Pixels")), None)


def _ome_pixel_size(pixels: ElementTree.Element | None) -> tuple[float, float] | None:
    sizes: list[float] = []
    for axis in "YX":
        value = pixels.get(f"PhysicalSize{axis}") if pixels is not None else None
        unit = pixels.get(f"PhysicalSize{axis}Unit", "µm") if pixels is not None else ""
        um = UNITS_UM.get(_decode_unit(unit))
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


def _decode_unit(unit: Any) -> str:
    """Return a unit in lower case; ImageJ writes the micro sign as an escape sequence."""
    return str(unit).replace("\\u00B5", "µ").replace("\\u00b5", "µ").strip().lower()
