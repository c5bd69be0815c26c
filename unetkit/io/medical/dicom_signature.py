"""Which files are DICOM."""

from __future__ import annotations

from pathlib import Path

MARK = b"DICM"
MARK_AT = 128

DIRECTORY = "DICOMDIR"
"""Name of the file that lists the files of a medium."""


def is_dicom(start: bytes) -> bool:
    """Return whether a file with these first bytes is DICOM."""
    return start[MARK_AT : MARK_AT + len(MARK)] == MARK


def is_dicom_file(path: Path) -> bool:
    """Return whether a file is DICOM by its content."""
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(MARK_AT + len(MARK)))
    except OSError:
        return False
