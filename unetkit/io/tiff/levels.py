"""The levels of a pyramid, linked so that all programs find them.

OME-TIFF keeps the smaller levels in SubIFDs of the full page: so QuPath, Bio-Formats, napari and libvips find them.
OpenSlide and GDAL look for reduced pages behind the full one. The same pages can be both.
"""

from __future__ import annotations

import struct
from pathlib import Path

from tifffile import TiffFile


def link_levels(path: Path) -> None:
    """Put the SubIFDs of the only page of a file behind it in the chain of pages; nothing else of the file changes."""
    with TiffFile(path) as file:
        tiff = file.tiff
        page = file.pages.first
        offsets = [page.offset, *(page.subifds or ())]
    with path.open("r+b") as handle:
        for offset, following in zip(offsets, [*offsets[1:], 0], strict=True):
            handle.seek(offset)
            tags: int = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))[0]
            handle.seek(offset + tiff.tagnosize + tags * tiff.tagsize)
            handle.write(struct.pack(tiff.offsetformat, following))
