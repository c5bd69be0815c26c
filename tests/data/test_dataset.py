from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from image_pools import load_pool

from unetkit.data.dataset import CropDataset, CropSampler, WholeImageDataset
from unetkit.data.masks import Masks
from unetkit.data.pool import ImagePool
from unetkit.data.resizing import resize, resize_nearest
from unetkit.data.transforms import PRESETS
from unetkit.models.normalization import Normalization
from unetkit.models.statistics import measure_statistics

NONE = PRESETS["none"]


def _crops(pool: tuple[ImagePool, Masks], **changes: Any) -> CropDataset:
    settings: dict[str, Any] = {
        "crop": (64, 64),
        "crops_per_epoch": 10,
        "augmentation": NONE,
        "foreground_share": 0.5,
        "seed": 0,
    }
    return CropDataset(*pool, range(len(pool[0].records)), **(settings | changes))


def _images_visited(crops: CropDataset, epochs: int) -> list[tuple[float, float]]:
    """The images, told apart by their normalisation values."""
    keys = [(epoch, index) for epoch in range(epochs) for index in range(len(crops))]
    return [(float(crops[key]["center"][0]), float(crops[key]["scale"][0])) for key in keys]


def test_item(cells: Path) -> None:
    item = _crops(load_pool(cells), augmentation=PRESETS["standard"])[3, 4]
    assert {name: (value.shape, value.dtype) for name, value in item.items()} == {
        "image": ((1, 64, 64), torch.float32),
        "mask": ((64, 64), torch.int64),
        "center": ((1,), torch.float32),
        "scale": ((1,), torch.float32),
    }
    assert 500 < item["image"].mean() < 2000
    assert item["mask"].max() <= 1


def test_every_image_is_visited_before_any_is_visited_again_also_across_epochs(cells: Path) -> None:
    visited = _images_visited(_crops(load_pool(cells)), epochs=3)
    rounds = [visited[start : start + 6] for start in range(0, 30, 6)]
    assert all(len(set(part)) == 6 for part in rounds)
    assert len({tuple(part) for part in rounds}) > 1


def test_crops_of_an_epoch_do_not_depend_on_what_was_run_before(cells: Path) -> None:
    pool = load_pool(cells)
    one, other = (_crops(pool, augmentation=PRESETS["strong"]) for _ in range(2))
    for key in [(epoch, index) for epoch in range(3) for index in range(10)]:
        one[key]
    for index in (7, 2):
        a, b = one[3, index], other[3, index]
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_objects_stand_out_differently_in_crops_and_masks_stay(cells: Path) -> None:
    pool = load_pool(cells)
    plain, varied = (
        _crops(pool, augmentation=replace(NONE, flip=1e-9, object_gain_probability=some), foreground_share=1.0)
        for some in (0, 1)
    )
    for index in range(3):
        a, b = plain[0, index], varied[0, index]
        assert torch.equal(a["mask"], b["mask"])
        inside = a["mask"] > 0
        assert (a["image"] - b["image"])[0, inside].abs().max() > 10
        assert (a["image"] - b["image"])[0].abs()[~inside].median() == pytest.approx(0, abs=1)


def test_seed_and_epoch_change_the_crops(cells: Path) -> None:
    pool = load_pool(cells)
    first = _crops(pool)[0, 0]["image"]
    assert not torch.equal(first, _crops(pool)[1, 0]["image"])
    assert not torch.equal(first, _crops(pool, seed=1)[0, 0]["image"])


def test_sampler_follows_the_epoch() -> None:
    sampler = CropSampler(3)
    assert list(sampler) == [(0, 0), (0, 1), (0, 2)]
    sampler.set_epoch(5)
    assert list(sampler) == [(5, 0), (5, 1), (5, 2)]
    assert len(sampler) == 3


def test_foreground_share_is_the_share_of_crops_that_surely_hold_foreground(cells: Path) -> None:
    pool = load_pool(cells)
    shares = []
    for share in (0.0, 0.5, 1.0):
        crops = _crops(pool, crop=(32, 32), foreground_share=share, crops_per_epoch=240)
        shares.append(np.mean([bool(crops[0, index]["mask"].any()) for index in range(240)]))
    chance, half, whole = shares
    assert chance < 0.35
    assert whole == 1.0
    assert abs(half - (1 + chance) / 2) < 0.1


def test_focus_is_not_always_at_the_centre(cells: Path) -> None:
    crops = _crops(load_pool(cells), foreground_share=1.0, crops_per_epoch=100)
    centres = [np.argwhere(crops[0, index]["mask"].numpy()).mean(axis=0) for index in range(100)]
    assert np.std(centres, axis=0).min() > 6


def test_crops_without_augmentation_are_the_raw_pixels(cells: Path) -> None:
    pool = load_pool(cells)
    raw = [pool[0].read(index)[0] for index in range(6)]
    crop = _crops(pool)[0, 0]["image"][0].numpy()
    places = [cv2.matchTemplate(image.astype(np.float32), crop, cv2.TM_SQDIFF) for image in raw]
    assert min(float(place.min()) for place in places) < 1.0


@pytest.mark.parametrize("crop", [192, 512])
def test_images_smaller_than_the_crop_are_reflected(cells: Path, crop: int) -> None:
    crops = _crops(load_pool(cells), crop=(crop, crop))
    tops = set()
    for index in range(10):
        image, mask = (crops[0, index][name].numpy().squeeze() for name in ("image", "mask"))
        assert image.shape == mask.shape == (crop, crop)
        assert np.array_equal(mask > 0, image > 3000)
        tops.add(int(np.argwhere(mask)[0][0]))
    assert len(tops) > 5


def test_scale_magnifies_before_the_crop_is_cut(cells: Path) -> None:
    pool = load_pool(cells)
    areas = {}
    for scale in (0.5, 1.0, 2.0):
        crops = _crops(pool, augmentation=replace(NONE, scale=(scale, scale)), foreground_share=1.0, crop=(32, 32))
        masks = np.stack([crops[0, index]["mask"].numpy() for index in range(10)])
        images = np.stack([crops[0, index]["image"].numpy()[0] for index in range(10)])
        assert ((images > 3000) != masks.astype(bool)).mean() < 0.01
        areas[scale] = masks.sum(axis=(1, 2)).max()
    assert areas[0.5] >= 36
    assert areas[1.0] == 144
    assert areas[2.0] > 400


def test_mask_and_image_stay_aligned_in_the_whole_pipeline(cells: Path) -> None:
    geometry = replace(NONE, flip=0.5, rotate90=1, rotate_probability=1, elastic_probability=1, scale=(0.7, 1.6))
    crops = _crops(load_pool(cells), augmentation=geometry, foreground_share=1.0, crops_per_epoch=60)
    shifts = []
    for index in range(60):
        item = crops[0, index]
        bright, mask = (item["image"][0] > 3000).numpy(), item["mask"].numpy().astype(bool)
        assert 2 * (bright & mask).sum() > 0.85 * (bright.sum() + mask.sum())
        shifts.append(np.argwhere(bright).mean(axis=0) - np.argwhere(mask).mean(axis=0))
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.1


def test_resizing_keeps_image_and_mask_on_the_same_centre() -> None:
    square = np.zeros((1, 60, 60), np.float32)
    square[0, 20:40, 20:40] = 1
    for side in (30, 45, 90, 131):
        assert np.array_equal(resize(square, (side, side))[0] > 0.5, resize_nearest(square[0], (side, side)) > 0.5)


def test_values_that_normalise_are_those_of_the_whole_image(cells: Path) -> None:
    pool = load_pool(cells)
    images, masks = pool
    item = WholeImageDataset(images.with_channels(3), masks, [2])[0]
    pixels, labels = images.read(2), masks.read(2)
    expected = measure_statistics(pixels, Normalization())
    assert item["name"] == "cell2"
    assert item["image"].shape == (3, 96, 128)
    assert np.array_equal(item["image"][2].numpy(), pixels[0])
    assert np.array_equal(item["mask"].numpy(), labels > 0)
    assert item["center"].tolist() == [expected.center[0]] * 3
    assert item["scale"].tolist() == [expected.scale[0]] * 3
    fixed = Normalization(scope="dataset", center=(1.0,), scale=(2.0,))
    crop = _crops((replace(images, normalization=fixed), masks))[0, 0]
    assert (crop["center"].item(), crop["scale"].item()) == (1.0, 2.0)


def test_class_numbers_are_kept_for_several_classes(cells: Path) -> None:
    crops = _crops(load_pool(cells), classes=7, foreground_share=1.0, augmentation=PRESETS["standard"])
    seen = {int(value) for index in range(10) for value in crops[0, index]["mask"].unique()}
    assert seen <= set(range(7))
    assert len(seen) > 3


def test_crops_are_the_same_without_the_cache(cells: Path) -> None:
    pools = [load_pool(cells, size) for size in (2**30, 0, 150_000)]
    assert [sum(masks.keeps(index) for index in range(6)) for _, masks in pools] == [6, 0, 3]
    cached, uncached, part = map(_crops, pools)
    for index in range(10):
        a, b, c = (crops[0, index] for crops in (cached, uncached, part))
        assert all(torch.equal(a[name], b[name]) and torch.equal(a[name], c[name]) for name in a)


def test_dataset_can_be_sent_to_a_worker(cells: Path) -> None:
    crops = _crops(load_pool(cells), augmentation=PRESETS["standard"])
    copy = pickle.loads(pickle.dumps(crops))
    assert torch.equal(copy[1, 2]["image"], crops[1, 2]["image"])
