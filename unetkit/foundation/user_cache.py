"""Where unetkit keeps what takes time to find out and can be found out again."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_cache_path


def user_cache() -> Path:
    """Return unetkit's folder where the system keeps a user's caches; it may not be there yet."""
    return user_cache_path("unetkit", appauthor=False)
