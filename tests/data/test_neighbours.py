from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from unetkit.data import store as store_module
from unetkit.data.datamodule import SegmentationData
from unetkit.models.normalization import Normalization

STACK = np.random.default_rng(0).integers(0, 255, (8, 40, 48)).astype(np.uint8)
MASKS = (np.random.default_rng(1).random((8, 40, 48)) > 0.5).astype(np.uint8)


def load(folder, stack=STACK, planes=5, channels=1, see=True, **settings):
    tifffile.imwrite(folder / "stack.tif", stack, photometric="rgb" if stack.ndim == 4 else "minisblack")
    tifffile.imwrite(folder / "masks.tif", MASKS[: len(stack)], photometric="minisblack")
    given = {"pages": "2-4", "val_pages": "6", "crop": 32, "augment": "none", "workers": 0, "foreground_share": 0}
    data = SegmentationData(str(folder / "stack.tif"), str(folder / "masks.tif"), **{**given, **settings})
    data.see(2, planes)
    data.setup()
    data.prepare_for(channels, 2, 8)
    return data


@pytest.mark.parametrize("cache_gb", [0, 1])
def test_images_come_with_their_neighbours_of_the_whole_stack(tmp_path, cache_gb):
    data = load(tmp_path, cache_gb=cache_gb)
    (item,) = [data.val_items()[index] for index in range(len(data.val_items()))]
    np.testing.assert_array_equal(item["image"].numpy(), STACK[[4, 5, 6, 7, 7]])
    np.testing.assert_array_equal(item["mask"].numpy(), MASKS[6])
    middle = STACK[6].astype(np.float64)
    low, high = np.percentile(middle, (1, 99.8))
    np.testing.assert_allclose(item["center"].numpy(), [low] * 5, rtol=1e-5)
    np.testing.assert_allclose(item["scale"].numpy(), [high - low] * 5, rtol=1e-5)


def test_crops_are_of_all_planes_and_the_mask_of_the_middle_one(tmp_path):
    data = load(tmp_path)
    crops = data._crops()
    for number in range(6):
        item = crops[0, number]
        found = [
            (plane, top, left)
            for plane in (2, 3, 4)
            for top in range(9)
            for left in range(17)
            if np.array_equal(item["image"][2], STACK[plane, top : top + 32, left : left + 32])
        ]
        ((plane, top, left),) = found
        place = slice(top, top + 32), slice(left, left + 32)
        np.testing.assert_array_equal(item["image"].numpy(), STACK[plane - 2 : plane + 3, *place])
        np.testing.assert_array_equal(item["mask"].numpy(), MASKS[plane][place])


def test_planes_beside_the_pages_are_read_once_and_no_mask_of_theirs_is(tmp_path, monkeypatch):
    read = []
    decode = store_module.decode

    def noted(pair):
        read.append((pair.image_plane, pair.mask is None))
        return decode(pair)

    monkeypatch.setattr(store_module, "decode", noted)
    data = load(tmp_path, planes=3)
    for number in range(8):
        data._crops()[0, number]
    assert sorted(read) == [(1, True), (2, False), (3, False), (4, False), (5, True), (6, False), (7, True)]


def test_holes_of_a_neighbour_are_filled_by_its_own_background(tmp_path):
    stack = STACK.astype(np.float32)
    stack[5, :, :10] = np.nan
    data = load(tmp_path, stack)
    image = data.val_items()[0]["image"].numpy()
    assert np.isfinite(image).all()
    assert len(np.unique(image[1, :, :10])) == 1
    np.testing.assert_array_equal(image[1, :, 10:], stack[5, :, 10:])


def test_a_folder_of_single_images_repeats_each(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for number in range(3):
        Image.fromarray(STACK[number]).save(tmp_path / "images" / f"{number}.png")
        Image.fromarray(MASKS[number] * 255).save(tmp_path / "masks" / f"{number}.png")
    data = SegmentationData(str(tmp_path), val=0.0, crop=32, augment="none", workers=0)
    data.see(2, 3)
    data.setup()
    data.prepare_for(1, 2, 8)
    np.testing.assert_array_equal(data.val_items()[1]["image"].numpy(), STACK[[1, 1, 1]])
    assert any("no neighbours" in note for note in data.take_notes())


def test_colours_follow_plane_by_plane_and_values_of_the_data_set_are_repeated(tmp_path):
    stack = np.random.default_rng(2).integers(0, 255, (8, 40, 48, 3)).astype(np.uint8)
    data = load(tmp_path, stack, planes=3, channels=3, normalization=Normalization(scope="dataset"))
    item = data.val_items()[0]
    np.testing.assert_array_equal(item["image"].numpy(), np.concatenate(stack[5:8].transpose(0, 3, 1, 2)))
    assert item["center"].tolist() == pytest.approx(list(data.normalization.center) * 3)


def test_grey_stacks_are_repeated_for_a_model_of_colours(tmp_path):
    item = load(tmp_path, planes=3, channels=3).val_items()[0]
    np.testing.assert_array_equal(item["image"].numpy(), np.repeat(STACK[5:8], 3, axis=0))
    assert item["center"].shape == (9,)
