"""How images are read that are looked at."""

from __future__ import annotations

from unetkit.io.base.read_options import ReadOptions

VIEWED = ReadOptions(on_bad_tile="background")
"""The rest of an image that is damaged can be looked at."""
