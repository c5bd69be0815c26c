"""JSON files that keep what can be found out again: one that is damaged or cannot be written is no error."""

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
    """Write a file whole, with its folder if that is missing. Where that is not possible the old file stays.

    Args:
        path: The file.
        content: What JSON can hold.
    """
    with suppress(OSError, UnetkitError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial_file(path) as partial:
            partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
