"""Labels inside an OME-Zarr image, opened by the reader of napari, ome-zarr-models and SpatialData."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from unetkit.foundation.synthetic import make_cells
from unetkit.inference.segment import segment
from unetkit.zoo.references import find_model

EXAMPLE = Path(__file__).parents[2] / "examples/spatialdata_table.py"
VERSIONS = {2: "v04", 3: "v05"}


@pytest.fixture(params=VERSIONS)
def image(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Any]:
    """An image (z, y, x) of three levels with the labels `nuclei`, and its version of Zarr."""
    zarr_format = request.param
    pixels = np.stack([make_cells(200, 240, seed=seed)[0] for seed in range(2)])
    path = tmp_path / "in.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    datasets = []
    for level in range(3):
        names: dict[str, Any] = {} if zarr_format == 2 else {"dimension_names": "zyx"}
        group.create_array(str(level), data=pixels[:, :: 2**level, :: 2**level], **names)
        scale = {"type": "scale", "scale": [2.0, 0.5 * 2**level, 0.5 * 2**level]}
        datasets.append({"path": str(level), "coordinateTransformations": [scale]})
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    multiscales = [{"name": "cells", "axes": axes, "datasets": datasets}]
    if zarr_format == 2:
        group.attrs["multiscales"] = [{"version": "0.4", **multiscales[0]}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    table = path.parent / "objects.csv"
    segment(path, path, find_model("nuclei"), output="labels", name="nuclei", table=table)
    return path, zarr_format


def test_napari_shows_the_labels_over_the_image_at_every_level(image: tuple[Path, Any]) -> None:
    reader = pytest.importorskip("napari_ome_zarr")
    path, zarr_format = image
    layers = reader.napari_get_reader(str(path))(str(path))
    (pixels, at, _), (labels, on, kind) = layers
    assert kind == "labels"
    assert [one.shape for one in labels] == [one.shape for one in pixels]
    assert on["scale"] == at["scale"]
    stored = zarr.open_group(path / "labels/nuclei", mode="r", zarr_format=zarr_format)
    for level, one in enumerate(labels):
        np.testing.assert_array_equal(np.asarray(one), stored[str(level)][:])


def test_ome_zarr_models_finds_image_and_labels_valid(image: tuple[Path, Any]) -> None:
    pytest.importorskip("ome_zarr_models")
    path, zarr_format = image
    models = importlib.import_module(f"ome_zarr_models.{VERSIONS[zarr_format]}")
    found = models.Image.from_zarr(zarr.open_group(path, mode="r", zarr_format=zarr_format))
    assert found.labels is not None
    attributes = found.labels.attributes if zarr_format == 2 else found.labels.attributes.ome
    assert list(attributes.labels) == ["nuclei"]
    one = models.ImageLabel.from_zarr(zarr.open_group(path / "labels/nuclei", mode="r", zarr_format=zarr_format))
    assert len((one.attributes if zarr_format == 2 else one.attributes.ome).multiscales[0].datasets) == 3


def test_spatialdata_joins_the_table_to_the_labels(image: tuple[Path, Any], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        spatialdata = pytest.importorskip("spatialdata")
    path, _ = image
    spec = importlib.util.spec_from_file_location("spatialdata_table", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    loaded = example.load(str(path / "labels/nuclei"), str(tmp_path / "objects.csv"))
    labels = np.asarray(loaded.labels["nuclei"])
    assert loaded.tables["objects"].n_obs == labels.max() > 10
    element, joined = spatialdata.join_spatialelement_table(
        sdata=loaded, spatial_element_names="nuclei", table_name="objects", how="left", match_rows="left"
    )
    assert set(element) == {"nuclei"}
    sizes = np.bincount(labels.ravel())
    areas = joined[:, "area_px"].X.ravel()
    np.testing.assert_array_equal(areas, sizes[joined.obs["label"]])
