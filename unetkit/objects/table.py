"""Tables of objects: CSV and Parquet, written as a stream and in the order of planes and labels.

Objects come in the order in which they are complete. Their rows wait in a temporary file, which needs no name, beside
the table. In memory are 24 bytes for each object, and a block of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.atomic import check_target, claimed, partial_file
from unetkit.foundation.errors import OutputError

TABLE_SUFFIXES = (".csv", ".parquet")
"""Endings of tables."""

BLOCK_ROWS = 1 << 14
"""Rows that are put in order and written at a time."""


class Writer(Protocol):
    """Writes the rows of a table in one format."""

    def write(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Write the next rows, given as columns (n,) of numbers, or of text as Python strings."""

    def close(self) -> None:
        """Finish the file."""


def check_table(path: Path, *, overwrite: bool) -> None:
    """Check that a table can be written, before the work that goes into it is done.

    Raises:
        OutputError: It exists, its folder is missing or not writable, its suffix is not known, or PyArrow is missing.
    """
    check_target(path, overwrite)
    if path.suffix.lower() not in TABLE_SUFFIXES:
        kind = f"has the suffix '{path.suffix}'" if path.suffix else "has no suffix"
        raise OutputError(f"The table {path} {kind}.", f"Use {' or '.join(TABLE_SUFFIXES)}.")
    if path.suffix.lower() == ".parquet":
        from unetkit.objects.parquet import check_installed

        check_installed(path)


@contextmanager
def open_table(path: Path, empty: Mapping[str, NDArray[Any]], *, overwrite: bool = False) -> Iterator[Table]:
    """Give a table to fill; it appears, sorted, when the block ends without an error.

    Args:
        path: The table, `.csv` or `.parquet`.
        empty: All its columns without rows, for names and types: `Measurer.empty`.
        overwrite: Whether an existing table may be replaced.

    Raises:
        OutputError: See `check_table`; or the disk is full.
    """
    check_table(path, overwrite=overwrite)
    with claimed(path), partial_file(path) as partial, TemporaryFile(dir=path.parent) as rows:
        table = Table(rows, empty)
        yield table
        writer = _create_writer(path.suffix.lower(), partial, empty)
        try:
            for columns in table.sorted_blocks():
                writer.write(columns)
        finally:
            writer.close()


class Table:
    """Rows of objects in the order in which they come.

    Args:
        file: Where they wait.
        empty: See `open_table`.

    Attributes:
        rows: Number of rows so far.
    """

    def __init__(self, file: IO[bytes], empty: Mapping[str, NDArray[Any]]) -> None:
        self._file = file
        self._codes: dict[str, dict[str, int]] = {
            name: {} for name, column in empty.items() if column.dtype.kind in "OU"
        }
        self._record = np.dtype(
            [(name, np.dtype(np.int32) if name in self._codes else column.dtype) for name, column in empty.items()]
        )
        self._planes: list[tuple[int, NDArray[Any]]] = []
        self.rows = 0

    def add(self, plane: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """Add the rows of some objects of a plane, given as columns (N,); one of them is `label`."""
        records = np.empty(len(columns["label"]), self._record)
        for name in self._record.names or ():
            records[name] = self._encode(name, columns[name]) if name in self._codes else columns[name]
        self._file.write(records.data)
        self._planes.append((plane, columns["label"].copy()))
        self.rows += len(records)

    def sorted_blocks(self) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield all rows in the order of planes and labels, as columns (n,)."""
        self._file.flush()
        if not self.rows:
            return
        labels = np.concatenate([labels for _, labels in self._planes])
        planes = np.repeat([plane for plane, _ in self._planes], [len(labels) for _, labels in self._planes])
        order = np.lexsort((labels, planes)) if planes.any() else np.argsort(labels)
        del labels, planes
        self._planes.clear()
        for start in range(0, len(order), BLOCK_ROWS):
            # a new map for each block, so that its pages do not stay in memory
            records = np.memmap(self._file, self._record, "r")[order[start : start + BLOCK_ROWS]]
            yield {name: self._decode(name, records[name]) for name in self._record.names or ()}

    def _encode(self, name: str, texts: NDArray[Any]) -> NDArray[np.int32]:
        codes = self._codes[name]
        return np.array([codes.setdefault(text, len(codes)) for text in texts.tolist()], np.int32)

    def _decode(self, name: str, column: NDArray[Any]) -> NDArray[Any]:
        """Return a column as it was given."""
        if name not in self._codes:
            return column
        texts: NDArray[Any] = np.array([*self._codes[name]], object)[column]
        return texts


def _create_writer(suffix: str, path: Path, empty: Mapping[str, NDArray[Any]]) -> Writer:
    if suffix == ".parquet":
        from unetkit.objects.parquet import ParquetRows

        return ParquetRows(path, empty)
    from unetkit.objects.csv_rows import CsvRows

    return CsvRows(path, empty)
