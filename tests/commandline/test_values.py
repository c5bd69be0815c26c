from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from unetkit.commandline.values import default_text, from_file, from_word, placeholder
from unetkit.foundation.errors import ConfigError

Tile = int | Literal["auto"]


@pytest.mark.parametrize(
    ("word", "hint", "value"),
    [
        ("null", Path, Path("null")),
        ("null", str | None, "null"),
        ("null", float | None, None),
        ("1e5", Path | None, Path("1e5")),
        ("1e-3", float, 1e-3),
        ("64", Tile, 64),
        ("auto", Tile, "auto"),
        ("0.2", float | str | None, 0.2),
        ("- a", float | str | None, "- a"),
        ("TRUE", bool, True),
        ("0,2", str | Sequence[int] | None, "0,2"),
    ],
)
def test_a_word_becomes_a_value(word: str, hint: Any, value: Any) -> None:
    found = from_word("key", word, hint)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("1e-3", float, 1e-3),
        (2, float, 2.0),
        (None, int | None, None),
        ([0, 2], str | Sequence[int] | None, [0, 2]),
        ("a", list[Path], [Path("a")]),
        (["a", "b"], list[Path], [Path("a"), Path("b")]),
        ("auto", Tile, "auto"),
        (True, bool, True),
    ],
)
def test_a_value_of_a_file_becomes_a_value(value: Any, hint: Any, expected: Any) -> None:
    assert from_file("key", value, hint) == expected


@pytest.mark.parametrize(
    ("value", "hint", "remedy"),
    [
        (True, int, r"Give a whole number\."),
        (2.5, Tile, r"Give a whole number or 'auto'\."),
        (3, str | None, r"Give text in quotes or null\."),
        ([1], float, r"Give a number\."),
        ("stp", Literal["stop", "go"], r"Did you mean 'stop'\?"),
    ],
)
def test_a_value_of_another_kind_is_refused_in_plain_words(value: Any, hint: Any, remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        from_file("key", value, hint)


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int | None, "NUMBER"),
        (Tile, "NUMBER|auto"),
        (list[Path], "PATH"),
        (Literal["a", "b"] | None, "a|b"),
        (str | Sequence[int] | None, "TEXT"),
        (list[int] | None, "LIST"),
        (Any, "VALUE"),
    ],
)
def test_a_placeholder_names_what_can_be_given(hint: Any, text: str) -> None:
    assert placeholder(hint) == text


def test_defaults_are_written_as_they_are_given() -> None:
    values = (None, [], False, True, 0.001, 2.0, (1, 2), "auto")
    assert [default_text(value) for value in values] == ["", "", "false", "true", "0.001", "2", "[1, 2]", "auto"]
