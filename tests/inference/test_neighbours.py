"""A model that sees neighbouring planes, on every way from pixels to masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

from unetkit.errors import ModelError
from unetkit.inference.array import predict_plane, predict_tiled
from unetkit.inference.engine.ensemble import gather_models
from unetkit.inference.segment import segment
from unetkit.models.normalization import Normalization
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec
from unetkit.models.statistics import measure_statistics

PLANES = 5
STACK = np.random.default_rng(0).integers(0, 255, (7, 50, 72)).astype(np.uint8)
SMALL = {"tile": 64, "halo": 16, "backend": "torch", "device": "cpu"}


def make_model(**settings) -> Segmenter:
    torch.manual_seed(0)
    spec = ModelSpec(
        **{"encoder": "resnet18", "depth": 3, "decoder_channels": (16, 8, 8), "halo": 16, "planes": PLANES, **settings}
    )
    return Segmenter(spec).eval()


@pytest.fixture(scope="module")
def model() -> Segmenter:
    return make_model()


def twin_of(model: Segmenter, plane, channels=1) -> Segmenter:
    """A 2D model of as many channels with the same network; its normalisation is that of the plane in the middle."""
    values = measure_statistics(plane.reshape(channels, -1), model.spec.normalization)
    fixed = Normalization(
        scope="dataset",
        center=tuple(np.tile(values.center, PLANES).tolist()),
        scale=tuple(np.tile(values.scale, PLANES).tolist()),
    )
    spec = replace(model.spec, planes=1, in_channels=model.spec.network_inputs, normalization=fixed)
    return Segmenter(spec, model.network).eval()


def seen(stack, item):
    """The planes around one as channels, made by hand."""
    return np.concatenate([np.atleast_3d(stack[np.clip(item + by, 0, len(stack) - 1)].T).T for by in range(-2, 3)])


@pytest.mark.parametrize("output", ["probabilities", "mask", "labels"])
def test_a_stack_is_predicted_as_each_of_its_images_of_many_channels(model, output):
    found = predict_tiled(STACK, model, axes="ZYX", output=output, **SMALL)
    for item in (0, 1, 3, 6):
        expected = predict_tiled(seen(STACK, item), twin_of(model, STACK[item]), axes="CYX", output=output, **SMALL)
        if output == "labels":  # numbers are counted on from plane to plane
            np.testing.assert_array_equal(found[item] > 0, expected > 0)
        else:
            np.testing.assert_array_equal(found[item], expected)


def test_colours_of_the_planes_follow_each_other_and_grey_is_repeated():
    model = make_model(in_channels=3)
    stack = np.random.default_rng(1).integers(0, 255, (4, 3, 40, 40)).astype(np.uint8)
    found = predict_tiled(stack, model, axes="ZCYX", output="probabilities", **SMALL)
    expected = predict_tiled(seen(stack, 1), twin_of(model, stack[1], 3), axes="CYX", output="probabilities", **SMALL)
    np.testing.assert_array_equal(found[1], expected)
    grey = np.repeat(stack[:, :1], 3, axis=1)
    np.testing.assert_array_equal(
        predict_tiled(grey[:, 0], model, axes="ZYX", **SMALL), predict_tiled(grey, model, axes="ZCYX", **SMALL)
    )


@pytest.mark.parametrize("choice", [{"tta": True}, {"skip_empty": True}, {"tile": 40}])
def test_choices_of_a_run_go_with_neighbours(model, choice):
    stack = STACK.copy()
    stack[2:5] = 7
    options = {**SMALL, **choice}
    found = predict_tiled(stack, model, axes="ZYX", **options)
    twin = twin_of(model, stack[5])
    if "skip_empty" in choice:
        assert not found[2:5].any()
        options = SMALL
    np.testing.assert_array_equal(found[5], predict_tiled(seen(stack, 5), twin, axes="CYX", **options))


def test_one_plane_is_predicted_as_in_the_stack(model):
    whole = predict_tiled(STACK, model, axes="ZYX", **SMALL)
    np.testing.assert_array_equal(predict_plane(STACK[1:6], model, 2, axes="ZYX", **SMALL), whole[3])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_file_gives_what_the_array_gives_and_its_seams_are_those_of_planes(tmp_path, model, compression):
    save_model(model, tmp_path / "model.safetensors")
    tifffile.imwrite(tmp_path / "stack.tif", STACK, compression=compression, metadata={"axes": "ZYX"})
    (done,) = segment(
        tmp_path / "stack.tif", tmp_path / "mask.tif", tmp_path / "model.safetensors", verify_seams=True, **SMALL
    )
    np.testing.assert_array_equal(tifffile.imread(done.result), predict_tiled(STACK, model, axes="ZYX", **SMALL))
    assert done.planes == 7
    assert done.seams is not None
    assert done.seams.regions


def test_a_single_plane_is_its_own_neighbour_and_a_remark_says_so(tmp_path, model):
    from PIL import Image

    Image.fromarray(STACK[0]).save(tmp_path / "one.png")
    (done,) = segment(tmp_path / "one.png", tmp_path / "mask.tif", model, **SMALL)
    repeated = np.repeat(STACK[:1], 3, axis=0)
    np.testing.assert_array_equal(tifffile.imread(done.result), predict_tiled(repeated, model, axes="ZYX", **SMALL)[1])
    assert any("sees 5 neighbouring planes" in remark and "repeated" in remark for remark in done.remarks)


def test_holes_are_those_of_the_plane_and_its_neighbours_show_background_there(model):
    stack = STACK.astype(np.float32)
    stack[3, :20] = np.nan
    found = predict_tiled(stack, model, axes="ZYX", output="probabilities", **SMALL)
    assert np.isfinite(found).all()
    assert not found[3, :20].any()
    assert found[2, :20].any()
    assert found[4, :20].any()


def test_models_of_other_planes_do_not_predict_together(model):
    with pytest.raises(ModelError, match=r"has planes 1, but .* has 5"):
        gather_models([model, make_model(planes=1)])


def test_a_tile_that_cannot_be_decoded_counts_for_its_neighbours(tmp_path, model):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, compression="zlib", metadata={"axes": "ZYX"}, tile=(32, 32))
    with tifffile.TiffFile(path) as file:
        place = file.pages[3].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[place : place + 8] = b"\xff" * 8
    path.write_bytes(data)
    (done,) = segment(path, tmp_path / "mask.tif", model, on_bad_tile="background", output="probabilities", **SMALL)
    found = tifffile.imread(done.result)
    assert [(tile.item, tile.start) for tile in done.bad_tiles] == [(3, (0, 0))]
    empty = [item for item in range(7) if not found[item, :32, :32].any()]
    assert empty == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_other_backends_take_the_channels_of_all_planes(model, backend):
    pytest.importorskip(backend)
    options = {**SMALL, "backend": backend}
    expected = predict_tiled(STACK[:3], model, axes="ZYX", output="probabilities", **SMALL)
    found = predict_tiled(STACK[:3], model, axes="ZYX", output="probabilities", **options)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_neighbours_are_seen_along_each_of_three_directions(tmp_path):
    fixed = Normalization(scope="dataset", center=(120.0,), scale=(70.0,))
    model, volume = make_model(planes=3, normalization=fixed), STACK[:, :24, :32].repeat(3, axis=0)[:20]
    tifffile.imwrite(tmp_path / "volume.tif", volume, metadata={"axes": "ZYX"})
    options = {"halo": 16, "tile": 64, "backend": "torch", "device": "cpu", "output": "probabilities"}
    (done,) = segment(tmp_path / "volume.tif", tmp_path / "seen.tif", model, directions=3, **options)
    ways = [
        np.moveaxis(predict_tiled(np.moveaxis(volume, axis, 0).copy(), model, axes="ZYX", **options), 0, axis)
        for axis in range(3)
    ]
    np.testing.assert_allclose(tifffile.imread(done.result), np.mean(ways, axis=0), atol=1e-5)
