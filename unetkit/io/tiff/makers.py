"""Pixel sizes as the makers of microscopes and slide scanners write them into TIFF files."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any
from xml.etree import ElementTree

from tifffile import TiffFile

from unetkit.io.base.units import UNITS_UM, decode_unit

Size = tuple[float, float]


def maker_pixel_size(file: TiffFile, number: int) -> Size | None:
    """Return the size of a pixel (y, x) of a series at full resolution in µm, None if the file does not say.

    The label and the overview of a slide (series after the first) have no size.
    """
    for name, read in MAKERS.items():
        if getattr(file, f"is_{name}"):
            try:
                sizes = read(file)
            # Broad: the metadata of nine makers, parsed by tifffile, and any of it may be missing or damaged.
            except Exception:
                return None
            return sizes[number] if number < len(sizes) and min(sizes[number]) > 0 else None
    return None


def maker_channel_names(file: TiffFile) -> list[str]:
    """Return the names of the channels as Micro-Manager and Zeiss LSM write them; empty if there are none."""
    try:
        if file.is_micromanager:
            summary = (file.micromanager_metadata or {}).get("Summary") or {}
            return [str(name) for name in summary.get("ChNames") or []]
        if file.is_lsm:
            colors = (file.lsm_metadata or {}).get("ChannelColors") or {}
            return [str(name) for name in colors.get("ColorNames") or []]
    # Broad for the same reason.
    except Exception:
        return []
    return []


def _svs(file: TiffFile) -> list[Size]:
    """Aperio: `MPP = 0.499` in the description."""
    found = re.search(r"\bMPP\s*=\s*([\d.]+)", file.pages.first.description)
    return [(float(found[1]), float(found[1]))] if found else []


def _scn(file: TiffFile) -> list[Size]:
    """Leica: the size of each image's view in nanometres."""
    sizes = []
    for image in ElementTree.fromstring(file.pages.first.description).iter():
        if _is(image, "image"):
            view = next(element for element in image if _is(element, "view"))
            for pixels in (element for element in image if _is(element, "pixels")):
                size_y, size_x = (float(view.attrib[f"size{a}"]) / float(pixels.attrib[f"size{a}"]) for a in "YX")
                sizes.append((size_y / 1e3, size_x / 1e3))
    return sizes


def _bif(file: TiffFile) -> list[Size]:
    """Ventana: `ScanRes` in the XMP of one of the pages."""
    for page in file.pages:
        xmp = page.aspage().tags.valueof(700) or b""
        found = re.search(rb'\bScanRes="([\d.]+)"', xmp if isinstance(xmp, bytes) else str(xmp).encode())
        if found:
            return [(float(found[1]), float(found[1]))]
    return []


def _philips(file: TiffFile) -> list[Size]:
    """Philips: DICOM's pixel spacing in millimetres; that of the slide, in the pages' order, comes first."""
    root = ElementTree.fromstring(file.philips_metadata or "")
    for element in root.iterfind('.//DataObject[@ObjectType="PixelDataRepresentation"]/Attribute'):
        if element.get("Name") == "DICOM_PIXEL_SPACING":
            size_y, size_x = (float(value) * 1e3 for value in (element.text or "").replace('"', "").split())
            return [(size_y, size_x)]
    return []


def _lsm(file: TiffFile) -> list[Size]:
    """Zeiss LSM: voxel sizes in metres; the second series are thumbnails."""
    facts: dict[str, Any] = file.lsm_metadata or {}
    return [(facts["VoxelSizeY"] * 1e6, facts["VoxelSizeX"] * 1e6)]


def _stk(file: TiffFile) -> list[Size]:
    """MetaMorph: a calibration with its unit."""
    facts: dict[str, Any] = file.stk_metadata or {}
    unit = UNITS_UM[decode_unit(facts["CalibrationUnits"])]
    size_y, size_x = (float(Fraction(*facts[f"{axis}Calibration"])) * unit for axis in "YX")
    return [(size_y, size_x)]


def _sis(file: TiffFile) -> list[Size]:
    """Olympus SIS: pixel sizes in metres."""
    facts: dict[str, Any] = file.sis_metadata or {}
    return [(facts["pixelsizey"] * 1e6, facts["pixelsizex"] * 1e6)]


def _micromanager(file: TiffFile) -> list[Size]:
    """Micro-Manager: in the metadata of the first page, or in those of the file."""
    page: dict[str, Any] = file.pages.first.tags.valueof(51123) or {}
    summary = (file.micromanager_metadata or {}).get("Summary") or {}
    size = float(page.get("PixelSizeUm") or summary.get("PixelSize_um") or 0)
    return [(size, size)]


def _is(element: ElementTree.Element, name: str) -> bool:
    return element.tag.rpartition("}")[2] == name


MAKERS: dict[str, Callable[[TiffFile], list[Size]]] = {
    "svs": _svs,
    "scn": _scn,
    "bif": _bif,
    "philips": _philips,
    "lsm": _lsm,
    "stk": _stk,
    "sis": _sis,
    "micromanager": _micromanager,
}
"""What reads the pixel sizes of all series, by the name of tifffile's property `is_...` of the file."""
