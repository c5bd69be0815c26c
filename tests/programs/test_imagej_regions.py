"""Regions that ImageJ saved, drawn as it draws them, where it is installed (Debian: `apt-get install imagej`)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile

from unetkit.annotations.formats import read_annotations
from unetkit.annotations.source import AnnotationSource
from unetkit.io.base.arrays import ArraySource

JAR = Path("/usr/share/java/ij.jar")
DRAW = Path(__file__).parent / "DrawRegions.java"

ON_EDGES = {"polygon": 5, "ellipse": 2}
"""Pixels whose centre lies on an edge, which ImageJ gives to both sides or rounds."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with regions of each type, and the masks that ImageJ makes of them."""
    if shutil.which("java") is None or not JAR.exists():
        pytest.skip("ImageJ is not installed (apt-get install imagej)")
    folder = tmp_path_factory.mktemp("regions")
    java = ["java", "-Djava.awt.headless=true", "-cp", str(JAR), str(DRAW), str(folder)]
    subprocess.run(java, capture_output=True, check=True, timeout=120)
    return folder


@pytest.mark.parametrize(
    "name",
    [
        *("rectangle", "rounded", "oval", "oval-large", "oval-small", "ellipse", "rotated", "polygon", "traced"),
        *("freehand", "composite"),
    ],
)
def test_a_region_covers_the_pixels_that_it_covers_in_imagej(name: str, drawn: Path) -> None:
    expected = tifffile.imread(drawn / f"{name}.tif") > 0
    info = ArraySource(expected.view(np.uint8), "YX").info
    source = AnnotationSource(read_annotations(drawn / f"{name}.roi", ""), info, "mask")
    found = source.read(0, (slice(0, expected.shape[0]), slice(0, expected.shape[1])))[0] > 0
    assert expected.sum() > 7
    assert np.count_nonzero(found != expected) <= ON_EDGES.get(name, 0)


def test_a_rectangle_between_pixels_is_drawn_where_it_lies(drawn: Path) -> None:
    """ImageJ moves it to whole pixels; here the rule of all polygons holds."""
    info = ArraySource(np.zeros((100, 130), np.uint8), "YX").info
    source = AnnotationSource(read_annotations(drawn / "rectangle-fine.roi", ""), info, "mask")
    found = source.read(0, (slice(0, 100), slice(0, 130)))[0] > 0
    expected = np.zeros((100, 130), np.bool_)
    expected[21:51, 10:51] = True  # 10.25 to 50.75 across, 20.75 to 51 down
    np.testing.assert_array_equal(found, expected)
