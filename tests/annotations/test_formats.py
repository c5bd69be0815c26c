"""Annotation files of each program, made from labels, give the same labels back; damaged ones are named."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_files import run_lengths, write_coco, write_geojson, write_labelme, write_rois
from numpy.typing import NDArray

from unetkit.annotations import json_stream
from unetkit.annotations.coco import _unpack
from unetkit.annotations.fiji import class_of_name
from unetkit.annotations.formats import annotation_format, read_annotations
from unetkit.annotations.objects import Annotations
from unetkit.annotations.source import AnnotationSource, Values
from unetkit.errors import DataError
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import ImageInfo

Labels = NDArray[np.uint16]


def image(height: int = 96, width: int = 128, planes: int = 1) -> ImageInfo:
    pixels = np.zeros((planes, height, width), np.uint8)
    return ArraySource(pixels if planes > 1 else pixels[0], "ZYX" if planes > 1 else "YX", "image.tif").info


def drawn(found: Annotations, info: ImageInfo, values: Values = "labels", plane: int = 0, **more: Any) -> NDArray[Any]:
    source = AnnotationSource(found, info, values, **more)
    return source.read(plane, (slice(0, info.height), slice(0, info.width)))[0]


def notes(found: Annotations, info: ImageInfo) -> list[str]:
    source = AnnotationSource(found, info, "labels")
    tally = source.tally()
    source.read(0, (slice(0, info.height), slice(0, info.width)), tally)
    return source.notes(tally, [0])


WRITERS: dict[str, Callable[..., None]] = {
    "cells.geojson": write_geojson,
    "cells.zip": write_rois,
    "cells.json": write_labelme,
    "coco.json": lambda path, labels, names=None: write_coco(path, {"cells": labels}, names and {"cells": names}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_was_outlined_comes_back_pixel_by_pixel(name: str, labels: Labels, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name, labels)
    found = read_annotations(tmp_path / name, "cells")
    np.testing.assert_array_equal(drawn(found, image()), labels)
    assert notes(found, image()) == []


@pytest.mark.parametrize("name", WRITERS)
def test_classes_have_the_names_that_the_program_gives_them(name: str, labels: Labels, tmp_path: Path) -> None:
    names = {number: ("tumour", "stroma")[number % 2] for number in range(1, labels.max() + 1)}
    WRITERS[name](tmp_path / name, labels, names)
    found = read_annotations(tmp_path / name, "cells")
    expected = np.array([0, *[1 + (names[number] == "stroma") for number in names]])[labels]
    np.testing.assert_array_equal(drawn(found, image(), "classes", classes=("tumour", "stroma")), expected)


SQUARE = [[2, 3], [12, 3], [12, 13], [2, 13], [2, 3]]
HOLE = [[5, 6], [7, 6], [7, 8], [5, 8], [5, 6]]
POLYGON = {"type": "Polygon", "coordinates": [SQUARE, HOLE]}
FEATURE = {"type": "Feature", "geometry": POLYGON, "properties": {"classification": {"name": "cell"}}}


@pytest.mark.parametrize(
    "content",
    [
        {"features": [FEATURE], "type": "FeatureCollection"},
        {"type": "FeatureCollection", "crs": {"a": [1]}, "features": [FEATURE], "bbox": [1, 2]},
        [FEATURE],
        FEATURE,
        POLYGON,
        {"type": "MultiPolygon", "coordinates": [[SQUARE, HOLE]]},
        {"type": "GeometryCollection", "geometries": [POLYGON, {"type": "Point", "coordinates": [1, 1]}]},
        {**FEATURE, "geometry": None, "nucleusGeometry": POLYGON},
        {**FEATURE, "nucleusGeometry": {"type": "Polygon", "coordinates": [HOLE]}},
        {**FEATURE, "geometry": {"type": "Polygon", "coordinates": [[[*p, 0.0] for p in SQUARE], HOLE[:-1]]}},
    ],
)
def test_geojson_may_be_a_collection_a_list_a_feature_or_a_geometry(content: Any, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content))
    found = read_annotations(tmp_path / "a.json", "a")
    assert drawn(found, image(), "mask").sum() == 255 * (100 - 4)


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"classification": {"name": "Tumor", "colorRGB": -3}}, "Tumor"),
        ({"classification": {"names": ["Tumor", "Positive"]}}, "Tumor: Positive"),
        ({"classification": "Tumor"}, "Tumor"),
        ({"name": "Tumor"}, "Tumor"),
        ({"objectType": "cell", "name": "cell 12"}, ""),
        ({}, ""),
        (None, ""),
    ],
)
def test_the_class_of_a_geojson_object(properties: dict[str, Any] | None, name: str, tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text(json.dumps([{**FEATURE, "properties": properties}]))
    assert [one.name for one in read_annotations(tmp_path / "a.geojson", "a").objects] == [name]


def test_large_files_are_read_in_pieces_of_any_size(
    labels: Labels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_geojson(tmp_path / "a.geojson", labels)
    (tmp_path / "b.geojson.gz").write_bytes(gzip.compress((tmp_path / "a.geojson").read_bytes()))
    for size in (1, 7, 1000):
        monkeypatch.setattr(json_stream, "CHUNK", size)
        for name in ("a.geojson", "b.geojson.gz"):
            np.testing.assert_array_equal(drawn(read_annotations(tmp_path / name, "a"), image()), labels)


def test_a_number_at_the_border_of_a_piece_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text('[1234567, {"a": [12, "]"]}, -0.25e-3, true]')
    monkeypatch.setattr(json_stream, "CHUNK", 3)
    assert [value for _, value in json_stream.stream_json(tmp_path / "a.json")] == [
        *(1234567, {"a": [12, "]"]}, -0.25e-3, True)
    ]


def test_regions_of_fiji_keep_their_slice(labels: Labels, tmp_path: Path) -> None:
    write_rois(tmp_path / "a.zip", labels, position=2)
    found = read_annotations(tmp_path / "a.zip", "a")
    stack = image(planes=4)
    np.testing.assert_array_equal(drawn(found, stack, plane=2), labels)
    assert not drawn(found, stack, plane=1).any()
    channels = ArraySource(np.zeros((4, 2, 96, 128), np.uint8), "ZCYX").info
    np.testing.assert_array_equal(drawn(found, channels, plane=1), labels)
    with pytest.raises(DataError, match=r"lies in slice 3, but image\.tif has one plane"):
        drawn(found, image())


@pytest.mark.parametrize(
    ("axes", "shape", "place", "plane"),
    [
        ("TZYX", (3, 4, 9, 9), {"position": 7}, 6),
        ("ZTYX", (4, 3, 9, 9), {"position": 7}, 7),
        ("TZYX", (3, 4, 9, 9), {"z_position": 2, "t_position": 3, "position": 5}, 9),
        ("TYX", (3, 9, 9), {"t_position": 3}, 2),
        ("QYX", (3, 9, 9), {"z_position": 2}, 1),
        ("TCYX", (3, 2, 9, 9), {"position": 6}, 2),
    ],
)
def test_planes_are_counted_as_imagej_counts_them(
    axes: str, shape: tuple[int, ...], place: dict[str, int], plane: int, tmp_path: Path
) -> None:
    from roifile import ImagejRoi

    roi = ImagejRoi.frompoints(np.array([(1, 1), (5, 1), (5, 5), (1, 5)]), name="a")
    for key, value in place.items():
        setattr(roi, key, value)
    roi.tofile(tmp_path / "a.roi")
    info = ArraySource(np.zeros(shape, np.uint8), axes).info
    found = read_annotations(tmp_path / "a.roi", "a")
    assert [drawn(found, info, plane=each).any() for each in range(info.planes)] == [
        each == plane for each in range(info.planes)
    ]


def test_ovals_rectangles_and_types_without_area_of_fiji(tmp_path: Path) -> None:
    from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

    def save(name: str, kind: ROI_TYPE, **more: Any) -> None:
        roi = ImagejRoi(roitype=kind, name=name, top=10, left=20, bottom=30, right=60, **more)
        (tmp_path / f"{name}.roi").write_bytes(roi.tobytes())

    rows, columns = np.mgrid[:96, :128] + 0.5
    save("oval", ROI_TYPE.OVAL)
    inside = ((columns - 40) / 20) ** 2 + ((rows - 20) / 10) ** 2 <= 1
    np.testing.assert_array_equal(drawn(read_annotations(tmp_path / "oval.roi", ""), image()), inside)
    save("rect", ROI_TYPE.RECT)
    assert drawn(read_annotations(tmp_path / "rect.roi", ""), image())[10:30, 20:60].sum() == 20 * 40
    save("round", ROI_TYPE.RECT, rounded_rect_arc_size=10)
    lost = 100 - np.pi * 25
    assert drawn(read_annotations(tmp_path / "round.roi", ""), image()).sum() == pytest.approx(800 - lost, abs=4)
    exact = {"xd": 20.5, "yd": 10.25, "widthd": 3.0, "heightd": 2.0}
    save("fine", ROI_TYPE.RECT, options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION, **exact)
    np.testing.assert_array_equal(
        np.argwhere(drawn(read_annotations(tmp_path / "fine.roi", ""), image())),
        [(row, column) for row in (10, 11) for column in (20, 21, 22)],
    )
    save("line", ROI_TYPE.LINE)
    with pytest.raises(
        DataError, match=r"Nothing that is drawn in .*line.roi has an area. line.roi: .*1 of the type line"
    ):
        read_annotations(tmp_path / "line.roi", "")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tumour", "tumour"),
        ("tumour-12", "tumour"),
        ("nerve cell #3", "nerve cell"),
        ("CD3", "CD"),
        ("0012-0345-0678", ""),
        ("F01-C7", ""),
        ("1b4e28ba-2fa1-11d2-883f-0016d3cca427", ""),
        ("7", ""),
    ],
)
def test_the_class_of_a_region_is_its_name_without_a_number(name: str, kind: str) -> None:
    assert class_of_name(name) == kind


def test_groups_of_fiji_are_classes(tmp_path: Path) -> None:
    from roifile import ImagejRoi, roiwrite

    rois = [ImagejRoi.frompoints(np.array(SQUARE[:4]) + 20 * k, name=f"a{k}") for k in range(3)]
    rois[1].group, rois[2].group = 2, 1
    roiwrite(tmp_path / "a.zip", rois)
    assert [one.name for one in read_annotations(tmp_path / "a.zip", "").objects] == ["", "group 2", "group 1"]


def labelme(path: Path, *shapes: dict[str, Any], **more: Any) -> Annotations:
    path.write_text(json.dumps({"version": "5", "imageData": "x" * 100_000, "shapes": shapes, **more}))
    return read_annotations(path, "a")


def test_shapes_of_labelme(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    box = {"label": "a", "shape_type": "rectangle", "points": [[12, 13], [2, 3]]}
    circle = {"label": "a", "shape_type": "circle", "points": [[50, 50], [53, 54]]}
    point = {"label": "a", "shape_type": "point", "points": [[1, 1]]}
    found = labelme(path, box, circle, point, point, imageHeight=96, imageWidth=128)
    rows, columns = np.mgrid[:96, :128] + 0.5
    inside = (columns - 50) ** 2 + (rows - 50) ** 2 <= 25
    assert (drawn(found, image()) == 1).sum() == 100
    np.testing.assert_array_equal(drawn(found, image()) == 2, inside)
    assert found.notes == ("a.json: objects without an area are left out (2 of the type point).",)
    with pytest.raises(DataError, match=r"is of an image of 96 x 128 pixels, but image\.tif has 48 x 64"):
        drawn(found, image(48, 64))


def test_shapes_of_a_group_are_one_object(tmp_path: Path) -> None:
    one = {"label": "a", "points": SQUARE, "group_id": 3}
    other = {"label": "a", "points": [[x + 5, y] for x, y in SQUARE], "group_id": 3}
    apart = {"label": "a", "points": [[x, y + 40] for x, y in SQUARE]}
    found = drawn(labelme(tmp_path / "a.json", one, apart, other), image())
    assert (found == 1).sum() == 150  # together, where they overlap too
    assert (found == 2).sum() == 100


def test_run_lengths_of_coco_are_those_of_its_own_library() -> None:
    # pycocotools.mask.encode of the mask below
    mask = np.zeros((9, 7), np.bool_)
    mask[2:8, 1:3] = mask[0, 4:6] = True
    assert _unpack(";6307KN09").tolist() == run_lengths(mask)


def coco(path: Path, *annotations: dict[str, Any], **more: Any) -> Annotations:
    images = [{"id": 5, "file_name": "a.png", "height": 96, "width": 128}]
    own = [{"id": k, "image_id": 5, "category_id": 1, **one} for k, one in enumerate(annotations)]
    content = {"annotations": own, "images": images, "categories": [{"id": 1, "name": "cell"}], **more}
    path.write_text(json.dumps(content))
    return read_annotations(path, "a")


def flat(points: list[list[float]], shift: float = 0) -> list[float]:
    return [number + shift for point in points for number in point]


def test_the_parts_of_a_coco_object_are_taken_together_and_crowds_are_ignored(tmp_path: Path) -> None:
    parts = {"segmentation": [flat(SQUARE), flat(SQUARE, 5)]}
    mask = np.zeros((96, 128), np.bool_)
    mask[:, 8:40] = True
    crowd = {"iscrowd": 1, "segmentation": {"size": [96, 128], "counts": run_lengths(mask)}}
    found = coco(tmp_path / "a.json", parts, crowd, {"bbox": [1, 2, 3, 4], "segmentation": []})
    labels = drawn(found, image())
    assert (labels == 1).sum() == 100 + 100 - 25
    assert (labels == 65535).sum() == mask.sum() - (mask & (labels == 1)).sum()
    assert found.notes == ("a.json: objects without an area are left out (1 of the type box).",)


def test_coco_of_other_images(tmp_path: Path) -> None:
    coco(tmp_path / "a.json")
    with pytest.raises(DataError, match=r"has no image 'b' among its 1 \(a\)"):
        read_annotations(tmp_path / "a.json", "b")
    with pytest.raises(DataError, match="annotations of the image 6, which is not among its images"):
        coco(tmp_path / "b.json", {"image_id": 6, "segmentation": [flat(SQUARE)]})


BROKEN = {
    "points": (
        "a.geojson",
        [{**FEATURE, "geometry": {"type": "Polygon", "coordinates": [["a"]]}}],
        "no pairs of numbers",
    ),
    "depth": (
        "a.geojson",
        [{**FEATURE, "geometry": {"type": "Polygon", "coordinates": SQUARE}}],
        "no pairs of numbers",
    ),
    "type": ("a.geojson", [{**FEATURE, "geometry": {"type": "Disc", "coordinates": []}}], "the type Disc"),
    "no geometry": ("a.geojson", [{"type": "Feature"}], "has no geometry"),
    "huge": (
        "a.geojson",
        [{"type": "Polygon", "coordinates": [[[1e300, 1], [2, 2], [3, 1]]]}],
        "larger than any image",
    ),
    "shape": ("a.json", {"shapes": [{"shape_type": "disc", "points": SQUARE}]}, "the shape type disc"),
    "mask": (
        "a.json",
        {"shapes": [{"shape_type": "mask", "points": SQUARE[:2], "mask": "AAAA"}]},
        "a mask that is no PNG",
    ),
    "circle": ("a.json", {"shapes": [{"shape_type": "circle", "points": SQUARE}]}, "a circle with 5 points, not 2"),
    "disc": ("a.json", {"shapes": [{"shape_type": "circle", "points": [[1, 1], [1e8, 1]]}]}, "larger than any image"),
    "unknown": ("a.json", {"hello": []}, "no annotation file that is read"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_named_with_what_is_wrong(case: str, tmp_path: Path) -> None:
    name, content, problem = BROKEN[case]
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(DataError, match=problem) as found:
        read_annotations(tmp_path / name, "a")
    assert name in found.value.problem


@pytest.mark.parametrize("counts", [[1, 2], "zz", [5, -5, 12288], None, "é"])
def test_run_lengths_that_do_not_fill_the_image(counts: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run lengths that do not fill its size"):
        coco(tmp_path / "a.json", {"segmentation": {"size": [96, 128], "counts": counts}})


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("name", ["a.geojson", "a.geojson.gz", "a.zip"])
def test_truncated_files_are_errors(name: str, share: float, labels: Labels, tmp_path: Path) -> None:
    if name.endswith(".zip"):
        write_rois(tmp_path / "whole", labels)
    else:
        write_geojson(tmp_path / "whole", labels)
    content = (tmp_path / "whole").read_bytes()
    content = gzip.compress(content) if name.endswith(".gz") else content
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=name):
        assert not read_annotations(tmp_path / name, "a").objects


@pytest.mark.parametrize("size", [4, 40, 70, 100])
def test_a_region_without_all_of_its_points_is_an_error(size: int, tmp_path: Path) -> None:
    from roifile import ImagejRoi

    content = ImagejRoi.frompoints(np.array(SQUARE * 9), name="a").tobytes()
    (tmp_path / "a.roi").write_bytes(content[:size])
    with pytest.raises(DataError, match=r"a\.roi"):
        read_annotations(tmp_path / "a.roi", "a")


def test_other_files_with_such_endings_are_no_annotations(tmp_path: Path) -> None:
    for name, content in {
        "a.json": b"[1, 2]",
        "a.zip": b"PK\x05\x06" + bytes(18),
        "a.txt": b"{}",
        "b.json": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert annotation_format(tmp_path / name) is None


def test_objects_outside_of_the_image_are_an_error_that_says_why(tmp_path: Path) -> None:
    far = [[x * 16 + 2000, y * 16] for x, y in SQUARE]
    (tmp_path / "a.geojson").write_text(
        json.dumps([FEATURE, {**FEATURE, "geometry": {"type": "Polygon", "coordinates": [far]}}])
    )
    with pytest.raises(
        DataError, match=r"object 2 \(cell\) lies outside of the image \(x 2032 to 2192, y 48 to 208"
    ) as found:
        drawn(read_annotations(tmp_path / "a.geojson", "a"), image())
    assert "full resolution" in found.value.remedy


def test_what_is_cut_crossed_or_empty_is_said_in_a_sentence_each(tmp_path: Path) -> None:
    over = [[x - 5, y] for x, y in SQUARE]
    bow_tie = [[20, 20], [60, 60], [60, 20], [20, 60], [20, 20]]
    small = [[70.1, 70.1], [70.2, 70.1], [70.2, 70.2], [70.1, 70.1]]
    features = [{"type": "Polygon", "coordinates": [one]} for one in (over, SQUARE, bow_tie, small, SQUARE[:2])]
    (tmp_path / "a.geojson").write_text(json.dumps(features))
    assert notes(read_annotations(tmp_path / "a.geojson", "a"), image()) == [
        "a.geojson: objects reach over the border of the image: they are cut there (object 1).",
        "a.geojson: outlines cross themselves: what they surround twice is outside (object 3).",
        "a.geojson: outlines surround the centre of no pixel: nothing is drawn (object 4 and 1 more).",
    ]


def classified(*names: str) -> list[dict[str, Any]]:
    """Return squares of 20 pixels side by side, of classes."""
    box = np.array([(0, 0), (20, 0), (20, 20), (0, 20)])
    return [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [(box + np.array([20 * place, 0])).tolist()]},
            "properties": {"classification": {"name": name}},
        }
        for place, name in enumerate(names)
    ]


@pytest.mark.parametrize(
    ("values", "expected", "ignored"),
    [("mask", [1, 1, 0], 255), ("labels", [1, 2, 0], 65535), ("classes", [2, 1, 0], 255)],
)
@pytest.mark.parametrize("name", ["ignore", "Ignore*", "IGNORE"])
def test_objects_of_the_class_ignore_have_the_largest_value(
    values: Values, expected: list[int], ignored: int, name: str, tmp_path: Path
) -> None:
    (tmp_path / "a.geojson").write_text(json.dumps(classified("b", "a", name)))
    found = drawn(read_annotations(tmp_path / "a.geojson", "a"), image(), values, classes=("a", "b"))
    assert found[5, [5, 25, 65]].tolist() == expected
    assert found[5, 45] == ignored


def test_outside_of_regions_all_is_ignored(tmp_path: Path) -> None:
    features = classified("Region*", "cell", "cell", "region")
    features[0]["geometry"]["coordinates"] = [[[0, 0], [35, 0], [35, 20], [0, 20]]]
    (tmp_path / "a.geojson").write_text(json.dumps(features))
    found = drawn(read_annotations(tmp_path / "a.geojson", "a"), image())
    assert found[5, [5, 25, 34, 35, 45, 65, 100]].tolist() == [0, 1, 1, 65535, 65535, 0, 65535]


def test_objects_of_no_plane_are_in_all_planes_and_so_it_is_said(labels: Labels, tmp_path: Path) -> None:
    write_labelme(tmp_path / "a.json", labels)
    found = replace(read_annotations(tmp_path / "a.json", "a"), size=None)
    stack = image(planes=3)
    np.testing.assert_array_equal(drawn(found, stack, plane=2), labels)
    assert "objects name no plane: they are drawn in all 3" in notes(found, stack)[0]
