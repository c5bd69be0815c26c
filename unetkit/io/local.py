"""Names that are no names of files on this machine: addresses on the web and in cloud stores."""

from __future__ import annotations

import re
from pathlib import Path

from unetkit.errors import ImageError

ADDRESS = re.compile(r"(https?|s3|gs|gcs|az|abfss?|ftp|sftp|file):/", re.IGNORECASE)
"""How addresses begin; a `Path` keeps one of their two slashes."""


def check_local(path: str | Path) -> None:
    """Check that a name is not an address, unless a file of that very name exists.

    Raises:
        ImageError: It is one.
    """
    if ADDRESS.match(str(path)) and not Path(path).exists():
        address = re.sub(r"^(\w+):/(?!/)", r"\1://", str(path))
        raise ImageError(
            f"{address} is an address, and unetkit reads and writes files on this machine only.",
            "Download it, or mount its store as a folder, and give the path.",
        )
