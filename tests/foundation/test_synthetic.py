from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from scipy import ndimage

from unetkit.foundation.errors import ConfigError, OutputError
from unetkit.foundation.synthetic import PIXEL_SIZE_UM, Conditions, make_cells, write_dataset
from unetkit.scoring.pixels import count_pixels, dice


def test_the_same_seed_gives_the_same_image() -> None:
    (image, labels), again, other = make_cells(96, 128, 5), make_cells(96, 128, 5), make_cells(96, 128, 6)
    assert image.shape == labels.shape == (96, 128)
    assert image.dtype == labels.dtype == np.uint16
    assert np.array_equal(image, again[0])
    assert np.array_equal(labels, again[1])
    assert not np.array_equal(image, other[0])


def test_labels_are_numbered_without_gaps_and_each_is_a_nucleus() -> None:
    _, labels = make_cells(512, 512, 1)
    assert set(np.unique(labels)) == set(range(int(labels.max()) + 1))
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    whole = np.setdiff1d(np.unique(labels), rim)
    diameters = 2 * np.sqrt(np.bincount(labels.ravel())[whole] / np.pi) * PIXEL_SIZE_UM
    assert 5 < np.median(diameters) < 15  # µm, as nuclei are
    assert np.ptp(diameters) > 3
    boxes = ndimage.find_objects(labels)
    filled = [np.mean(labels[boxes[number - 1]] == number) for number in whole]
    assert np.mean(filled) > 0.65  # an ellipse fills up to 0.79 of its box


def test_some_nuclei_touch() -> None:
    _, labels = make_cells(512, 512, 1)
    assert ndimage.label(labels > 0)[1] < 0.85 * labels.max()


def test_conditions_vary_and_pixels_use_the_range_of_a_camera() -> None:
    images = [make_cells(192, 192, seed)[0] for seed in range(8)]
    assert all(20 < np.percentile(image, 1) < 3000 for image in images)
    tops = [np.percentile(image, 99) for image in images]
    assert max(tops) > 2.5 * min(tops)
    assert max(tops) < 50000
    conditions = {Conditions.draw(np.random.default_rng(seed)).brightness for seed in range(8)}
    assert len(conditions) == 8


def test_a_global_threshold_finds_the_nuclei_but_not_well() -> None:
    scores = []
    for seed in range(16):
        image, labels = make_cells(320, 320, np.random.default_rng((0, seed)))
        found = image > cv2.threshold(image, 0, 1, cv2.THRESH_OTSU)[0]
        scores.append(dice(count_pixels(found, labels > 0)))
    assert 0.72 < np.mean(scores) < 0.9


def test_nuclei_are_brighter_than_their_surroundings() -> None:
    for seed in range(4):
        image, labels = make_cells(256, 256, seed)
        assert image[labels > 0].mean() > 1.5 * image[labels == 0].mean()


def test_large_images_are_drawn_fast() -> None:
    start = time.perf_counter()
    make_cells(1024, 1024, 0)
    assert time.perf_counter() - start < 6  # half a second on a free machine


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (40, 3)])
def test_tiny_images_can_be_drawn(size: tuple[int, int]) -> None:
    image, labels = make_cells(*size, 0)
    assert image.shape == labels.shape == size


def test_an_empty_image_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 x 5"):
        make_cells(0, 5, 0)


def test_a_dataset_is_pairs_of_tiff_files_with_their_pixel_size(tmp_path: Path) -> None:
    write_dataset(tmp_path / "new" / "cells", 3, 64, seed=2)
    for folder in ("images", "masks"):
        names = sorted(path.name for path in (tmp_path / "new" / "cells" / folder).iterdir())
        assert names == ["cells_000.tif", "cells_001.tif", "cells_002.tif"]
    with tifffile.TiffFile(tmp_path / "new/cells/images/cells_001.tif") as file:
        assert file.is_ome
        assert f'PhysicalSizeX="{PIXEL_SIZE_UM}"' in (file.ome_metadata or "")
        image = file.asarray()
    expected, labels = make_cells(64, 64, np.random.default_rng((2, 1)))
    assert np.array_equal(image, expected)
    assert np.array_equal(tifffile.imread(tmp_path / "new/cells/masks/cells_001.tif"), labels)


def test_a_dataset_is_not_mixed_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.tif").write_text("mine")
    with pytest.raises(OutputError, match="holds files already"):
        write_dataset(tmp_path, 1, 32, 0)
    assert not (tmp_path / "masks").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        write_dataset(tmp_path / "file", 1, 32, 0)
