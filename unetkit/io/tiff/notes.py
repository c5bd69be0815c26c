"""What unetkit has noted in a TIFF: the MapAnnotation of its OME-XML."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from tifffile import TiffFile


def read_tiff_notes(path: Path) -> dict[str, str]:
    """Return the notes of a TIFF that unetkit wrote; empty for other files."""
    with TiffFile(path) as file:
        text = file.ome_metadata
    try:
        root = ElementTree.fromstring(text or "")
    except ElementTree.ParseError:
        return {}
    found = [one for one in root.iter() if one.tag.endswith("}MapAnnotation") and one.get("Namespace") == "unetkit"]
    return {pair.get("K", ""): pair.text or "" for one in found for pair in one.iter() if pair.tag.endswith("}M")}
