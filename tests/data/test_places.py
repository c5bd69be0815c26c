from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from unetkit.data.places import Places


@pytest.fixture
def stack(tmp_path: Path) -> Places:
    """A stack of 6 pages and its masks."""
    for name in ("stack", "masks"):
        pages = np.zeros((6, 20, 20), np.uint8)
        tifffile.imwrite(tmp_path / f"{name}.tif", pages, photometric="minisblack", metadata={"axes": "ZYX"})
    return Places(str(tmp_path / "stack.tif"), str(tmp_path / "masks.tif"), pages="0-3")


def test_pages_to_validate_on_are_of_the_stack_to_train_on_unless_another_is_named(stack: Places) -> None:
    assert [pair.image_plane for pair in stack.find()] == [0, 1, 2, 3]
    own = replace(stack, val_pages="4-5")
    assert [pair.image_plane for pair in own.find_validation()] == [4, 5]
    other = replace(stack, val=stack.train, val_masks=stack.masks, val_pages="1")
    assert [pair.image_plane for pair in other.find_validation()] == [1]
    assert own.names_validation
    assert other.names_validation


@pytest.mark.parametrize("val", [None, 0.2])
def test_a_fraction_names_none(stack: Places, val: float | None) -> None:
    places = replace(stack, val=val)
    assert not places.names_validation
    assert places.find_validation() == []
