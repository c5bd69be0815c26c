"""NRRD is read as pynrrd wrote it, and lies where its directions say."""

import nrrd
import numpy as np
import pytest

from unetkit.foundation.errors import ImageError
from unetkit.io.files import list_series, open_image
from unetkit.testing.sources import SourceContract

DIRECTIONS = np.array([[0, 0.5, 0], [-0.75, 0, 0], [0, 0, 3.0]])


def noise(shape, dtype="int16"):
    return (np.random.default_rng(0).random(shape) * 200).astype(dtype)


def write(path, pixels, **fields):
    """Write pixels (x, y, z) with header fields whose names have _ for spaces."""
    nrrd.write(str(path), pixels, {key.replace("_", " "): value for key, value in fields.items()})
    return path


def place(space="left-posterior-superior"):
    return {"space": space, "space_directions": DIRECTIONS, "space_origin": [1.0, 2.0, 3.0]}


class TestNrrdSource(SourceContract):
    @pytest.fixture
    def pixels(self):
        return noise((4, 8, 9))[:, None]

    @pytest.fixture(params=["raw", "gzip", "detached"])
    def source(self, tmp_path, request, pixels):
        path = tmp_path / ("a.nhdr" if request.param == "detached" else "a.nrrd")
        encoding = "gzip" if request.param == "detached" else request.param
        return open_image(write(path, pixels[:, 0].T, encoding=encoding, **place()))


@pytest.mark.parametrize(
    ("space", "signs"),
    [("left-posterior-superior", (-1, -1, 1)), ("right-anterior-superior", (1, 1, 1)), ("LAS", (-1, 1, 1))],
)
def test_the_directions_of_its_axes_are_its_affine(tmp_path, space, signs):
    info = open_image(write(tmp_path / "a.nrrd", noise((4, 5, 6)), **place(space))).info
    expected = np.eye(4)
    expected[:3, :3], expected[:3, 3] = DIRECTIONS.T, (1, 2, 3)
    np.testing.assert_allclose(info.space.affine, np.diag([*signs, 1]) @ expected)
    assert (info.pixel_size_um, info.steps[0].size) == ((750.0, 500.0), 3000.0)


def test_colours_vectors_and_time_are_told_by_their_kinds(tmp_path):
    rgb = write(tmp_path / "a.nrrd", noise((3, 4, 5, 6), "uint8"), kinds=["RGB-color", *["domain"] * 3])
    assert open_image(rgb).info.axes == "ZYXS"
    directions = np.array([*DIRECTIONS, [np.nan] * 3])
    time = write(
        tmp_path / "b.nrrd",
        noise((4, 5, 6, 2)),
        kinds=[*["domain"] * 3, "time"],
        **{**place(), "space_directions": directions},
    )
    assert open_image(time).info.axes == "TZYX"
    (series,) = list_series(time)
    assert series.shape == (2, 6, 5, 4)


def test_spacings_alone_are_a_size_and_no_place(tmp_path):
    info = open_image(write(tmp_path / "a.nrrd", noise((4, 5, 6)), spacings=[0.5, 0.75, 3])).info
    assert (info.pixel_size_um, info.space) == ((750.0, 500.0), None)
    assert open_image(write(tmp_path / "b.nrrd", noise((4, 5, 6)))).info.pixel_size_um is None


def test_what_is_not_read_says_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(ImageError, match="encoding bzip2") as caught:
        open_image(write(tmp_path / "a.nrrd", noise((4, 5, 6)), encoding="bzip2"))
    assert "NIfTI" in caught.value.remedy
    path = write(tmp_path / "b.nhdr", noise((4, 5, 6)))
    next(tmp_path.glob("b.raw*")).unlink()
    with pytest.raises(ImageError, match="holds the pixels of"):
        open_image(path)
    path = write(tmp_path / "c.nrrd", noise((4, 5, 6)), encoding="raw")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ImageError, match="truncated or damaged"):
        open_image(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ImageError, match="truncated or damaged"):
        open_image(path)
    monkeypatch.setattr("unetkit.io.medical.needs.has", lambda module: False)
    with pytest.raises(ImageError, match="package pynrrd"):
        open_image(path)
