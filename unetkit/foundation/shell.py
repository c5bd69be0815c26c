"""Words as they are typed in the user's shell: commands that unetkit prints can be copied."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable

PLAIN = re.compile(r"[\w:\\/.,+@=\[\]-]+")
"""Words that the shells of Windows take as they are."""


def quote(word: str) -> str:
    """Return a word with the quotes that it needs: single ones, and on Windows double ones, which both its shells know.

    >>> quote("a b.tif")
    "'a b.tif'"
    """
    if os.name != "nt":
        return shlex.quote(word)
    return word if PLAIN.fullmatch(word) else '"{}"'.format(word.replace('"', '\\"'))


def join(words: Iterable[str]) -> str:
    """Return a command of these words.

    >>> join(["unetkit", "view", "a b.tif"])
    "unetkit view 'a b.tif'"
    """
    return " ".join(map(quote, words))
