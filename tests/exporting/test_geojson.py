"""GeoJSON: what shapely and geopandas read of it, what QuPath asks for, and nothing half-written."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import geopandas
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from outlining import fill, objects_of
from skimage.measure import label

from unetkit.exporting.base import NO_VALUES, Scene, Values
from unetkit.exporting.exporters import check_export, open_export
from unetkit.exporting.geojson import IDS, measurements_of
from unetkit.exporting.options import DEFAULT_EXPORT, ExportOptions
from unetkit.foundation.atomic import partial_place
from unetkit.foundation.errors import ConfigError, OutputError
from unetkit.objects.collector import Collector

CELLS = Scene("cells")


def no_warning(sentence: str) -> None:
    raise AssertionError(sentence)


def export(
    path: Path,
    labels: NDArray[Any],
    values: Values = NO_VALUES,
    scene: Scene = CELLS,
    options: ExportOptions = DEFAULT_EXPORT,
) -> list[Any]:
    """Write the objects of one plane, or of several, and return the features."""
    with open_export(path, scene, options, warn=no_warning) as writer:
        for plane, rows in enumerate(labels if labels.ndim == 3 else [labels]):
            if (objects := objects_of(rows, plane)) is not None:
                writer.add(objects, values)
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    collection = json.loads(text)
    assert collection["type"] == "FeatureCollection"
    return list(collection["features"])


def some_labels(seed: int = 0) -> NDArray[np.int64]:
    """Return objects in pieces and with holes."""
    noise = np.random.default_rng(seed).random((60, 70))
    return label(noise > 0.4, connectivity=2) + np.where(noise < 0.02, 1000, 0)


@pytest.mark.parametrize("suffix", [".geojson", ".geojson.gz"])
def test_geopandas_reads_the_very_same_pixels(tmp_path: Path, suffix: str) -> None:
    labels = some_labels()
    export(tmp_path / f"out{suffix}", labels)
    text = (tmp_path / f"out{suffix}").read_bytes()
    frame = geopandas.read_file(gzip.decompress(text).decode() if suffix.endswith("gz") else text.decode())
    assert frame.geometry.is_valid.all()
    assert {"Polygon", "MultiPolygon"} == set(frame.geometry.geom_type)
    np.testing.assert_array_equal(
        fill(dict(zip(frame["name"].astype(int), frame.geometry, strict=True)), labels.shape), labels
    )
    assert set(frame["objectType"]) == {"detection"}


def test_a_feature_has_what_qupath_reads(tmp_path: Path) -> None:
    labels = np.zeros((6, 6), np.uint16)
    labels[1:3, 1:4], labels[5, 5] = 7, 9
    values = {
        "label": np.array([7, 9]),
        "class": np.array(["tumour", ""], object),
        "area_um2": np.array([1.5, np.nan]),
        "touches_border": np.array([False, True]),
    }
    first, second = export(tmp_path / "out.geojson", labels, values)
    assert first == {
        "type": "Feature",
        "id": str(uuid5(uuid5(IDS, "cells/0"), "7")),
        "geometry": {"type": "Polygon", "coordinates": [[[1, 3], [1, 1], [4, 1], [4, 3], [1, 3]]]},
        "properties": {
            "objectType": "detection",
            "name": "7",
            "classification": {"name": "tumour"},
            "measurements": {"area_um2": 1.5, "touches_border": 0},
        },
    }
    assert "classification" not in second["properties"]
    assert second["properties"]["measurements"] == {"touches_border": 1}


def test_planes_are_those_of_qupath(tmp_path: Path) -> None:
    stack = np.ones((6, 2, 2), np.uint8)
    features = export(tmp_path / "out.geojson", stack, scene=Scene("cells", "TZ", (2, 3)))
    planes = [feature["geometry"].get("plane") for feature in features]
    assert planes == [None, *({"c": -1, "z": z, "t": t} for t, z in [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2)])]
    ids = {UUID(feature["id"]) for feature in features}
    assert len(ids) == 6
    assert {one.version for one in ids} == {5}


def test_annotations_on_request(tmp_path: Path) -> None:
    features = export(tmp_path / "out.geojson", np.eye(2, dtype=int), options=ExportOptions("annotation"))
    assert features[0]["properties"]["objectType"] == "annotation"


def test_nothing_in_a_label_image_is_a_collection_without_features(tmp_path: Path) -> None:
    assert export(tmp_path / "out.geojson.gz", np.zeros((3, 3), np.uint8)) == []
    assert len(geopandas.read_file(gzip.decompress((tmp_path / "out.geojson.gz").read_bytes()).decode())) == 0


def test_large_coordinates_are_written_in_full(tmp_path: Path) -> None:
    labels = np.zeros((1, 1_200_000), np.uint8)
    labels[0, 999_990:1_100_000], labels[0, 3] = 1, 2
    first, second = export(tmp_path / "out.geojson", labels)
    assert first["geometry"]["coordinates"][0][0] == [999_990, 1]
    assert first["geometry"]["coordinates"][0][2] == [1_100_000, 0]
    assert second["geometry"]["coordinates"][0][0] == [3, 1]


def test_simpler_outlines_are_valid_and_near(tmp_path: Path) -> None:
    y, x = np.mgrid[:200, :200]
    labels = (np.hypot(y - 100, x - 100) < 90).astype(np.uint8) - (np.hypot(y - 90, x - 110) < 30)
    exact = export(tmp_path / "exact.geojson", labels)
    simple = export(tmp_path / "simple.geojson", labels, options=ExportOptions(simplify=2.0))
    one, other = (shapely.geometry.shape(features[0]["geometry"]) for features in (exact, simple))
    assert other.is_valid
    assert len(other.interiors) == 1
    assert shapely.get_num_coordinates(other) < shapely.get_num_coordinates(one) / 5
    assert one.hausdorff_distance(other) <= 2.0


def test_simpler_outlines_of_ragged_objects_are_valid(tmp_path: Path) -> None:
    for seed, tolerance in enumerate((0.5, 1.0, 2.0, 5.0)):
        found = export(tmp_path / f"{seed}.geojson", some_labels(seed), options=ExportOptions(simplify=tolerance))
        assert shapely.is_valid([shapely.geometry.shape(feature["geometry"]) for feature in found]).all()


def test_objects_may_come_in_any_number_of_batches(tmp_path: Path) -> None:
    labels = label(some_labels() > 0, connectivity=2)
    whole = export(tmp_path / "whole.geojson", labels)
    with open_export(tmp_path / "parts.geojson.gz", Scene("cells"), warn=no_warning) as writer:
        collector = Collector(0, len(labels))
        for top in range(0, len(labels), 3):
            objects = collector.add(labels[top : top + 3])[1]
            if objects is not None:
                writer.add(objects)
    parts = json.loads(gzip.decompress((tmp_path / "parts.geojson.gz").read_bytes()))["features"]
    assert sorted(parts, key=lambda one: int(one["properties"]["name"])) == whole


def test_measurements_are_what_the_outline_does_not_say() -> None:
    names = ["label", "t", "z", "z_um", "centroid_y_px", "bbox_top_px", "area_px", "area_um2", "perimeter_px"]
    values = {name: np.ones(1) for name in [*names, "DAPI_mean", "z_mean"]} | {"class": np.array(["a"], object)}
    assert list(measurements_of(values, "TZ")) == ["area_um2", "perimeter_px", "DAPI_mean", "z_mean"]


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "out.geojson.gz"
    path.write_text("kept")
    objects = objects_of(np.eye(3, dtype=int))
    assert objects is not None

    def fail() -> None:
        with open_export(path, CELLS, warn=no_warning, overwrite=True) as writer:
            writer.add(objects)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [one.name for one in tmp_path.iterdir()] == ["out.geojson.gz"]
    assert path.read_text() == "kept"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("suffix", [".geojson", ".geojson.gz", ".zip"])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    objects = objects_of(some_labels())
    assert objects is not None
    partial_place(path).symlink_to("/dev/full")

    def fill_the_disk() -> None:
        with open_export(path, CELLS, warn=no_warning) as writer:
            for _ in range(8):
                writer.add(objects)

    with pytest.raises(OutputError, match=r"cannot be written: No space left on device"):
        fill_the_disk()
    assert not list(tmp_path.iterdir())


def test_outputs_are_checked_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there.geojson").touch()
    with pytest.raises(OutputError, match="exists"):
        check_export(tmp_path / "there.geojson")
    check_export(tmp_path / "there.geojson", overwrite=True)
    with pytest.raises(OutputError, match=r"suffix '\.json', which is no format of objects. Use \.geojson"):
        check_export(tmp_path / "out.json")
    with pytest.raises(ConfigError, match="is no distance"):
        ExportOptions(simplify=-1)
    monkeypatch.setitem(__import__("sys").modules, "shapely", None)
    with pytest.raises(ConfigError, match=r"pip install unetkit\[annotations\]"):
        check_export(tmp_path / "out.geojson", ExportOptions(simplify=1))
