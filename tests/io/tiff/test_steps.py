"""Distances between planes, as files of several kinds give them."""

import numpy as np
import pytest
import tifffile
import zarr

from unetkit.io.base.read_options import ReadOptions
from unetkit.io.base.stored import Step
from unetkit.io.files import open_image
from unetkit.report.info import describe_image

PIXELS = np.zeros((2, 3, 20, 30), np.uint8)


def steps_of(path, **reading):
    return open_image(path, ReadOptions(**reading)).info.steps


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"PhysicalSizeZ": 2.0, "TimeIncrement": 30.0}, [("Z", 2, "µm"), ("T", 30, "s")]),
        ({"PhysicalSizeZ": 50.0, "PhysicalSizeZUnit": "nm"}, [("Z", 0.05, "µm")]),
        ({"TimeIncrement": 1.5, "TimeIncrementUnit": "min"}, [("T", 90, "s")]),
        ({"TimeIncrement": 250, "TimeIncrementUnit": "ms"}, [("T", 0.25, "s")]),
        ({"PhysicalSizeZ": 2.0, "PhysicalSizeZUnit": "pixel"}, []),
        ({"PhysicalSizeZ": 0.0}, []),
        ({}, []),
    ],
)
def test_ome_tiff(tmp_path, metadata, expected):
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, metadata={"axes": "TZYX", **metadata})
    found = steps_of(tmp_path / "a.ome.tif")
    assert [(step.axis, pytest.approx(step.size), step.unit) for step in found] == expected


def test_an_axis_that_the_image_does_not_have_has_no_step(tmp_path):
    metadata = {"axes": "TYX", "PhysicalSizeZ": 2.0, "TimeIncrement": 3.0}
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS[:, 0], metadata=metadata)
    assert steps_of(tmp_path / "a.ome.tif") == (Step("T", 3.0, "s"),)


def test_imagej(tmp_path):
    metadata = {"axes": "TZYX", "spacing": 2.0, "unit": "um", "finterval": 0.5}
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, imagej=True, metadata=metadata, resolution=(2, 2))
    assert steps_of(tmp_path / "a.tif") == (Step("Z", 2.0, "µm"), Step("T", 0.5, "s"))
    del metadata["unit"]
    tifffile.imwrite(tmp_path / "b.tif", PIXELS, imagej=True, metadata=metadata)
    assert steps_of(tmp_path / "b.tif") == (Step("T", 0.5, "s"),)


def write_zarr(path, zarr_format, scale, units):
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    axes = [{"name": n, "type": k} for n, k in zip("tzyx", ("time", "space", "space", "space"), strict=True)]
    axes = [{**axis, **({"unit": unit} if unit else {})} for axis, unit in zip(axes, units, strict=True)]
    datasets = []
    for level in range(2):
        group.create_array(str(level), data=PIXELS[:, :, :: level + 1, :: level + 1])
        scales = [{"type": "scale", "scale": [*scale[:2], *(one * 2**level for one in scale[2:])]}]
        datasets.append({"path": str(level), "coordinateTransformations": scales})
    multiscales = [{"axes": axes, "datasets": datasets, **({"version": "0.4"} if zarr_format == 2 else {})}]
    group.attrs.update(
        {"multiscales": multiscales} if zarr_format == 2 else {"ome": {"version": "0.5", "multiscales": multiscales}}
    )


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_ome_zarr(tmp_path, zarr_format):
    write_zarr(tmp_path / "a.zarr", zarr_format, [0.5, 200, 0.25, 0.5], ["minute", "nanometer", *2 * ["micrometer"]])
    for level in (0, 1):
        assert steps_of(tmp_path / "a.zarr", level=level) == (Step("T", 30.0, "s"), Step("Z", pytest.approx(0.2), "µm"))


def test_ome_zarr_without_units_keeps_its_scales_so_that_results_lie_over_it(tmp_path):
    write_zarr(tmp_path / "a.zarr", 3, [1, 2, 0.25, 0.5], [None] * 4)
    assert steps_of(tmp_path / "a.zarr", level=1) == (Step("Z", 2, ""), Step("Y", 0.5, ""))  # 1 says nothing
    assert steps_of(tmp_path / "a.zarr") == (Step("Z", 2, ""), Step("Y", 0.25, ""), Step("X", 0.5, ""))


def test_info_shows_them(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, metadata={"axes": "TZYX", "PhysicalSizeZ": 2, "TimeIncrement": 30})
    facts = describe_image(open_image(tmp_path / "a.ome.tif").info)
    assert facts["steps"] == "Z 2 µm, T 30 s"
    tifffile.imwrite(tmp_path / "b.tif", PIXELS[0, 0])
    assert "steps" not in describe_image(open_image(tmp_path / "b.tif").info)
