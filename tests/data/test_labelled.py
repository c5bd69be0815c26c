from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from unetkit.data.labelled import LabelledData
from unetkit.foundation.errors import DataError
from unetkit.models.normalization import Normalization


def save(folder: Path, labels: str, channels: int = 1) -> Path:
    """Write an image for each letter of `labels`, and the list of them."""
    lines = ["image,label"]
    for number, label in enumerate(labels):
        shape = (40, 60) if channels == 1 or number == 0 else (40, 60, channels)
        tifffile.imwrite(folder / f"{number}.tif", np.random.default_rng(number).integers(0, 250, shape, np.uint8))
        lines.append(f"{number}.tif,{label}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder / "labels.csv"


def read(path: Path, classes: list[str], **changes: Any) -> LabelledData:
    data = LabelledData(str(path), **{"crop": 32, "batch_size": 4, "workers": 0, "val": 0.25, **changes})
    data.label_images(classes, None)
    return data


def test_of_each_label_the_same_share_is_validated_on(tmp_path: Path) -> None:
    data = read(save(tmp_path, "a" * 12 + "b" * 4 + "c" * 2), ["a", "b", "c"])
    assert Counter(image.label for image in data.labelled.val) == {0: 3, 1: 1, 2: 1}
    assert Counter(image.label for image in data.labelled.train) == {0: 9, 1: 3, 2: 1}
    assert len(data.val_dataloader()) == 2
    assert read(tmp_path / "labels.csv", ["a", "b", "c"], val=0).val_dataloader() == []


def test_a_label_with_one_image_cannot_be_validated_on(tmp_path: Path) -> None:
    save(tmp_path, "aaaab")
    with pytest.raises(DataError, match="No image to validate on has the label 'b'"):
        read(tmp_path / "labels.csv", ["a", "b"])


def test_each_image_is_shown_once_before_any_is_shown_again(tmp_path: Path) -> None:
    data = read(save(tmp_path, "01" * 8), ["it"], augment="none", images_per_epoch=24)
    batches = list(data.train_dataloader())
    shown = torch.cat([batch["whole"] for batch in batches])
    labels = torch.cat([batch["label"] for batch in batches])
    assert shown.shape == (24, 1, 32, 32)
    for image in data.labelled.train:
        matches = (shown[:12] == torch.from_numpy(image.pixels.astype(np.float32))).flatten(1).all(1)
        assert matches.sum() == 1
        assert labels[:12][matches].item() == image.label


def test_grey_images_are_repeated_among_colour_ones(tmp_path: Path) -> None:
    data = read(save(tmp_path, "01" * 4, channels=3), ["it"])
    assert data.channels == 3
    assert next(iter(data.train_dataloader()))["whole"].shape == (4, 3, 32, 32)
    assert data.describe_images().dtypes == ("uint8",)


def test_normalisation_can_be_that_of_all_images_trained_on(tmp_path: Path) -> None:
    data = read(save(tmp_path, "01" * 8), ["it"], normalization=Normalization("mean_std", "dataset"))
    pixels = np.concatenate([tifffile.imread(image.path).ravel() for image in data.labelled.train])
    assert data.normalization.center == pytest.approx((pixels.mean(),), abs=2)
    assert next(iter(data.val_dataloader()))["whole_center"][0].item() == pytest.approx(data.normalization.center[0])


def test_copies_of_an_image_with_different_labels_are_an_error(tmp_path: Path) -> None:
    path = save(tmp_path, "01" * 4)
    tifffile.imwrite(tmp_path / "again.tif", tifffile.imread(tmp_path / "2.tif"))
    path.write_text(path.read_text() + "\nagain.tif,1")
    with pytest.raises(DataError, match=r"2\.tif and .*again\.tif are the same image, but .* different labels"):
        read(path, ["it"])


def test_whole_images_are_magnified_in_training(tmp_path: Path) -> None:
    """A square in the middle of each image, its area before and after."""
    lines = ["image,label"]
    for number in range(4):
        image = np.full((64, 64), number, np.uint8)
        image[24:40, 24:40] = 200
        tifffile.imwrite(tmp_path / f"{number}.tif", image)
        lines.append(f"{number}.tif,{number % 2}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    options = {"crop": 64, "val": 0.0, "images_per_epoch": 32, "augment": "none"}
    data = read(tmp_path / "labels.csv", ["it"], **options, augment_options={"scale": [0.5, 2]})
    shown = torch.cat([batch["whole"] for batch in data.train_dataloader()])
    sides = (shown > 100).sum((1, 2, 3)).float().sqrt() / 16
    assert 0.45 < sides.min() < 0.7
    assert 1.4 < sides.max() < 2.1


def test_a_resumed_run_validates_on_the_same_labelled_images(tmp_path: Path) -> None:
    first = read(save(tmp_path, "01" * 6), ["it"])
    held = [image.path.name for image in first.labelled.val]
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    gone = next(image.path.name for image in first.labelled.train)
    (tmp_path / "labels.csv").write_text("\n".join(line for line in lines if not line.startswith(gone)))

    def resumed(**changes: Any) -> LabelledData:
        data = LabelledData(str(tmp_path / "labels.csv"), crop=32, workers=0, val=0.25, **changes)
        data.keep_split(first.state_dict()["split"])
        data.label_images(["it"], None)
        return data

    data = resumed(seed=5)
    assert [image.path.name for image in data.labelled.val] == held
    assert f"{gone} is gone since the run was begun" in data.take_notes()[0]
    (tmp_path / "labels.csv").write_text("\n".join(line for line in lines if not line.startswith(held[0])))
    with pytest.raises(DataError, match="images to validate on are not those"):
        resumed()


def test_the_description_is_plain_json_that_does_not_say_where_the_list_lies(tmp_path: Path) -> None:
    described = read(save(tmp_path, "01" * 4), ["it"]).describe()
    assert json.loads(json.dumps(described))["image_labels"] == "labels.csv"
    assert str(tmp_path) not in json.dumps(described)
