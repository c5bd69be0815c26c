"""The OME-TIFF sink: what tifffile reads back, and what is left after a fault."""

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import ome_types
import pytest
import tifffile
from PIL import Image

from unetkit.foundation.errors import OutputError
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.base.stored import Step
from unetkit.io.tiff.sink import TiffSink, ome_axes
from unetkit.io.tiff.source import TiffSource
from unetkit.io.tiff.tiles import encode_piece


def make_output(plane_shape, channels, height, width, dtype):
    rng = np.random.default_rng(0)
    planes = int(np.prod(plane_shape))
    return (rng.random((planes, channels, height, width)) * 255).astype(dtype)


def cut(pixels, step):
    """Yield `pixels` (planes, C, height, width) as blocks of up to `step` rows."""
    for plane in pixels:
        for top in range(0, plane.shape[1], step):
            yield plane[:, top : top + step]


@pytest.mark.parametrize("step", [1, 100, 512, 5000])
@pytest.mark.parametrize("size", [(1, 1), (1, 600), (513, 2), (700, 1100), (512, 1024)])
@pytest.mark.parametrize(("channels", "dtype"), [(1, "uint8"), (1, "float32"), (3, "float32"), (2, "uint8")])
def test_rows_come_back_as_they_were_written(tmp_path, size, channels, dtype, step):
    pixels = make_output((), channels, *size, dtype)
    path = tmp_path / "out.tif"
    TiffSink(path, OutputSpec(size, np.dtype(dtype), channels)).write(cut(pixels, step))
    expected = pixels[0, 0] if channels == 1 else pixels[0]
    stored = tifffile.imread(path)
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, expected)
    source = TiffSource(path)
    np.testing.assert_array_equal(source.read(0, (slice(0, size[0]), slice(0, size[1]))), pixels[0])
    assert (source.info.channels, source.info.planes) == (channels, 1)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("axes", "shape", "stored"),
    [("T", (3,), "TYX"), ("TZ", (2, 3), "TZYX"), ("ZT", (3, 2), "ZTYX"), ("Q", (4,), "ZYX"), ("QZ", (2, 2), "TZYX")],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_planes_keep_axes_that_ome_knows(tmp_path, axes, shape, stored, channels):
    pixels = make_output(shape, channels, 40, 530, "uint8")
    path = tmp_path / "out.ome.tif"
    TiffSink(path, OutputSpec((40, 530), np.dtype("uint8"), channels, axes, shape)).write(cut(pixels, 13))
    expected = pixels.reshape(*shape, channels, 40, 530)
    expected = expected[..., 0, :, :] if channels == 1 else expected
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        assert tiff.series[0].axes == (stored if channels == 1 else stored.replace("YX", "CYX"))
    np.testing.assert_array_equal(tifffile.imread(path), expected)


def test_many_or_unknown_axes_are_renamed_or_flattened():
    assert ome_axes("", ()) == ("", ())
    assert ome_axes("QT", (2, 3)) == ("ZT", (2, 3))
    assert ome_axes("QI", (2, 3)) == ("ZT", (2, 3))
    assert ome_axes("TPZ", (2, 3, 4)) == ("Z", (24,))


def test_metadata_says_size_and_origin(tmp_path):
    notes = (("model", "nuclei ä <1>"), ("hash", "abc"))
    spec = OutputSpec((20, 30), np.dtype("uint8"), pixel_size_um=(0.25, 0.5), notes=notes)
    path = tmp_path / "out.tif"
    TiffSink(path, spec).write([np.zeros((1, 20, 30), np.uint8)])
    assert TiffSource(path).info.pixel_size_um == pytest.approx((0.25, 0.5))
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        assert page.software == "unetkit"
        assert page.get_resolution("MICROMETER") == pytest.approx((2.0, 4.0))
        annotation = tifffile.xml2dict(tiff.ome_metadata)["OME"]["StructuredAnnotations"]["MapAnnotation"]
        values = annotation["Value"]["M"]
        assert {value["K"]: value["value"] for value in values} == dict(notes)


def test_outputs_are_compressed_and_big_only_where_they_must_be(tmp_path, monkeypatch):
    path = tmp_path / "out.tif"
    for limit, big in [(2**32, False), (1, True)]:
        monkeypatch.setattr("unetkit.io.tiff.sink.CLASSIC_BYTES", limit)
        TiffSink(path, OutputSpec((600, 100), np.dtype("uint8"))).write([np.zeros((1, 600, 100), np.uint8)])
        with tifffile.TiffFile(path) as tiff:
            assert tiff.is_bigtiff == big
            assert tiff.pages.first.compression == tifffile.COMPRESSION.ADOBE_DEFLATE


@pytest.mark.parametrize(
    ("size", "choices", "tile"),
    [
        ((600, 100), {}, None),
        ((600, 100), {"layout": "tiles"}, (512, 112)),
        ((600, 100), {"pyramid": True}, (512, 112)),
        ((4096, 4096), {}, None),
        ((4096, 4097), {}, (512, 512)),
        ((4096, 4097), {"layout": "strips"}, None),
    ],
)
def test_small_images_are_in_strips_and_large_ones_and_pyramids_in_tiles(tmp_path, size, choices, tile):
    path = tmp_path / "out.tif"
    TiffSink(path, OutputSpec(size, np.dtype("uint8"), **choices)).write([np.zeros((1, *size), np.uint8)])
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        assert (page.tile or None) == tile
        if tile is None:
            assert page.rowsperstrip * size[1] <= max(2**18, size[1])


@pytest.mark.parametrize("layout", ["tiles", "strips"])
@pytest.mark.parametrize("compression", ["none", "deflate", "lzw", "zstd"])
@pytest.mark.parametrize(("channels", "dtype"), [(1, "uint8"), (1, "uint32"), (2, "float32")])
def test_every_compression_and_layout_gives_the_same_pixels(tmp_path, layout, compression, channels, dtype):
    pixels = make_output((2,), channels, 700, 530, dtype)
    path = tmp_path / "out.tif"
    choices = {"layout": layout, "compression": compression}
    TiffSink(path, OutputSpec((700, 530), np.dtype(dtype), channels, "Z", (2,), **choices)).write(cut(pixels, 100))
    np.testing.assert_array_equal(tifffile.imread(path).reshape(pixels.shape), pixels)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        assert page.is_tiled == (layout == "tiles")
        assert page.compression.name.lower().removeprefix("adobe_") == compression
    with Image.open(path) as image:  # libtiff
        np.testing.assert_array_equal(np.asarray(image), pixels[0, 0])


def test_what_lzw_cannot_compress_counts_for_its_size(tmp_path, monkeypatch):
    noise = np.frombuffer(np.random.default_rng(0).bytes(2**20), np.uint8).reshape(1, 1024, 1024)
    assert len(encode_piece(noise[0], (1024, 1024), "lzw")) < 1.5 * noise.nbytes
    monkeypatch.setattr("unetkit.io.tiff.sink.CLASSIC_BYTES", 1.2 * noise.nbytes)
    for compression, big in (("deflate", False), ("lzw", True)):
        path = tmp_path / f"{compression}.tif"
        TiffSink(path, OutputSpec((1024, 1024), np.dtype("uint8"), compression=compression)).write([noise])
        with tifffile.TiffFile(path) as tiff:
            assert tiff.is_bigtiff == big


def test_steps_and_name_are_those_of_the_image_and_axes_without_a_name_have_none(tmp_path):
    steps = (Step("Z", 0.05, "µm"), Step("T", 30.0, "s"))
    for axes, shape, expected in (("TZ", (2, 3), (0.05, 30.0)), ("Z", (3,), (0.05, None)), ("TPZ", (1, 2, 3), ())):
        spec = OutputSpec((20, 30), np.dtype("uint8"), 1, axes, shape, (0.25, 0.5), steps=steps, name="cells <a> & ä")
        path = tmp_path / f"{axes}.tif"
        TiffSink(path, spec).write(np.zeros((1, 20, 30), np.uint8) for _ in range(spec.planes))
        image = ome_types.from_tiff(path).images[0]
        assert image.name == "cells <a> & ä"
        stored = (image.pixels.physical_size_z, image.pixels.time_increment)
        assert stored == (expected or (None, None))
        read = {step.axis: (step.size, step.unit) for step in TiffSource(path).info.steps}
        kept = [step for step, size in zip(steps, expected, strict=False) if size is not None]
        assert read == {step.axis: (step.size, step.unit) for step in kept}


def reference_levels(pixels):
    """Return `pixels` (..., h, w) and its halves, by loops over the whole array."""
    levels = [pixels]
    while max(levels[-1].shape[-2:]) > 512:
        last = levels[-1]
        if last.dtype.kind != "f":
            levels.append(last[..., ::2, ::2])
            continue
        rows = [last[..., y : y + 2, :].astype("float64").mean(axis=-2) for y in range(0, last.shape[-2], 2)]
        stacked = np.stack(rows, axis=-2)
        columns = [stacked[..., x : x + 2].mean(axis=-1) for x in range(0, last.shape[-1], 2)]
        levels.append(np.stack(columns, axis=-1).astype(last.dtype))
    return levels


@pytest.mark.parametrize("step", [7, 512, 768, 5000])
@pytest.mark.parametrize(
    ("size", "axes", "shape", "channels", "dtype"),
    [
        ((1300, 1100), "", (), 1, "uint8"),
        ((513, 1), "", (), 1, "uint16"),
        ((1025, 700), "Z", (3,), 1, "uint32"),
        ((600, 1501), "T", (2,), 3, "float32"),
        ((512, 512), "", (), 2, "uint8"),
    ],
)
def test_pyramids_hold_each_level_of_each_page(tmp_path, size, axes, shape, channels, dtype, step):
    pixels = make_output(shape, channels, *size, dtype)
    path = tmp_path / "out.tif"
    spec = OutputSpec(size, np.dtype(dtype), channels, axes, shape, (0.25, 0.5), pyramid=True)
    TiffSink(path, spec).write(cut(pixels, step))
    expected = pixels.reshape(*shape, *((channels,) if channels > 1 else ()), *size)
    references = reference_levels(expected)
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.series) == 1
        assert len(tiff.series[0].levels) == len(references)
        for number, (level, reference) in enumerate(zip(tiff.series[0].levels, references, strict=True)):
            stored = level.asarray()
            assert (stored.dtype, stored.shape) == (reference.dtype, reference.shape)
            np.testing.assert_allclose(stored, reference, rtol=1e-6 if dtype == "float32" else 0)
            page = level.pages[0]
            assert page.is_tiled
            assert page.is_reduced == (number > 0)
            assert page.get_resolution("MICROMETER") == pytest.approx((2 / 2**number, 4 / 2**number))
        pages_of_levels = len(references) if len(pixels) * channels == 1 else 0
        assert len(tiff.pages) == max(len(pixels) * channels, pages_of_levels)
    source = TiffSource(path)
    assert (source.info.planes, source.info.channels) == (len(pixels), channels)
    np.testing.assert_array_equal(source.read(len(pixels) - 1, (slice(0, size[0]), slice(0, size[1]))), pixels[-1])
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_libtiff_reads_it_too(tmp_path, dtype):
    pixels = make_output((), 1, 700, 1100, dtype)
    TiffSink(tmp_path / "out.tif", OutputSpec((700, 1100), np.dtype(dtype), pyramid=True)).write(cut(pixels, 100))
    with Image.open(tmp_path / "out.tif") as image:
        np.testing.assert_array_equal(np.asarray(image), pixels[0, 0])


def test_pyramids_show_no_value_that_was_not_there(tmp_path):
    labels = np.random.default_rng(0).choice(np.array([0, 3, 70_000, 2**32 - 1], np.uint32), (1, 1, 1030, 1030))
    TiffSink(tmp_path / "out.tif", OutputSpec((1030, 1030), np.dtype("uint32"), pyramid=True)).write(cut(labels, 100))
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        for level in tiff.series[0].levels:
            assert set(np.unique(level.asarray())) == {0, 3, 70_000, 2**32 - 1}


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(("channels", "dtype"), [(1, "uint8"), (2, "float32")])
def test_the_same_rows_give_the_same_bytes_however_they_are_cut(tmp_path, monkeypatch, channels, dtype, big):
    if big:
        monkeypatch.setattr("unetkit.io.tiff.sink.CLASSIC_BYTES", 1)
    pixels = make_output((2,), channels, 1100, 700, dtype)
    notes = (("model", "nuclei"),)
    spec = OutputSpec((1100, 700), np.dtype(dtype), channels, "T", (2,), (0.5, 0.5), notes, True)
    outputs = []
    for number, step in enumerate([1, 333, 512, 768, 5000]):
        path = tmp_path / f"{number}.tif"
        TiffSink(path, spec).write(cut(pixels, step))
        outputs.append(path.read_bytes())
    assert len(set(outputs)) == 1
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff == big


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_what_cannot_be_compressed_hardly_grows(dtype):
    noise = np.frombuffer(np.random.default_rng(0).bytes(512 * 512 * 4), dtype)[: 512 * 512].reshape(512, 512)
    assert len(encode_piece(noise, (512, 512))) < noise.nbytes * 1.001  # CLASSIC_BYTES counts on it


def test_rows_may_be_views_of_any_byte_order_and_layout(tmp_path):
    pixels = make_output((), 1, 600, 700, ">u2")
    TiffSink(tmp_path / "out.tif", OutputSpec((600, 700), np.dtype(">u2"))).write(cut(pixels[..., ::-1], 100))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), pixels[0, 0, :, ::-1])


def test_ome_metadata_is_what_other_readers_expect(tmp_path):
    names = ("back & ground", "Zellkern ä", "<rim>")
    notes = (("model", "nuclei 1.0"), ("command", 'unetkit segment "a b.tif" out.tif --output probabilities'))
    spec = OutputSpec((520, 530), np.dtype("float32"), 3, "T", (2,), (0.25, 0.5), notes, True, names)
    path = tmp_path / "out.ome.tif"
    TiffSink(path, spec).write(cut(make_output((2,), 3, 520, 530, "float32"), 512))
    with tifffile.TiffFile(path) as tiff:
        root = ElementTree.fromstring(tiff.ome_metadata)
    ome = {"ome": "http://www.openmicroscopy.org/Schemas/OME/2016-06"}
    assert root.tag == f"{{{ome['ome']}}}OME"
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", root.get("UUID"))
    assert len(root.findall("ome:Image", ome)) == 1
    pixels = root.find("ome:Image/ome:Pixels", ome)
    sizes = {axis: int(pixels.get(f"Size{axis}")) for axis in "XYCZT"}
    assert sizes == {"X": 530, "Y": 520, "C": 3, "Z": 1, "T": 2}
    assert pixels.get("Type") == "float"
    assert pixels.get("DimensionOrder") in {"XYZCT", "XYCZT"}  # the fastest first, and Z is 1
    assert (float(pixels.get("PhysicalSizeY")), float(pixels.get("PhysicalSizeX"))) == (0.25, 0.5)
    assert pixels.get("PhysicalSizeXUnit") in {None, "µm"}
    assert [channel.get("Name") for channel in pixels.findall("ome:Channel", ome)] == list(names)
    assert pixels.find("ome:TiffData", ome).get("PlaneCount") == "6"
    annotation = root.find("ome:StructuredAnnotations/ome:MapAnnotation", ome)
    reference = root.find("ome:Image/ome:AnnotationRef", ome)
    assert annotation.get("ID") == reference.get("ID")
    assert {m.get("K"): m.text for m in annotation.findall("ome:Value/ome:M", ome)} == dict(notes)


def test_rows_of_another_kind_are_a_fault(tmp_path):
    for rows in (np.zeros((1, 9, 9), np.float64), np.zeros((2, 9, 9), np.uint8), np.zeros((1, 9, 8), np.uint8)):
        with pytest.raises(ValueError, match="does not fit"):
            TiffSink(tmp_path / "out.tif", OutputSpec((9, 9), np.dtype("uint8"))).write([rows])
    assert not list(tmp_path.iterdir())


class RowsError(Exception):
    pass


@pytest.mark.parametrize("error", [RowsError("rows"), OSError("rows"), KeyboardInterrupt(), ValueError("rows")])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_error_of_the_rows_passes_and_leaves_nothing_new(tmp_path, error, after):
    path = tmp_path / "out.tif"
    path.write_text("what was there")

    def rows():
        for _ in range(after):
            yield np.zeros((1, 512, 700), np.uint8)
        raise error

    with pytest.raises(type(error)) as caught:
        TiffSink(path, OutputSpec((2048, 700), np.dtype("uint8"))).write(rows())
    assert caught.value is error
    assert path.read_text() == "what was there"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("height", [0, 100, 1500])
def test_too_few_or_too_many_rows_are_a_fault(tmp_path, height):
    path = tmp_path / "out.tif"
    with pytest.raises(ValueError, match="rows"):
        TiffSink(path, OutputSpec((1000, 20), np.dtype("uint8"))).write(
            np.zeros((1, 1, 20), np.uint8) for _ in range(height)
        )
    assert not list(tmp_path.iterdir())


def test_rows_are_run_to_their_end(tmp_path):
    steps = []

    def rows():
        yield np.zeros((1, 600, 20), np.uint8)
        steps.append("done")

    TiffSink(tmp_path / "out.tif", OutputSpec((600, 20), np.dtype("uint8"))).write(rows())
    assert steps == ["done"]


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path, monkeypatch):
    write = tifffile.FileHandle.write

    def full(self, *args, **kwargs):
        if self.tell() > 2000:
            raise OSError(28, "No space left on device")
        return write(self, *args, **kwargs)

    monkeypatch.setattr(tifffile.FileHandle, "write", full)
    pixels = make_output((), 1, 2000, 700, "uint8")
    with pytest.raises(OutputError, match=r"out\.tif cannot be written: No space left"):
        TiffSink(tmp_path / "out.tif", OutputSpec((2000, 700), np.dtype("uint8"))).write(cut(pixels, 100))
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        TiffSink(tmp_path / "no" / "out.tif", OutputSpec((5, 5), np.dtype("uint8"))).write(
            [np.zeros((1, 5, 5), np.uint8)]
        )


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_an_output_error(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            TiffSink(tmp_path / "out.tif", OutputSpec((5, 5), np.dtype("uint8"))).write([np.zeros((1, 5, 5), np.uint8)])
    finally:
        tmp_path.chmod(0o700)


def test_dtypes_that_ome_lacks_are_refused_at_once():
    with pytest.raises(OutputError, match="float16"):
        TiffSink(Path("out.tif"), OutputSpec((5, 5), np.dtype("float16")))
