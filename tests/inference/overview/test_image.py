from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.overview.image import open_view, read_thumbnail
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import create_sink
from unetkit.io.tiff.source import TiffSource
from unetkit.io.views.thumbnail import read_small
from unetkit.models.segmenter import Segmenter

READINGS = [
    ReadOptions(),
    ReadOptions(region="200,100,1600,900"),
    ReadOptions(pixel_size=1.0),
    ReadOptions(pixel_size=1.0, region="100,50,800,450"),
    ReadOptions(level=1),
]


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pyramid of smooth pixels of 0.5 µm."""
    path = tmp_path_factory.mktemp("slide") / "slide.tif"
    y, x = np.mgrid[:2048, :1536]
    pixels = (120 + 60 * np.sin(y / 300) + 60 * np.cos(x / 200)).astype(np.uint8)[None]
    create_sink(path, OutputSpec((2048, 1536), np.dtype(np.uint8), pixel_size_um=(0.5, 0.5), pyramid=True)).write(
        [pixels]
    )
    return path


@pytest.mark.parametrize("reading", READINGS, ids=str)
def test_a_thumbnail_is_read_from_the_pyramid_and_shows_the_same_field(
    slide: Path, tiny_segmenter: Segmenter, reading: ReadOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = Ensemble((tiny_segmenter,))
    with closing(open_view(slide, ensemble, reading)) as source:
        size = (64, round(64 * source.info.width / source.info.height))
        expected = read_small(source, 0, size).astype(int)
        read = count_pixels(monkeypatch)
        found = read_thumbnail(source, slide, ensemble, reading, 0, size).astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 6
    assert 0 < sum(read) < 0.3 * source.info.pixels


def count_pixels(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the pixels that are read from TIFF files from now on."""
    read: list[int] = []
    original = TiffSource.read

    def note(self: TiffSource, item: int, window: Any) -> NDArray[Any]:
        pixels = original(self, item, window)
        read.append(pixels.size)
        return pixels

    monkeypatch.setattr(TiffSource, "read", note)
    return read
