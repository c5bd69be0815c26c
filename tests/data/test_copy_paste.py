from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from image_pools import load_pool

from unetkit.data.copy_paste import MOST_HIDDEN, Crop, paste_objects
from unetkit.data.dataset import CropDataset
from unetkit.data.transforms import PRESETS, resolve_augmentation
from unetkit.data.weight_map import BorderWeight, WeightMaps

SIDE = 64


def _crop(*boxes: tuple[int, int, int, int], level: float) -> Crop:
    """Return pixels of 10, and `level` in the boxes (y, x, height, width), and their numbers."""
    labels = np.zeros((SIDE, SIDE), np.uint16)
    for number, (y, x, height, width) in enumerate(boxes, 1):
        labels[y : y + height, x : x + width] = number
    return np.where(labels, level, 10).astype(np.float32)[None], labels


def _paste(onto: Crop, source: Crop, *, numbered: bool = True, seeds: int = 20) -> list[tuple[Crop, np.ndarray]]:
    """Return what comes of many seeds."""
    return [paste_objects(onto, source, np.random.default_rng(seed), numbered=numbered) for seed in range(seeds)]


def test_an_object_comes_with_its_pixels_and_a_number_of_its_own() -> None:
    onto, source = _crop((4, 4, 20, 20), level=50), _crop((40, 40, 12, 16), level=90)
    done = [(crop, where) for crop, where in _paste(onto, source) if where.any()]
    assert 0 < len(done) < 20
    for (pixels, labels), where in done:
        assert np.array_equal(where, source[1] > 0)
        assert set(np.unique(labels[where])).isdisjoint(np.unique(onto[1]))
        assert np.array_equal(labels[~where], onto[1][~where])
        assert np.isclose(pixels[0, 46, 48], 90, atol=0.01)
        assert np.isclose(pixels[0, 14, 14], 50, atol=0.01)
    assert onto[0].max() == 50  # what was given stays


def test_neighbours_may_touch_but_none_is_hidden() -> None:
    onto = _crop((10, 10, 20, 20), level=50)
    partly, mostly = _crop((26, 10, 20, 20), level=90), _crop((14, 10, 20, 20), level=90)
    assert 4 / 20 < MOST_HIDDEN < 16 / 20
    assert any(where.any() for _, where in _paste(onto, partly))
    assert not any(where.any() for _, where in _paste(onto, mostly))


def test_masks_that_number_nothing_stay_apart() -> None:
    onto = _crop((10, 10, 20, 20), level=50)
    touching, apart = _crop((30, 10, 20, 20), level=90), _crop((32, 10, 20, 20), level=90)
    assert not any(where.any() for _, where in _paste(onto, touching, numbered=False))
    assert any(where.any() for _, where in _paste(onto, apart, numbered=False))


def test_an_object_that_leaves_its_crop_is_not_copied() -> None:
    onto = _crop(level=50)
    for cut in ((0, 20, 9, 9), (55, 20, 9, 9), (20, 0, 9, 9), (20, 55, 9, 9)):
        assert not any(where.any() for _, where in _paste(onto, _crop(cut, level=90)))


def test_what_nobody_annotated_is_no_object() -> None:
    onto, source = _crop(level=50), _crop((20, 20, 9, 9), level=90)
    source[1][source[1] > 0] = 65535
    assert not any(where.any() for _, where in _paste(onto, source))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An image with one small object."""
    labels = np.zeros((128, 128), np.uint8)
    labels[56:66, 56:66] = 1
    for name, pixels in (("images", np.where(labels, 200, 20).astype(np.uint8)), ("masks", labels)):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "one.tif", pixels)
    return tmp_path


@pytest.mark.parametrize("weighted", [False, True])
def test_crops_have_more_objects_than_their_image(folder: Path, *, weighted: bool) -> None:
    pool, masks = load_pool(folder)
    options = {"crop": (96, 96), "crops_per_epoch": 30, "foreground_share": 1.0, "seed": 0, "distance_maps": True}
    varied = replace(PRESETS["none"], copy_paste_probability=1.0)
    weights = WeightMaps(masks, [0], 2, BorderWeight(), {0: None}) if weighted else None
    crops = CropDataset(pool, masks, [0], augmentation=varied, weights=weights, **options)
    areas = [int(crops[0, index]["mask"].sum()) for index in range(30)]
    assert max(areas) > 120
    plain = CropDataset(pool, masks, [0], augmentation=PRESETS["none"], weights=weights, **options)
    assert max(int(plain[0, index]["mask"].sum()) for index in range(30)) == 100
    assert np.array_equal(crops[0, 3]["image"], crops[0, 3]["image"])


def test_the_option_is_known() -> None:
    assert resolve_augmentation("standard", {"copy_paste_probability": 0.3}).copy_paste_probability == 0.3
    assert all(preset.copy_paste_probability == 0 for preset in PRESETS.values())
