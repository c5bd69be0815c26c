"""Rows of numbers as Parquet, which pandas, R's arrow, DuckDB and SpatialData read with their types."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from unetkit.foundation.errors import OutputError

GROUP_ROWS = 1 << 17
"""Rows of a row group, which is what is in memory at a time."""


def check_installed(path: Path) -> None:
    """Raise an OutputError if PyArrow is missing."""
    if find_spec("pyarrow") is None:
        raise OutputError(
            f"{path} needs PyArrow, which is not installed.", "Run `pip install unetkit[parquet]`, or write a .csv."
        )


class ParquetRows:
    """A Parquet file, compressed with zstd.

    Args:
        path: The file.
        empty: All columns without rows.
    """

    def __init__(self, path: Path, empty: Mapping[str, NDArray[Any]]) -> None:
        from pyarrow.parquet import ParquetWriter

        self._schema = _batch(empty).schema
        self._writer = ParquetWriter(path, self._schema, compression="zstd")
        self._waiting: list[Any] = []

    def write(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Write rows, given as columns (n,)."""
        self._waiting.append(_batch(columns))
        if sum(len(batch) for batch in self._waiting) >= GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Finish the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema))
            self._waiting = []


def _batch(columns: Mapping[str, NDArray[Any]]) -> Any:
    """Return columns as a batch of PyArrow's. What is not known (NaN) is null."""
    import pyarrow as pa

    arrays = []
    for column in columns.values():
        if column.dtype.kind in "OU":
            arrays.append(pa.array(column.tolist(), pa.string()))
        else:
            arrays.append(pa.array(column, from_pandas=True))
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))
