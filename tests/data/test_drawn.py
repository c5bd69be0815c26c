"""Annotation files in place of masks: found as masks are, read once, and shown as objects or as classes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from drawn_files import Names, write_coco, write_geojson, write_labelme, write_rois
from numpy.typing import NDArray

from unetkit.annotations.objects import Annotations
from unetkit.annotations.source import AnnotationSource
from unetkit.data import drawn
from unetkit.data.datamodule import SegmentationData
from unetkit.data.pairs import find_pairs
from unetkit.data.places import Places
from unetkit.errors import ConfigError, DataError
from unetkit.foundation.synthetic import make_cells

COUNT = 4


@pytest.fixture(scope="module")
def truths() -> dict[str, NDArray[np.uint16]]:
    """Labels of images by their names, numbered from 1."""
    found = {f"cell{k}": make_cells(96, 112, seed=k)[1] for k in range(COUNT)}
    return {name: np.searchsorted(np.unique(one), one).astype(np.uint16) for name, one in found.items()}


@pytest.fixture
def images(truths: dict[str, NDArray[np.uint16]], tmp_path: Path) -> Path:
    """A folder with a folder of images in it."""
    (tmp_path / "images").mkdir()
    for name, labels in truths.items():
        noise = np.random.default_rng(0).integers(0, 40, labels.shape)
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", (noise + 150 * (labels > 0)).astype(np.uint8))
    return tmp_path


def names_of(labels: NDArray[np.uint16], kinds: tuple[str, ...] = ("tumour", "stroma")) -> Names:
    return {number: kinds[number % len(kinds)] for number in range(1, int(labels.max()) + 1)}


def data_of(train: Path, **changes: Any) -> SegmentationData:
    settings: dict[str, Any] = {"crop": 64, "batch_size": 4, "workers": 0, "crops_per_epoch": 8}
    data = SegmentationData(str(train), **(settings | changes))
    data.setup("fit")
    return data


def shown(data: SegmentationData) -> dict[str, NDArray[Any]]:
    return {record.pair.name: data.targets.read(index) for index, record in enumerate(data.targets.records)}


def one_each(folder: Path, truths: dict[str, NDArray[np.uint16]], ending: str, write: Callable[..., None]) -> None:
    folder.mkdir(exist_ok=True)
    for name, labels in truths.items():
        write(folder / f"{name}{ending}", labels)


@pytest.mark.parametrize(
    "layout",
    ["annotations", "geojson.gz", "beside", "flat", "roiset", "labelme", "coco", "coco folder", "coco beside", "csv"],
)
def test_annotations_lie_where_masks_may_lie(
    layout: str, images: Path, truths: dict[str, NDArray[np.uint16]], tmp_path: Path
) -> None:
    masks: str | None = None
    train = images
    if layout in ("annotations", "csv"):
        one_each(images / "annotations", truths, ".geojson", write_geojson)
    elif layout == "geojson.gz":
        import gzip

        one_each(images / "labels", truths, ".tif.geojson", write_geojson)
        for path in list((images / "labels").iterdir()):
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    elif layout == "beside":
        one_each(images / "images", truths, ".json", write_labelme)
    elif layout == "flat":
        one_each(images / "images", truths, "_annotations.geojson", write_geojson)
        train = images / "images"
    elif layout == "roiset":
        one_each(images / "masks", truths, "_RoiSet.zip", write_rois)
    elif layout == "labelme":
        one_each(tmp_path / "drawn", truths, ".json", write_labelme)
        (tmp_path / "drawn" / "project.json").write_text("{}")
        masks = str(tmp_path / "drawn")
    else:
        place = {"coco": tmp_path, "coco folder": images / "annotations", "coco beside": images / "images"}[layout]
        place.mkdir(exist_ok=True)
        write_coco(place / "instances.json", truths)
        masks = str(place / "instances.json") if layout == "coco" else None
    if layout == "csv":
        rows = "".join(f"images/{name}.tif,annotations/{name}.geojson\n" for name in truths)
        train = images / "pairs.csv"
        train.write_text(f"image,mask\n{rows}")
    found = shown(data_of(train, masks=masks))
    assert found.keys() == truths.keys()
    for name, labels in truths.items():
        np.testing.assert_array_equal(found[name], labels)


def test_mask_images_come_before_annotations(images: Path, truths: dict[str, NDArray[np.uint16]]) -> None:
    one_each(images / "images", truths, ".json", write_labelme)
    for name, labels in truths.items():
        tifffile.imwrite(images / "images" / f"{name}_mask.tif", labels)
    assert {pair.mask.suffix for pair in find_pairs(images / "images") if pair.mask} == {".tif"}


def test_images_without_annotations_and_annotations_without_images_are_named(
    images: Path, truths: dict[str, NDArray[np.uint16]]
) -> None:
    one_each(images / "annotations", {name: truths[name] for name in ("cell0", "cell1")}, ".geojson", write_geojson)
    with pytest.raises(DataError, match=r"2 images have no mask in .*: cell2\.tif, cell3\.tif"):
        find_pairs(images)
    assert len(find_pairs(images, unpaired="skip")) == 2
    shutil.rmtree(images / "annotations")
    write_coco(images / "all.json", {**truths, "cell9": truths["cell0"]})
    with pytest.raises(DataError, match=r"1 mask has no image in .*: cell9"):
        find_pairs(images, images / "all.json")
    write_geojson(images / "one.geojson", truths["cell0"])
    with pytest.raises(DataError, match=r"is a folder, but .* is a file"):
        find_pairs(images, images / "one.geojson")


def classified(images: Path, truths: dict[str, NDArray[np.uint16]]) -> Path:
    (images / "annotations").mkdir()
    for name, labels in truths.items():
        write_geojson(images / "annotations" / f"{name}.geojson", labels, names_of(labels))
    return images


def test_names_become_classes_and_stay_objects_for_a_model_of_two_classes(
    images: Path, truths: dict[str, NDArray[np.uint16]]
) -> None:
    data = data_of(classified(images, truths))
    assert data.targets.value_names == ("background", "stroma", "tumour")
    for name, labels in shown(data).items():
        np.testing.assert_array_equal(labels, truths[name])
    data.prepare_for(1, 3, 32)
    for name, labels in shown(data).items():
        expected = np.where(truths[name] == 0, 0, np.where(truths[name] % 2, 1, 2))  # odd numbers are stroma
        np.testing.assert_array_equal(labels, expected)
    data.prepare_for(1, 2, 32, distance_maps=True)
    for index, record in enumerate(data.targets.records):
        np.testing.assert_array_equal(data.targets.objects(index), truths[record.pair.name])
    assert "All classes are foreground: stroma, tumour (model.classes is 2)." in data.take_notes()


def test_the_order_of_the_classes_is_that_of_the_model(images: Path, truths: dict[str, NDArray[np.uint16]]) -> None:
    data = data_of(classified(images, truths))
    data.prepare_for(1, 4, 32, class_names=("nothing", "tumour", "nerve", "stroma"))
    for name, labels in shown(data).items():
        np.testing.assert_array_equal(labels, np.where(truths[name] == 0, 0, np.where(truths[name] % 2, 3, 1)))
    with pytest.raises(DataError, match="class stroma in the annotations, but the known classes are tumour, nerve"):
        data.prepare_for(1, 3, 32, class_names=("nothing", "tumour", "nerve"))


def test_images_to_validate_on_have_the_same_numbers(images: Path, truths: dict[str, NDArray[np.uint16]]) -> None:
    for name, labels in truths.items():
        folder = images / ("val" if name == "cell0" else "train")
        for kind in ("images", "annotations"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        shutil.copy(images / "images" / f"{name}.tif", folder / "images")
        names = dict.fromkeys(range(1, int(labels.max()) + 1), "tumour") if name == "cell0" else names_of(labels)
        write_geojson(folder / "annotations" / f"{name}.geojson", labels, names)
    places = Places(str(images / "train"), val=str(images / "val"))
    assert {pair.classes for pair in (*places.find(), *places.find_validation())} == {("stroma", "tumour")}
    data = data_of(images / "train", val=str(images / "val"))
    data.prepare_for(1, 3, 32)
    np.testing.assert_array_equal(shown(data)["cell0"], np.where(truths["cell0"] > 0, 2, 0))


def test_windows_of_what_is_not_kept_are_those_of_the_whole_and_files_are_read_once(
    images: Path, truths: dict[str, NDArray[np.uint16]], monkeypatch: pytest.MonkeyPatch
) -> None:
    classified(images, truths)
    opened: list[str] = []
    reads: list[int] = []
    make, read = AnnotationSource.__init__, AnnotationSource.read

    def counted_make(self: AnnotationSource, found: Annotations, *rest: Any) -> None:
        opened.append(found.path.name)
        make(self, found, *rest)

    def counted_read(self: AnnotationSource, *rest: Any) -> NDArray[Any]:
        reads.append(1)
        return read(self, *rest)

    monkeypatch.setattr(AnnotationSource, "__init__", counted_make)
    monkeypatch.setattr(AnnotationSource, "read", counted_read)
    drawn._open.cache_clear()
    for cache_gb in (1.0, 0.0):
        data = data_of(images, cache_gb=cache_gb)
        data.prepare_for(1, 3, 32)
        reads.clear()
        for index, record in enumerate(data.targets.records):
            expected = np.where(truths[record.pair.name] == 0, 0, np.where(truths[record.pair.name] % 2, 1, 2))
            window = slice(13, 70), slice(40, 101)
            np.testing.assert_array_equal(data.targets.read(index, window), expected[window])
        assert len(reads) == (0 if cache_gb else COUNT)  # what is kept is not drawn again
    assert sorted(opened) == sorted(f"{name}.geojson" for name in truths)


def test_planes_of_a_stack_have_their_own_objects(truths: dict[str, NDArray[np.uint16]], tmp_path: Path) -> None:
    labels = truths["cell0"]
    stack = np.random.default_rng(0).integers(0, 99, (3, *labels.shape), np.uint8)
    for axes, name in (("ZYX", "named"), (None, "unnamed")):
        metadata = {"axes": axes} if axes else None
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, photometric="minisblack", metadata=metadata)
        write_rois(tmp_path / f"{name}.zip", labels, position=1)
        pairs = find_pairs(tmp_path / f"{name}.tif", tmp_path / f"{name}.zip")
        assert [pair.mask_plane for pair in pairs] == [0, 1, 2]
        found = [drawn.read_drawn(pair, None, None)[0] for pair in pairs]
        np.testing.assert_array_equal(found[1], labels)
        assert not found[0].any()


def test_axes_without_a_name_are_channels_where_nothing_is_drawn_on_other_planes(
    truths: dict[str, NDArray[np.uint16]], tmp_path: Path
) -> None:
    labels = truths["cell0"]
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, *labels.shape), np.uint8), metadata=None)
    write_labelme(tmp_path / "a.json", labels)
    (pair,) = find_pairs(tmp_path / "a.tif", tmp_path / "a.json")
    assert pair.image_axes == "CYX"
    np.testing.assert_array_equal(drawn.read_drawn(pair, None, None)[0], labels)


def square(left: int, top: int, side: int, name: str) -> dict[str, Any]:
    ring = [[left, top], [left + side, top], [left + side, top + side], [left, top + side], [left, top]]
    properties = {"classification": {"name": name}}
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}


def test_what_lies_outside_of_regions_is_trained_on_by_nobody(
    images: Path, truths: dict[str, NDArray[np.uint16]]
) -> None:
    (images / "annotations").mkdir()
    for name in truths:
        features = [square(8, 8, 64, "Region*"), square(20, 20, 16, "cell"), square(48, 20, 8, "Ignore*")]
        (images / "annotations" / f"{name}.geojson").write_text(json.dumps(features))
    data = data_of(images, augment="none", foreground_share=0)
    data.prepare_for(1, 2, 32)
    assert data.targets.partly
    assert data.describe()["annotated"] == pytest.approx((64 * 64 - 64) / (96 * 112), abs=1e-4)
    (item,) = data.val_dataloader()
    expected = np.full((96, 112), -1)
    expected[8:72, 8:72] = 0
    expected[20:36, 20:36] = 1
    expected[20:28, 48:56] = -1
    np.testing.assert_array_equal(item["mask"].numpy(), expected)
    for batch in data.train_dataloader():
        assert (batch["mask"] >= 0).flatten(1).any(1).all()


def test_named_colours_are_classes_with_names(images: Path, truths: dict[str, NDArray[np.uint16]]) -> None:
    from PIL import Image

    (images / "masks").mkdir()
    rgb = np.array([(0, 0, 0), (0, 0, 255), (255, 0, 0)], np.uint8)
    kinds = {name: np.where(labels == 0, 0, 1 + labels % 2) for name, labels in truths.items()}
    for name, kind in kinds.items():
        Image.fromarray(rgb[kind]).save(images / "masks" / f"{name}.png")
    colors = {"stroma": "blue", "tumour": "#ff0000"}
    data = data_of(images, colors=colors)
    data.prepare_for(1, 3, 32)
    assert data.targets.value_names == ("background", "stroma", "tumour")
    for name, labels in shown(data).items():
        np.testing.assert_array_equal(labels, kinds[name])
    with pytest.raises(DataError, match=r"does not name \(red"):
        data_of(images, colors={"stroma": "blue"})
    with pytest.raises(ConfigError, match=r"data\.ignore has no meaning beside data\.colors"):
        data_of(images, colors=colors, ignore=255)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32])
def test_labels_of_napari_are_read_whatever_their_type(
    dtype: type, images: Path, truths: dict[str, NDArray[np.uint16]]
) -> None:
    import zarr

    (images / "masks").mkdir()
    for place, (name, labels) in enumerate(truths.items()):
        if place % 2:
            zarr.save_array(images / "masks" / f"{name}.zarr", labels.astype(dtype))
        else:
            tifffile.imwrite(images / "masks" / f"{name}.tif", labels.astype(dtype))
    for name, labels in shown(data_of(images)).items():
        np.testing.assert_array_equal(labels, truths[name])
