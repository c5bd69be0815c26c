"""A run gives what `unetkit.predict_tiled` does, as layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
from object_tables import blobs
from skimage.measure import regionprops_table

import unetkit
from unetkit.io.base.array_likes import check_array
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec

pytest.importorskip("napari.layers", exc_type=ImportError)
from unetkit.napari.layers import take_picture
from unetkit.napari.run import Choices, Run, measure_objects

RANDOM = np.random.default_rng(0)


def run(picture: Any, model: Path | str, **choices: Any) -> Any:
    outcome = Run(picture, Choices(model=str(model), **choices))()
    assert outcome.error is None, outcome.error
    return outcome


def test_labels_are_those_of_the_library_with_a_row_for_each(viewer: Any, tiny_model: Path) -> None:
    pixels = RANDOM.random((96, 80)).astype(np.float32)
    image = viewer.add_image(pixels, scale=(0.5, 0.5), units=("um", "um"))
    (new,) = run(take_picture(viewer, image), tiny_model, min_size=0).layers
    expected = unetkit.predict_tiled(pixels, tiny_model, output="labels", min_size=0)
    assert expected.max() > 3
    np.testing.assert_array_equal(new.data, expected)
    assert (new.kind, new.arguments["name"]) == ("labels", "tiny of pixels")
    made = viewer.add_labels(new.data, **new.arguments)
    table = made.features
    assert len(table) == expected.max() + 1
    assert table.iloc[0].drop("touches_border").isna().all()
    truth = regionprops_table(expected, pixels, properties=("area", "centroid", "intensity_mean"))
    np.testing.assert_array_equal(table["area_px"][1:], truth["area"])
    np.testing.assert_allclose(table["centroid_y_um"][1:], truth["centroid-0"] / 2)
    np.testing.assert_allclose(table["intensity_mean"][1:], truth["intensity_mean"], rtol=1e-5)
    place = np.argwhere(expected == 2)[0] / 2
    assert f"area_px: {table['area_px'][2]:g}," in made.get_status(place, world=True)["coordinates"]


def test_places_in_a_region_are_those_in_the_image(viewer: Any) -> None:
    labels = blobs((40, 50), 0, 2)
    pixels = RANDOM.random((60, 80))
    image = viewer.add_image(pixels, scale=(2, 3), units=("um", "um"))
    shapes = viewer.add_shapes([[[20, 60], [20, 207], [98, 207], [98, 60]]], shape_type="rectangle")
    picture = take_picture(viewer, image, "rectangle", shapes)
    part, axes = picture.part("YX", lambda: None)
    table = measure_objects(labels, part, axes, picture)
    whole = np.zeros((60, 80), labels.dtype)
    whole[10:50, 20:70] = labels
    expected = unetkit.measure_array(whole, pixels, pixel_size_um=(2, 3))
    for name, column in expected.items():
        if name not in ("label", "touches_border"):
            np.testing.assert_allclose(table[name][1:], column, err_msg=name)


def test_an_object_of_a_volume_is_one_row(viewer: Any) -> None:
    labels = np.zeros((5, 20, 30), np.uint16)
    labels[1:4, 5:9, 6:12] = 1
    image = viewer.add_image(RANDOM.random(labels.shape))
    picture = take_picture(viewer, image, shown_only=False)
    part, axes = picture.part("ZYX", lambda: None)
    table = measure_objects(labels, part, axes, picture, dims=3)
    assert table["volume_px"][1:].tolist() == [72]
    assert table[["centroid_z_px", "centroid_y_px", "centroid_x_px"]].loc[1].tolist() == [2, 6.5, 8.5]


@pytest.mark.parametrize("output", ["mask", "probabilities", "uncertainty"])
def test_other_outputs_are_layers_too(viewer: Any, tiny_model: Path, output: Any) -> None:
    image = viewer.add_image(RANDOM.random((64, 64)))
    outcome = run(take_picture(viewer, image), tiny_model, output=output)
    (new,) = outcome.layers
    np.testing.assert_array_equal(new.data, unetkit.predict_tiled(image.data, tiny_model, output=output))
    assert new.kind == ("labels" if output == "mask" else "image")
    assert "features" not in new.arguments
    adder = viewer.add_labels if output == "mask" else viewer.add_image
    assert adder(new.data, **new.arguments).metadata["unetkit"]["output"] == output


@pytest.fixture
def colour_model(tmp_path: Path) -> Path:
    """A model of three channels and three classes."""
    spec = ModelSpec(
        encoder="resnet18",
        depth=3,
        decoder_channels=(32, 16, 8),
        in_channels=3,
        classes=3,
        class_names=("nothing", "tumour", "stroma"),
        halo=16,
    )
    path = tmp_path / "cells-1" / "model.safetensors"
    path.parent.mkdir()
    save_model(Segmenter(spec), path)
    return path


def test_each_class_has_a_layer_of_its_probability(viewer: Any, colour_model: Path) -> None:
    pixels = RANDOM.integers(0, 255, (2, 64, 72, 3), np.uint8)
    image = viewer.add_image(pixels, rgb=True, name="slide")
    made = run(take_picture(viewer, image, shown_only=False), colour_model, output="probabilities").layers
    names = [new.arguments["name"] for new in made]
    assert names == [f"cells-1 probability of {one} of slide" for one in ("nothing", "tumour", "stroma")]
    np.testing.assert_allclose(sum(new.data for new in made), np.ones((2, 64, 72)), rtol=1e-5)


def test_of_a_stack_only_the_plane_that_is_shown_is_read(viewer: Any, colour_model: Path) -> None:
    pixels = RANDOM.random((4, 3, 64, 72))
    read: list[int] = []

    def load(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        read.append(block_info[None]["chunk-location"][0])
        return block

    lazy = dask.array.from_array(pixels, chunks=(1, 3, 64, 72)).map_blocks(load, dtype=float, meta=pixels[:0])
    image = viewer.add_image(lazy, axis_labels=("z", "c", "y", "x"), contrast_limits=(0, 1), cache=False)
    viewer.dims.set_point(0, 2)
    picture = take_picture(viewer, image)
    read.clear()
    (new,) = run(picture, colour_model, output="mask").layers
    assert set(read) == {2}
    assert new.data.shape == (1, 1, 64, 72)
    np.testing.assert_array_equal(new.data[0, 0], unetkit.predict_tiled(pixels[2], colour_model))


def test_a_large_dask_array_is_read_tile_by_tile(viewer: Any, tiny_model: Path) -> None:
    largest = 0

    class Watched:
        shape, dtype, ndim = (1024, 1024), np.dtype(np.uint8), 2

        def __getitem__(self, index: Any) -> np.ndarray:
            nonlocal largest
            part = np.zeros(self.shape, np.uint8)[index]
            largest = max(largest, part.size)
            return part

    lazy = dask.array.from_array(Watched(), chunks=(64, 64), name=False, meta=np.zeros((0, 0), np.uint8))
    check_array(lazy)
    levels = [lazy, np.zeros((64, 64), np.uint8)]
    image = viewer.add_image(levels, multiscale=True, contrast_limits=(0, 255), cache=False)
    viewer.canvas.size, viewer.scene.camera.zoom, viewer.scene.camera.center = (200, 200), 1, (500, 500)
    outcome = run(take_picture(viewer, image, "view"), tiny_model, tiling={"tile": 64})
    assert outcome.layers[0].data.shape == (201, 201)
    assert outcome.message.startswith("1 object in ")
    assert 0 < largest <= 64 * 64


def test_an_error_of_the_user_is_returned(viewer: Any, tiny_model: Path, tmp_path: Path) -> None:
    image = viewer.add_image(np.zeros((64, 64, 3), np.uint8), rgb=True)
    picture = take_picture(viewer, image)
    cases = {
        "has 3 channels, but the model takes 1": Choices(str(tiny_model)),
        "There is no model file": Choices(str(tmp_path / "gone.safetensors")),
        "does not restore images": Choices(str(tiny_model), output="restored"),
        "tile": Choices(str(tiny_model), tiling={"tile": 7}),
    }
    for problem, choices in cases.items():
        outcome = Run(picture, choices)()
        assert problem in outcome.error.problem
        assert outcome.error.remedy
        assert not outcome.layers


def test_a_file_that_is_lost_under_a_layer_is_an_error_of_the_user(viewer: Any, tiny_model: Path) -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise OSError(5, "Input/output error", "slide.tif")

    image = viewer.add_image(np.zeros((64, 64)))
    picture = take_picture(viewer, image)
    lost = dask.array.zeros((64, 64), chunks=32).map_blocks(fail, dtype=float, meta=np.zeros((0, 0)))
    object.__setattr__(picture, "pixels", lost)
    assert "slide.tif cannot be used" in Run(picture, Choices(str(tiny_model)))().error.problem


def test_a_result_that_is_too_large_for_memory_is_an_error_of_the_user(
    viewer: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr("unetkit.inference.array.predict_tiled", fail)
    picture = take_picture(viewer, viewer.add_image(np.zeros((64, 64))))
    error = Run(picture, Choices(str(tiny_model)))().error
    assert error is not None
    assert "unetkit segment" in error.remedy


def stop_when(run: Run, condition: Callable[[], bool]) -> Any:
    run.stopped = condition
    return run()


def test_a_run_that_is_stopped_ends_within_a_tile_and_leaves_nothing(viewer: Any, tiny_model: Path) -> None:
    picture = take_picture(viewer, viewer.add_image(RANDOM.random((512, 512))))
    stopped = Run(picture, Choices(str(tiny_model), tiling={"tile": 64}))
    outcome = stop_when(stopped, lambda: stopped.done > 0)
    assert outcome.layers == ()
    assert outcome.error is None
    assert 0 < stopped.done < 0.1
    stopped = Run(picture, Choices(str(tiny_model)))
    assert stop_when(stopped, lambda: stopped.stage == "Measuring").layers == ()
    assert stopped.done == pytest.approx(1)


def test_a_model_that_sees_neighbours_sees_those_of_the_plane_that_is_shown(viewer: Any, tmp_path: Path) -> None:
    spec = ModelSpec("resnet18", depth=3, decoder_channels=(16, 8, 8), halo=16, planes=3)
    save_model(Segmenter(spec), tmp_path / "model.safetensors")
    pixels = RANDOM.integers(0, 255, (5, 40, 48)).astype(np.uint8)
    viewer.add_image(pixels)
    viewer.dims.set_point(0, 3)
    options = {"output": "probabilities", "tiling": {"backend": "torch"}}
    (new,) = run(take_picture(viewer, viewer.layers[0]), tmp_path / "model.safetensors", **options).layers
    expected = unetkit.predict_tiled(
        pixels, tmp_path / "model.safetensors", axes="ZYX", output="probabilities", backend="torch"
    )
    np.testing.assert_array_equal(new.data, expected[3:4])
