"""Channels by number and by name, in every format that names them."""

import numpy as np
import pytest
import tifffile
import zarr

from unetkit.foundation.errors import ConfigError, ImageError
from unetkit.io.base.channels import pick_channels
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import open_image

NAMES = ("DAPI", "GFP", "488")
PIXELS = np.arange(3 * 9 * 8, dtype=np.uint8).reshape(3, 9, 8)


def write_ome(path):
    tifffile.imwrite(path / "a.ome.tif", PIXELS, metadata={"axes": "CYX", "Channel": {"Name": list(NAMES)}})
    return path / "a.ome.tif"


def write_imagej(path):
    labels = [f"c:{i + 1}/3 - {name}" for i, name in enumerate(NAMES)]
    tifffile.imwrite(path / "a.tif", PIXELS, imagej=True, metadata={"axes": "CYX", "Labels": labels})
    return path / "a.tif"


def write_zarr(path):
    group = zarr.open_group(path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", shape=PIXELS.shape, chunks=(1, 9, 8), dtype="uint8")[:] = PIXELS
    axes = [{"name": "c", "type": "channel"}, *({"name": axis, "type": "space"} for axis in "yx")]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    group.attrs["omero"] = {"channels": [{"label": name} for name in NAMES]}
    return path / "a.zarr"


@pytest.mark.parametrize("write", [write_ome, write_imagej, write_zarr])
@pytest.mark.parametrize(
    ("channels", "expected"), [("dapi", [0]), ("GFP,0", [1, 0]), (["gfp"], [1]), ("488", [2]), ("2", [2])]
)
def test_channels_are_picked_by_name_or_number(tmp_path, write, channels, expected):
    source = open_image(write(tmp_path), ReadOptions(channels=channels))
    np.testing.assert_array_equal(source.read(0, (slice(0, 9), slice(0, 8))), PIXELS[expected])
    assert source.info.channel_names == tuple(NAMES[i] for i in expected)
    assert source.info.colours is not True


@pytest.mark.parametrize("write", [write_ome, write_imagej, write_zarr])
def test_an_unknown_name_gets_the_closest(tmp_path, write):
    with pytest.raises(ImageError, match="no channel 'DAPPI', but 0: DAPI, 1: GFP, 2: 488") as caught:
        open_image(write(tmp_path), ReadOptions(channels="DAPPI"))
    assert caught.value.remedy == "Did you mean 'DAPI'?"


def test_a_file_without_names_says_so(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="minisblack", metadata={"axes": "CYX"})
    with pytest.raises(ImageError, match="does not name its channels") as caught:
        open_image(tmp_path / "a.tif", ReadOptions(channels="DAPI"))
    assert "it has 3" in caught.value.remedy


def test_a_number_is_a_number_first():
    assert pick_channels((1,), ("2", "1", "0"), 3, "CYX", "a") == (1,)
    assert pick_channels((7,), ("7", "8"), 2, "CYX", "a") == (0,)
    with pytest.raises(ImageError, match="no channel 9"):
        pick_channels((9,), ("7", "8"), 2, "CYX", "a")
    with pytest.raises(ConfigError, match="does not name channels"):
        ReadOptions(channels="DAPI,,GFP")


@pytest.mark.parametrize(
    ("photometric", "axes", "colours"),
    [("rgb", "YXS", True), ("minisblack", "YXS", False), ("minisblack", "CYX", False)],
)
def test_whether_channels_are_colours_is_what_the_file_says(tmp_path, photometric, axes, colours):
    pixels = PIXELS if axes == "CYX" else PIXELS.transpose(1, 2, 0)
    options = {"planarconfig": "contig"} if axes == "YXS" else {}
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric, metadata={"axes": axes}, **options)
    assert open_image(tmp_path / "a.tif").info.colours is colours


def test_channels_called_red_green_and_blue_are_colours(tmp_path):
    metadata = {"axes": "CYX", "Channel": {"Name": ["Red", "Green", "Blue"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, metadata=metadata, photometric="minisblack")
    assert open_image(tmp_path / "a.ome.tif").info.colours is True
