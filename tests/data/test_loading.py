from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from unetkit.data.loading import decode, foreground_points, load_pair, read_pixels
from unetkit.data.pairs import Pair
from unetkit.foundation.errors import DataError, ImageError


def _png(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def _mask(height: int = 20, width: int = 24, value: int = 255) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[4:10, 5:12] = value
    return mask


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.ones((20, 24), np.uint8), np.uint8),
        (np.full((20, 24), 60000, np.uint16), np.uint16),
        (np.full((20, 24), 70000, np.uint32), np.uint32),
        (np.full((20, 24), 0.25, np.float32), np.float32),
        (np.full((20, 24), -1.5, np.float64), np.float64),
    ],
)
def test_images_keep_their_dtype(tmp_path: Path, array: np.ndarray, dtype: type) -> None:
    tifffile.imwrite(tmp_path / "i.tif", array)
    _png(tmp_path / "m.png", _mask())
    pixels, _ = load_pair(Pair("a", tmp_path / "i.tif", tmp_path / "m.png"))
    assert pixels.shape == (1, 20, 24)
    assert pixels.dtype == dtype
    assert np.array_equal(pixels[0], array)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_alpha_is_dropped(tmp_path: Path, mode: str) -> None:
    Image.fromarray(np.full((20, 24, 3), (10, 20, 30), np.uint8)).convert(mode).save(tmp_path / "i.png")
    _png(tmp_path / "m.png", _mask())
    pixels, _ = load_pair(Pair("a", tmp_path / "i.png", tmp_path / "m.png"))
    assert pixels.shape[0] == (1 if mode == "LA" else 3)


@pytest.mark.parametrize(
    "mask",
    [
        _mask(value=1),
        _mask(),
        _mask() > 0,
        (_mask() / 255).astype(np.float32),
        (_mask() / 255 / 255).astype(np.float64),
        _mask().astype(np.uint16) * 200,
        _mask().astype(np.int32) * 1000,
    ],
)
def test_masks_of_every_type_have_the_same_foreground(tmp_path: Path, mask: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "m.tif", mask)
    _png(tmp_path / "i.png", np.zeros((20, 24), np.uint8))
    _, labels = load_pair(Pair("a", tmp_path / "i.png", tmp_path / "m.tif"))
    assert labels.dtype.kind in "iu"
    assert np.array_equal(labels > 0, _mask() > 0)


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "1", "P", "jpeg"])
def test_masks_drawn_in_a_paint_program(tmp_path: Path, kind: str) -> None:
    drawn = Image.fromarray(_mask())
    name = "m.jpg" if kind == "jpeg" else "m.png"
    (drawn if kind == "jpeg" else drawn.convert(kind)).save(tmp_path / name)
    _png(tmp_path / "i.png", np.zeros((20, 24), np.uint8))
    _, labels = load_pair(Pair("a", tmp_path / "i.png", tmp_path / name))
    assert np.array_equal(labels > 0, _mask() > 0)


def test_foreground_points_show_every_object_equally_often() -> None:
    labels = np.zeros((200, 300), np.uint16)
    labels[10:100, 10:200] = 1
    labels[150:152, 250:253] = 2
    points = foreground_points([labels])
    found = labels[points[:, 0], points[:, 1]]
    assert np.bincount(found).tolist() == [0, 512, 512]
    assert foreground_points([np.zeros((4, 4), np.uint8)]).shape == (0, 2)
    many = np.arange(1, 3001, dtype=np.uint16).reshape(50, 60)
    assert len(np.unique(foreground_points([many]), axis=0)) == 1024


def test_masks_and_images_with_impossible_values(tmp_path: Path) -> None:
    image, mask = _png(tmp_path / "i.png", _mask()), _png(tmp_path / "m.png", _mask())
    tifffile.imwrite(tmp_path / "nan.tif", np.full((20, 24), np.nan, np.float32))
    with pytest.raises(ImageError, match=r"nan.tif has NaN or infinite pixels\. Replace"):
        load_pair(Pair("a", tmp_path / "nan.tif", mask))
    with pytest.raises(DataError, match=r"nan.tif is a mask with NaN"):
        load_pair(Pair("a", image, tmp_path / "nan.tif"))
    _png(tmp_path / "colors.png", np.random.default_rng(0).integers(0, 255, (20, 24, 3), np.uint8))
    with pytest.raises(DataError, match=r"colors.png has 480 colours, as a picture has .*\. Give the mask"):
        load_pair(Pair("a", image, tmp_path / "colors.png"))


def test_a_border_without_data_is_background_in_every_window(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).normal(100, 10, (40, 48)).astype(np.float32)
    pixels[:8] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    tifffile.imwrite(tmp_path / "m.tif", np.zeros((40, 48), np.uint8))
    pair = Pair("a", tmp_path / "a.tif", tmp_path / "m.tif")
    decoded = decode(pair)
    read, sample = decoded.pixels, decoded.sample
    assert sample.pixels.shape == (1, 32 * 48)
    assert len(np.unique(read[:, :8])) == 1
    np.testing.assert_array_equal(read[0, 8:], pixels[8:])
    window = (slice(2, 20), slice(5, 30))
    np.testing.assert_array_equal(read_pixels(pair, window, sample.holes), read[:, *window])
