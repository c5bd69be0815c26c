"""Networks that unetkit did not build go through the whole engine: tiles, halo, backends, ensembles, a cluster."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from foreign_models import Scales, write_onnx
from numpy.typing import NDArray

import unetkit
from unetkit.errors import ConfigError
from unetkit.inference.tuning.first_halo import know_foreign
from unetkit.zoo.opening import load_model

FREE = (0, 2, 3)

pytestmark = pytest.mark.usefixtures("small_halo_canvas", "own_cache")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return write_onnx(Scales(), tmp_path / "cells.onnx", (1, 1, 64, 64), FREE)


@pytest.fixture
def image() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, (230, 310), dtype=np.uint8)


def whole(path: Path, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Predict in one pass, by the network alone."""
    padded = np.pad(image, [(0, -length % 4) for length in image.shape], mode="reflect")
    low, high = np.percentile(image, (1, 99.8))
    model = load_model(path)
    with torch.inference_mode():
        logits = model.network(torch.from_numpy((padded - low) / (high - low)).float()[None, None])
    return logits.sigmoid()[0, 0, : image.shape[0], : image.shape[1]].numpy()


@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])
def test_tiles_give_what_one_pass_gives(graph: Path, image: NDArray[np.uint8], backend: str) -> None:
    got = unetkit.predict_tiled(image, graph, output="probabilities", tile=64, backend=backend)
    difference = np.abs(got - whole(graph, image))
    assert difference.max() < 1e-4


def test_the_halo_is_measured_on_the_first_image_and_remembered(graph: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "image.tif", np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8))
    said: list[str] = []
    (first,) = unetkit.segment(tmp_path / "image.tif", tmp_path / "a.tif", graph, log=said.append)
    assert any("does not state its halo" in sentence for sentence in said)
    assert re.search(r"halo [48],", first.plan)  # two convolutions, one of them over steps of 4, see 5 pixels far
    said.clear()
    (second,) = unetkit.segment(tmp_path / "image.tif", tmp_path / "b.tif", graph, log=said.append)
    assert not any("does not state its halo" in sentence for sentence in said)
    assert second.plan == first.plan


def test_a_grid_that_the_graph_does_not_tell_of_is_found_with_the_halo(tmp_path: Path, image) -> None:
    path = write_onnx(Scales(), tmp_path / "cells.onnx", (1, 1, 64, 64), FREE)
    model = load_model(path)
    assert model.spec.foreign is not None
    object.__setattr__(model.spec.foreign, "stride", (2, 2))  # as a package might say
    got = unetkit.predict_tiled(image, model, output="probabilities", tile=72)
    assert model.spec.strides == (4, 4)
    assert np.abs(got - whole(path, image)).max() < 1e-4


class SeesAll(Scales):
    """A network whose features are normalised over the whole window."""

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mask, features = super().forward(pixels)
        return self.end(torch.nn.functional.instance_norm(torch.logit(mask, 1e-4))), features


def test_a_network_that_no_halo_is_enough_for_is_told_of(tmp_path: Path) -> None:
    path = write_onnx(SeesAll(), tmp_path / "norm.onnx", (1, 1, 64, 64), FREE)
    ramp = np.add.outer(np.arange(256), np.arange(256)) / 2 + np.random.default_rng(0).integers(0, 90, (256, 256))
    tifffile.imwrite(tmp_path / "image.tif", ramp.astype(np.uint16))
    said: list[str] = []
    unetkit.segment(tmp_path / "image.tif", tmp_path / "a.tif", path, log=said.append)
    assert any("No halo is enough" in sentence for sentence in said)


def test_a_network_of_one_size_gets_tiles_of_this_size(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    path = write_onnx(Scales(), tmp_path / "fixed.onnx", (1, 1, 64, 64))
    free = write_onnx(Scales(), tmp_path / "free.onnx", (1, 1, 64, 64), FREE)
    got = unetkit.predict_tiled(image, path, output="probabilities")
    inside = np.s_[:-32, :-32]  # beyond the far ends there is a reflection up to 64 pixels, in one pass up to 4
    assert np.abs(got - whole(free, image))[inside].max() < 1e-4
    with pytest.raises(ConfigError, match="64 x 64"):
        unetkit.predict_tiled(image, path, tile=128)


def test_a_network_of_one_size_cannot_verify_its_seams(tmp_path: Path) -> None:
    path = write_onnx(Scales(), tmp_path / "fixed.onnx", (1, 1, 64, 64))
    tifffile.imwrite(tmp_path / "image.tif", np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8))
    with pytest.raises(ConfigError, match="one size only"):
        unetkit.segment(tmp_path / "image.tif", tmp_path / "a.tif", path, verify_seams=True)


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"backend": "compile"}, "--backend torch or onnxruntime or openvino"),
        ({"precision": "bf16"}, "--precision fp32"),
        ({"precision": "int8"}, "--precision fp32"),
    ],
)
def test_what_graphs_cannot_do_is_refused_with_what_they_can(graph: Path, image, options, remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        unetkit.predict_tiled(image, graph, **options)


def test_an_ensemble_takes_models_of_other_programs(graph: Path, tmp_path: Path, image: NDArray[np.uint8]) -> None:
    other = write_onnx(Scales(end=torch.nn.Identity()), tmp_path / "other.onnx", (1, 1, 64, 64), FREE)
    got = unetkit.predict_tiled(image, [graph, other], output="probabilities")
    np.testing.assert_allclose(got, whole(graph, image), atol=1e-4)  # both are the same network


def test_classes_are_those_of_the_network(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    network = Scales(classes=3, end=lambda logits: logits.softmax(1))
    path = write_onnx(network, tmp_path / "classes.onnx", (1, 1, 64, 64), FREE)
    mask = unetkit.predict_tiled(image, path)
    assert set(np.unique(mask)) <= {0, 1, 2}
    got = unetkit.predict_tiled(image, path, output="probabilities")
    np.testing.assert_array_equal(mask, got.argmax(0))


def test_volumes_are_cut_along_three_axes(tmp_path: Path) -> None:
    path = write_onnx(Scales(axes=3), tmp_path / "volume.onnx", (1, 1, 16, 16, 16), (0, 2, 3, 4))
    volume = np.random.default_rng(0).integers(0, 255, (40, 44, 48), dtype=np.uint8)
    tiled, once = (
        unetkit.predict_tiled(volume, path, axes="ZYX", output="probabilities", tile=tile, halo=8) for tile in (32, 48)
    )
    np.testing.assert_allclose(tiled, once, atol=1e-5)


def test_touching_objects_are_told_apart_by_their_shape(graph: Path, image: NDArray[np.uint8]) -> None:
    labels = unetkit.predict_tiled(image, graph, output="labels", split=True)
    assert labels.max() > 1


def test_nothing_is_measured_where_the_halo_is_given(graph: Path) -> None:
    from unetkit.inference.engine.ensemble import Ensemble

    ensemble = Ensemble((load_model(graph),))
    know_foreign(ensemble, None, lambda _: None, measured=False)  # type: ignore[arg-type]  # it is not looked at
    assert ensemble.segmenters[0].spec.foreign is not None
    assert not ensemble.segmenters[0].spec.foreign.halo_known


def test_a_killed_run_goes_on_to_the_same_bytes(graph: Path, tmp_path: Path, image: NDArray[np.uint8]) -> None:
    tifffile.imwrite(tmp_path / "image.tif", np.tile(image, (3, 3)))
    source, choices = tmp_path / "image.tif", {"tile": 128, "backend": "onnxruntime"}
    seen = 0

    def begin(name: str, total: int) -> Callable[[int], None]:
        def advance(done: int) -> None:
            nonlocal seen
            seen += done
            if seen > total // 2:
                raise KeyboardInterrupt

        return advance

    with pytest.raises(KeyboardInterrupt):
        unetkit.segment(source, tmp_path / "a.tif", graph, progress=begin, **choices)
    (done,) = unetkit.segment(source, tmp_path / "a.tif", graph, resume=True, **choices)
    assert done.kept > 0
    unetkit.segment(source, tmp_path / "b.tif", graph, **choices)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])
def test_a_graph_of_one_image_at_a_time_takes_batches(tmp_path: Path, image: NDArray[np.uint8], backend: str) -> None:
    path = write_onnx(Scales(), tmp_path / "single.onnx", (1, 1, 64, 64), (2, 3))
    got = unetkit.predict_tiled(image, path, output="probabilities", tile=64, batch=4, backend=backend)
    assert np.abs(got - whole(path, image)).max() < 1e-4
