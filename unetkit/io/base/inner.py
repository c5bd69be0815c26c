"""Names of images inside of files: `file.h5:/key`."""

from __future__ import annotations

import re
from pathlib import Path

INNER = re.compile(r"^(?P<file>.*\.(?:h5|hdf5|hdf|he5|ilp|nc|mat)):(?P<key>[/\\].*)?$", re.IGNORECASE | re.DOTALL)
"""A file whose format has names inside, a colon, and such a name. The colon of a drive has no such ending before it."""


def split_inner(path: str | Path) -> tuple[Path, str]:
    r"""Return the file of an image, and its name inside of the file; "" if there is none.

    A `Path` of Windows has the strokes of the name turned.

    >>> split_inner(Path("data/cells.h5:/volumes/raw"))[1], split_inner("cells.h5")[1]
    ('/volumes/raw', '')
    >>> split_inner("C:\\data\\cells.h5:\\volumes\\raw")[1]
    '/volumes/raw'
    """
    found = INNER.match(str(path))
    if found is None or Path(path).exists():
        return Path(path), ""
    return Path(found["file"]), (found["key"] or "").replace("\\", "/").rstrip("/")


def file_of(path: str | Path) -> Path:
    """Return the file, or the folder, in which an image lies."""
    return split_inner(path)[0]
