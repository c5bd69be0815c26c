"""Files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unetkit.errors import OutputError


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
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Check the free space and the permissions of its folder, or choose another output.",
        ) from error
    finally:
        partial.unlink(missing_ok=True)
