"""What of an image is annotated, and that crops, distance maps and weights see nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from image_pools import load_pool
from numpy.typing import NDArray

from unetkit.data.annotated import (
    ANNOTATED_POINTS,
    UNKNOWN,
    annotated_points,
    as_targets,
    check_annotated,
    covered_area,
    cut_objects,
    describe_annotated,
    mask_of,
)
from unetkit.data.datamodule import SegmentationData
from unetkit.data.dataset import CropDataset
from unetkit.data.transforms import PRESETS
from unetkit.data.weight_map import BorderWeight
from unetkit.errors import DataError
from unetkit.io.masks.ignored import IGNORED


def test_points_are_annotated_ones_and_there_are_none_where_all_is_annotated() -> None:
    ignored = np.ones((300, 200), np.bool_)
    assert annotated_points([~ignored]) is None
    ignored[10:12, 5:9] = False
    points = annotated_points([ignored])
    assert points is not None
    assert sorted(map(tuple, points.tolist())) == [(y, x) for y in (10, 11) for x in range(5, 9)]
    ignored[100:] = False
    points = annotated_points([ignored])
    assert points is not None
    assert len(points) == ANNOTATED_POINTS
    assert not ignored[tuple(points.T)].any()
    assert np.ptp(points, axis=0).min() > 150


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (65, 200), (1, 1), (130, 63)])
def test_the_area_is_that_of_squares_with_annotated_pixels(rows: int, columns: int) -> None:
    everywhere = np.zeros((rows, columns), np.bool_)
    assert covered_area([everywhere]) == rows * columns
    assert covered_area([~everywhere]) == 0
    one = ~everywhere
    one[rows - 1, columns - 1] = False
    assert covered_area([one]) == ((rows - 1) % 64 + 1) * ((columns - 1) % 64 + 1)


def test_objects_that_touch_what_nobody_has_annotated_are_cut() -> None:
    objects = np.zeros((20, 20), np.uint16)
    objects[2:5, 2:5], objects[10:12, 10:12], objects[15:, 15:] = 1, 2, 3
    ignored = np.zeros((20, 20), np.bool_)
    ignored[5, 5] = True  # a corner of the first
    ignored[13:15, 10:12] = True  # a row between
    assert cut_objects(objects, ignored).tolist() == [1]
    assert cut_objects(objects, ~ignored).tolist() == [1, 2, 3]
    assert not cut_objects(objects, ignored & False).size


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16])
def test_the_highest_value_of_targets_is_for_what_nobody_has_annotated(kind: Any) -> None:
    labels = np.array([[IGNORED, 0, 2]], np.int32)
    targets = as_targets(np.array([[0, 0, 2]], kind), labels)
    assert targets.dtype == kind
    assert mask_of(targets, 3).tolist() == [[UNKNOWN, 0, 2]]
    assert mask_of(targets, 2).tolist() == [[UNKNOWN, 0, 1]]


def test_images_without_any_annotation_are_named() -> None:
    check_annotated([("a", 0.001), ("b", 1)])
    with pytest.raises(DataError, match="No pixel of b, c, d and 1 more is annotated"):
        check_annotated([("a", 0.5), ("b", 0), ("c", 0), ("d", 0), ("e", 0)])


def test_a_sentence_says_how_much_is_annotated() -> None:
    assert describe_annotated([(0.123, 100)] * 3, 255) == "12.3 % of the pixels of 3 images are annotated."
    assert describe_annotated([(0.5, 100), (1, 900)], 255) == (
        "50 % of the pixels of 1 image is annotated; 1 more is annotated everywhere."
    )
    assert "has the value 255" in describe_annotated([(1, 100)], 255)
    assert describe_annotated([(1, 100)], None) == ""


# What training gets of it


def partly(folder: Path, classes: int = 2, share: float = 0.02, seed: int = 0) -> dict[str, NDArray[np.bool_]]:
    """Take most annotation from the masks of a folder, by 255; return what is left of it by name."""
    rng = np.random.default_rng(seed)
    left = {}
    for path in sorted((folder / "masks").iterdir()):
        mask = np.minimum(tifffile.imread(path), classes - 1)
        ignored = np.ones(mask.shape, np.bool_)
        for _ in range(3):
            y, x = (int(rng.integers(0, length - 4)) for length in mask.shape)
            ignored[y : y + 2, x : x + int(share * mask.size / 6)] = False
        mask[ignored] = 255
        left[path.stem] = ~ignored
        tifffile.imwrite(path, mask)
    return left


def crops_of(folder: Path, **changes: Any) -> CropDataset:
    pool, masks = changes.pop("pool", None) or load_pool(folder, ignore=255)
    settings: dict[str, Any] = {
        "crop": (32, 32),
        "crops_per_epoch": 200,
        "augmentation": PRESETS["strong"],
        "foreground_share": 0.0,
        "seed": 0,
    }
    return CropDataset(pool, masks, range(len(pool.records)), **(settings | changes))


@pytest.mark.parametrize("classes", [2, 4, 300])
def test_every_crop_holds_an_annotated_pixel_however_few_there_are(cells: Path, classes: int) -> None:
    left = partly(cells, share=0.001)
    assert sum(mask.mean() for mask in left.values()) < 0.02
    crops = crops_of(cells, classes=classes)
    found = [crops[0, index]["mask"] for index in range(200)]
    assert all((mask != UNKNOWN).any() for mask in found)
    assert all(0 <= mask[mask != UNKNOWN].min() < classes for mask in found)
    assert np.mean([float((mask == UNKNOWN).float().mean()) for mask in found]) > 0.9


def test_crops_of_images_that_are_annotated_everywhere_do_not_change(cells: Path) -> None:
    before = crops_of(cells, foreground_share=0.5)
    pool, masks = load_pool(cells)
    assert not masks.partly
    same = CropDataset(
        pool,
        masks,
        range(6),
        crop=(32, 32),
        crops_per_epoch=200,
        augmentation=PRESETS["strong"],
        foreground_share=0.5,
        seed=0,
    )
    for index in range(20):
        one, other = before[0, index], same[0, index]
        assert all((one[name] == other[name]).all() for name in one)


def test_an_image_is_visited_by_its_annotated_part(cells: Path) -> None:
    path = cells / "masks" / "cell0.tif"
    mask = tifffile.imread(path)
    mask[:, 64:] = 255
    tifffile.imwrite(path, mask)
    _, masks = load_pool(cells, ignore=255)
    assert masks.areas([0, 1]) == [96 * 64, 150 * 100]


def test_crops_for_instances_know_distances_of_whole_objects_alone(tmp_path: Path) -> None:
    """Two equal squares, of which one touches what nobody has annotated, in every crop."""
    labels = np.zeros((64, 64), np.uint16)
    labels[8:20, 8:20], labels[40:52, 40:52] = 7, 9
    labels[30:, 52:] = 65535
    for folder, array in (("images", labels.astype(np.uint8)), ("masks", labels)):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", array)
    pool, masks = load_pool(tmp_path, ignore=65535)
    assert masks.records[0].objects.tolist() == [144]
    crops = CropDataset(
        pool,
        masks,
        [0],
        crop=(64, 64),
        crops_per_epoch=4,
        augmentation=PRESETS["none"],
        foreground_share=0,
        seed=0,
        distance_maps=True,
    )
    item = crops[0, 0]
    distance, mask = item["distance_map"].numpy(), item["mask"].numpy()
    np.testing.assert_array_equal(mask == UNKNOWN, labels == 65535)
    np.testing.assert_array_equal(distance == UNKNOWN, (labels == 65535) | (labels == 9))
    assert distance[labels == 7].max() == 1
    assert (distance[labels == 0] == 0).all()


def test_foreground_that_has_the_highest_value_is_foreground(cells: Path) -> None:
    """The value 65535 is common for it, and is also how crops mark what nobody has annotated."""
    for path in sorted((cells / "masks").iterdir()):
        tifffile.imwrite(path, np.where(tifffile.imread(path) > 0, 65535, 0).astype(np.uint16))
    item = crops_of(cells, foreground_share=1.0, distance_maps=True)[0, 0]
    assert item["mask"].max() == 1
    assert item["mask"].min() == 0
    assert item["distance_map"].min() == 0


def data_of(folder: Path, **settings: Any) -> SegmentationData:
    usual = {"val": 0.0, "crop": 32, "workers": 0, "augment": "none", "crops_per_epoch": 12, "ignore": 255}
    return SegmentationData(str(folder), **{**usual, **settings})


def test_weights_count_the_classes_of_what_is_annotated(cells: Path) -> None:
    partly(cells, share=0.5)
    for path in sorted((cells / "masks").iterdir()):
        mask = tifffile.imread(path)
        mask[5:9, 5:9] = 1
        tifffile.imwrite(path, mask)
    data = data_of(cells, border_weight=BorderWeight(w0=0))
    data.setup()
    data.prepare_for(1, 2, 8, weighted=True)
    masks = [np.asarray(data.val_items()[index]["mask"]) for index in range(6)]
    counts = [sum(int((mask == value).sum()) for mask in masks) for value in (0, 1)]
    weights = {value: sum(counts) / (2 * count) for value, count in enumerate(counts)}
    crops = data.train_dataloader().dataset
    for index in range(12):
        item = crops[0, index]
        expected = np.select([item["mask"] == value for value in weights], list(weights.values()), 0)
        np.testing.assert_allclose(item["weight"], expected, rtol=1e-6)


def test_a_note_says_how_much_is_annotated_and_the_summary_keeps_it(cells: Path) -> None:
    left = partly(cells)
    share = sum(int(mask.sum()) for mask in left.values()) / sum(mask.size for mask in left.values())
    data = data_of(cells)
    data.setup()
    assert f"{100 * share:.3g} % of the pixels of 6 images are annotated." in data.take_notes()
    assert data.describe()["annotated"] == pytest.approx(share, abs=1e-6)
    assert data.describe()["ignore"] == 255


def test_an_image_to_validate_on_without_annotation_is_an_error_too(cells: Path) -> None:
    tifffile.imwrite(cells / "masks" / "cell3.tif", np.full((150, 100), 255, np.uint8))
    for val in (0.0, 0.5):
        with pytest.raises(DataError, match="No pixel of cell3 is annotated"):
            data_of(cells, val=val).setup()


def test_strokes_in_objects_alone_teach_nothing(cells: Path) -> None:
    for path in sorted((cells / "masks").iterdir()):
        tifffile.imwrite(path, np.where(tifffile.imread(path) > 0, 1, 255).astype(np.uint8))
    with pytest.raises(DataError, match="Every annotated pixel of all 6 masks is foreground") as caught:
        data_of(cells).setup()
    assert "Annotate some background too" in caught.value.remedy


def test_objects_that_touch_cannot_be_learned_from_strokes(cells: Path) -> None:
    for number, path in enumerate(sorted((cells / "masks").iterdir())):
        mask = np.full_like(tifffile.imread(path), 255)
        mask[:3], mask[40:42, 40:50] = 0, number + 1
        tifffile.imwrite(path, mask)
    data = data_of(cells)
    data.setup()
    data.prepare_for(1, 2, 8)
    with pytest.raises(DataError, match="No object of the masks is drawn whole"):
        data.prepare_for(1, 2, 8, distance_maps=True)
    mask[39:43, 39:51] = np.where(mask[39:43, 39:51] == 255, 0, mask[39:43, 39:51])
    tifffile.imwrite(path, mask)
    data = data_of(cells)
    data.setup()
    data.prepare_for(1, 2, 8, distance_maps=True)


def test_the_usual_value_is_suggested_where_it_is_no_class(cells: Path) -> None:
    partly(cells, classes=3)
    data = data_of(cells, ignore=None)
    data.setup()
    with pytest.raises(DataError) as caught:
        data.prepare_for(1, 3, 8)
    assert "data.ignore: 255" in caught.value.remedy
    data = data_of(cells)
    data.setup()
    data.prepare_for(1, 3, 8)


def test_strokes_as_napari_and_ilastik_save_them_are_read(cells: Path) -> None:
    """They have 0 where nothing is drawn, 1 for the background and 2 for objects."""
    for path in sorted((cells / "masks").iterdir()):
        labels = tifffile.imread(path)
        strokes = np.where(labels > 0, 2, 1).astype(np.uint8)
        strokes[::2] = 0
        tifffile.imwrite(path, strokes)
    data = data_of(cells, ignore=0)
    data.setup()
    assert any("1 is background" in note for note in data.take_notes())
    mask = data.val_items()[0]["mask"]
    assert (mask[::2] == UNKNOWN).all()
    assert set(mask[1::2].unique().tolist()) == {0, 1}


def test_what_is_read_from_disk_is_what_is_kept_in_memory(cells: Path) -> None:
    partly(cells)
    kept, read = (load_pool(cells, cache, ignore=255)[1] for cache in (2**30, 0))
    window = (slice(3, 60), slice(10, 90))
    for index in range(6):
        np.testing.assert_array_equal(kept.read(index, window), read.read(index, window))
        assert (read.read(index) == IGNORED).any()
