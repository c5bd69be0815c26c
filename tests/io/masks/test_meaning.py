"""Each kind of mask is read as what it looks like, and says so where there is a doubt."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from mask_files import (
    CLASSES,
    DOUBTFUL,
    INSIDE,
    LABELS,
    MASK,
    NOTHING,
    PLAIN,
    THREE,
    WHITE,
    WHITE_AND_BLACK,
    WIDE,
    layer,
    pil,
    tiff,
)
from numpy.typing import NDArray

import unetkit.io.masks.meaning
from unetkit.foundation.errors import DataError
from unetkit.io.base.arrays import ArraySource
from unetkit.io.masks.meaning import Meaning, decide, decide_file, open_mask, say_taken


def read(path: Path) -> tuple[NDArray[np.generic], Meaning]:
    """Return the labels of the first plane, and what they mean."""
    with closing(open_mask(path)) as source:
        meaning = decide_file(source, range(source.info.planes))
        return meaning.labels(source.read(0, (slice(0, source.info.height), slice(0, source.info.width)))), meaning


@pytest.mark.parametrize("kind", PLAIN)
def test_masks_without_a_doubt_are_read_without_a_word(kind: str, tmp_path: Path) -> None:
    suffix, write = PLAIN[kind]
    write(tmp_path / f"m.{suffix}")
    labels, meaning = read(tmp_path / f"m.{suffix}")
    assert np.array_equal(labels > 0, INSIDE)
    assert meaning.taken == ""


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_masks_with_a_doubt_are_read_as_what_they_look_like_and_say_so(kind: str, tmp_path: Path) -> None:
    suffix, write, expected, word = DOUBTFUL[kind]
    write(tmp_path / f"m.{suffix}")
    labels, meaning = read(tmp_path / f"m.{suffix}")
    assert meaning.kind == expected
    assert word in meaning.taken
    inside = np.pad(INSIDE[8:-8, 8:-8], 8) if "one bit" in kind else INSIDE
    assert 2 * (inside & (labels > 0)).sum() / (inside.sum() + (labels > 0).sum()) > 0.94


def test_numbers_of_palettes_colours_and_large_labels_stay_apart(tmp_path: Path) -> None:
    for kind, numbers in (
        ("palette of classes", THREE),
        ("colours of objects", LABELS),
        ("labels beyond 32 bits", LABELS),
    ):
        suffix, write, _, _ = DOUBTFUL[kind]
        write(tmp_path / f"m.{suffix}")
        labels, _ = read(tmp_path / f"m.{suffix}")
        pairs = np.unique(np.stack([labels.ravel().astype(np.int64), numbers.ravel().astype(np.int64)]), axis=1)
        assert pairs.shape[1] == len(np.unique(numbers))
        assert labels[numbers == 0].max() == 0


def test_a_class_has_the_same_number_in_every_mask_in_colours(tmp_path: Path) -> None:
    pil(CLASSES)(tmp_path / "all.png")
    pil(np.where((THREE == 2)[..., None], 0, CLASSES))(tmp_path / "two.png")
    both, two = read(tmp_path / "all.png")[0], read(tmp_path / "two.png")[0]
    assert np.array_equal(two, np.where(THREE == 2, 0, both))


def test_the_inverted_lookup_table_of_imagej_keeps_its_numbers(tmp_path: Path) -> None:
    tiff(MASK, imagej=True)(tmp_path / "m.tif")
    with closing(open_mask(tmp_path / "m.tif")) as source:
        assert not source.info.encoding.white_is_zero
    tiff(MASK, photometric="miniswhite", description="ImageJ=1.54f\n", metadata=None, software="")(tmp_path / "m.tif")
    labels, meaning = read(tmp_path / "m.tif")
    assert np.array_equal(labels, MASK)
    assert "ImageJ" in meaning.taken


def test_empty_masks_are_empty(tmp_path: Path) -> None:
    for name, write in {
        "jpeg": pil(NOTHING),
        "palette.png": pil(NOTHING + 1, "P", WHITE_AND_BLACK),
        "layer.png": pil(layer(WHITE, NOTHING)),
        "labels.tif": tiff(NOTHING, photometric="miniswhite"),
        "false.tif": tiff(NOTHING > 0),
        "float.tif": tiff(np.zeros((9, 9), np.float32)),
    }.items():
        path = tmp_path / (name if "." in name else f"m.{name}")
        write(path)
        assert read(path)[0].max() == 0, name


def test_pictures_are_no_masks(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    for pixels in (noise, cv2.GaussianBlur(noise, (0, 0), 3)):
        pil(pixels)(tmp_path / "picture.png")
        with pytest.raises(DataError, match=r"picture.png has .*,... colours, as a picture has .* Give the mask of"):
            read(tmp_path / "picture.png")


def test_channels_that_differ_and_values_that_are_no_numbers_are_refused() -> None:
    info = ArraySource(np.zeros((2, 8, 8)), "CYX", "m.tif").info
    with pytest.raises(DataError, match=r"m.tif is a mask with 2 channels that differ\. Save it"):
        decide([np.stack([np.ones((8, 8)), np.zeros((8, 8))])], info)
    with pytest.raises(DataError, match=r"m.tif is a mask with NaN"):
        decide([np.full((1, 8, 8), np.nan)], info)


@pytest.mark.parametrize(
    "kind", ["colours of objects", "JPEG", "white layer", "probabilities", "labels beyond 32 bits"]
)
def test_bands_and_windows_mean_what_the_whole_mask_does(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suffix, write, _, _ = DOUBTFUL[kind]
    write(tmp_path / f"m.{suffix}")
    whole, _ = read(tmp_path / f"m.{suffix}")
    monkeypatch.setattr(unetkit.io.masks.meaning, "BAND_PIXELS", 128 * 7)
    with closing(open_mask(tmp_path / f"m.{suffix}")) as source:
        meaning = decide_file(source, [0])
        window = meaning.labels(source.read(0, (slice(30, 70), slice(5, 99))))
    assert np.array_equal(window, whole[30:70, 5:99])


def test_a_mask_without_background_says_so() -> None:
    info = ArraySource(np.zeros((8, 8)), "YX").info
    meaning = decide([THREE[None] + 1], info)
    assert "No pixel of the mask is 0" in meaning.taken
    assert np.array_equal(meaning.labels(THREE[None] + 1), THREE + 1)


def test_labels_take_the_smallest_type() -> None:
    info = ArraySource(np.zeros((8, 8)), "YX").info
    for values, dtype in (((0, 3), np.uint8), ((0, 300), np.uint16), ((-1, 3), np.int32), ((0, 70000), np.int32)):
        pixels = np.array([[values]], np.int64)
        labels = decide([pixels], info).labels(pixels)
        assert labels.dtype == dtype
        assert labels.tolist() == [list(values)]


def test_doubts_are_said_once_a_kind_with_a_count_and_a_name() -> None:
    info = ArraySource(np.zeros((8, 8)), "YX").info
    plain, soft, output = (
        decide([np.asarray(pixels, np.float32)[None]], info) for pixels in (INSIDE, WIDE / 255, WIDE / 255 - 0.5)
    )
    said = say_taken([("a", plain), ("b", soft), ("c", output), ("d", soft)], "mask")
    assert len(said) == 2
    assert said[0].endswith("threshold 0.5 (2 of 4 masks, such as b).")
    assert say_taken([("b", soft)], "mask")[0].endswith("threshold 0.5 (b).")
