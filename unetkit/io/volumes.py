"""Whether the planes of a file are images of their own or one volume: as its user says, or else as the file says."""

from __future__ import annotations

from pathlib import Path

from unetkit.foundation.errors import ConfigError
from unetkit.io.base.contracts import ImageInfo, ImageSource
from unetkit.io.files import read_notes
from unetkit.io.views.volume import VolumeSource

DIMS_NOTE = "dims"
"""Name of the note (`OutputSpec.notes`) in an output of a model of volumes; its text is "3"."""


def dims_of(info: ImageInfo, path: Path | None, dims: int | None = None) -> int:
    """Return how many axes an item of an image has: 2 where its planes are images of their own, 3 for volumes.

    A stack of planes and a volume are the same file. It is a volume if its user says so; or else if it was made by a
    model of volumes, which is noted in it; or if its format says where it lies in a scanner (NIfTI, DICOM, NRRD, MHA).

    Args:
        info: The image, as planes.
        path: Its file; None for an array.
        dims: 2 or 3, as its user says; None to let the file say it.

    Raises:
        ConfigError: `dims` is another number.
    """
    if dims is not None:
        if dims not in (2, 3):
            raise ConfigError(f"dims is {dims}.", "Give 2 for planes or 3 for volumes.")
        return dims
    if info.planes == 1:
        return 2
    noted = path is not None and read_notes(path).get(DIMS_NOTE) == "3"
    return 3 if noted or info.space is not None else 2


def as_items(source: ImageSource, path: Path | None, dims: int | None = None) -> ImageSource:
    """Return an image whose items are planes or volumes, see `dims_of`.

    Raises:
        ConfigError: `dims` has no meaning.
        ImageError: Volumes are asked for, and no axis of the image can be Z.
    """
    return VolumeSource(source) if dims_of(source.info, path, dims) == 3 else source
