"""Files of microscopes through the commands, from the command line to the file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from microscope_files import PIXEL_UM, SUFFIXES, make_pixels, write_microscope

from unetkit.cli import main
from unetkit.data.folders import pair_in_folders

CHANNEL = ["--channels", "1", "--tile", "64", "--backend", "torch"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the same pixels in each format, and as TIFF."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    pixels = make_pixels()[:1]
    Path("images").mkdir()
    for suffix in SUFFIXES:
        write_microscope(tmp_path / "images" / f"{suffix[1:]}{suffix}", pixels)
    tifffile.imwrite("images/tif.tif", pixels[0], metadata={"axes": "CYX"})
    return tmp_path


def test_segment_gives_the_same_of_every_format(folder: Path, tiny_model: Path) -> None:
    assert main(["segment", "images", "masks", *CHANNEL, "--model", str(tiny_model)]) == 0
    expected = tifffile.imread("masks/tif.tif")
    assert 0 < expected.mean() < 255
    for suffix in SUFFIXES:
        with tifffile.TiffFile(f"masks/{suffix[1:]}.tif") as file:
            np.testing.assert_array_equal(file.asarray(), expected)
            resolution = file.pages[0].tags["XResolution"].value
        assert resolution[0] / resolution[1] == pytest.approx(10_000 / PIXEL_UM)


def test_measure_reads_intensities_of_their_channels(folder: Path) -> None:
    labels = np.zeros((70, 90), np.uint16)
    labels[10:30, 20:50] = 1
    Path("labels").mkdir()
    for suffix in SUFFIXES:
        tifffile.imwrite(f"labels/{suffix[1:]}.tif", labels)
    assert main(["measure", "labels", "images", "tables"]) == 0
    expected = make_pixels()[0, :, 10:30, 20:50].mean((1, 2))
    for suffix in SUFFIXES:
        with Path(f"tables/{suffix[1:]}.csv").open(encoding="utf-8") as file:
            (row,) = csv.DictReader(file)
        means = [float(value) for name, value in row.items() if "mean" in name]
        np.testing.assert_allclose(means, expected, rtol=1e-4)
        assert float(row["area_um2"]) == 20 * 30 * PIXEL_UM**2


def test_images_of_microscopes_pair_with_masks(folder: Path) -> None:
    Path("masks").mkdir()
    for suffix in SUFFIXES:
        tifffile.imwrite(f"masks/{suffix[1:]}.tif", np.zeros((70, 90), np.uint8))
    pairs, without, unused = pair_in_folders(Path("images"), Path("masks"))
    assert [image.name for _, image, *_ in pairs] == [f"{suffix[1:]}{suffix}" for suffix in sorted(SUFFIXES)]
    assert [image.name for image in without] == ["tif.tif"]
    assert not unused


def test_info_shows_scenes_channels_and_sizes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for suffix in SUFFIXES:
        assert main(["info", f"images/{suffix[1:]}{suffix}"]) == 0
        said = capsys.readouterr().out
        assert f"{PIXEL_UM} x {PIXEL_UM} µm" in said
        assert suffix[1:].upper() in said
        assert ("525, 632" if suffix == ".dv" else "DAPI, GFP") in said
