"""Labels in the group `labels` of an OME-Zarr image, of both versions: registered there, and nothing else touched."""

import json
import multiprocessing

import numpy as np
import pytest
import yaozarrs
import zarr

from unetkit.foundation.errors import OutputError
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.files import create_sink, open_image
from unetkit.io.ome_zarr.labels import register_label

SPEC = OutputSpec((20, 30), np.dtype("uint16"), pixel_size_um=(0.25, 0.5))
ROWS = [np.arange(600, dtype=np.uint16).reshape(1, 20, 30)]


def write_image(path, zarr_format, labels=None):
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    group.create_array("0", data=np.zeros((20, 30), np.uint8))
    scale = [{"type": "scale", "scale": [0.25, 0.5]}]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    multiscales = [{"name": "cells", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]
    if zarr_format == 2:
        group.attrs["multiscales"] = [{"version": "0.4", **multiscales[0]}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    if labels is not None:
        attributes = {"labels": labels, "other": 1}
        own = group.create_group("labels").attrs
        own.update(attributes if zarr_format == 2 else {"ome": {"version": "0.5", **attributes}, "mine": [2]})
    return path


def names(image, zarr_format):
    attributes = dict(zarr.open_group(image / "labels", mode="r", zarr_format=zarr_format).attrs)
    return (attributes if zarr_format == 2 else attributes["ome"])["labels"]


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["nuclei", "nuclei.zarr"])
@pytest.mark.parametrize("labels", [None, [], ["other"]])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_label_is_added_to_the_list_and_names_its_source(tmp_path, zarr_format, labels, name):
    image = write_image(tmp_path / "i.zarr", zarr_format, labels)
    before = content(image)
    path = image / "labels" / name
    create_sink(path, SPEC).write(ROWS)
    assert names(image, zarr_format) == [*(labels or []), name]
    group = zarr.open_group(path, mode="r", zarr_format=zarr_format)
    ome = dict(group.attrs) if zarr_format == 2 else group.attrs["ome"]
    assert ome["image-label"] == {"version": "0.4" if zarr_format == 2 else "0.5", "source": {"image": "../../"}}
    np.testing.assert_array_equal(group["0"][:], ROWS[0][0])
    np.testing.assert_array_equal(open_image(path).read(0, (slice(0, 20), slice(0, 30))), ROWS[0])
    assert open_image(path).info.pixel_size_um == (0.25, 0.5)
    changed = {file for file, data in content(image).items() if before.get(file) != data}
    added = {file for file in changed if path in file.parents}
    assert changed - added <= {image / "labels" / file for file in ("zarr.json", ".zattrs", ".zgroup")}
    assert sorted(entry.name for entry in path.parent.iterdir() if entry.is_dir()) == [name]
    assert not list(path.parent.glob("*.lock")) + list(path.parent.glob(".unetkit*"))
    if zarr_format == 3 and labels != ["other"]:
        yaozarrs.validate_zarr_store(image)
        yaozarrs.validate_zarr_store(path)
    if zarr_format == 2:
        yaozarrs.validate_ome_object(ome, yaozarrs.v04.LabelImage)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_else_is_written_there_is_kept_and_a_replaced_label_is_named_once(tmp_path, zarr_format):
    image = write_image(tmp_path / "i.zarr", zarr_format, ["other"])
    for _ in range(2):
        create_sink(image / "labels/a.zarr", SPEC, overwrite=True).write(ROWS)
    assert names(image, zarr_format) == ["other", "a.zarr"]
    attributes = dict(zarr.open_group(image / "labels", mode="r").attrs)
    assert (attributes if zarr_format == 2 else attributes["ome"])["other"] == 1
    assert zarr_format == 2 or attributes["mine"] == [2]


def add(path):
    register_label(path)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_several_at_once_are_all_named(tmp_path, zarr_format):
    image = write_image(tmp_path / "i.zarr", zarr_format, [])
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(add, [image / "labels" / f"{number}.zarr" for number in range(30)])
    assert sorted(names(image, zarr_format)) == sorted(f"{number}.zarr" for number in range(30))


def test_what_fails_is_not_named(tmp_path):
    image = write_image(tmp_path / "i.zarr", 3, [])

    def rows():
        yield ROWS[0][:, :10]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_sink(image / "labels/a.zarr", SPEC).write(rows())
    assert names(image, 3) == []


def test_only_whole_numbers_are_labels(tmp_path):
    image = write_image(tmp_path / "i.zarr", 3)
    with pytest.raises(OutputError, match="not values of float32"):
        create_sink(image / "labels/a.zarr", OutputSpec((20, 30), np.dtype("float32")))
    assert not (image / "labels").exists()


def test_other_folders_called_labels_are_just_folders(tmp_path):
    (tmp_path / "labels").mkdir()
    create_sink(tmp_path / "labels/a.zarr", SPEC).write(ROWS)
    assert [path.name for path in (tmp_path / "labels").iterdir()] == ["a.zarr"]
    assert "source" not in zarr.open_group(tmp_path / "labels/a.zarr", mode="r").attrs["ome"]["image-label"]
    with pytest.raises(OutputError, match="has no suffix"):
        create_sink(tmp_path / "labels/b", SPEC)


def test_a_damaged_list_is_an_error_before_the_work(tmp_path):
    image = write_image(tmp_path / "i.zarr", 3, [])
    (image / "labels/zarr.json").write_text("{")
    with pytest.raises(OutputError, match="no label can be added"):
        create_sink(image / "labels/a.zarr", SPEC)
    (image / "labels/zarr.json").write_text(json.dumps({"attributes": {"ome": {"labels": 3}}}))
    with pytest.raises(OutputError, match="no label can be added"):
        create_sink(image / "labels/a.zarr", SPEC)
