"""Pixels that nobody has annotated: found in any kind of mask, and left out of what decides its meaning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from unetkit.errors import DataError
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import ImageInfo
from unetkit.io.base.stored import AS_SEEN, Encoding
from unetkit.io.masks.ignored import IGNORED, find_ignored
from unetkit.io.masks.meaning import Meaning, decide, open_mask


def described(pixels: NDArray[Any], encoding: Encoding = AS_SEEN) -> ImageInfo:
    return replace(ArraySource(pixels, "CYX", "mask.tif").info, encoding=encoding)


def read(pixels: NDArray[Any], ignore: int | None, encoding: Encoding = AS_SEEN) -> tuple[NDArray[Any], Meaning]:
    meaning = decide([pixels], described(pixels, encoding), ignore)
    return meaning.labels(pixels), meaning


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("uint8", 255),
        ("uint16", 255),
        ("uint16", 65535),
        ("uint32", 4294967295),
        ("int8", -1),
        ("int16", -1),
        ("int32", -1),
        ("int64", -1),
        ("int32", -(2**31)),
        ("float32", 255),
        ("float32", -1),
    ],
)
def test_a_value_of_any_type_marks_what_nobody_has_annotated(dtype: str, value: int) -> None:
    stored = np.array([[0, 0, 3, 3, value], [0, 0, 0, 0, value]], dtype)
    labels, meaning = read(stored[None], value)
    np.testing.assert_array_equal(labels, [[0, 0, 3, 3, IGNORED], [0, 0, 0, 0, IGNORED]])
    np.testing.assert_array_equal(find_ignored(labels), stored == value)
    assert (meaning.kind, meaning.taken) == ("numbers", "")


@pytest.mark.parametrize("value", [300, 65535, -1])
def test_a_value_that_the_type_cannot_hold_marks_nothing(value: int) -> None:
    stored = np.array([[[0, 44, 0, 255]]], np.uint8)
    labels, meaning = read(stored, value)
    np.testing.assert_array_equal(labels, stored[0])
    assert labels.dtype == np.uint8
    assert meaning.ignore is None


def test_without_a_value_all_is_annotated_as_ever() -> None:
    for stored in ([[-1, 0, 2]], [[-(2**31), 0, 2]], [[255, 0, 2]]):
        labels, _ = read(np.array([stored], np.int32), None)
        assert not find_ignored(labels).any()


def test_a_number_of_a_palette_marks_what_nobody_has_annotated(tmp_path: Path) -> None:
    stored = np.array([[0, 1, 2, 255], [0, 1, 2, 255]], np.uint8)
    image = Image.fromarray(stored, "P")
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0, *[0] * (252 * 3), 224, 224, 192])
    image.save(tmp_path / "mask.png")
    source = open_mask(tmp_path / "mask.png")
    pixels = source.read(0, (slice(0, 2), slice(0, 4)))
    meaning = decide([pixels], source.info, 255)
    np.testing.assert_array_equal(meaning.labels(pixels), [[0, 1, 2, IGNORED]] * 2)


def test_a_colour_has_the_value_if_all_its_channels_have_it() -> None:
    stored = np.zeros((3, 8, 8), np.uint8)
    stored[0, :4] = 255  # red is foreground
    stored[:, :, 6:] = 255
    labels, _ = read(stored, 255)
    np.testing.assert_array_equal(labels[:, 6:], IGNORED)
    np.testing.assert_array_equal(labels[:, :6] > 0, stored[0, :, :6] > 0)


def test_the_value_of_a_format_needs_no_word_of_the_user_and_goes_over_his() -> None:
    stored = np.array([[[0, 1, 255, 7]]], np.uint8)
    for given in (None, 7):
        labels, _ = read(stored, given, Encoding(ignored=255))
        np.testing.assert_array_equal(labels, [[0, 1, IGNORED, 7]])


def test_what_is_not_annotated_does_not_change_what_the_rest_means() -> None:
    rng = np.random.default_rng(0)
    smooth = np.zeros((64, 64), np.uint8)
    smooth[16:48, 16:48] = 200
    for _ in range(3):  # blurred borders
        smooth = np.uint8((smooth.astype(int) + np.roll(smooth, 1, 0) + np.roll(smooth, 1, 1)) // 3)
    for mask, kind in ((smooth, "blurred"), (np.uint8(np.kron(np.eye(8), np.ones((8, 8))) * 90), "numbers")):
        with_holes = mask.copy()
        ignored = np.repeat(np.repeat(rng.random((8, 8)) < 0.3, 8, 0), 8, 1)
        with_holes[ignored] = 255
        whole, partly = read(mask[None], None), read(with_holes[None], 255)
        assert whole[1].kind == partly[1].kind == kind
        np.testing.assert_array_equal(partly[0][~ignored], whole[0][~ignored])


def test_strokes_in_objects_alone_and_masks_without_any_leave_no_doubt() -> None:
    for stored in ([[255, 255, 1, 2, 30]], [[255] * 5]):
        labels, meaning = read(np.array([stored], np.uint8), 255)
        np.testing.assert_array_equal(labels, np.where(np.array(stored) == 255, IGNORED, stored))
        assert not meaning.taken


def test_values_that_compression_has_changed_mark_nothing() -> None:
    with pytest.raises(DataError, match="JPEG, which changes values"):
        read(np.zeros((1, 2, 2), np.uint8), 255, Encoding(lossy=True))


@pytest.mark.parametrize("stored", [[0, 1, 2, 3], [1, 1, 2, 3], [0, 0, 0, 0], [0, 1, 1, 300], [0, 1, 1, 1]])
def test_where_0_is_not_annotated_background_is_1(stored: list[int]) -> None:
    labels, meaning = read(np.array([[stored]], np.uint16), 0)
    assert labels.tolist() == [[IGNORED if value == 0 else value - 1 for value in stored]]
    assert "1 is background" in meaning.taken


@pytest.mark.parametrize("stored", [[-1, 0, 1], [0, 0.5, 1], [0, 1, 2**31]])
def test_where_0_is_not_annotated_the_others_are_numbers(stored: list[float]) -> None:
    with pytest.raises(DataError, match="takes plain numbers above 0"):
        read(np.array([[stored]]), 0)


def test_a_palette_has_no_such_numbers() -> None:
    palette = bytes([0, 0, 0, 255, 255, 0, 0, 255, 0, 0, 255, 255])
    with pytest.raises(DataError, match="takes plain numbers above 0"):
        read(np.array([[[0, 1, 2]]], np.uint8), 0, Encoding(palette=palette))
