"""File names that need care: addresses, and names that are not plain text."""

from __future__ import annotations

import re
from pathlib import Path

from unetkit.foundation.errors import ImageError

ADDRESS_START = re.compile(r"(https?|s3|gs|gcs|az|abfss?|ftp|sftp|file):/", re.IGNORECASE)
"""Beginning of an address. A `Path` keeps one of its two slashes."""


CONTROL_ESCAPES = {code: rf"\x{code:02x}" for code in (*range(32), 127) if chr(code) not in "\t\n"}
"""Control characters, which steer a terminal and are not allowed in XML, and how they are written out."""


def printable(name: str) -> str:
    r"""Return a name as text that every terminal and every file format takes: other bytes are written out.

    >>> printable("b\udce4r\x1b.tif")
    'b\\udce4r\\x1b.tif'
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8").translate(CONTROL_ESCAPES)


def check_local(path: str | Path) -> None:
    """Check that a name is not an address, unless a file of that very name exists.

    Raises:
        ImageError: It is one.
    """
    if ADDRESS_START.match(str(path)) and not Path(path).exists():
        address = re.sub(r"^(\w+):/(?!/)", r"\1://", str(path))
        raise ImageError(
            f"{address} is an address, and unetkit reads and writes files on this machine only.",
            "Download it, or mount its store as a folder, and give the path.",
        )
