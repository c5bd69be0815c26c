from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from unetkit.drawing.pixels import PREDICTION, TRUTH, class_colour, draw_contours, pale, to_display
from unetkit.foundation.errors import DataError, OutputError
from unetkit.foundation.synthetic import make_cells
from unetkit.report.overview import choose_crops, overview_picture
from unetkit.report.pictures import ValidationItem, outlined, validation_picture

NUCLEI = Path(__file__).parents[2] / "../shared/data/nuclei/train"


def square(shape: tuple[int, int] = (40, 40), start: int = 10, stop: int = 30) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    mask[start:stop, start:stop] = True
    return mask


def is_colour(pixels: NDArray[Any], colour: tuple[int, int, int], tolerance: int = 12) -> NDArray[np.bool_]:
    close: NDArray[np.bool_] = np.abs(pixels.astype(int) - colour).max(axis=-1) <= tolerance
    return close


def open_png(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_image_can_be_shown(channels: int, dtype: type[Any]) -> None:
    pixels = np.random.default_rng(0).gamma(2, 20, (channels, 50, 60)).astype(dtype)
    display = to_display(pixels)
    assert display.shape == (50, 60, 3)
    assert display.dtype == np.uint8
    assert display.max() > 200
    assert display.min() < 30


def test_a_flat_image_can_be_shown() -> None:
    assert to_display(np.full((1, 5, 5), 700, np.uint16)).max() == 0


def test_colours_of_a_stain_are_kept() -> None:
    pixels = np.full((3, 20, 20), 100, np.uint8)
    pixels[0, 5:10, 5:10] = 200
    display = to_display(pixels)
    assert display[7, 7, 0] > display[7, 7, 1] == display[7, 7, 2]


def test_contours_run_where_the_outline_is() -> None:
    black = np.zeros((40, 40, 3), np.uint8)
    inside, outside = (draw_contours(black, square(), TRUTH, thickness=2, outside=side) for side in (False, True))
    assert is_colour(inside[20, 10:12], TRUTH).all()
    assert not inside[20, 9].any()
    assert not inside[20, 14:26].any()
    assert is_colour(outside[20, 8:10], TRUTH).all()
    assert not outside[20, 11:29].any()
    assert not black.any()


def test_an_object_that_the_border_cuts_has_no_line_along_the_border() -> None:
    drawn = draw_contours(np.zeros((40, 40, 3), np.uint8), square(start=-40, stop=20), TRUTH, thickness=1)
    assert not drawn[0, :15].any()
    assert is_colour(drawn[19, :15], TRUTH).all()


def test_each_class_is_outlined_by_itself() -> None:
    classes = np.zeros((40, 40), np.uint8)
    classes[10:30, 10:20], classes[10:30, 20:30] = 1, 2
    drawn = draw_contours(np.zeros((40, 40, 3), np.uint8), classes, PREDICTION, thickness=1)
    assert is_colour(drawn[20, 19:21], PREDICTION).all()


def test_a_mask_is_stretched_over_a_larger_display() -> None:
    drawn = draw_contours(np.zeros((120, 120, 3), np.uint8), square(), TRUTH, thickness=2)
    assert is_colour(drawn[60, 30:32], TRUTH).all()
    assert not drawn[60, 34:86].any()


def test_both_lines_are_seen_where_the_masks_agree() -> None:
    drawn = outlined(np.zeros((40, 40, 3), np.uint8), square(), square(), (160, 160))
    assert is_colour(drawn[80, 39], TRUTH).all()
    assert is_colour(drawn[80, 40], PREDICTION).all()


@pytest.mark.parametrize(("count", "width"), [(1, 800), (2, 1600), (5, 1600), (14, 1600)])
def test_a_validation_picture_has_the_stated_width_and_colours(tmp_path: Path, count: int, width: int) -> None:
    item = ("a_rather_long_name_of_an_image_that_does_not_fit_above_it_" * 2, np.zeros((1, 60, 80), np.uint16))
    truth, prediction = square((60, 80)), square((60, 80), 15, 35)
    path = tmp_path / "new" / "validation.png"
    validation_picture(path, [(*item, truth, prediction, 0.5)] * count)
    picture = open_png(path)
    assert picture.shape[1] == width
    assert is_colour(picture, TRUTH).sum() > 100
    assert is_colour(picture, PREDICTION).sum() > 100
    assert [file.name for file in path.parent.iterdir()] == ["validation.png"]


def test_a_validation_picture_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no validation image"):
        validation_picture(tmp_path / "validation.png", [])


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "validation.png").mkdir()
    (tmp_path / "validation.png" / "mine").write_text("mine")
    item = ValidationItem("a", np.zeros((1, 20, 20)), square((20, 20), 5, 9), square((20, 20), 5, 9), 1.0)
    with pytest.raises(OutputError, match="cannot be written"):
        validation_picture(tmp_path / "validation.png", [item])
    assert [file.name for file in tmp_path.iterdir()] == ["validation.png"]
    with pytest.raises(OutputError):
        validation_picture(tmp_path / "validation.png" / "mine" / "validation.png", [item])


@pytest.mark.skipif(not NUCLEI.exists(), reason="the nuclei are not here")
def test_a_validation_picture_of_real_images_of_all_kinds(tmp_path: Path) -> None:
    items = []
    for image in sorted((NUCLEI / "images").iterdir())[::80]:
        with Image.open(image) as file:
            pixels = np.atleast_3d(np.asarray(file))[..., :3].transpose(2, 0, 1)
        truth = tifffile.imread(NUCLEI / "masks" / f"{image.stem}.tif") > 0
        items.append(ValidationItem(image.stem, pixels, truth, ndimage.binary_dilation(truth, iterations=3), 0.9))
    validation_picture(tmp_path / "validation.png", items)
    picture = open_png(tmp_path / "validation.png")
    assert is_colour(picture, TRUTH).sum() > 2000
    assert is_colour(picture, PREDICTION).sum() > 2000


def test_crops_are_a_typical_the_fullest_and_the_worst_window() -> None:
    truth, prediction = np.zeros((80, 80), bool), np.zeros((80, 80), bool)
    truth[0:20, 40:60] = prediction[0:20, 40:60] = True
    truth[62:70, 2:10] = True
    crops = {crop.word: (crop.y, crop.x) for crop in choose_crops(prediction, truth, 20)}
    assert list(crops) == ["typical", "most crowded", "most errors"]
    assert crops["most crowded"] == (0, 40)
    assert crops["most errors"] == (60, 0)
    assert len(choose_crops(prediction[:30, :30], truth[:30, :30], 20)) == 1


@pytest.mark.parametrize(("height", "width"), [(700, 700), (300, 640), (90, 120)])
def test_an_overview_has_the_stated_width_and_colours(tmp_path: Path, height: int, width: int) -> None:
    image, labels = make_cells(height, width, 3)
    prediction = np.roll(labels > 0, 4, axis=1).astype(np.uint8) * 255
    curve = [(10, 0.2), (20, 0.7), (30, 0.9)]
    path = tmp_path / "overview.png"
    overview_picture(path, image, prediction, labels, curve, "Dice 0.900 on cells", {"Dice": "0.900", "Steps": "30"})
    picture = open_png(path)
    assert abs(picture.shape[1] - 2000) < 60
    assert is_colour(picture, TRUTH).sum() > 300
    assert is_colour(picture, PREDICTION).sum() > 300


def test_an_overview_without_a_curve_and_with_channels(tmp_path: Path) -> None:
    image, labels = make_cells(256, 256, 3)
    overview_picture(tmp_path / "o.png", np.stack([image] * 2), labels, labels, None, "Perfect", {"Dice": "1.000"})
    assert open_png(tmp_path / "o.png").shape[2] == 3


def test_several_classes_have_colours_and_names_of_their_own(tmp_path: Path) -> None:
    truth = np.zeros((60, 80), np.uint8)
    truth[10:50, 10:30], truth[10:50, 45:70] = 1, 2
    item = ("image", np.zeros((1, 60, 80), np.uint16), truth, np.roll(truth, 2, axis=0), 0.9)
    validation_picture(tmp_path / "two.png", [item], ["nucleus", "membrane"])
    two = open_png(tmp_path / "two.png")
    for number in (1, 2):
        for colour in (class_colour(number), pale(class_colour(number))):
            assert is_colour(two[100:], colour).sum() > 100
    assert not is_colour(two[100:], TRUTH).any()
    validation_picture(tmp_path / "ten.png", [item], [f"a long name of class {number}" for number in range(10)])
    assert open_png(tmp_path / "ten.png").shape[0] > two.shape[0]  # the legend takes more rows


def test_touching_objects_keep_the_border_between_them_whatever_the_scale() -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 10:20], labels[10:30, 20:30] = 7, 100_000
    for side in (80, 90):  # a whole multiple of the labels, and not
        drawn = draw_contours(np.zeros((side, side, 3), np.uint8), labels, PREDICTION)
        middle = side // 2
        assert is_colour(drawn[middle, middle - 1 : middle + 1], PREDICTION, 60).all()


def test_what_nobody_has_annotated_is_hatched_and_said_so(tmp_path: Path) -> None:
    truth = square().astype(np.int64)
    pixels, prediction = np.zeros((1, 40, 40), np.uint8), square(start=12, stop=28)
    plain, partly = tmp_path / "plain.png", tmp_path / "partly.png"
    validation_picture(plain, [("a", pixels, truth, prediction, 0.5)])
    truth[:, 20:] = -1
    validation_picture(partly, [("a", pixels, truth, prediction, 0.5)])
    grey = [(np.ptp(open_png(path)[100:, 32:-32].astype(int), axis=-1) < 4) for path in (plain, partly)]
    bright = [open_png(path)[100:, 32:-32].mean(axis=-1) > 60 for path in (plain, partly)]
    hatched = [one & other for one, other in zip(grey, bright, strict=True)]
    middle = hatched[1].shape[1] // 2
    assert not hatched[0].any()
    assert not hatched[1][:, : middle - 5].any()
    assert 0.1 < hatched[1][:, middle + 5 :].mean() < 0.4
    legend = [(open_png(path)[:50] > 100).any(axis=-1).sum() for path in (plain, partly)]
    assert legend[1] > 1.5 * legend[0]
