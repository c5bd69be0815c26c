from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from unetkit.foundation.errors import ConfigError, OutputError
from unetkit.io.files import open_image
from unetkit.synthetic import make_nuclei, write_nuclei, write_spines, write_volume


def test_stacks_are_written_with_the_size_of_their_voxels(tmp_path: Path) -> None:
    write_nuclei(tmp_path, 2, (6, 32, 40), seed=3)
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["nuclei_000.tif", "nuclei_001.tif"]
    image, labels = make_nuclei((6, 32, 40), np.random.default_rng((3, 1)))
    assert np.array_equal(tifffile.imread(tmp_path / "images" / "nuclei_001.tif"), image)
    assert np.array_equal(tifffile.imread(tmp_path / "masks" / "nuclei_001.tif"), labels)
    info = open_image(tmp_path / "images" / "nuclei_000.tif").info
    assert (info.axes, info.pixel_size_um) == ("ZYX", (0.5, 0.5))
    assert [str(step) for step in info.steps] == ["Z 2 µm"]


def test_spines_are_written_with_what_they_show(tmp_path: Path) -> None:
    write_spines(tmp_path, 2, (6, 24, 24), seed=0, voxel_mm=(10.0, 4.0, 4.0), suffix=".tif")
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    assert lines == ["image,label", "images/spine_000.tif,0", "images/spine_001.tif,1"]
    assert open_image(tmp_path / "images" / "spine_001.tif").info.dtype == np.int16
    with pytest.raises(OutputError, match=r"labels\.csv exists"):
        write_spines(tmp_path, 2, (6, 24, 24), seed=0)


def test_a_volume_in_nifti_lies_as_it_was_drawn(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    pixels = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    write_volume(tmp_path / "ct.nii.gz", pixels, (2000.0, 800.0, 700.0))
    image = nibabel.load(tmp_path / "ct.nii.gz")
    assert np.array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), pixels)
    assert image.header.get_zooms() == pytest.approx((0.7, 0.8, 2.0))
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")


def test_nothing_is_written_over_or_in_an_unknown_format(tmp_path: Path) -> None:
    write_nuclei(tmp_path, 1, (2, 8, 8), seed=0)
    with pytest.raises(OutputError, match="holds files already"):
        write_nuclei(tmp_path, 1, (2, 8, 8), seed=0)
    with pytest.raises(ConfigError, match=r"\.png"):
        write_nuclei(tmp_path / "new", 1, (2, 8, 8), seed=0, suffix=".png")
    assert not (tmp_path / "new").exists()
