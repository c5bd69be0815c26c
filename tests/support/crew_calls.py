"""Calls that the workers of a crew make in tests."""

import os

from unetkit.foundation.errors import ImageError


def double(value: int) -> int:
    return 2 * value


def process_of(_: int) -> int:
    return os.getpid()


def refuse(name: str) -> None:
    raise ImageError(f"{name} is no image.", "Give another.")
