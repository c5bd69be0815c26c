"""Files that appear whole or not at all, and never by accident in the place of others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from unetkit.errors import OutputError

Item = TypeVar("Item")


@contextmanager
def partial_file(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; rename it to `path` at the end, or remove it on any error.

    Raises:
        OutputError: For an OSError in the body or in the renaming.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def errors_of(items: Iterable[Item]) -> Iterator[Iterator[Item]]:
    """Give `items` to a body that takes any OSError for one of its output; those that `items` raise pass unchanged."""
    raised: OSError | None = None

    def pull() -> Iterator[Item]:
        nonlocal raised
        try:
            yield from items
        except OSError as error:
            raised = error
            raise

    try:
        yield pull()
    except OutputError:
        if raised is not None:
            raise raised from None
        raise


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Return the error that says why a file cannot be written."""
    return OutputError(
        f"{path} cannot be written: {error.strerror or error}.",
        "Check the free space and the permissions of its folder, or choose another output.",
    )


def check_target(path: Path, overwrite: bool) -> None:
    """Check that a file can be written, before the work that goes into it is done.

    Raises:
        OutputError: The file exists and `overwrite` is not set, or its folder is missing or not writable.
    """
    if path.is_dir():
        raise OutputError(f"The output {path} is a folder.", "Give the name of a file.")
    if path.exists() and not overwrite:
        raise OutputError(f"The output {path} exists.", "Pass --overwrite or choose another name.")
    if not path.parent.is_dir():
        raise OutputError(f"The folder {path.parent} does not exist.", "Make it, or choose another output.")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"The folder {path.parent} cannot be written.", "Choose another output.")
