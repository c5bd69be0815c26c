"""The table of formats: what is in it, and formats that other packages add."""

import sys

import numpy as np
import pytest
import tifffile

from unetkit.foundation.errors import ConfigError, ImageError, OutputError
from unetkit.inference.run.jobs import plan_jobs
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.files import check_output, create_sink, find_images, list_series, open_image
from unetkit.io.formats import BUILT_IN, IMAGE_SUFFIXES, is_folder, others

MASK = OutputSpec((2, 3), np.dtype("uint8"))

PLUGIN = '''
"""A format of another package: text, "XYZ" and a row of numbers on each line; or a folder with such a file."""

import numpy as np

from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.format import Format, Writer
from unetkit.io.writing.block_store import OrderedSink


def open_text(path, reading, *, as_stored, cache_bytes):
    rows = (path / "data.txt" if path.is_dir() else path).read_text().splitlines()[1:]
    return ArraySource(np.array([row.split() for row in rows], np.uint8), reading.axes or "YX", str(path))


class Sink(OrderedSink):
    def write(self, rows):
        lines = [" ".join(map(str, row)) for block in rows for row in block[0]]
        self._path.write_text("\\n".join(["XYZ", *lines]))


TEXT = Format(
    "text", (".nums.txt", ".vsi"), lambda path, start: start[:3] == b"XYZ", open_text, writer=Writer((".nums",), Sink)
)
FOLDER = Format(
    "folder", (".n9",), lambda path, start: (path / "data.txt").is_file(), open_text, is_folder=True
)
'''


@pytest.fixture
def install(tmp_path_factory, monkeypatch):
    """Install a package whose only content is formats."""

    def make(entries, code=PLUGIN):
        site = tmp_path_factory.mktemp("site")
        (site / "fake_formats.py").write_text(code)
        info = site / "fake_formats-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-formats\nVersion: 1.0\n")
        lines = [f"{name} = fake_formats:{value}" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[unetkit.formats]", *lines]))
        monkeypatch.syspath_prepend(str(site))
        others.cache_clear()

    yield make
    others.cache_clear()
    sys.modules.pop("fake_formats", None)


def pixels(path):
    return open_image(path).read(0, (slice(0, 2), slice(0, 3)))[0].tolist()


def test_each_suffix_is_of_one_format_and_in_lower_case():
    suffixes = [suffix for one in BUILT_IN for suffix in (*one.suffixes, *one.other_suffixes)]
    assert len(set(suffixes)) == len(suffixes)
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in suffixes)
    assert IMAGE_SUFFIXES[:5] == (".tif", ".tiff", ".png", ".jpg", ".jpeg")
    assert ".zarr" not in IMAGE_SUFFIXES


def test_a_format_of_another_package_is_read_written_and_found(tmp_path, install):
    install({"text": "TEXT", "folder": "FOLDER"})
    path = tmp_path / "a.NUMS.txt"
    path.write_text("XYZ\n1 2 3\n4 5 6")
    assert pixels(path) == [[1, 2, 3], [4, 5, 6]]
    assert list_series(path)[0].shape == (2, 3)
    create_sink(tmp_path / "b.nums", MASK).write([np.full((1, 2, 3), 7, np.uint8)])
    assert pixels(tmp_path / "b.nums") == [[7] * 3] * 2
    folder = tmp_path / "c.n9"
    folder.mkdir()
    assert is_folder(folder)
    (folder / "data.txt").write_text("XYZ\n1 2 3\n4 5 6")
    assert not is_folder(folder)
    assert pixels(folder) == [[1, 2, 3], [4, 5, 6]]
    tifffile.imwrite(tmp_path / "d.tif", np.zeros((2, 3), np.uint8))
    assert [one.name for one in find_images(tmp_path)] == ["a.NUMS.txt", "c.n9", "d.tif"]
    jobs = plan_jobs(tmp_path / "*", tmp_path / "out")
    assert [job.image.name for job in jobs] == ["a.NUMS.txt", "c.n9", "d.tif"]
    with pytest.raises(OutputError, match="is a file, but"):
        plan_jobs(tmp_path, tmp_path / "out.n9")
    with pytest.raises(OutputError, match=r"Use \.tif, \.zarr, \.png, \.nii\.gz or \.nums\."):
        check_output(tmp_path / "a.xyz", MASK, overwrite=False)


def test_an_overview_of_a_slide_is_left_to_a_package_that_reads_slides(tmp_path, install):
    path = tmp_path / "slide.vsi"
    path.write_text("XYZ\n1 2 3\n4 5 6")
    with pytest.raises(ImageError, match="only an overview"):
        open_image(path)
    install({"text": "TEXT"})
    assert pixels(path) == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("entry", "code", "problem"),
    [
        ("TEXT", "import package_that_is_missing", "ModuleNotFoundError: No module named 'package_that_is_missing'"),
        ("TEXT", "TEXT = 1 / 0", "ZeroDivisionError"),
        ("MISSING", PLUGIN, "AttributeError"),
        ("open_text", PLUGIN, "is a function, and no"),
    ],
)
def test_a_broken_one_is_named_when_it_is_needed_and_not_before(tmp_path, install, entry, code, problem):
    install({"broken": entry}, code)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 3), np.uint8))
    assert pixels(tmp_path / "a.tif") == [[0] * 3] * 2
    assert [job.image.name for job in plan_jobs(tmp_path, tmp_path / "out")] == ["a.tif"]
    check_output(tmp_path / "b.tif", MASK, overwrite=False)
    (tmp_path / "b.dat").write_bytes(b"something else")
    for call in (
        lambda: open_image(tmp_path / "b.dat"),
        lambda: find_images(tmp_path),
        lambda: check_output(tmp_path / "a.xyz", MASK, overwrite=False),
    ):
        with pytest.raises(ConfigError, match=rf"'broken' .*of the package fake-formats.*{problem}") as caught:
            call()
        assert "uninstall" in caught.value.remedy
