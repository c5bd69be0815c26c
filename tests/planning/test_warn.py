"""Each fault is put into a sound data set, and has to be found; the sound one gives no warning."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from spoiling import Edit, check, edit
from tifffile import imread, imwrite

from unetkit.data.pairs import find_pairs
from unetkit.planning.measure import look_at_all, measure


def binary(mask: np.ndarray) -> np.ndarray:
    return np.where(mask > 0, 255, 0).astype(np.uint8)


def test_nothing_is_said_about_a_sound_data_set(sound: Path) -> None:
    assert check(sound) == {}


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (np.fliplr, "mirrored left to right"),
        (np.flipud, "mirrored top to bottom"),
        (np.transpose, "transposed"),
        (np.rot90, "turned by 270 degrees"),
        (lambda mask: np.rot90(mask, 2), "turned by 180 degrees"),
        (lambda mask: np.rot90(mask, -1), "turned by 90 degrees"),
        (lambda mask: np.rot90(mask, 2).T, "transposed along the other diagonal"),
    ],
)
def test_masks_that_are_turned_or_mirrored_are_told_how_to_turn_back(cells: Path, change: Edit, how: str) -> None:
    edit(cells / "masks", change)
    concern = check(cells)["turned"]
    assert f"when they are {how}" in concern.problem
    assert len(concern.names) >= 8
    assert concern.remedy.endswith(f"{how}.")


def test_masks_that_are_moved_are_told_how_to_move_back(cells: Path) -> None:
    edit(cells / "masks", lambda mask: np.roll(mask, (7, -5), axis=(0, 1)))
    found = check(cells)
    assert found.keys() == {"moved"}
    assert "by about -7 pixels along Y and +5 along X" in found["moved"].problem


def test_a_shift_of_one_pixel_is_how_people_draw(cells: Path) -> None:
    edit(cells / "masks", lambda mask: np.roll(mask, 1, axis=0))
    assert check(cells) == {}


def test_the_single_mask_that_is_mirrored_is_named(cells: Path) -> None:
    edit(cells / "masks", np.fliplr, numbers=range(4, 5))
    concern = check(cells)["turned"]
    assert concern.names == ("cells_004.tif mirrored left to right",)


def test_masks_of_other_images_are_named(cells: Path) -> None:
    one, other = (cells / "masks" / f"cells_00{number}.tif" for number in (2, 7))
    first, second = imread(one), imread(other)
    imwrite(one, second)
    imwrite(other, first)
    assert set(check(cells)["strange"].names) == {"cells_002.tif", "cells_007.tif"}


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        np.fliplr,
        np.rot90,
        lambda image: (image // 2 + 40).astype(np.uint16),
        lambda image: cv2.resize(image, (120, 120), interpolation=cv2.INTER_AREA),
        lambda image: (image + np.random.default_rng(0).normal(0, 20, image.shape)).clip(0, 65535).astype(np.uint16),
    ],
    ids=["same", "mirrored", "turned", "darker", "smaller", "noisier"],
)
@pytest.mark.parametrize(("held_out", "kind"), [((1,), "leak"), ((), "copies")])
def test_copies_are_found_as_they_are_and_changed(cells: Path, change: Edit, held_out: tuple[int], kind: str) -> None:
    for part in ("images", "masks"):
        imwrite(cells / part / "copy.tif", imread(cells / part / "cells_001.tif"))
    shape = change(imread(cells / "images" / "copy.tif")).shape
    imwrite(cells / "images" / "copy.tif", np.ascontiguousarray(change(imread(cells / "images" / "copy.tif"))))
    imwrite(cells / "masks" / "copy.tif", np.zeros(shape, np.uint16))
    found = check(cells, held_out=held_out)
    assert found[kind].names == ("cells_001.tif = copy.tif",)
    assert ({"leak", "copies"} & found.keys()) == {kind}


def test_jpeg_masks_are_named(cells: Path) -> None:
    for path in sorted((cells / "masks").iterdir()):
        Image.fromarray(binary(imread(path))).save(path.with_suffix(".jpg"), quality=80)
        path.unlink()
    found = check(cells)
    assert len(found["compressed"].names) == 10
    assert found.keys() == {"compressed"}


@pytest.mark.parametrize("way", ["jpeg", "resized"])
def test_masks_with_values_in_between_are_named(cells: Path, tmp_path: Path, way: str) -> None:
    for path in sorted((cells / "masks").iterdir())[:3]:
        mask = binary(imread(path))
        if way == "jpeg":
            Image.fromarray(mask).save(tmp_path / "lossy.jpg", quality=75)
            mask = np.asarray(Image.open(tmp_path / "lossy.jpg"))
        else:
            small = cv2.resize(mask, (136, 136), interpolation=cv2.INTER_AREA)
            mask = cv2.resize(small, (192, 192), interpolation=cv2.INTER_LINEAR)
        imwrite(path, mask)
    edit(cells / "masks", binary, numbers=range(3, 10))
    assert check(cells)["blurred"].names == ("cells_000.tif", "cells_001.tif", "cells_002.tif")


def test_255_beside_other_values_is_asked_about(cells: Path) -> None:
    edit(cells / "masks", lambda mask: (mask > 0).astype(np.uint8))
    edit(cells / "masks", lambda mask: 255 * mask, numbers=range(2))
    concern = check(cells)["mixed"]
    assert "255 beside 1" in concern.problem
    assert concern.names == ("cells_000.tif", "cells_001.tif")


def test_the_setting_for_what_nobody_annotated_is_named(cells: Path) -> None:
    edit(cells / "masks", lambda mask: (mask > 0).astype(np.uint8))
    edit(cells / "masks", lambda mask: 255 * mask, numbers=range(2))
    remedy = check(cells)["mixed"].remedy
    assert "data.ignore: 255" in remedy


def test_masks_that_do_not_number_their_objects_are_named_where_others_do(cells: Path) -> None:
    edit(cells / "masks", binary, numbers=range(4))
    found = check(cells)
    assert found["unnumbered"].names == tuple(f"cells_00{number}.tif" for number in range(4))
    assert "numbered" not in found
    assert measure(look_at_all(find_pairs(cells))).kind == "instances"


def test_the_few_masks_that_number_their_objects_are_named(cells: Path) -> None:
    edit(cells / "masks", binary, numbers=range(7))
    assert check(cells)["numbered"].names == tuple(f"cells_00{number}.tif" for number in range(7, 10))


def test_what_masks_were_taken_for_is_said_by_kind(cells: Path) -> None:
    for number in range(10):
        path = cells / "masks" / f"cells_{number:03}.tif"
        drawn = Image.fromarray((imread(path) == 0).astype(np.uint8))
        drawn.putpalette([255, 255, 255, 0, 0, 0])
        drawn.save(path.with_suffix(".png"))
        path.unlink()
    found = check(cells)
    assert found.keys() == {"palette"}
    assert len(found["palette"].names) == 10
    assert "white is foreground" in found["palette"].problem


def test_few_values_may_be_classes_or_objects(cells: Path) -> None:
    edit(cells / "masks", lambda mask: np.where(mask > 0, 1 + mask % 2, 0).astype(np.uint8))
    concern = check(cells)["ambiguous"]
    assert concern.text == "The labels 1, 2 are taken for classes. If they are objects, set model.classes: 2."
    edit(cells / "masks", lambda mask: _one_or_two(mask > 0))
    concern = check(cells)["ambiguous"]
    assert (
        concern.text == "The labels 1, 2 are taken for numbers of objects. If they are classes, set model.classes: 3."
    )


def _one_or_two(inside: np.ndarray) -> np.ndarray:
    """Number the first one or two objects, as many as the size of the foreground says."""
    labels = ndimage.label(inside)[0]
    labels[labels > 1 + inside.sum() % 2] = 0
    return labels.astype(np.uint8)


def test_inverted_masks_are_named(cells: Path) -> None:
    edit(cells / "masks", lambda mask: 255 - binary(mask))
    found = check(cells)
    assert found.keys() == {"inverted"}
    assert len(found["inverted"].names) >= 8


def test_a_background_that_has_a_number_is_taken_for_inverted(cells: Path) -> None:
    edit(cells / "masks", lambda mask: mask + 1)
    assert len(check(cells)["inverted"].names) >= 8


def test_masks_without_background_and_without_foreground_are_named(cells: Path) -> None:
    edit(cells / "masks", np.ones_like, numbers=range(1))
    edit(cells / "masks", np.zeros_like, numbers=range(1, 6))
    found = check(cells)
    assert found["full"].names == ("cells_000.tif",)
    assert "5 masks are empty (cells_001.tif, cells_002.tif, cells_003.tif and 2 more)." in found["empty"].text


def test_constant_images_are_named_and_are_no_copies(cells: Path) -> None:
    edit(cells / "images", lambda image: np.full_like(image, 9), numbers=range(2))
    found = check(cells)
    assert found["constant"].names == ("cells_000.tif", "cells_001.tif")
    assert not {"copies", "leak"} & found.keys()


def test_overexposed_images_are_named(cells: Path) -> None:
    edit(cells / "images", lambda image: (np.minimum(image / np.percentile(image, 85), 1) * 4095).astype(np.uint16))
    assert len(check(cells)["saturated"].names) >= 8


def test_a_tiny_set_is_said_to_be_one(cells: Path) -> None:
    for part in ("images", "masks"):
        (cells / part / "cells_009.tif").unlink()
    assert check(cells)["tiny"].text.startswith("9 images are very few")


def test_images_much_smaller_than_the_crop_are_named(cells: Path) -> None:
    for part in ("images", "masks"):
        edit(cells / part, lambda array: array[:60, :60], numbers=range(3, 5))
    assert check(cells)["small"].names == ("cells_003.tif", "cells_004.tif")
