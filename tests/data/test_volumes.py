"""Volumes to train on: pairs, slabs, crops that are boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from unetkit.data import masks, volumes
from unetkit.data.datamodule import SegmentationData
from unetkit.data.labelled import LabelledData
from unetkit.data.pairs import find_pairs
from unetkit.data.unmasked import ImageData
from unetkit.foundation.errors import ConfigError, DataError, ImageError
from unetkit.models.normalization import Normalization

DEPTHS = (10, 14, 12)


@pytest.fixture
def stacks(tmp_path: Path) -> Path:
    """A folder of 3 volumes of 16 bits, each with a bright box with its number as label."""
    rng = np.random.default_rng(0)
    for number, depth in enumerate(DEPTHS):
        labels = np.zeros((depth, 40, 48), np.uint8)
        labels[3:7, 10:20, 5:15] = number + 1
        image = (rng.normal(1000, 50, labels.shape) + 4000 * (labels > 0)).astype(np.int16) - 1024
        for folder, array in (("images", image), ("masks", labels)):
            (tmp_path / folder).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / folder / f"stack{number}.tif", array)
    return tmp_path


def data_of(folder: Path, **settings: Any) -> SegmentationData:
    usual = {"val": 0.0, "crop": 16, "workers": 0, "augment": "none", "crops_per_epoch": 6, "batch_size": 2}
    data = SegmentationData(str(folder), **{**usual, **settings})
    data.see(3)
    return data


def one_of(folder: Path, **settings: Any) -> SegmentationData:
    """The data of one volume of 10 planes."""
    return data_of(folder / "images" / "stack0.tif", masks=str(folder / "masks" / "stack0.tif"), **settings)


def divided(data: SegmentationData) -> tuple[list[str], list[str]]:
    pool = data.pool
    return tuple([pool.records[index].pair.name for index in indices] for indices in (pool.train, pool.val))  # type: ignore[return-value]


def test_each_stack_is_a_volume_and_batches_are_boxes(stacks: Path) -> None:
    data = data_of(stacks, crop=[8, 16, 32], val=0.3)
    data.prepare_for(1, 2, (4, 16, 16))
    assert sorted(record.size for record in data.pool.records) == [(depth, 40, 48) for depth in sorted(DEPTHS)]
    assert (len(data.pool.train), len(data.pool.val)) == (2, 1)
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (2, 1, 8, 16, 32)
    assert batch["mask"].shape == (2, 8, 16, 32)
    assert (batch["center"].shape, batch["scale"].shape) == ((2, 1), (2, 1))
    assert np.array_equal(batch["mask"].numpy() > 0, batch["image"].numpy()[:, 0] > 1000)
    whole = next(iter(data.val_dataloader()))
    assert whole["image"].shape == (1, *data.pool.records[data.pool.val[0]].size)


def test_one_number_is_limited_to_the_volumes_and_three_are_as_they_are_given(stacks: Path) -> None:
    data = data_of(stacks, crop=32)
    data.prepare_for(1, 2, (4, 16, 16))
    assert data.crop_size == (16, 32, 32)  # the deepest has 14 planes
    wide = data_of(stacks, crop=[16, 64, 64])
    wide.prepare_for(1, 2, (4, 16, 16))
    image, mask = (next(iter(wide.train_dataloader()))[name].numpy() for name in ("image", "mask"))
    assert mask.shape == (2, 16, 64, 64)
    assert np.array_equal(mask > 0, image[:, 0] > 1000)  # reflected alike


@pytest.mark.parametrize(
    ("crop", "dims", "message"),
    [
        ([8, 16], 3, "three"),
        ([8, 16, 16], 2, "one number"),
        ([8, 0, 8], 3, "1 or more"),
        ([8, 24, 32], 3, "stride, 16"),
    ],
)
def test_crops_that_do_not_fit_are_errors(stacks: Path, crop: list[int], dims: Any, message: str) -> None:
    def prepare() -> None:
        data = SegmentationData(str(stacks), crop=crop, val=0, workers=0)
        data.see(dims)
        data.prepare_for(1, 2, (4, 16, 16))

    with pytest.raises(ConfigError, match=message):
        prepare()


def test_a_part_of_one_volume_is_a_slab_of_neighbouring_planes(stacks: Path) -> None:
    for seed in range(8):
        train, val = divided(one_of(stacks, val=0.2, seed=seed))
        assert len(val) == 1
        planes = {name: tuple(map(int, name[len("stack0[") : -1].split("-"))) for name in (*train, *val)}
        first, last = planes[val[0]]
        assert last - first == 1
        assert sorted(n for a, b in planes.values() for n in range(a, b + 1)) == list(range(10))
        assert all(b - a >= 1 for a, b in planes.values())  # no slab is thinner than the one set aside


def test_pages_are_slabs_and_runs_of_them_are_volumes(stacks: Path) -> None:
    data = one_of(stacks, pages="0-3,6", val_pages="8-9", val=0.5)
    assert divided(data) == (["stack0[0-3]", "stack0[6-6]"], ["stack0[8-9]"])
    stack = tifffile.imread(stacks / "images" / "stack0.tif")
    assert np.array_equal(data.pool.read(0)[0], stack[:4])
    assert np.array_equal(data.pool.read(2)[0], stack[8:])
    assert np.array_equal(data.targets.read(2), tifffile.imread(stacks / "masks" / "stack0.tif")[8:])
    with pytest.raises(DataError, match="1 of the volumes to validate on is also trained on"):
        one_of(stacks, pages="0-5", val_pages="5-9").setup()


def test_folds_are_whole_volumes_or_slabs_of_one(stacks: Path) -> None:
    assert divided(data_of(stacks, folds=3, fold=1))[1][0] in {"stack0", "stack1", "stack2"}
    folds = [divided(one_of(stacks, folds=5, fold=fold)) for fold in range(5)]
    assert [val for _, val in folds] == [[f"stack0[{n}-{n + 1}]"] for n in range(0, 10, 2)]
    assert all(len(train) == 4 for train, _ in folds)
    with pytest.raises(DataError, match="10 different volumes cannot be split into 12 folds"):
        one_of(stacks, folds=12, fold=0).setup()


def test_only_annotated_planes_count(stacks: Path) -> None:
    path = stacks / "masks" / "stack0.tif"
    labels = tifffile.imread(path)
    labels[[0, 1, 2, 3, 4, 6, 7, 8, 9]] = 255
    tifffile.imwrite(path, labels)
    data = one_of(stacks, ignore=255, crop=[4, 16, 16], foreground_share=0.0, augment="strong", crops_per_epoch=20)
    data.prepare_for(1, 2, (4, 16, 16))
    assert data.targets.partly
    assert data.targets.annotated_share([0]) == pytest.approx(0.1)
    masks = [batch["mask"] for batch in data.train_dataloader()]
    assert all((mask >= 0).flatten(1).any(dim=1).all() for mask in masks)
    assert any((mask < 0).any() for mask in masks)


def test_images_without_masks_are_volumes_too(stacks: Path) -> None:
    data = ImageData(str(stacks), val=0.4, crop=[8, 16, 16], batch_size=2, crops_per_epoch=4, workers=0)
    data.see(3)
    data.prepare_for(1, (4, 16, 16))
    assert next(iter(data.train_dataloader()))["image"].shape == (2, 1, 8, 16, 16)


def test_what_is_no_volume_or_differs_in_depth_is_an_error(stacks: Path) -> None:
    tifffile.imwrite(stacks / "masks" / "stack1.tif", np.zeros((13, 40, 48), np.uint8))
    with pytest.raises(DataError, match=r"stack1.tif 13 x 40 x 48, image 14 x 40 x 48.*depth, height and width"):
        find_pairs(stacks, dims=3)
    tifffile.imwrite(stacks / "images" / "stack1.tif", np.zeros((40, 48), np.uint8))
    with pytest.raises(ImageError, match="one plane, and the model takes volumes"):
        find_pairs(stacks, dims=3)


@pytest.mark.parametrize("ignore", [None, 2])
def test_volumes_without_room_in_memory_give_the_same_records_and_crops(
    stacks: Path, monkeypatch: pytest.MonkeyPatch, ignore: int | None
) -> None:
    settings = {"crop": [8, 16, 16], "augment": "strong", "crops_per_epoch": 12, "ignore": ignore}
    found = []
    for cache_gb, slab in ((1.0, 2**22), (0.0, 3 * 40 * 48)):
        monkeypatch.setattr(volumes, "SLAB_VOXELS", slab)
        data = data_of(stacks, cache_gb=cache_gb, **settings)
        data.prepare_for(1, 2, 8, distance_maps=True)
        assert all(data.targets.keeps(index) == (cache_gb > 0) for index in range(3))
        found.append((data.pool.records, data.targets.records, list(data.train_dataloader())))
    for one, other in zip(found[0][0], found[1][0], strict=True):
        assert (one.digest, one.size) == (other.digest, other.size)
        assert np.array_equal(one.statistics.center, other.statistics.center)
        assert np.array_equal(one.sample, other.sample)
    for mask, again in zip(found[0][1], found[1][1], strict=True):
        assert np.array_equal(mask.foreground, again.foreground)
        assert (mask.points is None) == (again.points is None) == (ignore is None or mask.points is None)
        assert mask.points is None or np.array_equal(mask.points, again.points)
        for name in ("lowest_label", "highest_label", "numbered", "parts", "annotated", "area"):
            assert getattr(mask, name) == getattr(again, name)
        assert mask.objects.tolist() == again.objects.tolist()
    for batch, same in zip(found[0][2], found[1][2], strict=True):
        assert all(np.array_equal(batch[name], same[name]) for name in batch)


def test_objects_of_a_large_volume_are_measured_in_a_box(stacks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "MEASURED_VOXELS", 10 * 24 * 24)
    assert [record.objects.tolist() for record in data_of(stacks).targets.records] == [[4 * 10 * 10]] * 3
    monkeypatch.setattr(masks, "MEASURED_VOXELS", 10 * 11 * 11)
    assert [record.objects.tolist() for record in data_of(stacks).targets.records] == [[]] * 3  # cut by the box


def test_crops_do_not_depend_on_the_number_of_workers(stacks: Path) -> None:
    batches = []
    for workers in (0, 2):
        data = data_of(stacks, crop=[8, 16, 16], augment="strong", workers=workers, cache_gb=0)
        data.prepare_for(1, 2, 8)
        batches.append(list(data.train_dataloader()))
    assert all(np.array_equal(a[name], b[name]) for a, b in zip(*batches, strict=True) for name in a)


def test_percentiles_of_the_foreground_of_the_training_volumes_clip(stacks: Path) -> None:
    ct = Normalization("mean_std", "dataset", low=0.5, high=99.5, of="foreground")
    data = data_of(stacks, normalization=ct, val=0.3)
    data.prepare_for(1, 2, 8)
    inside = np.concatenate([data.pool.read(i)[0][data.targets.read(i) > 0] for i in data.pool.train])
    found = data.normalization
    assert found.center == pytest.approx((inside.mean(),), rel=0.01)
    assert found.scale == pytest.approx((inside.std(),), rel=0.1)
    assert found.clip is not None
    assert found.clip[0] == pytest.approx(np.percentile(inside, (0.5, 99.5)), rel=0.02)
    unmasked = ImageData(str(stacks), normalization=ct, crop=16, workers=0)
    unmasked.see(3)
    with pytest.raises(ConfigError, match="needs masks"):
        unmasked.setup()


def test_what_a_file_does_not_know_of_its_voxels_can_be_given(stacks: Path) -> None:
    assert data_of(stacks).pool.pixel_size_um is None
    data = data_of(stacks, spacing="50nm,4nm,4nm", cache_gb=0)
    assert data.pool.pixel_size_um == pytest.approx((0.05, 0.004, 0.004))
    assert data.pool.read(0, (slice(1, 3), slice(0, 4), slice(0, 5))).shape == (1, 2, 4, 5)


def test_whole_volumes_with_labels_are_resized_to_a_box(stacks: Path) -> None:
    rows = [f"images/stack{number}.tif,{number % 2}" for number in range(3)]
    (stacks / "labels.csv").write_text("\n".join(["image,label", *rows]))
    data = LabelledData(str(stacks / "labels.csv"), val=0, crop=[4, 16, 16], workers=0, batch_size=2, augment="strong")
    data.see(3)
    data.label_images(["bright"], None)
    batch = next(iter(data.train_dataloader()))
    assert batch["whole"].shape == (2, 1, 4, 16, 16)
    plain = data.labelled.train[0]
    assert plain.pixels.mean() == pytest.approx(tifffile.imread(plain.path).mean(), abs=2)
    beside = data_of(stacks, crop=[8, 16, 16], image_labels=str(stacks / "labels.csv"), augment="strong")
    beside.prepare_for(1, 2, 8)
    beside.label_images(["bright"])
    assert next(iter(beside.train_dataloader()))["whole"].shape == (2, 1, 8, 16, 16)
