from __future__ import annotations

from pathlib import Path

import pytest

from unetkit.data.listing import count_of, read_columns, some_of
from unetkit.foundation.errors import DataError


def test_two_columns_are_read_with_the_numbers_of_their_lines(tmp_path: Path) -> None:
    listing = tmp_path / "list.csv"
    listing.write_text('\ufeffnote, b,a\n,2, one \n\n"over\ntwo lines",,3\n', "utf-8")
    assert read_columns(listing, ("a", "b"), "") == (["note", "b", "a"], [(2, "one", "2"), (5, "3", "")])
    assert read_columns(listing, ("a", "c"), "") == (["note", "b", "a"], [])


def test_what_is_no_csv_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("bytes.csv", "nothing.csv"):
        with pytest.raises(DataError, match=rf"{name} cannot be read as a CSV .*\. Write it anew\."):
            read_columns(tmp_path / name, ("a", "b"), "Write it anew.")


def test_long_lists_are_cut_short() -> None:
    assert (count_of(["a"], "file", "files"), count_of("ab", "file", "files")) == ("1 file", "2 files")
    assert (some_of("abc"), some_of("abcde")) == ("a, b, c", "a, b, c and 2 more")
