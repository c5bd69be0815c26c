"""`unetkit rasterize`: annotation files to masks, labels and classes, one by one and folder by folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from drawn_files import write_coco, write_geojson, write_labelme, write_rois
from numpy.typing import NDArray
from PIL import Image

import unetkit
from unetkit.cli import main
from unetkit.data import rasterize as module
from unetkit.errors import ConfigError, DataError, OutputError
from unetkit.foundation.synthetic import make_cells

LABELS = make_cells(96, 112, seed=1)[1].astype(np.uint16)
LABELS = np.searchsorted(np.unique(LABELS), LABELS).astype(np.uint16)
NAMES = {number: ("tumour", "stroma")[number % 2] for number in range(1, int(LABELS.max()) + 1)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An image with a pixel size, and its annotations."""
    tifffile.imwrite(
        tmp_path / "a.ome.tif", LABELS, metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    )
    write_geojson(tmp_path / "a.geojson", LABELS, NAMES)
    return tmp_path


def run(folder: Path, *words: str) -> int:
    return main(["rasterize", str(folder / "a.geojson"), str(folder / "a.ome.tif"), str(folder / "mask.tif"), *words])


def test_a_mask_has_the_size_and_the_pixel_size_of_its_image(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder) == 0
    np.testing.assert_array_equal(tifffile.imread(folder / "mask.tif"), np.where(LABELS > 0, 255, 0))
    assert capsys.readouterr().out == f"{folder / 'mask.tif'}: {LABELS.max()} objects.\n"
    with tifffile.TiffFile(folder / "mask.tif") as file:
        assert 'PhysicalSizeX="0.5"' in (file.ome_metadata or "")


def test_labels_and_classes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--output", "labels") == 0
    np.testing.assert_array_equal(tifffile.imread(folder / "mask.tif"), LABELS)
    capsys.readouterr()
    assert run(folder, "--output", "classes", "--overwrite") == 0
    assert "Values: 0 background, 1 stroma, 2 tumour." in capsys.readouterr().out
    np.testing.assert_array_equal(tifffile.imread(folder / "mask.tif"), np.where(LABELS, 2 - LABELS % 2, 0))
    assert run(folder, "--output", "classes", "--classes", "tumour, nerve, stroma", "--overwrite") == 0
    np.testing.assert_array_equal(tifffile.imread(folder / "mask.tif"), np.where(LABELS, 1 + 2 * (LABELS % 2), 0))
    assert run(folder, "--output", "classes", "--classes", "nerve,stroma", "--overwrite") == 2
    assert "objects of the class tumour" in capsys.readouterr().err
    assert run(folder, "--ignore", "stroma", "--overwrite") == 0
    expected = np.where(LABELS == 0, 0, np.where(LABELS % 2, 255, 1))
    np.testing.assert_array_equal(tifffile.imread(folder / "mask.tif"), expected)
    assert "ignored have the value 255. Train with --data.ignore 255." in capsys.readouterr().out


@pytest.mark.parametrize("name", ["mask.png", "mask.zarr", "mask.tif"])
def test_rows_are_written_as_they_are_drawn(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BAND_PIXELS", 112 * 7)
    monkeypatch.setattr("unetkit.annotations.source.BAND_PIXELS", 112 * 3)
    (done,) = unetkit.rasterize(folder / "a.geojson", folder / "a.ome.tif", folder / name, output="labels")
    assert (done.objects, done.classes, done.ignore_value, done.notes) == (LABELS.max(), (), None, ())
    if name == "mask.zarr":
        found: Any = zarr.open_group(folder / name, mode="r")["0"][:]
    else:
        found = np.asarray(Image.open(folder / name)) if name == "mask.png" else tifffile.imread(folder / name)
    np.testing.assert_array_equal(np.squeeze(found), LABELS)


def test_stacks_keep_their_planes(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, *LABELS.shape), np.uint8), metadata={"axes": "ZYX"}, imagej=True)
    write_rois(tmp_path / "a.zip", LABELS, position=2)
    (done,) = unetkit.rasterize(tmp_path / "a.zip", tmp_path / "a.tif", tmp_path / "mask.tif", output="labels")
    found = tifffile.imread(tmp_path / "mask.tif")
    np.testing.assert_array_equal(found[2], LABELS)
    assert not found[:2].any()
    assert done.notes == ()


@pytest.mark.parametrize("kind", ["labelme", "coco"])
def test_a_folder_gets_a_mask_for_each_image(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn, images = tmp_path / "drawn", tmp_path / "images"
    drawn.mkdir()
    images.mkdir()
    truths: dict[str, NDArray[np.uint16]] = {"a": LABELS, "b": LABELS[::-1].copy()}
    for name, labels in truths.items():
        tifffile.imwrite(images / f"{name}.tif", labels)
        if kind == "labelme":
            write_labelme(drawn / f"{name}.json", labels, dict.fromkeys(NAMES, "cell" if name == "a" else "dirt"))
    if kind == "coco":
        drawn = tmp_path / "all.json"
        write_coco(drawn, truths, {"a": dict.fromkeys(NAMES, "cell"), "b": dict.fromkeys(NAMES, "dirt")})
    words = ["rasterize", str(drawn), str(images), str(tmp_path / "masks"), "--output", "classes"]
    assert main(words) == 0
    assert "Values: 0 background, 1 cell, 2 dirt." in capsys.readouterr().out
    for number, (name, labels) in enumerate(truths.items(), start=1):
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "masks" / f"{name}.tif"), np.where(labels, number, 0))
    assert main(words) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_an_object_outside_of_the_image_leaves_nothing_behind(folder: Path) -> None:
    before = sorted(folder.iterdir())
    far = {"type": "Polygon", "coordinates": [[[900, 900], [950, 900], [950, 950]]]}
    (folder / "a.geojson").write_text(json.dumps([far]))
    with pytest.raises(DataError, match="lies outside of the image"):
        unetkit.rasterize(folder / "a.geojson", folder / "a.ome.tif", folder / "mask.tif")
    assert sorted(folder.iterdir()) == before


def test_what_cannot_be_is_refused_before_anything_is_written(folder: Path) -> None:
    drawn, image = folder / "a.geojson", folder / "a.ome.tif"
    cases: list[tuple[Any, Any, Any, dict[str, Any], type[Exception], str]] = [
        (folder / "b.geojson", image, "m.tif", {}, DataError, "There is no file or folder"),
        (drawn, image, "a.ome.tif", {"overwrite": True}, OutputError, "is an input"),
        (drawn, image, "m.jpg", {}, OutputError, "does not say its format"),
        (drawn, image, "m.tif", {"output": "labls"}, ConfigError, "no output 'labls'"),
        (drawn, image, "m.tif", {"classes": "tumour"}, ConfigError, "classes have no meaning for the output 'mask'"),
        (drawn, image, "m.tif", {"ignore": "stromma"}, DataError, "No object in .* has the class 'stromma'"),
        (folder, image, "m.tif", {}, DataError, "is a folder, but .* is one image"),
        (drawn, folder, "masks", {}, DataError, "is of one image, but .* is a folder"),
        (folder, folder, ".", {}, OutputError, "is no folder of its own"),
    ]
    for given, of, result, options, error, problem in cases:
        with pytest.raises(error, match=problem):
            unetkit.rasterize(given, of, folder / result, **options)
    assert sorted(path.name for path in folder.iterdir()) == ["a.geojson", "a.ome.tif"]


def test_many_classes_are_probably_names_of_objects(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((40, 400), np.uint8))
    labels = np.repeat(np.arange(1, 301), 1)[None].repeat(4, 0).astype(np.uint16)
    write_geojson(tmp_path / "a.geojson", labels, {number: f"cell {number}" for number in range(1, 301)})
    with pytest.raises(DataError, match=r"300 classes in .*, but a mask holds 254"):
        unetkit.rasterize(tmp_path / "a.geojson", tmp_path / "a.tif", tmp_path / "m.tif", output="classes")
