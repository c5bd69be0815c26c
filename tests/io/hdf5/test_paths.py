"""`file.h5:/key` is taken wherever an image is."""

import csv
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest

from unetkit.data.pairs import find_pairs, find_unmasked
from unetkit.data.places import name_of
from unetkit.foundation.errors import DataError, ImageError, OutputError
from unetkit.inference.run.jobs import list_images, plan_jobs
from unetkit.measuring import jobs as measured
from unetkit.napari.reader import get_reader
from unetkit.scoring.evaluation import pair_masks
from unetkit.viewing.opening import open_picture


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v/raw"] = (rng.random((3, 40, 50)) * 200).astype("uint8")
        file["v/labels"] = (rng.random((3, 40, 50)) * 3).astype("uint16")
        file["v/raw"].attrs["element_size_um"] = [2.0, 0.5, 0.25]
    return tmp_path / "a.h5"


def test_it_is_an_image_to_segment_and_to_measure(file, tmp_path):
    image, labels = Path(f"{file}:/v/raw"), Path(f"{file}:/v/labels")
    (job,) = plan_jobs(image, tmp_path / "out.tif")
    assert job.image == image
    assert list_images([image, labels]) == [image, labels]
    assert [one.result.name for one in plan_jobs([image], tmp_path / "out")] == ["out"]
    (job,) = measured.plan_jobs(labels, image, tmp_path / "table.csv", ".csv")
    assert (job.labels, job.image) == (labels, image)
    with pytest.raises(ImageError, match="does not exist"):
        plan_jobs(Path(f"{tmp_path}/b.h5:/raw"), tmp_path / "out.tif")
    with pytest.raises(OutputError, match="is the input itself"):
        plan_jobs(image, file)


def test_it_is_an_image_and_a_mask_to_train_on_and_to_score(file, tmp_path):
    image, labels = Path(f"{file}:/v/raw"), Path(f"{file}:/v/labels")
    pairs = find_pairs(image, labels)
    assert [(one.name, one.image, one.mask, one.image_plane) for one in pairs][1] == ("a[1]", image, labels, 1)
    assert len(find_unmasked(image, "0-1")) == 2
    assert pair_masks(labels, labels) == [(labels, labels)]
    assert name_of(str(image)) == "a"
    with (tmp_path / "pairs.csv").open("w", newline="") as listed:
        csv.writer(listed).writerows([("image", "mask"), ("a.h5:/v/raw", "a.h5:/v/labels")])
    assert [one.image for one in find_pairs(tmp_path / "pairs.csv")] == [image] * 3
    with pytest.raises(DataError, match="no file or folder"):
        find_pairs(Path(f"{tmp_path}/b.h5:/raw"), labels)


def test_it_is_looked_at_with_the_size_of_its_voxels(file):
    with closing(open_picture(f"{file}:/v/raw", is_image=True)) as picture:
        assert picture.info.pixel_size_um == (0.5, 0.25)
    read = get_reader(f"{file}:/v/raw")
    assert read is not None
    ((data, arguments, _),) = read(f"{file}:/v/raw")
    assert (arguments["name"], arguments["scale"]) == ("a", (2.0, 0.5, 0.25))
    assert data.shape[-3:] == (3, 40, 50)
