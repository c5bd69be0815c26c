from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from unetkit.foundation.errors import OutputError
from unetkit.viewing.once import ArrayCache
from unetkit.viewing.scratch_blocks import ScratchBlocks


def test_blocks_come_back_as_they_were_put() -> None:
    rng = np.random.default_rng(0)
    blocks = {
        ("a", 1): rng.integers(0, 2**32, (1, 30, 40), np.uint32),
        ("b", 2): rng.random((3, 7, 1), np.float32),
        ("c", 3): np.zeros((1, 256, 256), np.uint8),
    }
    kept = ScratchBlocks()
    for key, block in blocks.items():
        kept.put(key, block)
    for key, block in blocks.items():
        found = kept.get(key)
        assert found is not None
        assert found.dtype == block.dtype
        np.testing.assert_array_equal(found, block)
    assert kept.get("d") is None
    kept.close()


def test_the_file_has_no_name_and_is_made_when_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = ScratchBlocks()
    assert kept.nbytes == 0
    kept.put("a", np.arange(10**5))
    assert 0 < kept.nbytes < 10**6
    assert os.name == "nt" or not list(tmp_path.iterdir())
    kept.close()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(OutputError, match=r"cannot be kept in a temporary file in .*missing: No such file.* TMPDIR"):
        ScratchBlocks().put("a", np.zeros(3))


def test_nothing_is_put_after_the_end() -> None:
    kept = ScratchBlocks()
    kept.close()
    with pytest.raises(OutputError, match="it was closed"):
        kept.put("a", np.zeros(3))


def test_a_cache_keeps_what_was_asked_for_last() -> None:
    made: list[int] = []

    def make(number: int) -> np.ndarray:
        made.append(number)
        return np.full(100, number, np.uint8)

    cache = ArrayCache(250)
    for number in (1, 2, 1, 3, 1, 2):
        assert cache.get(number, lambda number=number: make(number))[0] == number
    assert made == [1, 2, 3, 2]
    large = ArrayCache(50)
    assert large.get(1, lambda: make(1)) is not large.get(1, lambda: make(1))
