from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from unetkit.data.datamodule import SegmentationData
from unetkit.data.image_labels import read_labels
from unetkit.foundation.errors import DataError


@pytest.fixture
def labels(cells: Path) -> Path:
    """A list of the 6 images with masks, and of 6 without; of all, every other one has the label 1."""
    (cells / "more").mkdir()
    lines = ["image,label"]
    for number in range(6):
        image = np.random.default_rng(number).integers(0, 4000, (40, 60), np.uint16)
        tifffile.imwrite(cells / "more" / f"more{number}.tif", image)
        lines += [f"images/cell{number}.tif,{number % 2}", f"more/more{number}.tif, {number % 2}"]
    (cells / "labels.csv").write_text("\n".join(lines))
    return cells / "labels.csv"


def _data(labels: Path, **changes: Any) -> SegmentationData:
    settings = {"crop": 64, "batch_size": 4, "workers": 0, "crops_per_epoch": 10, "val": 0.34, **changes}
    data = SegmentationData(str(labels.parent), image_labels=str(labels), **settings)
    data.setup("fit")
    data.prepare_for(1, 2, 32)
    data.label_images(["cell"])
    return data


def _names(images: Any) -> set[str]:
    return {image.path.stem for image in images}


@pytest.mark.parametrize("choice", [{}, {"folds": 3, "fold": 1}])
def test_an_image_is_validated_on_as_its_mask_is_and_of_the_others_as_many(labels: Path, choice: Any) -> None:
    data = _data(labels, **choice)
    assert data.labelled is not None
    train, val = _names(data.labelled.train), _names(data.labelled.val)
    assert {name for name in val if name.startswith("cell")} == set(data.describe()["val_images"])
    assert len([name for name in val if name.startswith("more")]) == 2
    assert len(train) + len(val) == 12
    assert not train & val


def test_the_list_is_read_once_for_the_same_classes(labels: Path) -> None:
    data = _data(labels)
    first = data.labelled
    data.label_images(["cell"])
    assert data.labelled is first
    with pytest.raises(DataError, match="The label '0'"):
        data.label_images(["no cell", "cell"])


def test_a_crop_has_a_whole_image_beside_it_and_every_image_has_its_turn(labels: Path) -> None:
    data = _data(labels, crops_per_epoch=8, augment="none")
    batches = list(data.train_dataloader())
    assert batches[0]["whole"].shape == (4, 1, 64, 64)
    assert batches[0]["whole_center"].shape == (4, 1)
    assert data.labelled is not None
    seen = torch.cat([batch["whole"] for batch in batches])
    for image in data.labelled.train:
        matches = (seen == torch.from_numpy(image.pixels.astype(np.float32))).flatten(1).all(1)
        assert matches.sum() == 1
        assert torch.cat([batch["label"] for batch in batches])[matches].item() == image.label


@pytest.mark.parametrize("workers", [0, 1])
def test_the_same_seed_gives_the_same_variations(labels: Path, workers: int) -> None:
    first, again = (list(_data(labels, workers=count).train_dataloader()) for count in (0, workers))
    assert all(torch.equal(a["whole"], b["whole"]) for a, b in zip(first, again, strict=True))


def test_crops_are_as_without_labels(labels: Path) -> None:
    plain = SegmentationData(str(labels.parent), crop=64, batch_size=4, workers=0, crops_per_epoch=10, val=0.34)
    plain.prepare_for(1, 2, 32)
    for one, other in zip(plain.train_dataloader(), _data(labels).train_dataloader(), strict=True):
        assert torch.equal(one["image"], other["image"])
        assert set(one) == {"image", "mask", "center", "scale"}


@pytest.mark.parametrize(
    ("text", "classes", "message"),
    [
        ("file,label\na.tif,1", ["cell"], "not the columns"),
        ("image,label", ["cell"], "lists no images"),
        ("image,label\nb.tif,1", ["cell"], r"b\.tif \(line 2 of .*missing"),
        ("image,label\na.tif,1\na.tif,1", ["cell"], "listed twice"),
        ("image,label\na.tif,yes", ["cell"], "label 'yes' .* not possible. Use 0 or 1"),
        ("image,label\na.tif,1", ["red", "blue"], "Use red or blue"),
    ],
)
def test_a_list_that_cannot_be_used_is_an_error(tmp_path: Path, text: str, classes: list[str], message: str) -> None:
    (tmp_path / "a.tif").touch()
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_labels(tmp_path / "labels.csv", classes)


def test_labels_of_several_classes_are_names(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.tif").touch()
    (tmp_path / "labels.csv").write_text("image, label\na.tif, blue\nb.tif, red")
    assert [label for _, label in read_labels(tmp_path / "labels.csv", ["red", "blue"])] == [1, 0]


def test_a_stack_and_a_class_without_images_are_errors(labels: Path) -> None:
    tifffile.imwrite(labels.parent / "more" / "more0.tif", np.zeros((3, 40, 60), np.uint16), photometric="minisblack")
    with pytest.raises(DataError, match="3 planes"):
        _data(labels)
    labels.write_text("image,label\nmore/more1.tif,1\nmore/more2.tif,1")
    with pytest.raises(DataError, match="No image to train on has the label '0'"):
        _data(labels)
