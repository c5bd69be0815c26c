from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unetkit.foundation import json_cache
from unetkit.foundation.json_cache import read_cache, write_cache


def test_what_is_written_is_read_and_the_folder_is_made(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "cache.json"
    write_cache(file, {"µm": [1, 2.5, None]})
    assert read_cache(file) == {"µm": [1, 2.5, None]}
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("damage", [None, b"", b"{", b"\xff\xfe\x00", b"[1, 2"])
def test_a_file_that_is_missing_or_damaged_holds_nothing(tmp_path: Path, damage: bytes | None) -> None:
    file = tmp_path / "cache.json"
    if damage is not None:
        file.write_bytes(damage)
    assert read_cache(file) is None
    write_cache(file, [1])
    assert read_cache(file) == [1]


def test_a_file_that_cannot_be_written_is_no_error_and_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cache.json"
    write_cache(file, [1])

    def full(self: Path, *args: Any, **options: Any) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(json_cache.Path, "write_text", full)
        write_cache(file, [2])
    assert read_cache(file) == [1]
    (tmp_path / "file").write_text("")
    write_cache(tmp_path / "file" / "cache.json", [3])  # its folder is a file
    assert (tmp_path / "file").read_text() == ""
