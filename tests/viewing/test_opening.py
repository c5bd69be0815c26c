from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from unetkit.errors import ImageError
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import create_sink
from unetkit.viewing.opening import open_picture
from unetkit.viewing.options import VIEWED

RNG = np.random.default_rng(0)


def whole(level: Any, plane: int = 0) -> NDArray[Any]:
    """Return all of a level, (C, h, w)."""
    pixels: NDArray[Any] = level.read(plane, tuple(slice(0, length) for length in level.size), lambda: True)
    return pixels


def write_pyramid(path: Path, levels: list[NDArray[Any]]) -> None:
    """Write a TIFF with smaller versions in SubIFDs."""
    with tifffile.TiffWriter(path) as writer:
        for i, level in enumerate(levels):
            writer.write(level, tile=(64, 64), subifds=len(levels) - 1 if i == 0 else None, subfiletype=min(i, 1))


def test_a_file_gives_its_own_levels_and_those_between_are_made(tmp_path: Path) -> None:
    levels = [RNG.integers(0, 255, (size, size), np.uint8) for size in (2000, 500, 125)]
    write_pyramid(tmp_path / "slide.tif", levels)
    with closing(open_picture(tmp_path / "slide.tif", is_image=True)) as picture:
        assert [level.scale[0] for level in picture.levels] == [1, 2, 4, 8, 16]
        for made, expected in zip(picture.levels[::2], levels, strict=True):
            np.testing.assert_array_equal(whole(made)[0], expected)
    with closing(open_picture(tmp_path / "slide.tif", ReadOptions(level=1), is_image=True)) as picture:
        assert picture.info.size == (500, 500)
        assert [level.scale[0] for level in picture.levels] == [1, 2, 4]
        np.testing.assert_array_equal(whole(picture.levels[-1])[0], levels[-1])


def test_a_level_that_is_damaged_is_made_of_the_finer_one(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    write_pyramid(path, [np.full((size, size), 9, np.uint8) for size in (2048, 512)])
    with tifffile.TiffFile(path) as file:
        at = file.series[0].levels[1].keyframe.tags["BitsPerSample"].offset
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 12)
    with closing(open_picture(path, is_image=True)) as picture:
        assert [level.size[0] for level in picture.levels] == [2048, 1024, 512]
        assert (whole(picture.levels[2]) == 9).all()


@pytest.mark.parametrize("name", ["labels.tif", "labels.zarr"])
def test_labels_that_unetkit_wrote_with_a_pyramid_are_not_halved_again(name: str, tmp_path: Path) -> None:
    labels = RNG.integers(0, 99, (1, 1500, 1100), np.uint32)
    spec = OutputSpec((1500, 1100), np.dtype("uint32"), pyramid=True, notes=(("output", "labels"),))
    create_sink(tmp_path / name, spec).write([labels])
    with closing(open_picture(tmp_path / name, is_image=False)) as picture:
        assert len(picture.stored) == len(picture.levels) == 3
        assert picture.notes["output"] == "labels"
        for i, level in enumerate(picture.levels):
            np.testing.assert_array_equal(whole(level), labels[:, :: 2**i, :: 2**i])


def test_a_region_is_a_picture_of_its_own(tmp_path: Path) -> None:
    levels = [RNG.integers(0, 255, (size, size), np.uint8) for size in (2048, 1024)]
    write_pyramid(tmp_path / "slide.tif", levels)
    with closing(open_picture(tmp_path / "slide.tif", ReadOptions(region="100,200,700,600"), is_image=True)) as picture:
        assert [level.size for level in picture.levels] == [(700, 600), (350, 300)]
        np.testing.assert_array_equal(whole(picture.levels[0])[0], levels[0][100:800, 200:800])


@pytest.mark.parametrize(
    ("stored", "shown"),
    [("bool", "uint8"), ("int64", "int32"), ("uint64", "uint32"), ("float16", "float32"), ("float64", "float32")],
)
def test_types_that_a_browser_cannot_show_are_changed(stored: str, shown: str) -> None:
    pixels = (RNG.random((20, 30)) * 3).astype(stored)
    with closing(open_picture(pixels, is_image=True)) as picture:
        assert picture.dtype == shown
        assert whole(picture.levels[0]).dtype == shown
        np.testing.assert_array_equal(whole(picture.levels[0])[0], pixels.astype(shown))


def test_numbers_that_are_too_large_are_cut() -> None:
    with closing(open_picture(np.array([[2**40, 5]], np.uint64), is_image=False)) as picture:
        np.testing.assert_array_equal(whole(picture.levels[0])[0], [[2**32 - 1, 5]])


def test_a_stack_and_its_channels(tmp_path: Path) -> None:
    stack = RNG.integers(0, 999, (4, 2, 40, 50), np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", stack, metadata={"axes": "ZCYX"}, imagej=True)
    with closing(open_picture(tmp_path / "stack.tif", is_image=True)) as picture:
        assert (picture.info.plane_axes, picture.info.channels) == ("Z", 2)
        np.testing.assert_array_equal(whole(picture.levels[0], 3), stack[3])


def test_a_palette_of_an_image_is_colours_and_one_of_labels_numbers(tmp_path: Path) -> None:
    numbers = np.arange(16, dtype=np.uint8).reshape(4, 4)
    picture = Image.fromarray(numbers, "P")
    picture.putpalette([value for i in range(256) for value in (i, 255 - i, 7)])
    picture.save(tmp_path / "palette.png")
    with closing(open_picture(tmp_path / "palette.png", is_image=True)) as image:
        np.testing.assert_array_equal(whole(image.levels[0]), [numbers, 255 - numbers, np.full_like(numbers, 7)])
    with closing(open_picture(tmp_path / "palette.png", is_image=False)) as labels:
        np.testing.assert_array_equal(whole(labels.levels[0]), numbers[None])


def test_a_drawing_on_a_transparent_layer_is_colours(tmp_path: Path) -> None:
    drawn = RNG.integers(0, 255, (6, 7, 4), np.uint8)
    Image.fromarray(drawn).save(tmp_path / "drawn.png")
    with closing(open_picture(tmp_path / "drawn.png", is_image=False)) as picture:
        np.testing.assert_array_equal(whole(picture.levels[0]), drawn[..., :3].transpose(2, 0, 1))


def test_a_file_that_is_cut_off_opens_and_the_rest_of_it_is_shown(tmp_path: Path) -> None:
    pixels = RNG.integers(1, 255, (512, 512), np.uint8)
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, pixels, tile=(64, 64), compression="zlib")
    whole_size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(whole_size // 2)
    with pytest.raises(ImageError, match="truncated"):
        open_picture(path, is_image=True)
    with closing(open_picture(path, VIEWED, is_image=True)) as picture:
        shown = whole(picture.levels[0])[0]
        np.testing.assert_array_equal(shown[:64], pixels[:64])
        assert not shown[-64:].any()
        assert picture.sources[0].bad_tiles
