"""Three directions of a volume: the mean of what the model says of the planes of each, also after a run was killed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from skimage.measure import label
from volumes import volume

import unetkit
from unetkit.errors import ConfigError, ImageError
from unetkit.inference.array import predict_tiled
from unetkit.inference.run import averaging, direction_store, directions
from unetkit.inference.run.directions import direction_voxels
from unetkit.io.files import open_image
from unetkit.io.views.regrid import RegridSource, make_regrid
from unetkit.io.views.rescale import RescaledSource
from unetkit.models.segmenter import Segmenter

Make = Callable[..., Segmenter]
CHOICES: dict[str, Any] = {"device": "cpu", "backend": "torch", "halo": 8, "tile": 32}
ALL: dict[str, Any] = {**CHOICES, "directions": 3}


def write_volume(path: Path, size: tuple[int, ...], spacing: float | None) -> NDArray[np.uint8]:
    image = volume(*size)
    known = {} if spacing is None else {"resolution": (1, 1)}
    metadata: dict[str, Any] = {"axes": "ZYX"} | ({} if spacing is None else {"spacing": spacing, "unit": "um"})
    tifffile.imwrite(path, image, imagej=True, metadata=metadata, **known)
    return image


def expected(path: Path, model: Segmenter) -> list[NDArray[np.float32]]:
    """The probabilities of each direction on the grid of the image, from arrays alone."""
    image = open_image(path, dims=3)
    sizes = direction_voxels(image.info.pixel_size_um, None, (), 1)
    found = []
    for axis, voxel in enumerate(sizes):
        source = image if voxel is None else RescaledSource(image, voxel)
        pixels = source.read(0, tuple(slice(0, length) for length in source.info.size))[0]
        stack = np.moveaxis(pixels, axis, 0)
        predicted = predict_tiled(stack, model, axes="ZYX", output="probabilities", **CHOICES)
        known = np.moveaxis(np.asarray(predicted), 0, axis)
        if voxel is not None:
            back = make_regrid(source.info, source.info, None, image.info)
            info = replace(source.info, channels=1, dtype=known.dtype)
            one = RegridSource(
                type("Known", (), {"info": info, "read": lambda _, i, w, k=known: k[None][:, *w]})(), back
            )
            known = one.read(0, tuple(slice(0, length) for length in image.info.size))[0]
        found.append(known)
    return found


@pytest.mark.parametrize(
    ("output", "spacing"),
    [("mask", None), ("mask", 2.5), ("probabilities", 2.5), ("uncertainty", 1.0), ("labels", 2.5)],
)
def test_the_mean_of_three_directions_counts(
    exact_segmenter: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spacing: float | None, output: Any
) -> None:
    monkeypatch.setattr(direction_store, "CHUNK", 8)
    monkeypatch.setattr(directions, "CHUNK", 8)
    monkeypatch.setattr(averaging, "WINDOW_BYTES", 4 * 12**3)
    monkeypatch.setattr(averaging, "BAND_BYTES", 3 * 27 * 22)
    model = exact_segmenter(stride=2)
    write_volume(tmp_path / "in.tif", (13, 27, 22), spacing)
    suffix = ".zarr" if output in ("mask", "uncertainty") else ".tif"
    options = {**ALL, "min_size": 0} if output == "labels" else ALL
    (outcome,) = unetkit.segment(tmp_path / "in.tif", tmp_path / f"out{suffix}", model, output=output, **options)
    each = expected(tmp_path / "in.tif", model)
    mean = np.mean(each, 0)
    result = tmp_path / f"out{suffix}"
    got = np.asarray(zarr.open_group(result)["0"][:] if suffix == ".zarr" else tifffile.imread(result))
    if output == "probabilities":
        np.testing.assert_allclose(got, mean, atol=1e-6)
    elif output == "uncertainty":
        entropy = -(mean * np.log2(mean) + (1 - mean) * np.log2(1 - mean))
        np.testing.assert_allclose(got[0], entropy, atol=1e-5)
        np.testing.assert_allclose(got[1], np.std(each, 0), atol=1e-5)
    else:
        sure = np.abs(mean - 0.5) > 1e-6
        mask = mean >= 0.5
        assert sure.mean() > 0.99
        if output == "mask":
            np.testing.assert_array_equal(got[sure] > 0, mask[sure])
        else:
            np.testing.assert_array_equal(got, label(got > 0))
            np.testing.assert_array_equal(got[sure] > 0, mask[sure])
            assert outcome.objects == got.max()
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif", result.name}
    info = open_image(result, dims=3).info
    assert info.size == (13, 27, 22)
    assert info.pixel_size_um == (None if spacing is None else pytest.approx((spacing, 1.0, 1.0)))


def test_a_killed_run_goes_on_where_it_was(
    exact_segmenter: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direction_store, "CHUNK", 8)
    monkeypatch.setattr(directions, "CHUNK", 8)
    model = exact_segmenter(stride=2)
    write_volume(tmp_path / "in.tif", (13, 27, 22), 2.0)
    unetkit.segment(tmp_path / "in.tif", tmp_path / "whole.tif", model, **ALL)
    put, places = direction_store.DirectionStore.put, []

    def counted(self: Any, direction: int, item: int, window: Any, pixels: Any) -> None:
        if len(places) == 5:
            raise KeyboardInterrupt
        put(self, direction, item, window, pixels)
        places.append((direction, window))

    with monkeypatch.context() as patch:
        patch.setattr(direction_store.DirectionStore, "put", counted)
        with pytest.raises(KeyboardInterrupt):
            unetkit.segment(tmp_path / "in.tif", tmp_path / "out.tif", model, **ALL)
        assert (tmp_path / "out.tif.directions").is_dir()
        assert not (tmp_path / "out.tif").exists()
        with pytest.raises(KeyboardInterrupt):  # what is finished is not predicted again
            unetkit.segment(tmp_path / "in.tif", tmp_path / "out.tif", model, **ALL)
    assert len(places) == 5
    unetkit.segment(tmp_path / "in.tif", tmp_path / "out.tif", model, resume=True, **ALL)
    assert (tmp_path / "out.tif").read_bytes()[-5000:] == (tmp_path / "whole.tif").read_bytes()[-5000:]
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), tifffile.imread(tmp_path / "whole.tif"))
    assert not (tmp_path / "out.tif.directions").exists()


def test_what_has_no_directions_is_refused(exact_segmenter: Make, tmp_path: Path) -> None:
    write_volume(tmp_path / "in.tif", (5, 20, 20), 1.0)
    tifffile.imwrite(tmp_path / "flat.tif", volume(20, 20))
    for image, options, error, problem in (
        ("in.tif", {"model": exact_segmenter(stride=(1, 2, 2))}, ConfigError, "takes volumes"),
        ("in.tif", {"model": exact_segmenter(), "output": "classes"}, ConfigError, "directions has no meaning"),
        ("in.tif", {"model": exact_segmenter(), "directions": 2}, ConfigError, "directions: 2"),
        ("flat.tif", {"model": exact_segmenter()}, ImageError, "one plane"),
    ):
        with pytest.raises(error, match=problem):
            unetkit.segment(tmp_path / image, tmp_path / "out.tif", **{**ALL, **options})
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("voxel", "model", "wanted", "planes", "sizes"),
    [
        (None, (1.0, 1.0), (), 1, [None] * 3),
        ((1.0, 1.0, 1.0), None, (), 1, [None] * 3),
        ((1.05, 1.0, 1.0), None, (), 1, [None] * 3),  # nearly cubes
        ((4.0, 1.0, 1.0), None, (), 1, [None, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)]),
        ((4.0, 1.0, 1.0), (1.2, 1.2), (), 1, [None, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)]),  # near to the model's
        ((4.0, 1.0, 1.0), (2.0, 2.0), (), 1, [(4.0, 2.0, 2.0), (2.0, 2.0, 2.0), (2.0, 2.0, 2.0)]),
        ((1.0, 1.0, 1.0), None, (2.0,), 1, [(2.0, 2.0, 2.0)] * 3),
        ((4.0, 1.0, 1.0), None, (), 3, [None, (1.0, 4.0, 1.0), (1.0, 1.0, 4.0)]),  # neighbours are as far apart
    ],
)
def test_planes_look_alike_in_all_directions(
    voxel: Any, model: Any, wanted: Any, planes: int, sizes: list[tuple[float, ...] | None]
) -> None:
    assert direction_voxels(voxel, model, wanted, planes) == sizes
