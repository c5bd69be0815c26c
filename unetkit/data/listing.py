"""Lists of files in a CSV, and how lists are put in words."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from unetkit.foundation.errors import DataError
from unetkit.io.base.inner import file_of
from unetkit.io.files import image_stem
from unetkit.io.formats import is_folder


def read_columns(path: Path, names: tuple[str, str], remedy: str) -> tuple[list[str], list[tuple[int, str, str]]]:
    """Read two columns of a CSV.

    Args:
        path: The CSV.
        names: Names of the columns.
        remedy: What to do about a file that is no CSV.

    Returns:
        The names of all columns that there are, and number of the line and the two values of each row: none where one
        of the columns is missing.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            header = list(reader.fieldnames or ())
            if not set(names) <= set(header):
                return header, []
            one, other = names
            return header, [(reader.line_num, (row[one] or "").strip(), (row[other] or "").strip()) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV ({error}).", remedy) from error


def read_pair_list(path: Path) -> list[tuple[str, Path, Path]]:
    """Read a CSV of pairs; names are the stems, with the line's number where a stem comes twice."""
    remedy = "Begin it with the line 'image,mask', then one pair of paths, relative to the CSV, on each line."
    header, rows = read_columns(path, ("image", "mask"), remedy)
    if not {"image", "mask"} <= set(header):
        raise DataError(f"{path} has the columns {', '.join(header) or 'none'}, not image and mask.", remedy)
    if not rows:
        raise DataError(f"{path} lists no pairs.", remedy)
    files = [(line, path.parent / image, path.parent / mask) for line, image, mask in rows]
    missing = [f"{file} (line {line})" for line, *both in files for file in both if not _is_image(file)]
    if missing:
        raise DataError(
            f"{count_of(missing, 'file', 'files')} listed in {path} {'is' if len(missing) == 1 else 'are'} missing: "
            f"{some_of(missing)}.",
            "Correct the paths; they are relative to the CSV.",
        )
    stems = [image_stem(image) for _, image, _ in files]
    count = Counter(stems)
    return [
        (stem if count[stem] == 1 else f"{stem} (line {line})", image, mask)
        for stem, (line, image, mask) in zip(stems, files, strict=True)
    ]


def _is_image(path: Path) -> bool:
    """Return whether a listed path is a file, or a folder that is one image."""
    return file_of(path).is_file() or (path.is_dir() and not is_folder(path))


def count_of(items: Sequence[str], one: str, many: str) -> str:
    """Return the number of items in words: "1 image has", "3 images have"."""
    return f"{len(items)} {one if len(items) == 1 else many}"


def some_of(items: Sequence[str], most: int = 3) -> str:
    """Return the first few items, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
