from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from skimage.color import hed2rgb, rgb2hed

from unetkit.cli import main
from unetkit.foundation.errors import ConfigError, ImageError
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.read_options import ReadOptions, Stain
from unetkit.io.files import open_image
from unetkit.io.views.stain import StainSource

ALL = slice(0, 64)


def stained(dtype: type[np.unsignedinteger[Any]] = np.uint8) -> NDArray[Any]:
    """(64, 64, 3): discs of hematoxylin on a brown and pink ground."""
    rows, columns = np.mgrid[:64, :64]
    discs = ((rows % 16 - 8) ** 2 + (columns % 16 - 8) ** 2 < 25).astype(float)
    amounts = np.stack([0.1 * discs, np.full_like(discs, 0.01), 0.08 * (columns > 32)], axis=-1)
    return np.rint(hed2rgb(amounts) * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("stain", get_args(Stain))
def test_it_is_what_scikit_image_computes(stain: Stain, dtype: type[np.unsignedinteger[Any]]) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (64, 64, 3), dtype, endpoint=True)
    source = StainSource(ArraySource(pixels, "YXS"), stain)
    expected = 6 * rgb2hed(pixels)[..., get_args(Stain).index(stain)]
    read = source.read(0, (ALL, ALL))
    assert read.dtype == np.float32
    np.testing.assert_allclose(read[0], expected, atol=2e-5)
    assert np.array_equal(source.read(0, (slice(5, 9), slice(7, 20))), read[:, 5:9, 7:20])


def test_a_disc_of_hematoxylin_is_bright_whatever_is_around_it() -> None:
    amount = StainSource(ArraySource(stained(), "YXS"), "hematoxylin").read(0, (ALL, ALL))[0]
    assert amount[8, 8] == pytest.approx(0.6, abs=0.02)
    assert amount[8, 40] == pytest.approx(0.6, abs=0.02)
    assert amount[0, 0] < 0.02
    assert amount[0, 48] < 0.02


@pytest.mark.parametrize("stain", get_args(Stain))
@pytest.mark.parametrize("value", [0, 255])
def test_neither_white_nor_what_lies_outside_the_scan_is_a_stain(stain: Stain, value: int) -> None:
    pixels = np.full((64, 64, 3), value, np.uint8)
    assert not StainSource(ArraySource(pixels, "YXS"), stain).read(0, (ALL, ALL)).any()


def test_a_file_is_read_so_with_a_region_and_planes(tmp_path: Path) -> None:
    pixels = np.stack([stained(), 255 - stained()])
    tifffile.imwrite(tmp_path / "stack.tif", pixels, photometric="rgb", metadata={"axes": "ZYXS"})
    with closing(open_image(tmp_path / "stack.tif", ReadOptions(stain="hematoxylin", region=(8, 0, 32, 64)))) as source:
        info = source.info
        assert (info.axes, info.shape, info.channels, info.channel_names) == ("ZYX", (2, 32, 64), 1, ("hematoxylin",))
        expected = 6 * rgb2hed(pixels[1])[8:40, :, 0]
        np.testing.assert_allclose(source.read(1, (slice(0, 32), ALL))[0], expected, atol=2e-5)


@pytest.mark.parametrize(
    ("pixels", "axes", "why"),
    [
        (np.zeros((64, 64), np.uint8), "YX", "1 channel of uint8"),
        (np.zeros((64, 64, 3), np.float32), "YXS", "3 channels of float32"),
    ],
)
def test_what_is_not_rgb_has_no_stains(pixels: NDArray[Any], axes: str, why: str) -> None:
    with pytest.raises(ImageError, match=why):
        StainSource(ArraySource(pixels, axes), "hematoxylin")


def test_a_misspelt_stain_is_named() -> None:
    with pytest.raises(ConfigError, match="no stain 'haematoxylin'") as caught:
        ReadOptions(stain="haematoxylin")  # type: ignore[arg-type]
    assert "'hematoxylin'" in caught.value.remedy


def test_the_built_in_model_finds_nuclei_in_a_stain_that_it_has_not_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = np.tile(stained(), (4, 4, 1)).repeat(2, 0).repeat(2, 1)
    tifffile.imwrite(tmp_path / "in.tif", large, photometric="rgb")
    words = ["segment", str(tmp_path / "in.tif"), str(tmp_path / "out.tif"), "--output", "labels"]
    assert main([*words, "--stain", "hematoxylin"]) == 0
    labels = tifffile.imread(tmp_path / "out.tif")
    assert 200 < labels.max() <= 260, capsys.readouterr().out  # 256 discs
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert "--stain hematoxylin" in (file.ome_metadata or "")
