"""Counts how often the pixels of files are decoded whole or in parts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from unetkit.data import loading


def count_decoding(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return a counter of the reads of pixels from each file of an image or a mask from now on, by folder and name."""
    reads: Counter[str] = Counter()

    def counting(opener: Any) -> Any:
        def opened(path: Path, *arguments: Any) -> Any:
            source = opener(path, *arguments)
            read = source.read

            def counted(*place: Any) -> Any:
                reads[f"{path.parent.name}/{path.name}"] += 1
                return read(*place)

            source.read = counted
            return source

        return opened

    for name in ("open_image", "open_mask"):
        monkeypatch.setattr(loading, name, counting(getattr(loading, name)))
    return reads
