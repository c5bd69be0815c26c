"""Tables appear whole, in order, with what was measured; or not at all."""

from __future__ import annotations

import csv
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pyarrow.csv import read_csv
from pyarrow.parquet import read_table

from unetkit.foundation.errors import OutputError
from unetkit.objects import table as table_module
from unetkit.objects.table import check_table, open_table

KINDS = pytest.mark.parametrize("suffix", [".csv", ".parquet"])


def columns(labels: list[int], texts: list[str] | None = None) -> dict[str, NDArray[Any]]:
    number = np.array(labels, np.uint32)
    return {
        "label": number,
        "class": np.array(texts or ["cell"] * len(labels), object),
        "area_um2": number / 3,
        "touches": number % 2 == 0,
    }


EMPTY = {name: column[:0] for name, column in columns([1]).items()}


def read(path: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = (read_csv if path.suffix == ".csv" else read_table)(path).to_pydict()
    return found


@KINDS
def test_rows_are_in_the_order_of_planes_and_labels(tmp_path: Path, suffix: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(table_module, "BLOCK_ROWS", 3)
    path = tmp_path / f"table{suffix}"
    with open_table(path, EMPTY) as table:
        table.add(0, columns([5, 2]))
        table.add(0, columns([4000000000, 1], ["a, b", 'the "c"']))
        table.add(1, columns([3, 1]))
        assert not path.exists()
    found = read(path)
    assert found["label"] == [1, 2, 5, 4000000000, 1, 3]
    assert found["class"] == ['the "c"', "cell", "cell", "a, b", "cell", "cell"]
    assert found["touches"] == [False, True, False, True, False, False]
    np.testing.assert_allclose(found["area_um2"], np.divide(found["label"], 3), rtol=1e-6 if suffix == ".csv" else 0)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@KINDS
def test_no_objects_are_a_table_with_a_header(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"table{suffix}"
    with open_table(path, EMPTY):
        pass
    found = read(path)
    assert list(found) == list(EMPTY)
    assert found["label"] == []


@KINDS
def test_what_is_not_known_is_an_empty_cell(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"table{suffix}"
    with open_table(path, {"label": np.zeros(0, int), "mean": np.zeros(0)}) as table:
        table.add(0, {"label": np.array([1, 2]), "mean": np.array([np.nan, 1e9 / 3])})
    assert read(path)["mean"] == [None, pytest.approx(1e9 / 3)]
    if suffix == ".csv":
        assert path.read_text().splitlines() == ["label,mean", "1,", "2,3.333333e+08"]


def test_fractions_of_a_csv_have_seven_digits_and_whole_numbers_all(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    names = {"label": np.zeros(0, np.uint64), "half": np.zeros(0), "name, with comma": np.zeros(0, np.float32)}
    with open_table(path, names) as table:
        values = (np.array([2**63 + 1], np.uint64), np.array([12345.6789]), np.array([0.1], np.float32))
        table.add(0, dict(zip(names, values, strict=True)))
    with path.open(newline="") as file:
        assert [*csv.reader(file)] == [
            ["label", "half", "name, with comma"],
            ["9223372036854775809", "12345.68", "0.1"],
        ]


def test_a_table_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"Use \.csv or \.parquet"):
        check_table(tmp_path / "table.xlsx", overwrite=False)
    with pytest.raises(OutputError, match="has no suffix"):
        check_table(tmp_path / "table", overwrite=False)


def test_an_existing_table_is_kept_unless_it_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        check_table(path, overwrite=False)
    with open_table(path, EMPTY, overwrite=True) as table:
        table.add(0, columns([1]))
        assert path.read_text() == "mine"
    assert read(path)["label"] == [1]


def test_parquet_without_pyarrow_names_the_command_to_install_it(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("unetkit.objects.parquet.find_spec", lambda name: None)
    with pytest.raises(OutputError, match=r"pip install unetkit\[parquet\]"):
        check_table(tmp_path / "table.parquet", overwrite=False)


@KINDS
def test_an_error_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    def fill() -> Iterator[None]:
        with open_table(tmp_path / f"table{suffix}", EMPTY) as table:
            table.add(0, columns([1]))
            yield
            raise KeyboardInterrupt

    run = fill()
    next(run)
    with pytest.raises(KeyboardInterrupt):
        next(run)
    assert not [*tmp_path.iterdir()]


@KINDS
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, suffix: str, monkeypatch: Any) -> None:
    path = tmp_path / f"table{suffix}"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill() -> None:
        with open_table(path, EMPTY) as table:
            monkeypatch.setattr(table._file, "write", full)
            table.add(0, columns([1]))

    with pytest.raises(OutputError, match="No space left"):
        fill()
    assert not [*tmp_path.iterdir()]
