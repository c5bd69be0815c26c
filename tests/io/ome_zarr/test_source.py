"""OME-Zarr written by the zarr package alone, in both versions, against NumPy: axes, levels, collections, damage."""

import itertools
import json

import numpy as np
import pytest
import zarr

from unetkit.foundation.errors import ImageError
from unetkit.io.base.contracts import BadTile
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import open_image
from unetkit.io.ome_zarr.source import OmeZarrSource, list_zarr_series

SIZES = {"t": 2, "c": 3, "z": 4, "y": 50, "x": 70}
KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def random_pixels(shape, dtype=np.uint16, seed=0):
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max, shape, dtype, endpoint=True)


def write_image(group, levels, axes, *, scale=0.5, unit="micrometer", chunks=None, **options):
    """Write the levels of one OME-Zarr image into a group, each half as large as the one before."""
    version = "0.4" if group.metadata.zarr_format == 2 else "0.5"
    datasets = []
    for i, pixels in enumerate(levels):
        sizes = chunks or [16 if axis in "yx" else 1 for axis in axes]
        array = group.create_array(str(i), shape=pixels.shape, chunks=tuple(sizes), dtype=pixels.dtype, **options)
        array[...] = pixels
        factors = [scale * 2**i if axis in "yx" else 1.0 for axis in axes]
        transformations = [{"type": "scale", "scale": factors}]
        datasets.append({"path": str(i), "coordinateTransformations": transformations})
    described = [{"name": axis, "type": KINDS[axis]} for axis in axes]
    for one in described:
        if one["type"] == "space" and unit:
            one["unit"] = unit
    attributes = {"multiscales": [{"version": version, "axes": described, "datasets": datasets, "name": "cells"}]}
    if "c" in axes:
        channels = levels[0].shape[axes.index("c")]
        attributes["omero"] = {"channels": [{"label": f"stain {i}"} for i in range(channels)]}
    if version == "0.5":
        attributes = {"ome": {"version": "0.5", **attributes}}
    group.attrs.update(attributes)


def new_group(path, zarr_format):
    return zarr.open_group(path, mode="w", zarr_format=zarr_format)


def pyramid(pixels):
    return [pixels, pixels[..., ::2, ::2], pixels[..., ::4, ::4]]


def read_all(source):
    info = source.info
    return np.stack([source.read(plane, (slice(0, info.height), slice(0, info.width))) for plane in range(info.planes)])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("axes", ["yx", "cyx", "zyx", "czyx", "tczyx", "tzcyx"])
def test_axes_become_planes_and_channels(tmp_path, zarr_format, axes):
    pixels = random_pixels([SIZES[axis] for axis in axes])
    write_image(new_group(tmp_path / "a.ome.zarr", zarr_format), [pixels], axes)
    source = open_image(tmp_path / "a.ome.zarr")
    planes = [axis for axis in axes if axis in "tz"]
    order = [*planes, *(axis for axis in axes if axis == "c"), "y", "x"]
    expected = pixels.transpose([axes.index(axis) for axis in order])
    expected = expected.reshape(int(np.prod([SIZES[axis] for axis in planes])), -1, 50, 70)
    assert source.info.axes == axes.upper()
    assert source.info.format == ("OME-Zarr 0.4" if zarr_format == 2 else "OME-Zarr 0.5")
    assert source.info.block == (16, 16)
    assert source.info.channel_names == (("stain 0", "stain 1", "stain 2") if "c" in axes else ())
    np.testing.assert_array_equal(read_all(source), expected)
    rng = np.random.default_rng(0)
    for _ in range(5):
        y, x = np.sort(rng.choice(51, 2, replace=False)), np.sort(rng.choice(71, 2, replace=False))
        window = source.read(0, (slice(int(y[0]), int(y[1])), slice(int(x[0]), int(x[1]))))
        np.testing.assert_array_equal(window, expected[0, :, y[0] : y[1], x[0] : x[1]])
    source.close()


@pytest.mark.parametrize(
    ("zarr_format", "dtype", "options"),
    [
        (2, ">u2", {}),
        (2, "|u1", {"compressors": None}),
        (2, "<f4", {"order": "F"}),
        (2, "?", {}),
        (3, "float64", {}),
        (3, "int32", {"shards": (48, 48)}),
        (3, "uint8", {"compressors": None}),
    ],
)
def test_every_way_to_store_gives_the_pixels(tmp_path, zarr_format, dtype, options):
    pixels = random_pixels((50, 70), np.uint8).astype(dtype)
    write_image(new_group(tmp_path / "a.zarr", zarr_format), [pixels], "yx", **options)
    source = open_image(tmp_path / "a.zarr")
    expected = pixels * np.uint8(255) if dtype == "?" else pixels
    window = read_all(source)[0, 0]
    assert window.dtype == source.info.dtype
    assert window.dtype.isnative
    np.testing.assert_array_equal(window, expected)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_levels_by_number_and_by_pixel_size(tmp_path, zarr_format):
    levels = pyramid(random_pixels((3, 64, 96)))
    write_image(new_group(tmp_path / "a.zarr", zarr_format), levels, "cyx")
    for number, pixels in enumerate(levels):
        source = open_image(tmp_path / "a.zarr", ReadOptions(level=number))
        assert source.info.pixel_size_um == (0.5 * 2**number,) * 2
        np.testing.assert_array_equal(read_all(source)[0], pixels)
        by_size = open_image(tmp_path / "a.zarr", ReadOptions(pixel_size=0.5 * 2**number))
        np.testing.assert_array_equal(read_all(by_size)[0], pixels)
    assert open_image(tmp_path / "a.zarr", ReadOptions(pixel_size=1.6)).info.height == 20
    with pytest.raises(ImageError, match=r"no level 3.*2 \(16 x 24\)"):
        open_image(tmp_path / "a.zarr", ReadOptions(level=3))


def test_units_are_converted_and_a_size_without_unit_is_none(tmp_path):
    for unit, expected in [("nanometer", (0.0005, 0.0005)), ("millimeter", (500.0, 500.0)), ("", None)]:
        write_image(new_group(tmp_path / "a.zarr", 2), [random_pixels((8, 9))], "yx", unit=unit)
        assert open_image(tmp_path / "a.zarr").info.pixel_size_um == pytest.approx(expected)
    with pytest.raises(ImageError, match="how large its pixels are"):
        open_image(tmp_path / "a.zarr", ReadOptions(pixel_size=1.0))


def test_scales_of_the_whole_pyramid_multiply_those_of_its_levels(tmp_path):
    group = new_group(tmp_path / "a.zarr", 2)
    write_image(group, pyramid(random_pixels((32, 32))), "yx")
    multiscales = group.attrs["multiscales"]
    multiscales[0]["coordinateTransformations"] = [{"type": "scale", "scale": [2.0, 4.0]}]
    group.attrs["multiscales"] = multiscales
    assert open_image(tmp_path / "a.zarr", ReadOptions(level=1)).info.pixel_size_um == (2.0, 4.0)


def test_channels_and_region(tmp_path):
    pixels = random_pixels((5, 50, 70))
    write_image(new_group(tmp_path / "a.zarr", 3), [pixels], "cyx")
    source = open_image(tmp_path / "a.zarr", ReadOptions(channels="4,1", region="10,20,30,40"))
    assert source.info.channel_names == ("stain 4", "stain 1")
    np.testing.assert_array_equal(read_all(source)[0], pixels[[4, 1], 10:40, 20:60])
    with pytest.raises(ImageError, match="no channel 5: it has 5"):
        open_image(tmp_path / "a.zarr", ReadOptions(channels="5"))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("listed", [True, False])
def test_series_are_the_images_of_a_collection(tmp_path, zarr_format, listed):
    root = new_group(tmp_path / "a.zarr", zarr_format)
    layout = {"bioformats2raw.layout": 3}
    root.attrs.update(layout if zarr_format == 2 else {"ome": {"version": "0.5", **layout}})
    images = [random_pixels((20 + i, 30), seed=i) for i in range(3)]
    for i, pixels in enumerate(images):
        write_image(root.create_group(str(i)), [pixels], "yx")
    if listed:
        series = {"series": ["0", "1", "2"]}
        root.create_group("OME").attrs.update(series if zarr_format == 2 else {"ome": series})
    for i, pixels in enumerate(images):
        np.testing.assert_array_equal(read_all(open_image(tmp_path / "a.zarr", ReadOptions(series=i)))[0, 0], pixels)
    assert open_image(tmp_path / "a.zarr").info.height == 20
    assert [series.shape for series in list_zarr_series(tmp_path / "a.zarr")] == [(20, 30), (21, 30), (22, 30)]
    with pytest.raises(ImageError, match=r"no series 3.*0 \(cells YX \(20, 30\)\), 1 .*, 2 "):
        open_image(tmp_path / "a.zarr", ReadOptions(series=3))


def test_series_are_the_fields_of_a_plate(tmp_path):
    root = new_group(tmp_path / "plate.zarr", 2)
    root.attrs["plate"] = {"wells": [{"path": "A/1"}, {"path": "B/2"}]}
    images = [random_pixels((20, 30), seed=i) for i in range(4)]
    for i, (well, field) in enumerate(itertools.product(("A/1", "B/2"), ("0", "1"))):
        group = root.require_group(well)
        group.attrs["well"] = {"images": [{"path": "0"}, {"path": "1"}]}
        write_image(group.create_group(field), [images[i]], "yx")
    for i, pixels in enumerate(images):
        np.testing.assert_array_equal(
            read_all(open_image(tmp_path / "plate.zarr", ReadOptions(series=i)))[0, 0], pixels
        )


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_plain_arrays_have_axes_by_name_by_guess_or_given(tmp_path, zarr_format):
    pixels = random_pixels((3, 40, 50))
    zarr.save_array(tmp_path / "plain.zarr", pixels, zarr_format=zarr_format)
    assert open_image(tmp_path / "plain.zarr").info.axes == "QYX"
    assert open_image(tmp_path / "plain.zarr").info.format == "Zarr"
    source = open_image(tmp_path / "plain.zarr", ReadOptions(axes="cyx"))
    np.testing.assert_array_equal(read_all(source)[0], pixels)
    zarr.save_array(tmp_path / "colour.zarr", random_pixels((70, 80, 3)), zarr_format=zarr_format)
    assert open_image(tmp_path / "colour.zarr").info.axes == "YXS"
    named = zarr.open_array(tmp_path / "named.zarr", mode="w", shape=(3, 40, 50), dtype="u1", zarr_format=zarr_format)
    named.attrs["_ARRAY_DIMENSIONS"] = ["time", "y", "x"]
    assert open_image(tmp_path / "named.zarr").info.axes == "TYX"
    with pytest.raises(ImageError, match="axes"):
        open_image(tmp_path / "plain.zarr", ReadOptions(axes="YX"))


def test_dimension_names_of_zarr_3_are_axes(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(4, 40, 50), dtype="u1", dimension_names=["channel", "y", "x"])
    assert open_image(tmp_path / "a.zarr").info.axes == "CYX"


def test_a_level_can_be_opened_by_its_own_path(tmp_path):
    levels = pyramid(random_pixels((64, 96)))
    write_image(new_group(tmp_path / "a.zarr", 2), levels, "yx")
    np.testing.assert_array_equal(read_all(open_image(tmp_path / "a.zarr/1"))[0, 0], levels[1])


@pytest.fixture
def decoded(monkeypatch):
    """Collects the boxes that zarr is asked for."""
    boxes = []
    read = zarr.Array.__getitem__

    def count(self, box):
        boxes.append(box)
        return read(self, box)

    monkeypatch.setattr(zarr.Array, "__getitem__", count)
    return boxes


def test_chunks_of_several_planes_are_kept_whole_if_they_fit(tmp_path, decoded):
    pixels = random_pixels((8, 64, 64))
    write_image(new_group(tmp_path / "a.zarr", 3), [pixels], "zyx", chunks=(8, 32, 32))
    np.testing.assert_array_equal(read_all(OmeZarrSource(tmp_path / "a.zarr"))[:, 0], pixels)
    assert len(decoded) == 4
    decoded.clear()
    small = OmeZarrSource(tmp_path / "a.zarr", cache_bytes=30_000)  # 16 KB a chunk
    np.testing.assert_array_equal(read_all(small)[:, 0], pixels)
    assert len(decoded) == 8 * 4


def smooth_pixels(shape):
    """Pixels that are really compressed: what does not shrink is stored as it is, and any bytes are pixels."""
    return np.add.outer(np.arange(shape[0]) * 9, np.add.outer(np.arange(shape[1]), np.arange(shape[2]))).astype("u2")


def damage(path):
    data = bytearray(path.read_bytes())
    data[16:] = bytes(255 - value for value in data[16:])
    path.write_bytes(data)


@pytest.mark.parametrize(("zarr_format", "chunk"), [(2, "0/1.1.2"), (3, "0/c/1/1/2")])
def test_bad_chunks_stop_or_become_background(tmp_path, zarr_format, chunk):
    pixels = smooth_pixels((2, 50, 70))
    write_image(new_group(tmp_path / "a.zarr", zarr_format), [pixels], "zyx", fill_value=7)
    damage(tmp_path / "a.zarr" / chunk)
    source = open_image(tmp_path / "a.zarr")
    np.testing.assert_array_equal(source.read(0, (slice(0, 50), slice(0, 70)))[0], pixels[0])
    with pytest.raises(ImageError, match=r"a\.zarr.*chunk at Z 1, Y 16, X 32"):
        source.read(1, (slice(0, 50), slice(0, 70)))
    source = open_image(tmp_path / "a.zarr", ReadOptions(on_bad_tile="background"))
    assert source.bad_tiles == []
    pixels[1, 16:32, 32:48] = 7
    for _ in range(2):
        np.testing.assert_array_equal(read_all(source)[:, 0], pixels)
    assert source.bad_tiles == [BadTile(1, (16, 32), (16, 16))]
    region = open_image(tmp_path / "a.zarr", ReadOptions(on_bad_tile="background", region="20,0,30,40"))
    np.testing.assert_array_equal(read_all(region)[:, 0], pixels[:, 20:50, 0:40])
    assert region.bad_tiles == [BadTile(1, (0, 32), (12, 8))]


def test_missing_chunks_are_background_and_not_bad(tmp_path):
    pixels = random_pixels((50, 70))
    write_image(new_group(tmp_path / "a.zarr", 2), [pixels], "yx", fill_value=9)
    (tmp_path / "a.zarr/0/0.0").unlink()
    pixels[:16, :16] = 9
    source = open_image(tmp_path / "a.zarr", ReadOptions(on_bad_tile="background"))
    np.testing.assert_array_equal(read_all(source)[0, 0], pixels)
    assert source.bad_tiles == []


def test_chunks_too_large_for_the_cache_go_to_a_temporary_file(tmp_path, decoded):
    pixels = random_pixels((1000, 1100), np.uint8)
    write_image(new_group(tmp_path / "a.zarr", 3), [pixels], "yx", chunks=(1000, 1100))
    source = OmeZarrSource(tmp_path / "a.zarr", cache_bytes=2**20)
    assert source.info.scratch_bytes == 1100 * 1000
    for top in range(0, 1000, 100):
        np.testing.assert_array_equal(
            source.read(0, (slice(top, top + 100), slice(5, 800)))[0], pixels[top : top + 100, 5:800]
        )
    assert len(decoded) == 1
    assert OmeZarrSource(tmp_path / "a.zarr").info.scratch_bytes == 0


def edit_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "change",
    [
        lambda path: (path / ".zattrs").write_text("{"),
        lambda path: (path / ".zattrs").unlink(),
        lambda path: (path / ".zgroup").write_text("no json"),
        lambda path: (path / "0/.zarray").unlink(),
        lambda path: edit_json(path / ".zattrs", lambda one: one.update(multiscales=[])),
        lambda path: edit_json(path / ".zattrs", lambda one: one.update(multiscales="text")),
        lambda path: edit_json(path / ".zattrs", lambda one: one["multiscales"][0].pop("datasets")),
        lambda path: edit_json(path / ".zattrs", lambda one: one["multiscales"][0].update(datasets=[])),
        lambda path: edit_json(path / ".zattrs", lambda one: one["multiscales"][0]["datasets"][0].update(path="9")),
        lambda path: edit_json(path / ".zattrs", lambda one: one["multiscales"][0]["axes"].pop()),
        lambda path: edit_json(path / ".zattrs", lambda one: one["multiscales"][0].update(axes=["a", "b"])),
        lambda path: edit_json(path / "0/.zarray", lambda one: one.update(dtype="<c8")),
        lambda path: edit_json(path / "0/.zarray", lambda one: one.update(compressor={"id": "unheard of"})),
        lambda path: edit_json(path / "0/.zarray", lambda one: one.pop("chunks")),
    ],
)
def test_missing_and_damaged_metadata_are_image_errors(tmp_path, change):
    write_image(new_group(tmp_path / "a.zarr", 2), [random_pixels((20, 30))], "yx")
    change(tmp_path / "a.zarr")
    with pytest.raises(ImageError, match=r"a\.zarr") as caught:
        read_all(open_image(tmp_path / "a.zarr"))
    assert caught.value.remedy.endswith(".")


def test_a_folder_that_is_no_zarr_is_an_image_error(tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(ImageError, match=r"empty\.zarr cannot be read as OME-Zarr"):
        open_image(tmp_path / "empty.zarr")
    new_group(tmp_path / "group.zarr", 3).create_array("a", shape=(5, 5), dtype="u1")
    with pytest.raises(ImageError, match="no 'multiscales' metadata"):
        open_image(tmp_path / "group.zarr")


def write_plate(path, wells, there):
    """A plate that lists `wells`, of which only some are there."""
    plate = zarr.open_group(path, mode="w", zarr_format=2)
    plate.attrs["plate"] = {"wells": [{"path": well} for well in wells], "version": "0.4"}
    for number, well in enumerate(there):
        plate.require_group(well).attrs["well"] = {"images": [{"path": "0"}], "version": "0.4"}
        write_image(plate.require_group(f"{well}/0"), [np.full((8, 9), number + 1, np.uint8)], "yx")


def test_a_well_that_is_missing_keeps_its_number_and_the_others_open(tmp_path):
    write_plate(tmp_path / "p.zarr", ["A/1", "B/2", "C/3"], ["B/2", "C/3"])
    source = open_image(tmp_path / "p.zarr")
    assert source.read(0, (slice(0, 1), slice(0, 1))).item() == 1
    which, missing = source.info.remarks
    assert "2 images" in which
    assert "series 1 (B/2/0)" in which
    assert "A/1" in missing
    assert open_image(tmp_path / "p.zarr", ReadOptions(series=2)).read(0, (slice(0, 1), slice(0, 1))).item() == 2
    with pytest.raises(ImageError, match="A/1, which is missing"):
        open_image(tmp_path / "p.zarr", ReadOptions(series=0))
    assert list_zarr_series(tmp_path / "p.zarr")[0].name == "A/1 (missing)"


def test_a_plate_without_any_of_its_wells_is_an_image_error(tmp_path):
    write_plate(tmp_path / "p.zarr", ["A/1", "B/2"], [])
    with pytest.raises(ImageError, match="A/1, B/2"):
        open_image(tmp_path / "p.zarr")


@pytest.mark.parametrize("listed", [True, False])
def test_a_gap_among_the_images_of_a_collection_hides_none_after_it(tmp_path, listed):
    root = zarr.open_group(tmp_path / "c.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    if listed:
        root.require_group("OME").attrs["series"] = ["0", "1", "2"]
    for number in (0, 2):
        write_image(root.require_group(str(number)), [np.full((8, 9), number + 1, np.uint8)], "yx")
    found = list_zarr_series(tmp_path / "c.zarr")
    assert len(found) == (3 if listed else 2)
    last = ReadOptions(series=len(found) - 1)
    assert open_image(tmp_path / "c.zarr", last).read(0, (slice(0, 1), slice(0, 1))).item() == 3


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_planes_of_which_nothing_is_stored_are_said(tmp_path, zarr_format):
    pixels = random_pixels((3, 50, 70), np.uint8)
    write_image(zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=zarr_format), [pixels], "zyx")
    assert not open_image(tmp_path / "a.zarr").info.remarks
    folder = tmp_path / "a.zarr/0"
    chunks = [path for path in folder.rglob("*") if path.is_file() and path.name not in (".zarray", "zarr.json")]
    second = [path for path in chunks if path.relative_to(folder).as_posix().removeprefix("c/")[0] == "1"]
    for path in second[1:]:
        path.unlink()
    assert not open_image(tmp_path / "a.zarr").info.remarks  # some chunk is there
    second[0].unlink()
    (remark,) = open_image(tmp_path / "a.zarr").info.remarks
    assert "No chunk of 1 of its 3 planes" in remark
    for path in set(chunks) - set(second):
        path.unlink()
    assert "None of its chunks" in open_image(tmp_path / "a.zarr").info.remarks[0]
