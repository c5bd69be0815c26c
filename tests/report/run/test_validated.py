from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetkit.foundation.errors import DataError, OutputError
from unetkit.foundation.names import printable
from unetkit.report.run.validated import (
    MOST_BEST,
    MOST_BYTES,
    MOST_WORST,
    PICTURE_SIDE,
    Picture,
    ValidatedImages,
    encode,
    read_images,
)

SMALL = Picture(np.zeros((4, 4, 3), np.uint8))
HOSTILE = ["<script>alert(1)</script>", "'quo\"ted'", "new\nline", "a,b", "b\udce4r\x1b", "=1+1", "ü 🙂", ""]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=120))
def test_pictures_are_kept_of_the_worst_and_the_best_only(ranks: list[int]) -> None:
    images = ValidatedImages()
    most = 0
    for number, rank in enumerate(ranks):
        images.add(str(number), {"dice": rank}, rank, lambda: SMALL)
        most = max(most, sum(row.picture is not None for row in images.rows))
    kept = sorted(row.rank for row in images.rows if row.picture is not None)
    ordered = sorted(ranks)
    expected = ordered[:MOST_WORST] + ordered[MOST_WORST:][-MOST_BEST:]
    assert kept == expected
    assert most <= MOST_WORST + MOST_BEST


def test_a_picture_is_made_only_of_an_image_that_may_be_shown() -> None:
    images, made = ValidatedImages(), []
    for rank in range(500):
        images.add(str(rank), {"dice": rank}, rank, lambda rank=rank: made.append(rank) or SMALL)
    assert len(made) == 500  # each is the best so far
    made.clear()
    for rank in range(200, 300):
        images.add(str(rank), {"dice": rank}, rank, lambda rank=rank: made.append(rank) or SMALL)
    assert made == []


def test_names_and_scores_come_back_as_they_were_written(tmp_path: Path) -> None:
    images = ValidatedImages()
    for number, name in enumerate(HOSTILE):
        images.add(name, {"dice": number / 8, "objects": number, "truth": name}, number, lambda: SMALL)
    images.write(tmp_path)
    rows = read_images(tmp_path)
    assert [row.name for row in rows] == [printable(name) for name in HOSTILE]
    assert [row.values["dice"] for row in rows] == [number / 8 for number in range(8)]
    assert [row.picture for row in rows] == [f"{number:02}.jpg" for number in range(1, 9)]
    with (tmp_path / "validation.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.reader(file)) == ["image", "dice", "objects", "truth", "picture"]


def test_pictures_of_an_earlier_end_are_replaced(tmp_path: Path) -> None:
    for count in (5, 2):
        images = ValidatedImages()
        for number in range(count):
            images.add(str(number), {"dice": 0.5}, number, lambda: SMALL)
        images.write(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("report/*")) == ["01.jpg", "02.jpg"]
    assert not list(tmp_path.glob("*.partial"))


def test_a_picture_is_small_in_pixels_and_bytes_whatever_the_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (3, 1100, 1400), np.uint16)
    truth = np.random.default_rng(1).integers(0, 2, (1100, 1400))
    picture = Picture.of(pixels, truth, truth)
    drawn = picture.draw(1)
    assert max(drawn.shape) == PICTURE_SIDE
    assert drawn.shape == picture.display.shape
    for display in (drawn, picture.display):
        encoded = encode(display)
        assert len(encoded) <= MOST_BYTES
        decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        assert decoded.shape == display.shape


def test_truth_prediction_and_what_is_not_annotated_are_drawn() -> None:
    pixels = np.full((1, 100, 100), 90, np.uint8)
    pixels[0, 0, 0] = 255
    truth, prediction = np.zeros((100, 100), np.int64), np.zeros((100, 100), np.int64)
    truth[10:40, 10:40], prediction[60:90, 60:90] = 1, 1
    truth[:, 95:] = -1
    picture = Picture.of(pixels, truth, prediction)
    changed = (picture.draw(1) != picture.display).any(axis=2)
    side = picture.display.shape[0] / 100
    assert changed[round(40 * side) + 1, round(25 * side)]  # truth: outside of its edge
    assert changed[round(60 * side) + 1, round(75 * side)]  # prediction: inside
    assert not changed[round(50 * side), round(50 * side)]
    hatched = picture.display[:, round(96 * side) :]
    assert len(np.unique(hatched)) > 1


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "image,dice\na,0.5\n", "image,dice,picture\na,0.5\n", "image,dice,picture\na,0.5,x,y\n"),
        *('image,dice,picture\n"a,0.5,\n', "image,dice,picture\na,0.5,../secret.jpg\n"),
    ],
)
def test_a_damaged_table_is_an_error_that_names_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "validation.csv").write_text(text)
    with pytest.raises(DataError, match=r"validation\.csv is damaged"):
        read_images(tmp_path)


def test_bytes_that_are_no_text_are_an_error_that_names_the_table(tmp_path: Path) -> None:
    (tmp_path / "validation.csv").write_bytes(b"image,dice,picture\n\xff\xfe,1,\n")
    with pytest.raises(DataError, match=r"validation\.csv is damaged"):
        read_images(tmp_path)


def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    images = ValidatedImages()
    images.add("a", {"dice": 0.5}, 0.5, lambda: SMALL)
    with pytest.raises(OutputError, match="cannot be written"):
        images.write(tmp_path / "missing")
    assert not list(tmp_path.iterdir())
