"""Large JSON files, read value by value: only one element of a list is in memory at a time."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO, cast
from zlib import error as ZlibError  # noqa: N812  # it is a class

from unetkit.foundation.errors import DataError

CHUNK = 2**20
"""Characters that are read at a time, at least."""

SPACE = re.compile(r"[ \t\r\n]*")

Item = tuple[str, Any]
"""A key of the outer object and a value: of a list each of its elements; of an outer list all elements, with ""."""

DECODER = json.JSONDecoder()


def open_text(path: Path) -> TextIO:
    """Open a text file; one that ends in .gz is unpacked on the way."""
    if path.suffix.lower() == ".gz":
        return TextIOWrapper(cast("Any", gzip.open(path)), encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")


def stream_json(path: Path) -> Iterator[Item]:
    """Yield the values of a JSON file: those of the outer object, of its lists the elements one by one.

    An empty list yields nothing.

    Raises:
        DataError: The file cannot be read or is no JSON.
    """
    try:
        with open_text(path) as file:
            yield from _Stream(file).items()
    except (OSError, EOFError, ZlibError, ValueError, RecursionError) as error:  # ValueError: JSON, encoding
        raise DataError(
            f"{path} cannot be read as JSON ({str(error).rstrip('.')}).", "Export the annotations again."
        ) from error


class _Stream:
    """The text of a file, of which only what is needed is kept."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._ended = False

    def items(self) -> Iterator[Item]:
        opening = self._next()
        if opening == "[":
            yield from (("", value) for value in self._elements())
        elif opening == "{":
            yield from self._members()
        else:
            raise ValueError("it is no object and no list")
        if self._next():
            raise ValueError("there is more after its end")

    def _members(self) -> Iterator[Item]:
        self._at += 1
        if self._next() == "}":
            self._at += 1
            return
        while True:
            key = self._value()
            self._expect(":")
            if self._next() == "[":
                yield from ((str(key), value) for value in self._elements())
            else:
                yield str(key), self._value()
            if self._expect(",}") == "}":
                return

    def _elements(self) -> Iterator[Any]:
        self._at += 1
        if self._next() == "]":
            self._at += 1
            return
        while True:
            yield self._value()
            if self._expect(",]") == "]":
                return

    def _expect(self, characters: str) -> str:
        found = self._next()
        if not found or found not in characters:
            raise ValueError(f"'{found}' stands where '{characters[0]}' should" if found else "it ends too early")
        self._at += 1
        return found

    def _next(self) -> str:
        """Return the next character that is no space, "" at the end; it is not passed."""
        while True:
            match = SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read():
                return ""

    def _value(self) -> Any:
        """Return the next value, and pass it."""
        self._next()
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except ValueError:
                if not self._read():
                    raise
                continue
            if end < len(self._text) or not self._read():  # a number may go on in what was not read
                self._at = end
                return value

    def _read(self) -> bool:
        """Read more: twice as much as is left, so that a long value is tried only a few times."""
        if self._ended:
            return False
        rest = self._text[self._at :]
        more = self._file.read(max(CHUNK, 2 * len(rest)))
        self._text, self._at, self._ended = rest + more, 0, not more
        return bool(more)
