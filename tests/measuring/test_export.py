"""`unetkit export`: label files of any program become files of QuPath and Fiji; or it is said why not."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
import shapely
import tifffile
from object_tables import blobs
from outlining import fill

import unetkit
from unetkit.cli import main
from unetkit.foundation.errors import ConfigError, DataError, ImageError, OutputError
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.base.stored import Step
from unetkit.io.files import create_sink
from unetkit.objects import label_file

LABELS = blobs((70, 60), 4, 1.5).astype(np.uint16)
IMAGE = np.random.default_rng(0).integers(0, 4000, LABELS.shape).astype(np.uint16)
COUNT = len(np.unique(LABELS)) - 1


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "labels.tif", LABELS)
    return tmp_path / "labels.tif"


def features(path: Path) -> list[dict[str, Any]]:
    text = path.read_bytes()
    found: list[dict[str, Any]] = json.loads(gzip.decompress(text) if path.suffix == ".gz" else text)["features"]
    return found


def drawn(found: list[dict[str, Any]], shape: tuple[int, int] = LABELS.shape) -> np.ndarray[Any, Any]:
    return fill({int(one["properties"]["name"]): shapely.geometry.shape(one["geometry"]) for one in found}, shape)


def test_a_label_file_becomes_geojson(tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.geojson.gz"
    assert main(["export", str(labels), str(out)]) == 0
    assert f"{COUNT} objects written to" in capsys.readouterr().out
    np.testing.assert_array_equal(drawn(features(out)), LABELS)
    measurements = features(out)[0]["properties"]["measurements"]
    assert list(measurements)[:2] == ["area_px", "equivalent_diameter_px"]
    area = {one["properties"]["name"]: one["properties"]["measurements"]["area_px"] for one in features(out)}
    assert area == {str(one): (one == LABELS).sum() for one in np.unique(LABELS) if one}


def test_measurements_are_in_micrometres_where_the_file_says_them(tmp_path: Path) -> None:
    spec = OutputSpec(size=LABELS.shape, dtype=np.dtype(np.uint16), pixel_size_um=(0.5, 0.5))
    create_sink(tmp_path / "labels.tif", spec).write(iter([LABELS[None]]))
    assert unetkit.export(tmp_path / "labels.tif", tmp_path / "out.geojson") == [COUNT]
    measurements = features(tmp_path / "out.geojson")[0]["properties"]["measurements"]
    assert "area_um2" in measurements
    assert "area_px" not in measurements


def test_intensities_of_an_image(tmp_path: Path, labels: Path) -> None:
    tifffile.imwrite(tmp_path / "image.tif", IMAGE)
    unetkit.export(labels, tmp_path / "out.geojson", tmp_path / "image.tif", ring="3")
    for one in features(tmp_path / "out.geojson"):
        inside = IMAGE[int(one["properties"]["name"]) == LABELS]
        assert one["properties"]["measurements"]["intensity_mean"] == pytest.approx(inside.mean(), rel=1e-6)
        assert "intensity_ring_mean" in one["properties"]["measurements"]


def test_objects_without_measurements(tmp_path: Path, labels: Path) -> None:
    unetkit.export(labels, tmp_path / "out.geojson", no_measurements=True, object_type="annotation")
    found = features(tmp_path / "out.geojson")
    np.testing.assert_array_equal(drawn(found), LABELS)
    assert all(one["properties"].keys() == {"objectType", "name"} for one in found)
    assert {one["properties"]["objectType"] for one in found} == {"annotation"}


@pytest.mark.parametrize("no_measurements", [False, True])
def test_classes_are_those_that_unetkit_has_noted(tmp_path: Path, no_measurements: bool) -> None:
    note = ("object_classes", f"tumour 1-2, stroma 3-{LABELS.max()}")
    spec = OutputSpec(size=LABELS.shape, dtype=np.dtype(np.uint16), notes=(note,))
    create_sink(tmp_path / "labels.tif", spec).write(iter([LABELS[None]]))
    unetkit.export(tmp_path / "labels.tif", tmp_path / "out.geojson", no_measurements=no_measurements)
    classes = {
        int(one["properties"]["name"]): one["properties"]["classification"]
        for one in features(tmp_path / "out.geojson")
    }
    assert classes[2] == {"name": "tumour"}
    assert classes[3] == {"name": "stroma"}


def test_stacks_keep_their_planes(tmp_path: Path) -> None:
    stack = np.stack([LABELS, LABELS[::-1]])
    spec = OutputSpec(
        size=LABELS.shape, dtype=np.dtype(np.uint16), plane_axes="Z", plane_shape=(2,), steps=(Step("Z", 2.0, "µm"),)
    )
    create_sink(tmp_path / "labels.tif", spec).write(iter(stack[:, None]))
    assert unetkit.export(tmp_path / "labels.tif", tmp_path / "out.geojson") == [2 * COUNT]
    found = features(tmp_path / "out.geojson")
    for z, plane in enumerate(stack):
        here = [one for one in found if one["geometry"].get("plane", {}).get("z", 0) == z]
        np.testing.assert_array_equal(drawn(here), plane)
    assert not {"z", "z_um"} & found[0]["properties"]["measurements"].keys()
    unetkit.export(tmp_path / "labels.tif", tmp_path / "out.zip")
    assert {roi.position for roi in roifile.roiread(tmp_path / "out.zip")} == {1, 2}


def test_a_label_file_becomes_rois(tmp_path: Path, labels: Path) -> None:
    assert main(["export", str(labels), str(tmp_path / "rois.zip")]) == 0
    names = {roi.name for roi in roifile.roiread(tmp_path / "rois.zip")}
    assert names == {str(one) for one in np.unique(LABELS) if one}


def test_objects_in_distant_pieces_are_whole_whatever_the_strips(
    tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spread = np.where(LABELS > 0, LABELS % 3 + 1, 0).astype(np.uint8)
    tifffile.imwrite(tmp_path / "spread.tif", spread)
    monkeypatch.setattr(label_file, "STRIP_PIXELS", 300)
    for name, expected in (("labels", LABELS), ("spread", spread)):
        unetkit.export(tmp_path / f"{name}.tif", tmp_path / f"{name}.geojson")
        np.testing.assert_array_equal(drawn(features(tmp_path / f"{name}.geojson")), expected)


def test_a_folder_of_labels_becomes_a_folder(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / "masks" / f"{name}.tif", LABELS)
    assert unetkit.export(tmp_path / "masks", tmp_path / "out") == [COUNT, COUNT]
    assert main(["export", str(tmp_path / "masks"), str(tmp_path / "out"), "--suffix", ".zip"]) == 0
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == [
        *("a.geojson.gz", "a.zip", "b.geojson.gz", "b.zip")
    ]
    with pytest.raises(OutputError, match="2 of 2 results exist"):
        unetkit.export(tmp_path / "masks", tmp_path / "out")
    with pytest.raises(OutputError, match=r"suffix '\.png'"):
        unetkit.export(tmp_path / "masks", tmp_path / "out", suffix=".png")
    (tmp_path / "masks" / "bad.tif").write_bytes(b"II*\0")
    with pytest.raises(DataError, match=r"1 of 3 label images were not exported: .*bad\.tif"):
        unetkit.export(tmp_path / "masks", tmp_path / "out", overwrite=True)


def test_nothing_in_the_labels_is_a_collection_without_features(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "labels.tif", np.zeros((9, 9), np.uint16))
    said: list[str] = []
    assert unetkit.export(tmp_path / "labels.tif", tmp_path / "out.geojson.gz", log=said.append) == [0]
    assert features(tmp_path / "out.geojson.gz") == []
    assert "has no objects" in said[-1]


def test_bad_input_is_refused_before_anything_is_written(tmp_path: Path, labels: Path) -> None:
    tifffile.imwrite(tmp_path / "probabilities.tif", np.random.default_rng(0).random((40, 40)).astype(np.float32))
    tifffile.imwrite(tmp_path / "image.tif", IMAGE)
    (tmp_path / "text.tif").write_text("no image")
    out = tmp_path / "out.geojson"
    before = set(tmp_path.iterdir())
    for error, words, arguments, options in (
        (ImageError, "text.tif", (tmp_path / "text.tif", out), {}),
        (DataError, "fractions", (tmp_path / "probabilities.tif", out), {}),
        (DataError, "There is no file", (tmp_path / "missing.tif", out), {}),
        (OutputError, "no format of objects", (labels, labels), {"overwrite": True}),
        (OutputError, "no format of objects", (labels, tmp_path / "out.csv"), {}),
        (ConfigError, "cannot hold measurements", (labels, tmp_path / "out.zip", tmp_path / "image.tif"), {}),
        (ConfigError, "without measurements", (labels, out, tmp_path / "image.tif"), {"no_measurements": True}),
        (ConfigError, "without an image", (labels, out), {"ring": "3"}),
        (ConfigError, "no distance", (labels, out), {"simplify": float("nan")}),
    ):
        with pytest.raises(error, match=words):
            unetkit.export(*arguments, **options)
    assert set(tmp_path.iterdir()) == before


def test_a_file_that_breaks_off_leaves_nothing_half_written(tmp_path: Path) -> None:
    large = np.kron(LABELS, np.ones((8, 8), np.uint16))
    tifffile.imwrite(tmp_path / "labels.tif", large, tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(tmp_path / "labels.tif") as file:
        last = file.pages.first.dataoffsets[-2]
    content = bytearray((tmp_path / "labels.tif").read_bytes())
    content[last : last + 20] = b"\xff" * 20
    (tmp_path / "labels.tif").write_bytes(content)
    for name in ("out.geojson", "out.geojson.gz", "out.zip"):
        with pytest.raises(ImageError):
            unetkit.export(tmp_path / "labels.tif", tmp_path / name)
    assert [one.name for one in tmp_path.iterdir()] == ["labels.tif"]
