from __future__ import annotations

import os
import shlex

import pytest

from unetkit.foundation.shell import join, quote


@pytest.mark.parametrize("word", ["a.tif", "a b.tif", "it's.tif", "$HOME", "", "ü.tif"])
def test_words_are_quoted_for_the_shells_of_linux_and_macos(word: str) -> None:
    assert shlex.split(quote(word)) == [word]


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        (r"C:\Users\Zoë\a.tif", r"C:\Users\Zoë\a.tif"),
        (r"C:\Meine Bilder\a.tif", r'"C:\Meine Bilder\a.tif"'),
        ("a&b.tif", '"a&b.tif"'),
        ("it's.tif", '"it\'s.tif"'),
        ("[16,8]", "[16,8]"),
        ("", '""'),
    ],
)
def test_words_are_quoted_for_the_shells_of_windows(word: str, quoted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "name", "nt")
    text, whole = quote(word), join(["unetkit", word])
    monkeypatch.undo()
    assert text == quoted
    assert whole == f"unetkit {quoted}"
