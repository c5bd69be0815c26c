from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from image_pools import load_pool


def add(folder: Path, name: str, mask: np.ndarray) -> None:
    tifffile.imwrite(folder / "images" / f"{name}.tif", np.ones(mask.shape, np.uint16))
    tifffile.imwrite(folder / "masks" / f"{name}.tif", mask)


def parts(value: int, count: int) -> np.ndarray:
    """A mask of so many squares of one value."""
    mask = np.zeros((70, 70), np.uint16)
    for number in range(count):
        mask[5:15, 20 * number + 3 : 20 * number + 13] = value
    return mask


@pytest.mark.parametrize(("value", "count", "numbered"), [(7, 2, True), (255, 2, False), (7, 3, False)])
def test_two_parts_of_one_value_are_one_object_where_others_number_theirs(
    cells: Path, value: int, count: int, numbered: bool
) -> None:
    both = parts(1, 2)
    both[30:40] = 2
    add(cells, "numbered", both)
    add(cells, "parts", parts(value, count))
    _, masks = load_pool(cells)
    index = next(number for number, record in enumerate(masks.records) if record.pair.name == "parts")
    assert masks.numbered(index) is numbered
    assert masks.records[index].objects.tolist() == ([200] if numbered else [100] * count)
    objects = masks.objects(index)
    assert len(np.unique(objects[objects > 0])) == (1 if numbered else count)


def test_where_no_mask_numbers_its_objects_the_parts_are_objects(cells: Path) -> None:
    add(cells, "parts", parts(7, 2))
    _, masks = load_pool(cells)
    index = next(number for number, record in enumerate(masks.records) if record.pair.name == "parts")
    assert not masks.numbered(index)
    assert masks.objects(index).max() == 2
