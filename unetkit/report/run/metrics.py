"""The table of a run's epochs, as it is in its folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from unetkit.foundation.errors import DataError
from unetkit.report.run.folder import METRICS_FILE

EPOCH, STEP, SECONDS, RATE = "epoch", "step", "seconds", "lr"

NO_SCORES = (EPOCH, STEP, SECONDS, RATE)
"""Columns that hold neither a loss nor a score."""


@dataclass(frozen=True)
class Metrics:
    """Loss and scores of each epoch.

    Attributes:
        rows: Numbers by column, of each epoch; a column is missing where the epoch has none.
        problem: Sentence on lines that cannot be read; "" where there are none.
    """

    rows: tuple[dict[str, float], ...]
    problem: str = ""

    def column(self, name: str) -> list[tuple[float, float]]:
        """Return the number of each epoch, from 1, with what it has in a column, if it has anything."""
        return [(row[EPOCH] + 1, row[name]) for row in self.rows if name in row]

    @property
    def names(self) -> list[str]:
        """Names of losses and scores, in their order."""
        return [name for name in dict.fromkeys(key for row in self.rows for key in row) if name not in NO_SCORES]

    @property
    def seconds(self) -> float:
        """Time of all epochs together."""
        return sum(row.get(SECONDS, 0.0) for row in self.rows)


def read_metrics(folder: Path) -> Metrics | None:
    """Read the table of a run; None where there is none. Lines after one that is cut off are left out.

    Raises:
        DataError: The file is not such a table.
    """
    path = folder / METRICS_FILE
    if not path.is_file():
        return None
    rows: list[dict[str, float]] = []
    try:
        text = path.read_bytes().decode()
        whole, end, rest = text.rpartition("\n")
        lines = csv.DictReader(io.StringIO(whole + end, newline=""), strict=True)
        if EPOCH not in (lines.fieldnames or ()):
            raise ValueError("it has no epochs")
        for row in _numbers(lines):
            rows.append(row)
        if rest:
            raise ValueError("its last line is cut off")
    except (OSError, ValueError, csv.Error) as error:
        if not rows:
            raise DataError(f"{path} is damaged: there are no curves.", "Put it back.") from error
        return Metrics(tuple(rows), f"{path} is damaged after epoch {rows[-1][EPOCH] + 1:.0f}: the rest is not shown.")
    return Metrics(tuple(rows))


def _numbers(lines: csv.DictReader[str]) -> Iterator[dict[str, float]]:
    """Yield the numbers of each line; those that are not finite, as of a run that diverged, are left out."""
    for line in lines:
        if None in line or None in line.values():
            raise ValueError("a line has another number of columns")
        numbers = {name: float(text) for name, text in line.items() if text}
        if EPOCH not in numbers:
            raise ValueError("a line has no epoch")
        yield {name: number for name, number in numbers.items() if isfinite(number)}
