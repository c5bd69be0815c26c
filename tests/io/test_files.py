"""Which files are images, and which reader or writer takes them."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from unetkit.foundation.errors import ImageError, OutputError
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import check_output, create_sink, find_images, image_stem, list_series, open_image, read_notes
from unetkit.io.formats import is_folder
from unetkit.io.raster import PngSink
from unetkit.io.tiff.sink import TiffSink

MASK = OutputSpec((8, 9), np.dtype("uint8"))


def test_the_content_decides_how_an_image_is_read(tmp_path):
    pixels = np.arange(72, dtype=np.uint8).reshape(8, 9)
    tifffile.imwrite(tmp_path / "tiff.png", pixels)
    Image.fromarray(pixels).save(tmp_path / "png.tif", format="PNG")
    Image.fromarray(pixels).save(tmp_path / "c.JPG", format="JPEG")
    tifffile.imwrite(tmp_path / "big.tif", pixels, bigtiff=True, byteorder=">")
    formats = {path.name: open_image(path).info.format for path in tmp_path.iterdir()}
    assert formats == {"tiff.png": "TIFF", "png.tif": "PNG", "c.JPG": "JPEG", "big.tif": "TIFF"}
    assert open_image(str(tmp_path / "big.tif"), ReadOptions(axes="XY")).info.height == 9


def test_what_is_no_image_is_named_with_a_remedy(tmp_path):
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "short.tif").write_bytes(b"II*\0")
    (tmp_path / "short.png").write_bytes(b"\x89PNG")
    for name, problem, remedy in [
        ("missing.tif", "does not exist", "Check its name and folder."),
        ("empty.tif", "empty", "Copy or export it again."),
        ("text.png", "not a TIFF, PNG or JPEG", "convert the file to OME-TIFF first"),
        ("short.tif", "cannot be decoded", "Copy or export it again, as a TIFF that is uncompressed"),
        ("short.png", "cannot be decoded", "Copy or export it again."),
        ("", "is a folder", "Give one image file."),
    ]:
        with pytest.raises(ImageError, match=problem) as caught:
            open_image(tmp_path / name)
        assert str(tmp_path / name) in caught.value.problem
        assert remedy in caught.value.remedy


def test_the_suffix_decides_how_an_output_is_written(tmp_path):
    assert isinstance(create_sink(tmp_path / "a.tif", MASK), TiffSink)
    assert isinstance(create_sink(tmp_path / "a.ome.TIFF", MASK), TiffSink)
    assert isinstance(create_sink(str(tmp_path / "a.png"), MASK), PngSink)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "spec", "problem"),
    [
        ("there.tif", MASK, "exists"),
        ("folder", MASK, "is a folder"),
        ("no/a.tif", MASK, "does not exist"),
        ("a.jpg", MASK, "'.jpg'"),
        ("a", MASK, "has no suffix"),
        ("a.png", OutputSpec((8, 9), np.dtype("float32")), "PNG"),
        ("a.png", OutputSpec((8, 9), np.dtype("uint8"), pyramid=True), "PNG holds no pyramid"),
        ("a.png", OutputSpec((8, 9), np.dtype("uint8"), compression="lzw"), "choices of TIFF"),
        ("a.zarr", OutputSpec((8, 9), np.dtype("uint8"), layout="tiles"), "choices of TIFF"),
        ("a.png", OutputSpec((8, 9), np.dtype("uint8"), plane_axes="Z", plane_shape=(2,)), "PNG"),
        ("a.png", OutputSpec((8, 9), np.dtype("uint8"), channels=2), "PNG"),
        ("a.tif", OutputSpec((8, 9), np.dtype("float16")), "float16"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused_at_once(tmp_path, name, spec, problem):
    (tmp_path / "there.tif").touch()
    (tmp_path / "folder").mkdir()
    for check in (create_sink, check_output):
        with pytest.raises(OutputError, match=problem):
            check(tmp_path / name, spec, overwrite=False)


def test_an_output_can_be_checked_before_what_is_in_it_is_known(tmp_path):
    for name in ("a.tif", "a.zarr", "a.png"):
        check_output(tmp_path / name, overwrite=False)
        check_output(tmp_path / name, MASK, overwrite=False)
    assert not list(tmp_path.iterdir())


def test_overwrite_replaces_only_when_the_new_file_is_whole(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("old")
    sink = create_sink(path, MASK, overwrite=True)
    assert path.read_text() == "old"
    sink.write([np.ones((1, 8, 9), np.uint8)])
    assert open_image(path).read(0, (slice(0, 8), slice(0, 9))).all()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused_at_once(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            create_sink(tmp_path / "a.tif", MASK)
    finally:
        tmp_path.chmod(0o700)


def test_images_of_a_folder_are_sorted_and_hidden_files_left_out(tmp_path):
    for name in ["b.TIF", "a.png", ".hidden.tif", "notes.txt", "c.jpeg", "._b.tif", "d.jpg", "e.ome.tiff"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.tif").mkdir()
    assert [path.name for path in find_images(tmp_path)] == ["a.png", "b.TIF", "c.jpeg", "d.jpg", "e.ome.tiff"]


def test_slides_and_zarr_folders_are_images_too(tmp_path):
    names = ["a.svs", "b.NDPI", "c.scn", "d.bif", "e.qptiff", "f.lsm", "g.btf", "h.tf8", "i.stk"]
    for name in [*names, "k.zarr"]:
        (tmp_path / name).touch()
    for name in ("j.ome.zarr", ".hidden.zarr"):
        (tmp_path / name).mkdir()
    assert [path.name for path in find_images(tmp_path)] == [*names, "j.ome.zarr"]
    assert is_folder(tmp_path)
    assert not is_folder(tmp_path / "j.ome.zarr")
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / ".zarray").touch()
    assert not is_folder(tmp_path / "0")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_raster_images_have_one_series_one_level_channels_and_regions(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path)
    whole = open_image(path).read(0, (slice(0, 40), slice(0, 50)))
    part = open_image(path, ReadOptions(series=0, level=0, channels="2,0", region="5,6,10,20"))
    np.testing.assert_array_equal(part.read(0, (slice(0, 10), slice(0, 20))), whole[[2, 0], 5:15, 6:26])
    for reading, problem in [
        (ReadOptions(series=1), "series 1"),
        (ReadOptions(level=1), "level 1"),
        (ReadOptions(channels="3"), "3"),
    ]:
        with pytest.raises(ImageError, match=f"no .*{problem}"):
            open_image(path, reading)
    (series,) = list_series(path)
    assert (series.axes, series.shape, len(series.levels)) == ("YXS", (40, 50, 3), 1)


def test_a_large_raster_image_is_kept_in_a_temporary_file_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (1100, 1000), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", compress_level=1)
    source = open_image(tmp_path / "a.png", cache_bytes=2**20)
    assert source.info.scratch_bytes == pixels.size
    np.testing.assert_array_equal(source.read(0, (slice(3, 900), slice(7, 800)))[0], pixels[3:900, 7:800])
    if os.name == "posix":  # a process that is killed leaves nothing behind
        assert not list((tmp_path / "scratch").iterdir())
    assert open_image(tmp_path / "a.png").info.scratch_bytes == 0


def test_folders_without_images_are_image_errors(tmp_path):
    (tmp_path / "notes.txt").touch()
    for name, problem in [("", "no images"), ("missing", "does not exist"), ("notes.txt", "not a folder")]:
        with pytest.raises(ImageError, match=problem):
            find_images(tmp_path / name)


def test_stems_lose_suffixes_and_ome(tmp_path):
    assert image_stem(tmp_path / "cell.1.ome.tif") == "cell.1"
    assert image_stem("cell.OME.TIFF") == "cell"
    assert image_stem("some.png") == "some"
    assert image_stem("a/cell.ome.zarr") == "cell"


@pytest.mark.parametrize("name", ["labels.tif", "labels.zarr", "labels.png"])
def test_notes_of_an_output_are_read_back(tmp_path: Path, name: str) -> None:
    notes = {"object_classes": "tumour & stroma 1-3, <other> none", "model": "nuclei"}
    spec = OutputSpec((4, 5), np.dtype(np.uint16), notes=tuple(notes.items()))
    create_sink(tmp_path / name, spec).write([np.ones((1, 4, 5), np.uint16)])
    found = read_notes(tmp_path / name)
    assert {key: found[key] for key in notes} == notes


def test_a_file_of_another_program_has_no_notes(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint8))
    tifffile.imwrite(tmp_path / "b.ome.tif", np.zeros((4, 4), np.uint8))
    assert read_notes(tmp_path / "a.tif") == read_notes(tmp_path / "b.ome.tif") == {}
