"""Labels in an OME-Zarr image have its levels: as many, as large, at the same places, of the nearest pixels."""

from itertools import product

import numpy as np
import pytest
import zarr
from ome_schema import check_ome_zarr

from unetkit.foundation.errors import OutputError
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.files import create_sink, open_image
from unetkit.io.ome_zarr.placement import place_level

KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def write_image(path, zarr_format, axes, shapes, places, unit="nanometer"):
    """An image of zeros whose levels have these shapes, and these (scale, translation)."""
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    datasets = []
    for level, (shape, (scale, translation)) in enumerate(zip(shapes, places, strict=True)):
        names = {} if zarr_format == 2 else {"dimension_names": tuple(axes)}
        group.create_array(f"s{level}", shape=shape, dtype="u2", chunks=tuple(min(size, 64) for size in shape), **names)
        steps = [{"type": "scale", "scale": scale}]
        steps += [{"type": "translation", "translation": translation}] if translation else []
        datasets.append({"path": f"s{level}", "coordinateTransformations": steps})
    described = [{"name": axis, "type": KINDS[axis]} | ({"unit": unit} if axis in "zyx" else {}) for axis in axes]
    multiscale = {"name": "cells", "axes": described, "datasets": datasets}
    if zarr_format == 2:
        group.attrs["multiscales"] = [{"version": "0.4", **multiscale}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    return path


def multiscale_of(path, zarr_format):
    attributes = dict(zarr.open_group(path, mode="r", zarr_format=zarr_format).attrs)
    return (attributes if zarr_format == 2 else attributes["ome"])["multiscales"][0]


CASES = {
    "halved": ("yx", [(90, 70), (45, 35), (23, 18)], [([2.0, 2.0], None), ([4.0, 4.0], None), ([8.0, 8.0], None)]),
    "one level only": ("yx", [(1300, 1100)], [([2.0, 2.0], None)]),
    "means": ("cyx", [(2, 90, 70), (2, 45, 35)], [([1.0, 5, 5], None), ([1.0, 10, 10], [0.0, 2.5, 2.5])]),
    "thirds": ("zyx", [(2, 90, 71), (2, 30, 23)], [([3.0, 1, 1], None), ([3.0, 3, 3], [0.0, 1.0, 1.0])]),
    "z too": ("tczyx", [(2, 3, 5, 40, 30), (2, 3, 2, 20, 15)], [([1.0] * 5, None), ([1.0, 1, 2, 2, 2], None)]),
    "quarters": ("yx", [(1203, 2210), (300, 552)], [([1.0, 1.0], None), ([4.01, 4.003], [1.5, 1.5])]),
}


def reference(labels, axes, shapes, places, level):
    """Each pixel of a level is the pixel of the level above whose centre is nearest, of two the one before."""
    above = labels if level == 1 else reference(labels, axes, shapes, places, level - 1)
    index = []
    for axis, length in enumerate(shapes[level]):
        if axes[axis] == "c":
            continue
        (scale, shift), (scale_above, shift_above) = (
            (place[0][axis], place[1][axis] if place[1] else 0.0) for place in (places[level], places[level - 1])
        )
        centres = np.arange(shapes[level - 1][axis]) * scale_above + shift_above
        index.append([int(np.argmin(np.round(np.abs(centres - (i * scale + shift)), 6))) for i in range(length)])
    return above[np.ix_(*index)]


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("case", "dims"), [(case, dims) for case in CASES for dims in (2, 3) if dims == 2 or "z" in CASES[case][0]]
)
def test_labels_have_the_levels_of_their_image(tmp_path, zarr_format, case, dims, blocks):
    axes, shapes, places = CASES[case]
    image = write_image(tmp_path / "i.zarr", zarr_format, axes, shapes, places)
    kept = [i for i, axis in enumerate(axes) if axis != "c"]
    shape = tuple(shapes[0][i] for i in kept)
    labels = np.random.default_rng(0).integers(0, 60_000, shape, np.uint16)
    plane_axes = "".join(axes[i] for i in kept[:-dims]).upper()
    spec = OutputSpec(shape[-dims:], np.dtype("u2"), plane_axes=plane_axes, plane_shape=shape[:-dims])
    sink = create_sink(image / "labels/a", spec)
    items = labels.reshape(-1, 1, *spec.size)
    if blocks:
        sink.begin()
        for item, pixels in enumerate(items):
            parts = [range(0, length, step) for length, step in zip(spec.size, sink.block, strict=True)]
            for corner in product(*parts):
                ends = zip(corner, sink.block, spec.size, strict=True)
                window = tuple(slice(at, min(at + step, length)) for at, step, length in ends)
                sink.write_block(item, window, pixels[(slice(None), *window)])
        sink.finish()
    else:
        sink.write(pixels[:, top : top + 13] for pixels in items for top in range(0, spec.size[0], 13))
    of_image, of_labels = (multiscale_of(path, zarr_format) for path in (image, image / "labels/a"))
    assert of_labels["axes"] == [of_image["axes"][i] for i in kept]
    group = zarr.open_group(image / "labels/a", mode="r", zarr_format=zarr_format)
    assert len(of_labels["datasets"]) == len(shapes)
    for level, (one, its) in enumerate(zip(of_image["datasets"], of_labels["datasets"], strict=True)):
        for step, same in zip(one["coordinateTransformations"], its["coordinateTransformations"], strict=True):
            assert same == {"type": step["type"], step["type"]: [step[step["type"]][i] for i in kept]}
        assert group[its["path"]].shape == tuple(shapes[level][i] for i in kept)
        expected = labels if level == 0 else reference(labels, axes, shapes, places, level)
        np.testing.assert_array_equal(group[its["path"]][:], expected)
    check_ome_zarr(image)
    check_ome_zarr(image / "labels/a")


def test_labels_of_a_smaller_level_have_the_levels_from_there_on(tmp_path):
    axes, shapes, places = CASES["halved"]
    image = write_image(tmp_path / "i.zarr", 3, axes, shapes, places)
    labels = np.arange(45 * 35, dtype=np.uint16).reshape(1, 45, 35)
    create_sink(image / "labels/a", OutputSpec((45, 35), np.dtype("u2"))).write([labels])
    found = multiscale_of(image / "labels/a", 3)["datasets"]
    assert [one["coordinateTransformations"][0]["scale"] for one in found] == [[4.0, 4.0], [8.0, 8.0]]
    np.testing.assert_array_equal(zarr.open_group(image / "labels/a", mode="r")["1"][:], labels[0, ::2, ::2])


@pytest.mark.parametrize("size", [(33, 44), (600, 700)])
def test_labels_of_another_size_have_levels_of_their_own(tmp_path, size):
    image = write_image(tmp_path / "i.zarr", 3, *CASES["halved"])
    create_sink(image / "labels/a", OutputSpec(size, np.dtype("u2"), pixel_size_um=(0.5, 0.5))).write(
        [np.ones((1, *size), np.uint16)]
    )
    assert len(multiscale_of(image / "labels/a", 3)["datasets"]) == 1 + (size[0] > 512)
    assert open_image(image / "labels/a").info.pixel_size_um == (0.5, 0.5)


def test_where_the_image_does_not_scale_its_levels_the_labels_are_spread_evenly(tmp_path):
    places = [([1.0, 1.0], None), ([1.0, 1.0], None)]  # the writer forgot to scale
    image = write_image(tmp_path / "i.zarr", 3, "yx", [(90, 70), (45, 35)], places)
    labels = np.arange(90 * 70, dtype=np.uint16).reshape(1, 90, 70)
    create_sink(image / "labels/a", OutputSpec((90, 70), np.dtype("u2"))).write([labels])
    np.testing.assert_array_equal(zarr.open_group(image / "labels/a", mode="r")["1"][:], labels[0, ::2, ::2])


def test_an_image_that_places_none_of_its_levels_has_labels_placed_by_their_size(tmp_path):
    image = write_image(tmp_path / "i.zarr", 2, *CASES["halved"])
    attributes = dict(zarr.open_group(image, mode="r").attrs)
    for dataset in attributes["multiscales"][0]["datasets"]:
        del dataset["coordinateTransformations"]
    zarr.open_group(image, mode="r+").attrs.put(attributes)
    create_sink(image / "labels/a", OutputSpec((90, 70), np.dtype("u2"))).write([np.ones((1, 90, 70), np.uint16)])
    found = multiscale_of(image / "labels/a", 2)["datasets"]
    assert [one["coordinateTransformations"][0]["scale"] for one in found] == [[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]]


@pytest.mark.parametrize("damage", ["level", "axes"])
def test_an_image_with_damaged_levels_takes_no_labels(tmp_path, damage):
    image = write_image(tmp_path / "i.zarr", 3, *CASES["halved"])
    if damage == "level":
        (image / "s1/zarr.json").unlink()
    else:
        group = zarr.open_group(image, mode="r+")
        ome = group.attrs["ome"]
        ome["multiscales"][0]["axes"].pop()
        group.attrs["ome"] = ome
    with pytest.raises(OutputError, match=r"The levels of .* cannot be read"):
        create_sink(image / "labels/a", OutputSpec((90, 70), np.dtype("u2")))
    assert not (image / "labels").exists()


def to_0_6(path):
    """Write the metadata of an image as OME-Zarr 0.6 does: axes in coordinate systems, moved by name."""
    group = zarr.open_group(path, mode="r+")
    (multiscale,) = group.attrs["ome"]["multiscales"]
    axes = multiscale.pop("axes")
    for dataset in multiscale["datasets"]:
        steps = dataset["coordinateTransformations"]
        ends = {"input": {"path": dataset["path"]}, "output": {"name": "physical"}}
        one = {"type": "sequence", "transformations": steps} if len(steps) > 1 else steps[0]
        dataset["coordinateTransformations"] = [one | ends]
    multiscale["coordinateSystems"] = [
        {"name": "stage", "axes": [{"name": name, "type": "space", "unit": "millimeter"} for name in ("z", "y", "x")]},
        {"name": "physical", "axes": axes},
    ]
    to_stage = {
        "type": "affine",
        "affine": [[2, 0, 0, 1]] * 3,
        "input": {"name": "physical"},
        "output": {"name": "stage"},
    }
    multiscale["coordinateTransformations"] = [to_stage]
    group.attrs["ome"] = {"version": "0.6", "multiscales": [multiscale]}


def test_an_image_of_version_0_6_is_read(tmp_path):
    places = [([3000.0, 500, 250], None), ([3000.0, 1000, 500], [0.0, 250, 125])]
    image = write_image(tmp_path / "i.zarr", 3, "zyx", [(3, 20, 30), (3, 10, 15)], places)
    pixels = np.random.default_rng(0).integers(0, 255, (3, 20, 30), np.uint16)
    zarr.open_group(image, mode="r+")["s0"][:] = pixels
    to_0_6(image)
    source = open_image(image)
    info = source.info
    assert (info.format, info.axes, info.pixel_size_um) == ("OME-Zarr 0.6", "ZYX", (0.5, 0.25))
    assert [(step.axis, step.size, step.unit) for step in info.steps] == [("Z", 3.0, "µm")]
    np.testing.assert_array_equal(source.read(1, (slice(0, 20), slice(0, 30)))[0], pixels[1])
    source.close()


def test_axes_in_another_order_are_found_by_name(tmp_path):
    image = write_image(tmp_path / "i.zarr", 3, "yxcz", [(20, 30, 2, 3)], [([500.0, 250, 1, 3000], None)])
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 2, 3), np.uint16)
    zarr.open_group(image, mode="r+")["s0"][:] = pixels
    to_0_6(image)
    source = open_image(image)
    assert (source.info.channels, source.info.plane_axes, source.info.planes) == (2, "Z", 3)
    np.testing.assert_array_equal(source.read(2, (slice(0, 20), slice(0, 30))), pixels[..., 2].transpose(2, 0, 1))
    source.close()


def test_a_level_without_a_scale_lies_where_it_lies_and_a_turned_one_nowhere():
    systems = {"coordinateSystems": [{"name": "a", "axes": [{"name": "y"}, {"name": "x"}]}]}
    assert place_level(systems, {"coordinateTransformations": [{"type": "identity"}]}, 2).scale == (1.0, 1.0)
    assert place_level(systems, {"coordinateTransformations": [{"type": "rotation"}]}, 2) is None


def test_labels_are_not_written_into_a_version_that_is_only_read(tmp_path):
    image = write_image(tmp_path / "i.zarr", 3, *CASES["halved"])
    to_0_6(image)
    with pytest.raises(OutputError, match=r"version 0\.6; labels are written into images of version 0\.4 and 0\.5"):
        create_sink(image / "labels/a", OutputSpec((90, 70), np.dtype("u2")))
    assert not (image / "labels").exists()
