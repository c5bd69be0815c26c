from __future__ import annotations

from pathlib import Path

import pytest

from unetkit.data.names import any_names, image_names, mask_names, pair_names, split_folder
from unetkit.foundation.errors import DataError


def paths(*names: str) -> list[Path]:
    return [Path(name) for name in names]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("cell.png", "cell.tif"),
        ("cell.ome.tif", "cell_mask.png"),
        ("cell.tif", "cell_cp_masks.png"),
        ("cell.tif", "cell-labelled.tif"),
        ("cell.tif", "cell.labels.tif"),
        ("cell.tif", "cell Segmentation.png"),
        ("cell.tif", "cell.tif_mask.png"),
        ("cell_img.png", "cell_seg.png"),
        ("cell_image.png", "cell_mask.png"),
        ("cell_raw.tif", "cell.tif"),
        ("image_3.png", "label_3.png"),
        ("img_3.png", "img_3_GT.png"),
        ("img_3.png", "mask_img_3.png"),
        ("case_0_0000.nii.tif", "case_0_0000.nii_mask.tif"),
        ("case_0_0000.png", "case_0.png"),
    ],
)
def test_images_and_masks_pair_as_programs_name_them(image: str, mask: str) -> None:
    others = paths("other.png"), paths("other_mask.png")
    pairs, no_mask, no_image = pair_names([Path(image), *others[0]], [Path(mask), *others[1]])
    assert [pair[1:] for pair in pairs] == [(Path(image), Path(mask)), (others[0][0], others[1][0])]
    assert (no_mask, no_image) == ([], [])


def test_equal_names_come_before_all_others() -> None:
    pairs, *left = pair_names(paths("a.png", "a_img.png"), paths("a.png", "a_img.png"))
    assert [(image.name, mask.name) for _, image, mask in pairs] == [("a.png", "a.png"), ("a_img.png", "a_img.png")]
    assert left == [[], []]


def test_names_without_a_partner_are_left() -> None:
    pairs, no_mask, no_image = pair_names(paths("a.png", "b.png"), paths("b_seg.png", "c_seg.png"))
    assert [name for name, _, _ in pairs] == ["b"]
    assert (no_mask, no_image) == (paths("a.png"), paths("c_seg.png"))


@pytest.mark.parametrize(
    ("images", "masks", "twice"),
    [
        (("a.png", "a.tif"), ("a.png",), "a.png and a.tif"),
        (("a.png",), ("a_mask.png", "a_seg.png"), "a_mask.png and a_seg.png"),
        (("a.png",), ("a.png", "a_seg.png"), "a.png and a_seg.png"),
        (("a.png", "a_raw.png"), ("a.png",), "a.png and a_raw.png"),
    ],
)
def test_two_files_for_the_same_are_refused(images: tuple[str, ...], masks: tuple[str, ...], twice: str) -> None:
    with pytest.raises(DataError, match=rf"{twice} in \. both stand for 'a'\. Keep one .* CSV"):
        pair_names(paths(*images), paths(*masks))


def test_a_folder_of_both_is_split_by_the_words_of_masks() -> None:
    assert split_folder(paths("a.tif", "a_masks.tif", "b.tif", "b_masks.tif")) == (
        paths("a.tif", "b.tif"),
        paths("a_masks.tif", "b_masks.tif"),
    )
    assert split_folder(paths("img_1.tif", "mask_1.tif"))[1] == paths("mask_1.tif")
    assert split_folder(paths("a_seg.tif", "a_seg_mask.tif", "b.tif"))[0] == paths("a_seg.tif", "b.tif")
    assert split_folder(paths("a.tif", "b_mask.tif"))[1] == []


def test_words_alone_are_names() -> None:
    assert mask_names(Path("mask.png")) == ["mask"]
    assert image_names(Path("img.png")) == ["img"]
    assert any_names(Path("image_2_pred.png")) == ["image_2_pred", "image_2", "2_pred"]
