"""What holds for all formats of microscopes: what is missing, damaged or wrong is one clear error."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from microscope_files import PIXEL_UM, SIZE, SUFFIXES, make_pixels, write_microscope

from unetkit.foundation.errors import ImageError
from unetkit.inference.run.jobs import plan_jobs
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import find_images, list_series, open_image
from unetkit.io.microscopes import vendors
from unetkit.io.microscopes.vendors import VENDORS

WINDOW = (slice(0, SIZE[0]), slice(0, SIZE[1]))


@pytest.fixture
def without(monkeypatch):
    """Hide packages, as if they were not installed."""

    def hide(*modules):
        found = importlib.util.find_spec
        monkeypatch.setattr(vendors, "find_spec", lambda name: None if name in modules else found(name))
        for module in modules:
            monkeypatch.setitem(sys.modules, module, None)

    return hide


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_pixels_come_from_every_format(tmp_path, suffix):
    pixels = make_pixels()
    source = open_image(write_microscope(tmp_path / f"a{suffix}", pixels), ReadOptions(channels="1"))
    read = np.stack([source.read(i, WINDOW)[0] for i in range(3)])
    np.testing.assert_array_equal(read, pixels[:, 1])
    assert source.info.pixel_size_um == (PIXEL_UM, PIXEL_UM)
    source.close()


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_without_what_reads_it_the_error_is_the_line_to_install(tmp_path, without, vendor):
    path = write_microscope(tmp_path / f"a{vendor.suffixes[0]}")
    without(*vendor.modules)
    for read in (open_image, list_series):
        with pytest.raises(ImageError, match=f"is a {vendor.maker} file, which needs the package") as caught:
            read(path)
        assert "`pip install unetkit[formats]`" in caught.value.remedy
    with pytest.raises(ImageError, match=f"1 file of microscopes, such as {path.name}") as caught:
        find_images(tmp_path)
    assert "`pip install unetkit[formats]`" in caught.value.remedy
    (job,) = plan_jobs(tmp_path / f"*{path.suffix}", tmp_path / "out")  # a pattern names it: it is not left out
    assert job.image == path
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((2, 3), np.uint8))
    assert [one.name for one in find_images(tmp_path)] == ["b.tif"]


def test_folders_have_files_of_microscopes(tmp_path):
    for suffix in SUFFIXES:
        write_microscope(tmp_path / f"a{suffix}").rename(tmp_path / f"b{suffix.upper()}")
    assert [one.name for one in find_images(tmp_path)] == ["b.CZI", "b.DV", "b.LIF", "b.ND2"]


def test_the_content_and_not_the_name_says_what_a_file_is(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.full(SIZE, 7, np.uint8))
    (tmp_path / "a.tif").rename(tmp_path / "a.czi")
    source = open_image(tmp_path / "a.czi")
    assert source.info.format == "TIFF"
    source.close()
    write_microscope(tmp_path / "b.nd2").rename(tmp_path / "b.tif")
    source = open_image(tmp_path / "b.tif")
    assert source.info.format == "ND2"
    source.close()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_empty_or_of_other_content_is_named(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.touch()
    with pytest.raises(ImageError, match=r"is empty \(0 bytes\)"):
        open_image(path)
    path.write_bytes(b"something else " * 100)
    with pytest.raises(ImageError, match="but not its content"):
        open_image(path)


READ = """
import json, sys
from unetkit.foundation.errors import UnetkitError
from unetkit.io.files import open_image
answers = []
for path in sys.argv[1:]:
    try:
        source = open_image(path)
        for item in range(source.info.planes):
            source.read(item, (slice(0, 70), slice(0, 90)))
        source.close()
        answers.append("read")
    except UnetkitError as error:
        answers.append(error.problem)
print(json.dumps(answers))
"""


def read_in_a_process(paths: list[Path]) -> list[str]:
    """Return what reading each file gives: "read", or the problem. A library that crashes ends the process."""
    run = subprocess.run([sys.executable, "-c", READ, *map(str, paths)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    answers: list[str] = json.loads(run.stdout)
    return answers


def test_a_file_that_is_cut_off_is_an_error_and_crashes_nothing(tmp_path):
    paths = []
    for suffix in SUFFIXES:
        data = write_microscope(tmp_path / f"whole{suffix}").read_bytes()
        cuts = {
            *range(1, 200, 23),
            *range(200, 2000, 300),
            *(len(data) * i // 12 for i in range(1, 12)),
            len(data) - 50,
        }
        for cut in cuts:
            paths.append(tmp_path / f"{cut}{suffix}")
            paths[-1].write_bytes(data[:cut])
    for answer in read_in_a_process(paths):
        assert answer != "read"
        assert "cannot be" in answer or "not its content" in answer


def test_a_file_with_other_bytes_somewhere_crashes_nothing(tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for suffix in SUFFIXES:
        data = write_microscope(tmp_path / f"whole{suffix}", make_pixels()[:1]).read_bytes()
        for number in range(40):
            spoiled = np.frombuffer(data, np.uint8).copy()
            at = int(
                rng.choice([rng.integers(0, len(data)), rng.integers(16, 1024), len(data) - rng.integers(8, 3000)])
            )
            spoiled[at : at + 8] = rng.integers(0, 256, len(spoiled[at : at + 8]))
            paths.append(tmp_path / f"{number}{suffix}")
            paths[-1].write_bytes(spoiled.tobytes())
    read_in_a_process(paths)


def test_other_images_and_help_import_none_of_these_libraries(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 30), np.uint8))
    (tmp_path / "notes.txt").write_text("notes")
    code = f"""
import sys
from unetkit.io.files import find_images, open_image
for path in find_images({str(tmp_path)!r}):
    open_image(path).close()
names = ("bioio", "bioio_base", "dask", "xarray", "nd2", "pylibCZIrw", "liffile", "mrc")
print("LOADED", *[name for name in names if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["LOADED"]
