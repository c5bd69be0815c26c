from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from unetkit.data.folders import find_unpaired
from unetkit.data.loading import load_pair
from unetkit.data.pairs import Pair, find_pairs, parse_pages
from unetkit.foundation.errors import DataError, ImageError

EM = Path(__file__).parents[2] / "../shared/data/em"


def _png(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def _mask(height: int = 20, width: int = 24, value: int = 255) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[4:10, 5:12] = value
    return mask


def _folder(root: Path, names: tuple[str, ...] = ("a", "b"), mask_ending: str = "") -> Path:
    for name in names:
        _png(root / "images" / f"{name}.png", np.full((20, 24), 7, np.uint8))
        _png(root / "masks" / f"{name}{mask_ending}.png", _mask())
    return root


@pytest.mark.parametrize("ending", ["", "_mask", "_masks", "_label", "_labels", "_seg", "_Mask"])
def test_folders_pair_by_stem(tmp_path: Path, ending: str) -> None:
    pairs = find_pairs(_folder(tmp_path, ("b", "a", "c_mask"), ending))
    assert [pair.name for pair in pairs] == ["a", "b", "c_mask"]
    assert pairs[0] == Pair("a", tmp_path / "images/a.png", tmp_path / f"masks/a{ending}.png")


def test_folder_of_images_with_a_folder_of_masks_elsewhere(tmp_path: Path) -> None:
    _folder(tmp_path)
    assert len(find_pairs(tmp_path / "images", tmp_path / "masks")) == 2
    assert len(find_pairs(tmp_path, tmp_path / "masks")) == 2


def test_ome_suffix_is_not_part_of_the_stem(tmp_path: Path) -> None:
    _folder(tmp_path, ("b",))
    tifffile.imwrite(tmp_path / "images/cell.ome.tif", np.zeros((20, 24), np.uint16))
    _png(tmp_path / "masks/cell.png", _mask())
    assert [pair.name for pair in find_pairs(tmp_path)] == ["b", "cell"]


def test_single_image_with_its_mask(tmp_path: Path) -> None:
    _folder(tmp_path)
    (pair,) = find_pairs(tmp_path / "images/a.png", tmp_path / "masks/a.png")
    assert (pair.name, pair.image_plane, pair.mask_plane) == ("a", None, None)


def test_csv_pairs_relative_to_itself(tmp_path: Path) -> None:
    _folder(tmp_path / "set")
    listing = tmp_path / "list.csv"
    row = "set/images/{0}.png, set/masks/{0}.png,x\n"
    listing.write_text("\ufeffimage,mask,note\n" + row.format("b") + row.format("a") + row.format("a"), "utf-8")
    assert [pair.name for pair in find_pairs(listing)] == ["b", "a (line 3)", "a (line 4)"]


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "QYX"])
def test_stacks_give_a_pair_for_each_page(tmp_path: Path, axes: str) -> None:
    stack = np.arange(5 * 20 * 24, dtype=np.uint16).reshape(5, 20, 24)
    metadata = None if axes == "QYX" else {"axes": axes}
    tifffile.imwrite(tmp_path / "s.tif", stack, metadata=metadata, imagej=axes != "QYX", photometric="minisblack")
    tifffile.imwrite(tmp_path / "m.tif", np.stack([_mask(value=i + 1) for i in range(5)]), photometric="minisblack")
    pairs = find_pairs(tmp_path / "s.tif", tmp_path / "m.tif", pages="3,0-1")
    assert [pair.name for pair in pairs] == ["s[3]", "s[0]", "s[1]"]
    pixels, labels = load_pair(pairs[0])
    assert np.array_equal(pixels, stack[3:4])
    assert labels.max() == 4


@pytest.mark.skipif(not EM.exists(), reason="no ../shared/data/em")
def test_real_stack(tmp_path: Path) -> None:
    pairs = find_pairs(EM / "train-volume.tif", EM / "train-labels.tif", "24-26")
    pixels, labels = load_pair(pairs[2])
    assert pairs[2].name == "train-volume[26]"
    assert np.array_equal(pixels[0], tifffile.imread(EM / "train-volume.tif", key=26))
    assert np.array_equal(labels, tifffile.imread(EM / "train-labels.tif", key=26))


@pytest.mark.parametrize("last", [False, True])
def test_unnamed_axes_are_channels_of_a_single_mask(tmp_path: Path, last: bool) -> None:
    image = np.random.default_rng(0).integers(0, 999, (5, 20, 24)).astype(np.uint16)
    stored = image.transpose(1, 2, 0) if last else image
    tifffile.imwrite(tmp_path / "i.tif", stored, photometric="minisblack", metadata=None)
    _png(tmp_path / "m.png", _mask())
    (pair,) = find_pairs(tmp_path / "i.tif", tmp_path / "m.png")
    assert pair.image_plane is None
    assert np.array_equal(load_pair(pair)[0], image)


def test_named_axes_need_a_mask_for_each_plane(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "i.tif", np.zeros((5, 20, 24), np.uint16), imagej=True, metadata={"axes": "ZYX"})
    _png(tmp_path / "m.png", _mask())
    with pytest.raises(DataError, match=r"i.tif has 5 planes \(axes ZYX\), but .*m.png has one plane\. Give a mask"):
        find_pairs(tmp_path / "i.tif", tmp_path / "m.png")


def test_pages() -> None:
    stack = Path("s.tif")
    assert parse_pages("0-3,24", 25, stack) == [0, 1, 2, 3, 24]
    assert parse_pages(" 2 , 1-2", 3, stack) == [2, 1]
    with pytest.raises(DataError, match=r"'20-25' goes beyond the last page\. s.tif has the pages 0-24"):
        parse_pages("20-25", 25, stack)
    for wrong in ("", "a", "3-1", "1-", "-2", "1,,2"):
        with pytest.raises(DataError, match="cannot be read"):
            parse_pages(wrong, 25, stack)


def _missing_masks(root: Path) -> None:
    for name in "cdefg":
        _png(root / f"images/{name}.png", _mask())


def _missing_images(root: Path) -> None:
    _png(root / "masks/z.png", _mask())


def _same_stem(root: Path) -> None:
    _png(root / "images/a.jpg", _mask())


def _two_masks(root: Path) -> None:
    _png(root / "masks/a_mask.png", _mask())


def _other_size(root: Path) -> None:
    _png(root / "masks/a.png", _mask(20, 25))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_missing_masks, r"5 images have no mask in .*masks: c.png, d.png, e.png and 2 more\. Add masks"),
        (_missing_images, r"1 mask has no image in .*images: z.png\. Add images"),
        (_same_stem, r"a.jpg and a.png in .*images both stand for 'a'\. Keep one"),
        (_two_masks, r"a.png and a_mask.png in .*masks both stand for 'a'"),
        (_other_size, r"1 mask differs in size from the image: a.png 20 x 25, image 20 x 24\. Give masks"),
    ],
)
def test_folders_that_do_not_pair(tmp_path: Path, spoil, message: str) -> None:
    spoil(_folder(tmp_path))
    with pytest.raises(DataError, match=message):
        find_pairs(tmp_path)


def test_paths_that_do_not_fit(tmp_path: Path) -> None:
    _folder(tmp_path / "set")
    with pytest.raises(DataError, match=r"There is no file or folder .*nowhere/x\. Check the path; .* exists"):
        find_pairs(tmp_path / "nowhere/x")
    with pytest.raises(DataError, match=r"has no folder images and no folder masks\. Put the images in .*/images"):
        find_pairs(tmp_path)
    with pytest.raises(DataError, match=r"a.png is one file, but its mask is not given"):
        find_pairs(tmp_path / "set/images/a.png")
    with pytest.raises(DataError, match=r"is not a stack\. Leave pages out"):
        find_pairs(tmp_path / "set", pages="0-1")
    with pytest.raises(DataError, match=r"is a folder, but .*a.png is a file"):
        find_pairs(tmp_path / "set/images", tmp_path / "set/masks/a.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="has no images"):
        find_pairs(tmp_path / "empty", tmp_path / "set/masks")


@pytest.mark.parametrize("masks", [False, True])
def test_one_folder_of_images_and_masks_pairs_by_the_ending(tmp_path: Path, masks: bool) -> None:
    for name in ("img1", "img2"):
        _png(tmp_path / f"{name}.png", np.full((20, 24), 7, np.uint8))
        _png(tmp_path / f"{name}_masks.png", _mask())
    pairs = find_pairs(tmp_path, tmp_path / "." if masks else None)
    assert [(pair.image.name, pair.mask.name) for pair in pairs] == [
        ("img1.png", "img1_masks.png"),
        ("img2.png", "img2_masks.png"),
    ]


def test_a_file_is_never_its_own_mask(tmp_path: Path) -> None:
    _folder(tmp_path / "set")
    with pytest.raises(DataError, match=r"2 images have no mask .*: a.png, b.png\. .* CSV"):
        find_pairs(tmp_path / "set/images", tmp_path / "set/images")
    with pytest.raises(DataError, match=r"a.png is given as an image and as its own mask"):
        find_pairs(tmp_path / "set/images/a.png", tmp_path / "set/images/a.png")
    (tmp_path / "list.csv").write_text("image,mask\nset/images/a.png,set/images/a.png\n")
    with pytest.raises(DataError, match=r"a.png is given as an image and as its own mask"):
        find_pairs(tmp_path / "list.csv")


@pytest.mark.parametrize(("images", "masks"), [("imagesTr", "labelsTr"), ("image", "mask"), ("Images", "GT")])
def test_folders_have_the_names_of_other_tools(tmp_path: Path, images: str, masks: str) -> None:
    _folder(tmp_path)
    (tmp_path / "images").rename(tmp_path / "moved")
    (tmp_path / "moved").rename(tmp_path / images)
    (tmp_path / "masks").rename(tmp_path / masks)
    assert [pair.image.parent.name for pair in find_pairs(tmp_path)] == [images] * 2


def test_what_has_no_partner_is_named_or_skipped(tmp_path: Path) -> None:
    _folder(tmp_path)
    _png(tmp_path / "images/overview.png", _mask())
    _png(tmp_path / "masks/notes.png", _mask())
    with pytest.raises(DataError) as caught:
        find_pairs(tmp_path)
    for word in ("overview.png", "notes.png", "NAME_cp_masks", "CSV", "--data.unpaired skip"):
        assert word in str(caught.value)
    assert [pair.name for pair in find_pairs(tmp_path, unpaired="skip")] == ["a", "b"]
    assert [path.name for path in find_unpaired(tmp_path)] == ["overview.png", "notes.png"]


def test_skipping_all_is_an_error(tmp_path: Path) -> None:
    _png(tmp_path / "images/x.png", _mask())
    _png(tmp_path / "masks/y.png", _mask())
    with pytest.raises(DataError, match="1 image has no mask"):
        find_pairs(tmp_path, unpaired="skip")


def test_further_channels_of_nnunet_are_told_apart(tmp_path: Path) -> None:
    for name in ("case_0000", "case_0001"):
        _png(tmp_path / f"imagesTr/{name}.png", np.full((20, 24), 7, np.uint8))
    _png(tmp_path / "labelsTr/case.png", _mask())
    with pytest.raises(DataError, match=r"case_0001.png\. They look like further channels of nnU-Net"):
        find_pairs(tmp_path)


def test_csv_that_does_not_fit(tmp_path: Path) -> None:
    listing = tmp_path / "list.csv"
    for text, message in (
        ("", r"has the columns none, not image and mask\. Begin it"),
        ("images;masks\n", "has the columns images;masks"),
        ("image,mask\n", "lists no pairs"),
        ("image,mask\na.png,b.png\n", r"2 files listed in .*list.csv are missing: .*a.png \(line 2\)"),
        ("image,mask\na.png\n", r"2 files listed in"),
    ):
        listing.write_text(text)
        with pytest.raises(DataError, match=message):
            find_pairs(listing)


@pytest.mark.parametrize("layout", ["beside", "folder", "file"])
def test_pickles_of_cellpose_are_refused_with_the_way_to_export_them(tmp_path: Path, layout: str) -> None:
    image = _png(tmp_path / "images" / "a.png", np.full((20, 24), 7, np.uint8))
    place = tmp_path / ("images" if layout == "beside" else "masks")
    place.mkdir(exist_ok=True)
    np.save(place / "a_seg.npy", np.array({"masks": _mask()}, dtype=object))
    given = {"beside": (tmp_path, None), "folder": (tmp_path, None), "file": (image, place / "a_seg.npy")}[layout]
    with pytest.raises((DataError, ImageError), match="can run code when it is read") as found:
        find_pairs(*given)
    assert "File > Save masks as PNG/TIF" in found.value.remedy


def test_names_of_cellpose_pair_beside_the_image(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _png(tmp_path / f"{name}.png", np.full((20, 24), 7, np.uint8))
    _png(tmp_path / "a_cp_masks.png", _mask())
    tifffile.imwrite(tmp_path / "b_masks.tif", _mask())
    np.save(tmp_path / "a_seg.npy", np.array({}, dtype=object))
    found = {pair.name: pair.mask.name for pair in find_pairs(tmp_path) if pair.mask}
    assert found == {"a": "a_cp_masks.png", "b": "b_masks.tif"}
