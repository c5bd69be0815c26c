from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from unetkit.data.pairs import find_unmasked
from unetkit.data.unmasked import ImageData
from unetkit.foundation.errors import DataError, ImageError


def data_of(images: Path, **changes: object) -> ImageData:
    settings = {"crop": 64, "batch_size": 4, "workers": 0, "crops_per_epoch": 10, "augment": "none", "val": 0.4}
    data = ImageData(str(images), **(settings | changes))  # type: ignore[arg-type]
    data.setup("fit")
    return data


def test_the_masks_beside_the_images_are_not_read(cells: Path) -> None:
    for path in (cells / "masks").iterdir():
        path.write_text("no mask")
    names = [f"cell{number}" for number in range(6)]
    assert [plane.name for plane in find_unmasked(cells)] == names
    assert [plane.name for plane in find_unmasked(cells / "images")] == names
    batch = next(iter(data_of(cells).train_dataloader()))
    assert batch["image"].shape == (4, 1, 64, 64)
    assert not batch["mask"].any()


def test_masks_side_by_side_with_the_images_are_left_out(tmp_path: Path) -> None:
    for name in ("a", "a_masks", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((70, 80), np.uint8))
    assert [plane.name for plane in find_unmasked(tmp_path)] == ["a", "b"]


def test_a_stack_gives_its_pages(tmp_path: Path) -> None:
    stack = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((70, 80), np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    assert [plane.name for plane in find_unmasked(tmp_path / "stack.tif", "1-2,4")] == [
        "stack[1]",
        "stack[2]",
        "stack[4]",
    ]
    data = data_of(tmp_path / "stack.tif", pages="1-2,4", val=0)
    values = {int(value) for batch in data.train_dataloader() for value in batch["image"].unique()}
    assert values == {1, 2, 4}


def test_validation_has_one_crop_of_each_image_always_the_same(cells: Path) -> None:
    data = data_of(cells)
    first, again = ([batch["image"] for batch in data.val_dataloader()] for _ in range(2))
    assert sum(len(batch) for batch in first) == 2
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert data_of(cells, val=0).val_dataloader() == []
    assert len(data_of(cells, val=0).val_crops()) == 6


def test_validation_images_can_be_elsewhere_but_not_among_the_others(cells: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    tifffile.imwrite(other / "one.tif", np.zeros((90, 90), np.uint16))
    data = data_of(cells, val=str(other))
    assert data.describe()["val_images"] == ["one"]
    assert data.describe()["train_images"] == 6
    with pytest.raises(DataError, match="also trained on"):
        data_of(cells, val=str(cells / "images"))


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file or folder"):
        data_of(tmp_path / "nowhere")
    with pytest.raises(ImageError):
        data_of(tmp_path)
    with pytest.raises(DataError, match="is not a stack"):
        data_of(tmp_path, pages="0-3")
