"""Rows of numbers as CSV, fast without further libraries."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGITS = 7
"""Significant digits of fractions."""


class CsvRows:
    """A CSV: UTF-8, commas, decimal points, a header, lines that end in a line feed.

    Whole numbers are written in full, fractions with 7 significant digits, True and False as `true` and `false`. What
    is not known (NaN) is an empty cell.

    Args:
        path: The file.
        empty: All columns without rows.
    """

    def __init__(self, path: Path, empty: Mapping[str, NDArray[Any]]) -> None:
        self._file = path.open("w", newline="", encoding="utf-8", errors="backslashreplace")
        self._file.write(_line(list(empty)))

    def write(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Write rows, given as columns (n,)."""
        formats, cells = zip(*(_cells(column) for column in columns.values()), strict=True)
        line = ",".join(formats) + "\n"
        self._file.write("".join([line % row for row in zip(*cells, strict=True)]))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def _cells(column: NDArray[Any]) -> tuple[str, Sequence[Any]]:
    """Return a format and the values of the cells for it."""
    kind = column.dtype.kind
    if kind in "iu":
        return "%d", column.tolist()
    if kind == "b":
        return "%s", np.where(column, "true", "false").tolist()
    if kind == "f" and not np.isnan(column).any():
        return f"%.{DIGITS}g", column.tolist()
    if kind == "f":
        return "%s", ["" if value != value else f"{value:.{DIGITS}g}" for value in column.tolist()]  # noqa: PLR0124
    quoted = {text: _line([text])[:-1] for text in set(column.tolist())}
    return "%s", [quoted[text] for text in column.tolist()]


def _line(cells: Sequence[str]) -> str:
    """Return a line of text cells, quoted where they need it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
