"""Caches in JSON files. A cache that is damaged or cannot be written is no error: its content can be found again."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from unetkit.foundation.atomic import partial_file
from unetkit.foundation.errors import UnetkitError


def read_cache(path: Path) -> Any:
    """Return the content of a file; None if there is none, or one that is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_cache(path: Path, content: Any) -> None:
    """Write a whole file, and make its folder if that is missing. The old file stays if this fails.

    Args:
        path: The file.
        content: Any value that JSON can hold.
    """
    with suppress(OSError, UnetkitError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial_file(path) as partial:
            partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
