"""Annotation files as truth: scored as the masks that they stand for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from drawn_files import write_coco, write_geojson, write_labelme
from numpy.typing import NDArray

from unetkit.errors import DataError
from unetkit.foundation.synthetic import make_cells
from unetkit.scoring.evaluation import evaluate

LABELS = make_cells(96, 112, seed=1)[1]
LABELS = np.searchsorted(np.unique(LABELS), LABELS).astype(np.uint16)
FOUND = np.roll(LABELS, 1, axis=0)
KINDS = {number: ("tumour", "stroma")[number % 2] for number in range(1, int(LABELS.max()) + 1)}


def as_classes(labels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return np.where(labels == 0, 0, 2 - labels % 2).astype(np.uint8)  # stroma is 1, tumour 2


def test_objects_and_pixels_are_scored_as_with_labels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "found.tif", FOUND)
    tifffile.imwrite(tmp_path / "true.tif", LABELS)
    write_geojson(tmp_path / "true.geojson", LABELS)
    drawn, mask = (
        evaluate(tmp_path / "found.tif", tmp_path / f"true.{end}", instances=True) for end in ("geojson", "tif")
    )
    assert drawn.rows == mask.rows
    assert drawn.taken == ()


@pytest.mark.parametrize("kind", ["folder", "coco"])
def test_classes_are_scored_by_their_names(kind: str, tmp_path: Path) -> None:
    truths = {"a": LABELS, "b": FOUND}
    for place in ("found", "true", "drawn"):
        (tmp_path / place).mkdir()
    for name, labels in truths.items():
        tifffile.imwrite(tmp_path / "found" / f"{name}_mask.tif", as_classes(np.roll(labels, 2, axis=1)))
        tifffile.imwrite(tmp_path / "true" / f"{name}.tif", as_classes(labels))
        write_labelme(tmp_path / "drawn" / f"{name}.json", labels, KINDS)
    drawn = tmp_path / "drawn"
    if kind == "coco":
        drawn = tmp_path / "all.json"
        write_coco(drawn, truths, dict.fromkeys(truths, KINDS))
    scores = evaluate(tmp_path / "found", drawn, classes=3)
    assert scores.rows == evaluate(tmp_path / "found", tmp_path / "true", classes=3).rows
    assert scores.taken == ("The classes of the truth are 1 stroma, 2 tumour.",)


def test_more_classes_than_are_compared_are_an_error(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "found.tif", as_classes(FOUND))
    write_labelme(tmp_path / "true.json", LABELS, {number: "abc"[number % 3] for number in KINDS})
    with pytest.raises(DataError, match="has the classes a, b, c, but 3 are compared") as found:
        evaluate(tmp_path / "found.tif", tmp_path / "true.json", classes=3)
    assert found.value.remedy == "Give classes: 4."


def test_a_single_object_in_pieces_is_one(tmp_path: Path) -> None:
    labels = np.zeros((40, 40), np.uint16)
    labels[2:8, 2:8] = labels[20:30, 20:30] = labels[34:38, 2:8] = 1
    found = np.where(labels > 0, 1, 0).astype(np.uint16)
    found[0, 0] = 2
    tifffile.imwrite(tmp_path / "found.tif", found)
    write_geojson(tmp_path / "true.geojson", labels)
    scores = evaluate(tmp_path / "found.tif", tmp_path / "true.geojson", instances=True)
    assert scores.rows[0].instances is not None
    assert scores.rows[0].instances.true == 1


def test_an_array_is_not_compared_with_annotations(tmp_path: Path) -> None:
    write_geojson(tmp_path / "true.geojson", LABELS)
    with pytest.raises(DataError, match="compared with an array") as found:
        evaluate(FOUND, tmp_path / "true.geojson")
    assert "unetkit rasterize" in found.value.remedy
