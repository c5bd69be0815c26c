"""The OME-Zarr sink: what zarr reads back, what OME-Zarr 0.5 requires, and what is left after a fault."""

from contextlib import closing

import numpy as np
import pytest
import zarr
from ome_schema import check_ome_zarr

from unetkit.foundation.errors import OutputError
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.base.stored import Step
from unetkit.io.files import create_sink, open_image
from unetkit.io.ome_zarr.sink import OmeZarrSink
from unetkit.io.views.volume import VolumeSource
from unetkit.io.writing.rechunk import halve


def make_output(planes, channels, height, width, dtype):
    return (np.random.default_rng(0).random((planes, channels, height, width)) * 255).astype(dtype)


def cut(pixels, step):
    """Yield `pixels` (planes, C, height, width) as blocks of up to `step` rows."""
    for plane in pixels:
        for top in range(0, plane.shape[1], step):
            yield plane[:, top : top + step]


def check_required_fields(group):
    """Check what the specification says an image MUST have."""
    assert group.metadata.zarr_format == 3
    ome = group.attrs["ome"]
    assert ome["version"] == "0.5"
    for multiscale in ome["multiscales"]:
        axes = multiscale["axes"]
        names = [axis["name"] for axis in axes]
        types = [axis["type"] for axis in axes]
        assert len(set(names)) == len(names) <= 5
        assert types.count("space") in {2, 3}
        assert types == sorted(types, key=["time", "channel", "space"].index)
        assert multiscale["name"]
        assert multiscale["type"]
        sizes = []
        for dataset in multiscale["datasets"]:
            array = group[dataset["path"]]
            assert array.metadata.dimension_names == tuple(names)
            first, *more = dataset["coordinateTransformations"]
            assert first["type"] == "scale"
            assert [transformation["type"] for transformation in more] in ([], ["translation"])
            assert all(len(t[t["type"]]) == array.ndim for t in (first, *more))
            sizes.append(array.size)
        assert sizes == sorted(sizes, reverse=True)
    assert ("image-label" in ome) == (group["0"].dtype.kind in "ui")
    assert "colors" not in ome.get("image-label", {})  # napari draws nothing of what they do not name


@pytest.mark.parametrize("step", [100, 768, 5000])
@pytest.mark.parametrize(
    ("size", "axes", "shape", "channels", "dtype", "names"),
    [
        ((1, 1), "", (), 1, "uint8", "yx"),
        ((1300, 1100), "", (), 1, "uint8", "yx"),
        ((513, 40), "Z", (3,), 1, "uint32", "zyx"),
        ((530, 1501), "", (), 3, "float32", "cyx"),
        ((40, 530), "TZ", (2, 3), 2, "float32", "tczyx"),
        ((40, 30), "Q", (2,), 1, "uint16", "zyx"),
    ],
)
def test_every_level_comes_back(tmp_path, size, axes, shape, channels, dtype, names, step):
    planes = int(np.prod(shape))
    pixels = make_output(planes, channels, *size, dtype)
    path = tmp_path / "out.ome.zarr"
    create_sink(path, OutputSpec(size, np.dtype(dtype), channels, axes, shape)).write(cut(pixels, step))
    check_ome_zarr(path)
    group = zarr.open_group(path, mode="r")
    check_required_fields(group)
    assert "".join(axis["name"] for axis in group.attrs["ome"]["multiscales"][0]["axes"]) == names
    expected = pixels.reshape(*shape, channels, *size)
    if channels == 1:
        expected = expected[..., 0, :, :]
    elif len(shape) == 2:
        expected = np.moveaxis(expected, 1, 2)  # stored as t, c, z
    for dataset in group.attrs["ome"]["multiscales"][0]["datasets"]:
        stored = group[dataset["path"]][:]
        assert stored.dtype == dtype
        np.testing.assert_array_equal(stored, expected)
        expected = halve(expected)
    assert max(stored.shape[-2:]) <= 512
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", [1, 50, 64])
@pytest.mark.parametrize(
    ("size", "axes", "shape", "channels", "dtype", "names", "chunk"),
    [
        ((1, 1, 1), "", (), 1, "uint8", "zyx", (1, 1, 1)),
        ((70, 520, 130), "", (), 1, "uint8", "zyx", (64, 128, 128)),
        ((9, 40, 530), "T", (2,), 2, "float32", "tczyx", (9, 40, 256)),
        ((3, 20, 530), "Q", (2,), 1, "uint16", "tzyx", (3, 20, 512)),
        ((4, 5, 6), "PQ", (2, 3), 1, "uint16", "tzyx", (4, 5, 6)),
    ],
)
def test_every_level_of_a_volume_comes_back(tmp_path, size, axes, shape, channels, dtype, names, chunk, step):
    items = int(np.prod(shape))
    pixels = (np.random.default_rng(0).random((items, channels, *size)) * 255).astype(dtype)
    path = tmp_path / "out.ome.zarr"
    spec = OutputSpec(size, np.dtype(dtype), channels, axes, shape, (2.0, 1.0, 0.5))
    create_sink(path, spec).write(cut(pixels, step))
    check_ome_zarr(path)
    group = zarr.open_group(path, mode="r")
    check_required_fields(group)
    assert "".join(axis["name"] for axis in group.attrs["ome"]["multiscales"][0]["axes"]) == names
    assert group["0"].chunks[-3:] == chunk
    expected = pixels.reshape(*(group["0"].shape[: -len(size)] if channels == 1 else (*shape, channels)), *size)
    for level, dataset in enumerate(group.attrs["ome"]["multiscales"][0]["datasets"]):
        np.testing.assert_array_equal(group[dataset["path"]][:], expected)
        expected = halve(expected, (2 if level else 1, 2, 2))  # z is twice as coarse first


def test_a_volume_says_where_its_voxels_lie_at_each_level(tmp_path):
    for dtype, shifts in (("uint8", None), ("float32", [(0, 0.5, 0.25), (1.0, 1.5, 0.75)])):
        path = tmp_path / f"{dtype}.zarr"
        spec = OutputSpec((5, 1030, 20), np.dtype(dtype), pixel_size_um=(2.0, 1.0, 0.5))
        OmeZarrSink(path, spec).write([np.ones((1, 5, 1030, 20), dtype)])
        check_ome_zarr(path)
        multiscale = zarr.open_group(path, mode="r").attrs["ome"]["multiscales"][0]
        assert multiscale["axes"] == [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
        full, *smaller = (dataset["coordinateTransformations"] for dataset in multiscale["datasets"])
        assert full == [{"type": "scale", "scale": [2, 1, 0.5]}]
        assert [one[0]["scale"] for one in smaller] == [[2, 2, 1], [4, 4, 2]]
        if shifts is not None:
            assert [tuple(one[1]["translation"]) for one in smaller] == shifts
        with closing(open_image(path, ReadOptions(level=1))) as source:
            assert source.info.pixel_size_um == (2.0, 1.0)  # of its planes
            assert VolumeSource(source).info.pixel_size_um == (2.0, 2.0, 1.0)


def test_a_volume_is_read_from_the_level_that_is_as_fine_as_wanted_along_all_axes(tmp_path):
    pixels = make_output(1, 4, 600, 40, "float32")
    spec = OutputSpec((4, 600, 40), np.dtype("float32"), pixel_size_um=(1.0, 1.0, 1.0))
    OmeZarrSink(tmp_path / "a.zarr", spec).write(cut(pixels.reshape(1, 1, 4, 600, 40), 4))
    half = zarr.open_group(tmp_path / "a.zarr", mode="r")["1"][:]
    for wanted, shape in ((2.0, (2, 300, 20)), ((1.0, 2.0, 2.0), (4, 300, 20)), ((2.0, 1.0, 1.0), (2, 600, 40))):
        with closing(open_image(tmp_path / "a.zarr", ReadOptions(pixel_size=wanted), dims=3)) as source:
            assert source.info.size == shape
            assert source.info.pixel_size_um == pytest.approx(np.broadcast_to(wanted, 3))
            read = source.read(0, tuple(slice(0, length) for length in shape))[0]
            assert np.array_equal(read, half) == (wanted == 2.0)


def test_planes_are_put_in_the_order_of_the_format(tmp_path):
    pixels = make_output(6, 1, 9, 8, "uint8")
    OmeZarrSink(tmp_path / "out.zarr", OutputSpec((9, 8), np.dtype("uint8"), 1, "ZT", (3, 2))).write(cut(pixels, 4))
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    check_required_fields(group)
    np.testing.assert_array_equal(group["0"][:], pixels.reshape(3, 2, 9, 8).transpose(1, 0, 2, 3))


def test_metadata_says_size_names_and_origin(tmp_path):
    notes = (("model", "nuclei"), ("command", "unetkit segment a.tif out.zarr"))
    spec = OutputSpec((600, 700), np.dtype("float32"), 2, "", (), (0.25, 0.5), notes, channel_names=("back", "cell ä"))
    OmeZarrSink(tmp_path / "out.ome.zarr", spec).write(cut(make_output(1, 2, 600, 700, "float32"), 512))
    check_ome_zarr(tmp_path / "out.ome.zarr")
    attributes = dict(zarr.open_group(tmp_path / "out.ome.zarr", mode="r").attrs)
    assert attributes["unetkit"] == {"notes": dict(notes), "channel_names": ["back", "cell ä"]}
    multiscale = attributes["ome"]["multiscales"][0]
    assert multiscale["name"] == "out"
    assert multiscale["axes"] == [
        {"name": "c", "type": "channel"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    full, half = (dataset["coordinateTransformations"] for dataset in multiscale["datasets"])
    assert full == [{"type": "scale", "scale": [1, 0.25, 0.5]}]
    assert half[0]["scale"] == [1, 0.5, 1]
    assert half[1]["translation"] == [0, 0.125, 0.25]  # the mean of two pixels lies half a pixel from the first
    assert "image-label" not in attributes["ome"]


def test_steps_are_scales_with_units_where_the_image_has_them(tmp_path):
    steps = (Step("Z", 2.0, "µm"), Step("T", 30.0, "s"))
    spec = OutputSpec((9, 8), np.dtype("uint8"), 1, "TZ", (2, 3), (0.25, 0.5), steps=steps)
    OmeZarrSink(tmp_path / "out.zarr", spec).write(cut(make_output(6, 1, 9, 8, "uint8"), 9))
    check_ome_zarr(tmp_path / "out.zarr")
    multiscale = zarr.open_group(tmp_path / "out.zarr", mode="r").attrs["ome"]["multiscales"][0]
    assert multiscale["datasets"][0]["coordinateTransformations"] == [{"type": "scale", "scale": [30, 2, 0.25, 0.5]}]
    assert [axis["unit"] for axis in multiscale["axes"]] == ["second", "micrometer", "micrometer", "micrometer"]
    unitless = tuple(Step(axis, size, "") for axis, size in (("Z", 4.0), ("Y", 2.0), ("X", 3.0)))
    for axes, scale in (("Z", [4, 2, 3]), ("Q", [1, 2, 3])):
        spec = OutputSpec((9, 8), np.dtype("uint8"), 1, axes, (2,), steps=unitless)
        OmeZarrSink(tmp_path / f"{axes}.zarr", spec).write(cut(make_output(2, 1, 9, 8, "uint8"), 9))
        check_ome_zarr(tmp_path / f"{axes}.zarr")
        multiscale = zarr.open_group(tmp_path / f"{axes}.zarr", mode="r").attrs["ome"]["multiscales"][0]
        assert multiscale["datasets"][0]["coordinateTransformations"] == [{"type": "scale", "scale": scale}]
        assert not any("unit" in axis for axis in multiscale["axes"])


def test_without_a_pixel_size_there_is_no_unit(tmp_path):
    OmeZarrSink(tmp_path / "out.zarr", OutputSpec((600, 7), np.dtype("uint8"))).write([np.ones((1, 600, 7), np.uint8)])
    check_ome_zarr(tmp_path / "out.zarr")
    ome = zarr.open_group(tmp_path / "out.zarr", mode="r").attrs["ome"]
    assert all("unit" not in axis for axis in ome["multiscales"][0]["axes"])
    assert [dataset["coordinateTransformations"] for dataset in ome["multiscales"][0]["datasets"]] == [
        [{"type": "scale", "scale": [1, 1]}],
        [{"type": "scale", "scale": [2, 2]}],
    ]
    assert "image-label" in ome


def spoil(group):
    group.attrs["ome"] = {**group.attrs["ome"], "multiscales": [{"axes": []}]}


def lose_a_level(group):
    del group["1"]


@pytest.mark.parametrize("fault", [spoil, lose_a_level])
def test_the_specification_finds_faults(tmp_path, fault):
    path = tmp_path / "out.zarr"
    OmeZarrSink(path, OutputSpec((600, 7), np.dtype("uint8"))).write([np.ones((1, 600, 7), np.uint8)])
    check_ome_zarr(path)
    fault(zarr.open_group(path, mode="r+"))
    with pytest.raises(ValueError, match=r"axes|path '1' not found"):
        check_ome_zarr(path)


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_rows_give_the_same_files(tmp_path):
    pixels = make_output(1, 1, 1500, 1100, "uint8")
    outputs = []
    for number, step in enumerate([7, 1024, 1500]):
        path = tmp_path / str(number) / "out.zarr"
        path.parent.mkdir()
        OmeZarrSink(path, OutputSpec((1500, 1100), np.dtype("uint8"))).write(cut(pixels, step))
        outputs.append(content(path))
    assert outputs[0] == outputs[1] == outputs[2]


class RowsError(Exception):
    pass


@pytest.mark.parametrize("error", [RowsError("rows"), OSError("rows"), KeyboardInterrupt(), ValueError("rows")])
@pytest.mark.parametrize("existing", [False, True])
def test_an_error_of_the_rows_passes_and_keeps_what_was_there(tmp_path, error, existing):
    path = tmp_path / "out.zarr"
    spec = OutputSpec((2048, 30), np.dtype("uint8"))
    if existing:
        OmeZarrSink(path, spec).write([np.ones((1, 2048, 30), np.uint8)])
        before = content(path)

    def rows():
        yield np.zeros((1, 1500, 30), np.uint8)
        raise error

    with pytest.raises(type(error)) as caught:
        create_sink(path, spec, overwrite=True).write(rows())
    assert caught.value is error
    assert list(tmp_path.iterdir()) == ([path] if existing else [])
    if existing:
        assert content(path) == before


@pytest.mark.parametrize("height", [0, 100, 1500])
def test_too_few_or_too_many_rows_are_a_fault(tmp_path, height):
    with pytest.raises(ValueError, match="rows"):
        OmeZarrSink(tmp_path / "out.zarr", OutputSpec((1000, 20), np.dtype("uint8"))).write(
            np.zeros((1, 1, 20), np.uint8) for _ in range(height)
        )
    assert not list(tmp_path.iterdir())


def test_only_a_zarr_is_replaced_and_only_when_asked(tmp_path):
    path = tmp_path / "out.zarr"
    spec = OutputSpec((20, 30), np.dtype("uint8"))
    create_sink(path, spec).write([np.full((1, 20, 30), 1, np.uint8)])
    with pytest.raises(OutputError, match="exists"):
        create_sink(path, spec)
    create_sink(path, spec, overwrite=True).write([np.full((1, 20, 30), 2, np.uint8)])
    assert (zarr.open_group(path, mode="r")["0"][:] == 2).all()
    assert list(tmp_path.iterdir()) == [path]
    folder = tmp_path / "photos.zarr"
    folder.mkdir()
    (folder / "photo.jpg").write_text("dear")
    file = tmp_path / "file.zarr"
    file.write_text("dear")
    for other in (folder, file):
        with pytest.raises(OutputError, match="is no Zarr"):
            create_sink(other, spec, overwrite=True)
    with pytest.raises(OutputError, match="does not exist"):
        create_sink(tmp_path / "no" / "out.zarr", spec)
