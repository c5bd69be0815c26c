"""Regions of ImageJ: read back by roifile, and by ImageJ's own ROI Manager where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import roifile
import shapely
import tifffile
from numpy.typing import NDArray
from outlining import fill, objects_of
from skimage.measure import label

import unetkit.exporting.imagej_rois as module
from unetkit.exporting.base import Scene
from unetkit.exporting.exporters import check_export, open_export
from unetkit.exporting.options import DEFAULT_EXPORT, ExportOptions
from unetkit.foundation.errors import ConfigError

IMAGEJ = Path("/usr/share/java/ij.jar")
"""Where Debian's package imagej has it."""

NEEDED = ("java", "xvfb-run")
"""The ROI Manager is a window, so it needs a screen, though nobody looks at it."""


CELLS = Scene("cells")


def export(path: Path, stack: NDArray[Any], scene: Scene = CELLS, options: ExportOptions = DEFAULT_EXPORT) -> list[str]:
    """Write the objects of planes (P, height, width), and return the warnings."""
    warnings: list[str] = []
    with open_export(path, scene, options, warn=warnings.append) as writer:
        for plane, rows in enumerate(stack):
            if (objects := objects_of(rows, plane)) is not None:
                writer.add(objects)
    return warnings


def some_labels(seed: int) -> NDArray[np.int64]:
    """Return objects in pieces and with holes."""
    noise = np.random.default_rng(seed).random((50, 70))
    return label(noise > 0.4, connectivity=2) + np.where(noise < 0.02, 1000, 0)


def polygon_of(roi: roifile.ImagejRoi) -> shapely.Geometry:
    """Return a region as a polygon: what lies in an odd number of its rings."""
    found = shapely.Polygon()
    for ring in roi.coordinates(multi=True):
        found = found.symmetric_difference(shapely.Polygon(ring))
    return found


def imagej(archive: Path, size: tuple[int, int], slices: int = 1, frames: int = 1) -> tuple[NDArray[Any], list[str]]:
    """Have ImageJ open regions and add the name of each to its pixels; return the image and a line for each region."""
    for program in NEEDED:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if not IMAGEJ.exists():
        pytest.skip("ImageJ is not installed (Debian's package imagej)")
    macro, image, lines = (archive.with_suffix(suffix) for suffix in (".ijm", ".tif", ".csv"))
    macro.write_text(
        f"""
        newImage("m", "32-bit grayscale-mode black", {size[1]}, {size[0]}, 1, {slices}, {frames});
        roiManager("open", "{archive}");
        lines = "";
        for (i = 0; i < roiManager("count"); i++) {{
            roiManager("select", i);
            name = split(Roi.getName, "_");
            run("Add...", "value=" + name[0] + " slice");
            Stack.getPosition(channel, slice, frame);
            lines = lines + Roi.getName + " " + Roi.getType + " " + slice + " " + frame + "\\n";
        }}
        saveAs("tiff", "{image}");
        File.saveString(lines, "{lines}");
        run("Quit");
        """
    )
    command = ["xvfb-run", "-a", "java", f"-Duser.home={archive.parent}", "-cp", str(IMAGEJ), "ij.ImageJ", "-batch"]
    subprocess.run([*command, str(macro)], capture_output=True, check=True, timeout=120)
    return tifffile.imread(image), lines.read_text().split("\n")[:-1]


def test_roifile_reads_the_very_same_pixels(tmp_path: Path) -> None:
    labels = some_labels(0)
    assert export(tmp_path / "rois.zip", labels[None]) == []
    found = {int(roi.name): polygon_of(roi) for roi in roifile.roiread(tmp_path / "rois.zip")}
    np.testing.assert_array_equal(fill(found, labels.shape), labels)


def test_imagej_fills_the_very_same_pixels(tmp_path: Path) -> None:
    labels = some_labels(1)
    export(tmp_path / "rois.zip", labels[None])
    image, lines = imagej(tmp_path / "rois.zip", labels.shape)
    np.testing.assert_array_equal(image, labels)
    assert {line.split()[0] for line in lines} == {str(one) for one in np.unique(labels) if one}
    assert {line.split()[1] for line in lines} == {"traced", "composite"}


def test_imagej_finds_the_planes_of_a_hyperstack(tmp_path: Path) -> None:
    stack = np.stack([some_labels(seed) for seed in range(6)])
    export(tmp_path / "rois.zip", stack, Scene("cells", "TZ", (2, 3)))
    image, lines = imagej(tmp_path / "rois.zip", stack.shape[1:], slices=3, frames=2)
    np.testing.assert_array_equal(image.reshape(stack.shape), stack)
    assert "1_t2_z3 composite 3 2" in lines


@pytest.mark.parametrize("axes", ["Z", "T", "Q"])
def test_imagej_finds_the_planes_of_a_stack(tmp_path: Path, axes: str) -> None:
    stack = np.stack([some_labels(seed) for seed in range(3)])
    export(tmp_path / "rois.zip", stack, Scene("cells", axes, (3,)))
    slices, frames = (1, 3) if axes == "T" else (3, 1)
    image, _ = imagej(tmp_path / "rois.zip", stack.shape[1:], slices, frames)
    np.testing.assert_array_equal(image, stack)


def test_imagej_fills_pixels_far_to_the_right(tmp_path: Path) -> None:
    labels = np.zeros((50, 66_000), np.int64)
    labels[:, 60_500:60_570] = labels[:, -70:] = some_labels(2)
    labels[:, -70:][labels[:, -70:] > 0] += 2000
    labels[30:40, :500] = 4
    export(tmp_path / "rois.zip", labels[None])
    image, _ = imagej(tmp_path / "rois.zip", labels.shape)
    np.testing.assert_array_equal(image, labels)


def test_regions_of_very_many_corners_are_composite(tmp_path: Path) -> None:
    comb = np.zeros((2, 40_000), np.uint8)
    comb[0], comb[1, ::2] = 1, 1
    export(tmp_path / "rois.zip", comb[None])
    image, lines = imagej(tmp_path / "rois.zip", comb.shape)
    np.testing.assert_array_equal(image, comb)
    assert lines == ["1 composite 1 1"]


def test_many_regions_are_written_with_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY", 20)
    squares = np.kron(np.arange(1, 26).reshape(5, 5), np.pad(np.ones((2, 2), int), 1))
    (warning,) = export(tmp_path / "rois.zip", np.stack([squares, squares]), Scene("cells", "Z", (2,)))
    assert "more than 20 objects" in warning
    assert ".geojson.gz" in warning
    names = ZipFile(tmp_path / "rois.zip").namelist()
    assert len(set(names)) == len(names) == 50
    assert names[:2] == ["1_z1.roi", "2_z1.roi"]
    assert export(tmp_path / "few.zip", squares[None, :2]) == []


def test_the_same_objects_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.zip", "other.zip"):
        export(tmp_path / name, some_labels(3)[None])
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "other.zip").read_bytes()


def test_simpler_outlines_on_request(tmp_path: Path) -> None:
    y, x = np.mgrid[:100, :100]
    export(tmp_path / "rois.zip", (np.hypot(y - 50, x - 50) < 40)[None].astype(int), options=ExportOptions(simplify=1))
    (roi,) = roifile.roiread(tmp_path / "rois.zip")
    assert roi.n_coordinates < 60


def test_nothing_in_a_label_image_is_an_archive_without_regions(tmp_path: Path) -> None:
    export(tmp_path / "rois.zip", np.zeros((1, 3, 3), int))
    assert ZipFile(tmp_path / "rois.zip").namelist() == []


def test_without_roifile_the_command_that_installs_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "roifile", None)
    with pytest.raises(ConfigError, match=r"pip install unetkit\[annotations\]"):
        check_export(tmp_path / "rois.zip")
