"""Masks in colours that the user names: each colour is a class, and one without a name is an error."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from unetkit.errors import ConfigError, DataError
from unetkit.io.masks.color_table import decide_by_table, read_color_table
from unetkit.io.masks.ignored import IGNORED
from unetkit.io.masks.meaning import open_mask

CLASSES = np.array([[0, 0, 1, 1, 2, 2, 3, 3]] * 4, np.uint8)
RGB = np.array([(0, 0, 0), (255, 0, 0), (0, 128, 0), (128, 128, 128)], np.uint8)
NAMES = {"tumour": "#ff0000", "stroma": "green", "ignore": [128, 128, 128]}
EXPECTED = np.array([0, 1, 2, IGNORED])[CLASSES]


def read(path: Path, table: Any = NAMES) -> NDArray[Any]:
    with closing(open_mask(path)) as source:
        pixels = source.read(0, (slice(0, source.info.height), slice(0, source.info.width)))
        meaning = decide_by_table([pixels[:, :2], pixels[:, 2:]], source.info, read_color_table(table))
        return meaning.labels(pixels)


def save(path: Path, kind: str) -> None:
    if kind == "palette":
        image = Image.fromarray(CLASSES, "P")
        image.putpalette(RGB.ravel().tolist())
    elif kind == "alpha":
        pixels = np.dstack([RGB[CLASSES], np.full(CLASSES.shape, 255, np.uint8)])
        pixels[CLASSES == 0] = (7, 8, 9, 0)  # what is transparent has no colour
        image = Image.fromarray(pixels)
    else:
        image = Image.fromarray(RGB[CLASSES])
    image.save(path)


@pytest.mark.parametrize("kind", ["rgb", "palette", "alpha"])
def test_colours_are_the_classes_of_the_table(kind: str, tmp_path: Path) -> None:
    save(tmp_path / "mask.png", kind)
    np.testing.assert_array_equal(read(tmp_path / "mask.png"), EXPECTED)


@pytest.mark.parametrize("name", ["colors.csv", "colors.json", "colors.yaml"])
def test_the_table_may_be_a_file(name: str, tmp_path: Path) -> None:
    contents = {
        "colors.csv": "name,color\ntumour,#ff0000\nstroma,green\nignore,#808080\n",
        "colors.json": json.dumps(NAMES),
        "colors.yaml": "tumour: '#ff0000'\nstroma: green\nignore: [128, 128, 128]\n",
    }
    (tmp_path / name).write_text(contents[name])
    assert read_color_table(tmp_path / name) == read_color_table(NAMES)
    assert read_color_table(NAMES).names == ("tumour", "stroma")


def test_a_colour_may_be_the_background_in_place_of_black(tmp_path: Path) -> None:
    save(tmp_path / "mask.png", "rgb")
    table = {"background": "#ff0000", "hole": "black", "stroma": "green", "other": "grey"}
    np.testing.assert_array_equal(read(tmp_path / "mask.png", table), np.array([1, 0, 2, 3])[CLASSES])


def test_a_colour_without_a_name_is_an_error_with_its_pixels(tmp_path: Path) -> None:
    save(tmp_path / "mask.png", "rgb")
    with pytest.raises(DataError, match=r"does not name \(\(0, 128, 0\): 8 pixels, grey .* 8 pixels\)"):
        read(tmp_path / "mask.png", {"tumour": "red"})


def test_masks_without_colours_and_with_blurred_ones_are_refused(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "mask.tif", CLASSES.astype(np.float32))
    with pytest.raises(DataError, match="1 channels of float32, and no colours"):
        read(tmp_path / "mask.tif")
    Image.fromarray(np.kron(RGB[CLASSES], np.ones((8, 8, 1), np.uint8))).save(tmp_path / "mask.jpg")
    with pytest.raises(DataError, match="JPEG and smooth borders change colours"):
        read(tmp_path / "mask.jpg")


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"a": "#ff00"}, None),
        ({"a": "reddish"}, "which is no colour"),
        ({"a": [1, 2]}, "which is no colour"),
        ({"a": [1, 2, 300]}, "which is no colour"),
        ({"a": None}, "which is no colour"),
        ({"a": "red", "b": "#f00"}, "'b' has the colour of another name"),
        ({"background": "red"}, "names no class"),
        ("missing.csv", "cannot be read"),
    ],
)
def test_tables_that_mean_nothing(table: Any, problem: str | None) -> None:
    if problem is None:
        assert read_color_table(table).names == ("a",)  # #ff00 is short for a colour with alpha
        return
    with pytest.raises(ConfigError, match=problem):
        read_color_table(table)


@pytest.mark.parametrize("content", ["tumour;#ff0000\n", "name,color\ntumour\n"])
def test_a_csv_without_the_columns(content: str, tmp_path: Path) -> None:
    (tmp_path / "colors.csv").write_text(content)
    with pytest.raises(ConfigError, match=r"data\.colors"):
        read_color_table(tmp_path / "colors.csv")
