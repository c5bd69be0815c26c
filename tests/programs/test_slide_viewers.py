"""Outputs opened by the libraries of slide viewers: OpenSlide, libvips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unetkit.io.base.contracts import OutputSpec
from unetkit.io.files import create_sink

openslide = pytest.importorskip("openslide", reason="OpenSlide is not installed (pip install openslide-bin)")
pyvips = pytest.importorskip("pyvips", reason="libvips is not installed (pip install 'pyvips[binary]')")

LEVELS = [(1500, 2100), (750, 1050), (375, 525), (188, 263)]
"""Height and width of the levels."""


def write(path: Path, dtype: str, *, big: bool = False, monkeypatch: pytest.MonkeyPatch | None = None) -> Any:
    """Write a pyramid; return its pixels."""
    pixels = np.zeros((1, 1500, 2100), dtype)
    pixels[0, 200:900, 300:1500] = 250
    if big and monkeypatch is not None:
        monkeypatch.setattr("unetkit.io.tiff.sink.CLASSIC_BYTES", 1)
    create_sink(path, OutputSpec((1500, 2100), np.dtype(dtype), pixel_size_um=(0.25, 0.5), pyramid=True)).write(
        [pixels]
    )
    return pixels[0]


@pytest.mark.parametrize("big", [False, True])
def test_openslide_sees_all_levels_and_the_pixel_size(
    tmp_path: Path, big: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = write(tmp_path / "a.tif", "uint8", big=big, monkeypatch=monkeypatch)
    with openslide.OpenSlide(tmp_path / "a.tif") as slide:
        assert slide.level_dimensions == tuple((width, height) for height, width in LEVELS)
        sizes = [float(slide.properties[f"openslide.mpp-{axis}"]) for axis in "yx"]
        assert sizes == pytest.approx([0.25, 0.5])
        for level, (height, width) in enumerate(LEVELS):
            seen = np.asarray(slide.read_region((0, 0), level, (width, height)))[..., 0]
            np.testing.assert_array_equal(seen, pixels[:: 2**level, :: 2**level])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_libvips_reads_the_levels_as_subifds(tmp_path: Path, dtype: str) -> None:
    pixels = write(tmp_path / "a.tif", dtype)
    full = pyvips.Image.tiffload(str(tmp_path / "a.tif"))
    assert full.get("n-subifds") == len(LEVELS) - 1
    assert (1 / full.yres / 1e-3, 1 / full.xres / 1e-3) == pytest.approx((0.25, 0.5))
    np.testing.assert_array_equal(full.numpy(), pixels)
    for level in range(1, len(LEVELS)):
        image = pyvips.Image.tiffload(str(tmp_path / "a.tif"), subifd=level - 1)
        assert (image.height, image.width) == LEVELS[level]


@pytest.mark.parametrize("layout", ["strips", "tiles"])
@pytest.mark.parametrize("compression", ["none", "deflate", "lzw"])  # its wheel reads zeros of Zstandard
def test_libvips_reads_what_is_said_to_be_read_everywhere(tmp_path: Path, compression: str, layout: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 9, (2, 1, 90, 130), np.uint16)
    spec = OutputSpec((90, 130), np.dtype("uint16"), 1, "Z", (2,), compression=compression, layout=layout)
    create_sink(tmp_path / "a.tif", spec).write(list(pixels))
    for page in (0, 1):
        np.testing.assert_array_equal(
            pyvips.Image.tiffload(str(tmp_path / "a.tif"), page=page).numpy(), pixels[page, 0]
        )
