"""Labels of volumes in files: what says that they are volumes, and what is measured and exported of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from nifti_files import write_nifti
from object_tables import blobs
from pyarrow.parquet import read_table
from skimage.measure import regionprops_table

import unetkit
from unetkit.cli import main
from unetkit.foundation.errors import ConfigError, DataError, ImageError, UnetkitError
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.files import create_sink
from unetkit.io.ome_zarr.chunks import ZarrChunks
from unetkit.objects import label_file

LABELS = blobs((12, 30, 26), 4, 1.5, above=0.5).astype(np.uint16)
IMAGE = np.random.default_rng(0).integers(0, 4000, (2, *LABELS.shape)).astype(np.uint16)
VOXEL = (2.0, 0.5, 0.4)


def table(labels: Path, image: Path | None = None, **options: Any) -> dict[str, list[Any]]:
    result = labels.parent / "objects.parquet"
    unetkit.measure(labels, image, result, overwrite=True, **options)
    found: dict[str, list[Any]] = read_table(result).to_pydict()
    return found


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "labels.tif", LABELS, metadata={"axes": "ZYX"}, ome=True)
    return tmp_path / "labels.tif"


def test_a_stack_is_planes_unless_its_user_says_that_it_is_a_volume(
    stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes = table(stack)
    assert len(planes["label"]) > LABELS.max()
    assert set(planes["z"]) == set(range(12))
    monkeypatch.setattr(label_file, "STRIP_PIXELS", 3 * 30 * 26)
    found = table(stack, dims=3, pixel_size_um=VOXEL)
    true = regionprops_table(LABELS, properties=("label", "area", "centroid"), spacing=VOXEL)
    assert found["label"] == true["label"].tolist()
    np.testing.assert_allclose(found["volume_um3"], true["area"])
    np.testing.assert_allclose(found["centroid_z_um"], true["centroid-0"])
    assert "z" not in found


def test_nifti_labels_are_volumes_with_voxels_of_their_size(tmp_path: Path) -> None:
    affine = np.diag([0.7, 1.25, 3.0, 1])
    path = write_nifti(tmp_path / "labels.nii.gz", LABELS.T.astype(np.int16), affine=affine)
    image = write_nifti(tmp_path / "image.nii.gz", IMAGE[0].T, affine=affine)
    found = table(path, image)
    spacing = (3000.0, 1250.0, 700.0)
    true = regionprops_table(LABELS, IMAGE[0], properties=("label", "area", "intensity_mean"), spacing=spacing)
    assert found["label"] == true["label"].tolist()
    np.testing.assert_allclose(found["volume_um3"], true["area"], rtol=1e-6)
    np.testing.assert_allclose(found["intensity_mean"], true["intensity_mean"])
    assert len(table(path, dims=2)["label"]) > len(found["label"])


def test_an_array_of_a_volume_has_the_table_of_its_file(stack: Path) -> None:
    image = stack.with_name("image.tif")
    tifffile.imwrite(image, np.moveaxis(IMAGE, 0, 1), metadata={"axes": "ZCYX"}, ome=True)
    expected = table(stack, image, dims=3, pixel_size_um=VOXEL)
    assert {"channel_1_std", "surface_um2", "sphericity"} <= expected.keys()
    expected.pop("region")
    for axes in (None, "ZYX"):
        found = unetkit.measure_array(LABELS, IMAGE, axes=axes, dims=3, pixel_size_um=VOXEL)
        assert {name: column.tolist() for name, column in found.items()} == expected


def test_several_volumes_are_measured_one_after_the_other(tmp_path: Path) -> None:
    twice = np.stack([LABELS, LABELS[:, ::-1]])
    found = unetkit.measure_array(twice, axes="TZYX", dims=3)
    one = unetkit.measure_array(LABELS, axes="ZYX", dims=3)
    assert found["t"].tolist() == [0] * len(one["label"]) + [1] * len(one["label"])
    assert found["surface_px2"].tolist() == pytest.approx([*one["surface_px2"]] * 2)


def test_connected_parts_of_a_mask_go_through_planes(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "mask.tif", (LABELS > 0).view(np.uint8), metadata={"axes": "ZYX"}, ome=True)
    found = table(tmp_path / "mask.tif", connected=True, dims=3)
    assert sorted(found["volume_px"]) == sorted(np.bincount(LABELS.ravel())[1:].tolist())


def test_the_summary_of_a_folder_counts_volumes(stack: Path, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    stack.rename(tmp_path / "many" / "a.tif")
    assert (
        main(["measure", f"{tmp_path / 'many'}", f"{tmp_path / 'out'}", "--dims=3", "--pixel-size-um=2,0.5,0.4"]) == 0
    )
    head, row = (line.split(",") for line in (tmp_path / "out" / "summary.csv").read_text().splitlines())
    cells = dict(zip(head, row, strict=True))
    assert (cells["volumes"], cells["depth_px"], cells["voxel_depth_um"]) == ("1", "12", "2")
    assert int(cells["objects"]) == LABELS.max()
    assert float(cells["mean_volume_um3"]) == pytest.approx((LABELS > 0).sum() * 0.4 / LABELS.max(), rel=1e-6)


def test_an_object_of_a_volume_has_an_outline_in_each_plane_with_its_measurements(stack: Path) -> None:
    result = stack.with_name("objects.geojson")
    assert unetkit.export(stack, result, dims=3, pixel_size_um=VOXEL) == [LABELS.max()]
    features = json.loads(result.read_text())["features"]
    found = sorted((int(one["properties"]["name"]), one["geometry"].get("plane", {"z": 0})["z"]) for one in features)
    expected = [(n, z) for n in range(1, LABELS.max() + 1) for z in range(12) if (LABELS[z] == n).any()]
    assert found == expected
    assert len({one["id"] for one in features}) == len(features)
    volumes = np.bincount(LABELS.ravel()) * 0.4
    for one in features:
        measured = one["properties"]["measurements"]
        assert measured["volume_um3"] == pytest.approx(volumes[int(one["properties"]["name"])], rel=1e-5)
        assert "volume_px" not in measured


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"dims": 4}, ConfigError, "dims is 4"),
        ({"dims": 3, "pixel_size_um": "1,2"}, ConfigError, "has 2 numbers, but the labels are volumes"),
        ({"pixel_size_um": "1,2,3"}, ConfigError, "has 3 numbers, but the labels are planes"),
        ({"pixel_size_um": "1,x"}, ConfigError, "has no meaning"),
    ],
)
def test_what_has_no_meaning_is_refused(stack: Path, options: Any, error: type[UnetkitError], said: str) -> None:
    with pytest.raises(error, match=said):
        table(stack, **options)


def test_rings_and_images_of_other_sizes_are_refused(stack: Path) -> None:
    image = stack.with_name("image.tif")
    tifffile.imwrite(image, IMAGE[0], metadata={"axes": "ZYX"}, ome=True)
    with pytest.raises(ConfigError, match="these are volumes"):
        table(stack, image, dims=3, ring="3")
    tifffile.imwrite(image, IMAGE[0, 1:], metadata={"axes": "ZYX"}, ome=True)
    with pytest.raises(DataError, match=r"has 12 x 30 x 26 pixels, but .* 11 x 30 x 26"):
        table(stack, image, dims=3)
    tifffile.imwrite(stack, LABELS[0], metadata={"axes": "YX"})
    with pytest.raises(ImageError, match="has one plane"):
        table(stack, dims=3)


def test_a_chunk_that_lies_in_many_planes_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_file, "STRIP_PIXELS", 2 * 30 * 26)
    monkeypatch.setattr(label_file, "LEAST_CACHE_BYTES", 1000)
    for name, pixels in (("labels", LABELS), ("image", IMAGE[0])):
        create_sink(tmp_path / f"{name}.zarr", OutputSpec(pixels.shape, pixels.dtype)).write([pixels[None]])
    decoded: Counter[str] = Counter()
    decode = ZarrChunks.decode

    def note(self: ZarrChunks, box: Any, encoded: None) -> Any:
        decoded[f"{self.name} {box}"] += 1
        return decode(self, box, encoded)

    monkeypatch.setattr(ZarrChunks, "decode", note)
    table(tmp_path / "labels.zarr", tmp_path / "image.zarr", dims=3)
    assert [*decoded.values()] == [1, 1]
