"""Every error that a user can cause: one sentence on what is wrong, one on what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class UnetkitError(Exception):
    """An error with a remedy. The command line prints both sentences and exits with code 2.

    Args:
        problem: One sentence that says what is wrong, naming the file, key or value.
        remedy: One sentence that says what the user can do.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}")
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes whole: with both sentences and all that was noted on it."""
        return type(self), (self.problem, self.remedy), self.__dict__


class ImageError(UnetkitError):
    """An image file or array that cannot be read or does not fit its use."""


class DataError(UnetkitError):
    """A set of images and masks that cannot be trained on or compared."""


class ModelError(UnetkitError):
    """A model or weights file that cannot be used."""


class ConfigError(UnetkitError):
    """A setting that has no meaning or does not fit the others."""


class OutputError(UnetkitError):
    """An output that exists already or cannot be written."""


class ClusterError(UnetkitError):
    """A cluster that cannot be reached, or workers that cannot do what is asked of them."""


def explain(error: OSError) -> tuple[str, str]:
    """Return problem and remedy for an error of the system that has no better message."""
    return (
        f"{error.filename!s} cannot be used: {error.strerror or error}.",
        "Check its name, its permissions and the free space, or give another.",
    )


def closest(word: str, known: Iterable[str]) -> str:
    """Return a sentence that names the known words nearest to `word`, or all of them if none is near."""
    candidates = sorted(known)
    near = get_close_matches(word, candidates, n=1, cutoff=0.6)
    if near:
        return f"Did you mean '{near[0]}'?"
    return f"Choose one of {', '.join(candidates)}."
