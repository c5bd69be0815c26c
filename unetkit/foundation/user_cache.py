"""The folder of unetkit's caches: results that took time and can be computed again."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_cache_path


def user_cache() -> Path:
    """Return unetkit's folder among the user's caches. It may not exist yet."""
    return user_cache_path("unetkit", appauthor=False)
