"""Labels, tables and outlines of volumes from the run that makes them, against the whole volume and `measure`."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import skimage.measure
import tifffile
from numpy.typing import NDArray

import unetkit
from unetkit.errors import ConfigError, OutputError
from unetkit.inference.tiling import blocks
from unetkit.models.segmenter import Segmenter
from unetkit.postprocess import blocks as label_blocks

Make = Callable[..., Segmenter]
SIZE = (20, 44, 38)
CHOICES: dict[str, Any] = {"device": "cpu", "backend": "torch", "halo": 8, "tile": "24,32,32", "output": "labels"}


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 60, SIZE)
    image = np.kron(noise[::4, ::4, ::4], np.ones((4, 4, 4)))[tuple(slice(0, extent) for extent in SIZE)]
    metadata = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    tifffile.imwrite(tmp_path / "in.tif", image.astype(np.uint8), imagej=True, metadata=metadata, resolution=(2, 2))
    return tmp_path / "in.tif"


def outlined(path: Path, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the labels of outlines, filled plane by plane."""
    import shapely

    found = np.zeros(shape, np.int64)
    y, x = np.mgrid[: shape[1], : shape[2]] + 0.5
    for feature in json.loads(path.read_text())["features"]:
        z = feature["geometry"].get("plane", {"z": 0})["z"]
        inside = shapely.contains_xy(shapely.from_geojson(json.dumps(feature["geometry"])), x, y)
        assert not found[z][inside].any()
        found[z][inside] = int(feature["properties"]["name"])
    return found


@pytest.mark.parametrize("band", [None, 3000], ids=["whole bands", "cut bands"])
def test_labels_are_those_of_the_whole_mask_and_the_table_that_of_measure(
    exact_segmenter: Make, stack: Path, band: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, model = stack.parent, exact_segmenter(stride=(1, 1, 1))
    if band is not None:
        monkeypatch.setattr(blocks, "BAND_BYTES", band)
        monkeypatch.setattr(label_blocks, "VOLUME_STRIP", 44 * 38 * 3)
        monkeypatch.setattr(label_blocks, "VOLUME_TILE", 900)
    unetkit.segment(stack, folder / "mask.tif", model=model, **{**CHOICES, "output": "mask"})
    files = {"table": folder / "t.csv", "geojson": folder / "g.geojson"}
    (done,) = unetkit.segment(stack, folder / "l.tif", model=model, min_size=0, **CHOICES, **files)
    labels = tifffile.imread(folder / "l.tif")
    expected = skimage.measure.label(tifffile.imread(folder / "mask.tif") > 0, connectivity=3)
    assert done.objects == expected.max() > 5
    np.testing.assert_array_equal(labels, expected)
    unetkit.measure(folder / "l.tif", stack, folder / "m.csv")  # that they are volumes is noted in them
    rows = read(folder / "t.csv")
    assert rows == read(folder / "m.csv")
    assert [int(row["volume_px"]) for row in rows] == np.bincount(labels.ravel())[1:].tolist()
    assert float(rows[0]["volume_um3"]) == pytest.approx(float(rows[0]["volume_px"]) * 2 * 0.5 * 0.5)
    np.testing.assert_array_equal(outlined(folder / "g.geojson", SIZE), labels)
    again = unetkit.predict_tiled(tifffile.imread(stack), model, axes="ZYX", min_size=0, **{**CHOICES, "tile": 64})
    np.testing.assert_array_equal(again, expected)


def test_a_table_is_made_later_for_labels_that_are_kept(exact_segmenter: Make, stack: Path) -> None:
    folder, model = stack.parent, exact_segmenter(stride=(1, 1, 1))
    unetkit.segment(stack, folder / "l.tif", model=model, **CHOICES)
    before = (folder / "l.tif").read_bytes()
    unetkit.segment(stack, folder / "l.tif", model=model, **CHOICES, table=folder / "t.csv", resume=True)
    assert (folder / "l.tif").read_bytes() == before
    assert len(read(folder / "t.csv")) == tifffile.imread(folder / "l.tif").max()
    (folder / "t.csv").unlink()
    with pytest.raises(OutputError, match="holds other labels"):
        unetkit.segment(
            stack, folder / "l.tif", model=model, **CHOICES, min_size=50, table=folder / "t.csv", resume=True
        )


def test_small_objects_are_counted_in_voxels_and_touching_ones_split(exact_segmenter: Make, stack: Path) -> None:
    folder, model = stack.parent, exact_segmenter(stride=(1, 1, 1))
    found = {}
    for name, choices in {"all": {"min_size": 0}, "large": {"min_size": 200}, "split": {"split": True}}.items():
        unetkit.segment(stack, folder / f"{name}.tif", model=model, **CHOICES, **choices)
        found[name] = tifffile.imread(folder / f"{name}.tif")
    sizes = np.bincount(found["all"].ravel())
    np.testing.assert_array_equal(found["large"] > 0, (sizes >= 200)[found["all"]] & (found["all"] > 0))
    assert found["split"].max() > found["all"].max()
    one_piece = [scipy.ndimage.label(found["split"] == i, np.ones((3, 3, 3)))[1] for i in range(1, 4)]
    assert one_piece == [1, 1, 1]


def test_rings_of_volumes_are_refused_before_any_work(exact_segmenter: Make, stack: Path) -> None:
    model = exact_segmenter(stride=(1, 1, 1))
    with pytest.raises(ConfigError, match="these are volumes"):
        unetkit.segment(stack, stack.parent / "l.tif", model=model, **CHOICES, table=stack.parent / "t.csv", ring="2um")
    assert not (stack.parent / "l.tif").exists()


def test_the_page_of_a_volume_shows_its_middle_plane_and_counts_volumes(exact_segmenter: Make, stack: Path) -> None:
    page, model = stack.parent / "page.html", exact_segmenter(stride=(1, 1, 1))
    (done,) = unetkit.segment(stack, stack.parent / "l.tif", model=model, min_size=0, **CHOICES, report=page)
    text = page.read_text(encoding="utf-8")
    sizes = np.bincount(tifffile.imread(stack.parent / "l.tif").ravel())[1:]
    assert f"{done.objects:,} <" in re.sub(r"\s*<", " <", text)
    assert f"{np.median(sizes) * 0.5:g} µm³" in text
    assert "plane 10 (from 0) is shown" in text
    assert "volume in µm³" in text
    assert "cannot be shown" not in text
