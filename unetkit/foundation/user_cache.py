"""Where unetkit keeps what takes time to find out and can be found out again."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """Return unetkit's folder in the user's cache; it may not be there yet."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "unetkit"
