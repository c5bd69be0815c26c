"""A sound data set, and a copy of it to spoil."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from unetkit.data.pairs import find_pairs
from unetkit.foundation.synthetic import write_dataset
from unetkit.planning.look import Look
from unetkit.planning.measure import look_at_all


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images of 192 x 192 pixels with instance labels."""
    folder = tmp_path_factory.mktemp("sound") / "cells"
    write_dataset(folder, 10, 192, 0)
    return folder


@pytest.fixture
def cells(sound: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(sound, tmp_path / "cells"))


@pytest.fixture(scope="session")
def sound_looks(sound: Path) -> list[Look]:
    return look_at_all(find_pairs(sound))
