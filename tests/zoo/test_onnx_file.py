"""ONNX files of other programs as models: what is read, what is found by trying, what is refused."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_models import ChannelsLast, Scales, write_onnx

import unetkit
from unetkit.errors import ModelError
from unetkit.models.normalization import Normalization
from unetkit.zoo.opening import describe_model, load_model

SIZE = (1, 1, 64, 64)
FREE = (0, 2, 3)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return write_onnx(Scales(), tmp_path / "cells.onnx", SIZE, FREE)


def test_sizes_and_the_grid_of_a_graph_are_found_by_trying_it(graph: Path) -> None:
    spec = describe_model(graph)
    assert spec.in_channels == 1
    assert spec.classes == 2
    assert spec.strides == (4, 4)
    assert spec.foreign is not None
    assert not spec.foreign.fixed


def test_the_grid_is_that_of_the_deepest_features_where_any_size_is_taken(tmp_path: Path) -> None:
    class Resized(Scales):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            fine = self.fine(pixels).relu()
            coarse = self.coarse(self.pool(fine)).relu()
            grown = torch.nn.functional.interpolate(coarse, size=fine.shape[2:])
            return self.end(self.head(torch.cat([fine, grown], 1)))

    path = write_onnx(Resized(), tmp_path / "any.onnx", SIZE, FREE, ["mask"])
    assert describe_model(path).strides == (4, 4)


@pytest.mark.parametrize(
    ("classes", "end", "channels", "steps"),
    [
        (1, torch.sigmoid, (0,), []),
        (1, torch.nn.Identity(), (0,), ["sigmoid"]),
        (2, lambda logits: logits.softmax(1), (0, 1), []),
        (3, lambda logits: logits.softmax(1), (0, 1, 2), []),
        (3, torch.nn.Identity(), (0, 1, 2), ["softmax"]),
        (2, torch.sigmoid, (0,), []),
    ],
)
def test_what_makes_probabilities_is_seen_in_the_values(tmp_path: Path, classes, end, channels, steps) -> None:
    path = write_onnx(Scales(classes=classes, end=end), tmp_path / "a.onnx", SIZE, FREE)
    spec = describe_model(path)
    assert spec.foreign is not None
    assert spec.foreign.channels == channels
    assert [step.name for step in spec.foreign.after] == steps
    assert spec.classes == max(len(channels), 2)


@pytest.mark.parametrize("end", [torch.sigmoid, torch.nn.Identity()])
def test_probabilities_are_those_of_the_network(tmp_path: Path, end) -> None:
    network = Scales(end=end)
    model = load_model(write_onnx(network, tmp_path / "a.onnx", SIZE, FREE))
    image = np.random.default_rng(0).integers(0, 255, (64, 96), dtype=np.uint8)
    low, high = np.percentile(image, (1, 99.8))
    normalized = torch.from_numpy((image - low) / (high - low)).float()[None, None]
    with torch.inference_mode():
        logits = network.eval()(normalized)[0][0, 0]
    expected = logits if end is torch.sigmoid else logits.sigmoid()
    got = unetkit.predict_tiled(image, model, output="probabilities", halo=0)
    np.testing.assert_allclose(got, expected.numpy(), atol=1e-4)


def test_channels_in_the_last_axis_are_put_first(tmp_path: Path) -> None:
    network = Scales(channels=3)
    path = write_onnx(ChannelsLast(network), tmp_path / "last.onnx", (1, 64, 64, 3), (0, 1, 2), ["mask"])
    model = load_model(path)
    assert model.spec.in_channels == 3
    pixels = torch.rand(2, 3, 32, 48)
    with torch.inference_mode():
        got, expected = model.network(pixels).sigmoid(), network.eval()(pixels)[0]
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_a_graph_of_one_size_takes_smaller_windows_and_refuses_larger_ones(tmp_path: Path) -> None:
    model = load_model(write_onnx(Scales(), tmp_path / "fixed.onnx", SIZE))
    assert model.spec.foreign is not None
    assert model.spec.foreign.fixed
    with torch.inference_mode():
        assert model.network(torch.rand(1, 1, 40, 33)).shape == (1, 1, 40, 33)
        with pytest.raises(ModelError, match="64 x 64 pixels only"):
            model.network(torch.rand(1, 1, 96, 64))


def test_a_volume_has_three_axes(tmp_path: Path) -> None:
    path = write_onnx(Scales(axes=3), tmp_path / "volume.onnx", (1, 1, 16, 16, 16), (0, 2, 3, 4))
    spec = describe_model(path)
    assert spec.dims == 3
    assert spec.strides == (4, 4, 4)


def test_notes_beside_the_graph_say_what_it_cannot(graph: Path) -> None:
    graph.with_suffix(".yaml").write_text(
        "stride: [8]\nhalo: [20]\nchannels: [0]\nthreshold: 0.3\npixel_size_um: [0.5, 0.5]\n"
        "class_names: [background, cell]\nnormalization: {method: mean_std}\n",
        encoding="utf-8",
    )
    spec = describe_model(graph)
    assert spec.strides == (8, 8)
    assert spec.halo == (24, 24)
    assert spec.threshold == 0.3
    assert spec.pixel_size_um == (0.5, 0.5)
    assert spec.class_names == ("background", "cell")
    assert spec.normalization == Normalization("mean_std")
    assert spec.foreign is not None
    assert spec.foreign.halo_known
    assert not spec.foreign.remarks


def test_what_is_assumed_is_said(graph: Path) -> None:
    spec = describe_model(graph)
    assert spec.foreign is not None
    assert any("percentiles 1 and 99.8" in remark and "cells.yaml" in remark for remark in spec.foreign.remarks)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("halo: far", "halo"), ("halp: [3]", "halp"), ("- 1", "cells.yaml"), ("a: [", "cells.yaml"), ("stride: [5]", "5")],
)
def test_notes_that_cannot_be_understood_are_refused(graph: Path, text: str, reason: str) -> None:
    graph.with_suffix(".yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=re.escape(reason)):
        load_model(graph)


def test_a_channel_that_is_not_there_is_refused(graph: Path) -> None:
    graph.with_suffix(".yaml").write_text("channels: [3]", encoding="utf-8")
    with pytest.raises(ModelError, match="no channel 3"):
        load_model(graph)


def test_an_output_that_is_not_there_is_refused_with_the_closest(graph: Path) -> None:
    graph.with_suffix(".yaml").write_text("output: masks", encoding="utf-8")
    with pytest.raises(ModelError, match="mask"):
        load_model(graph)


def test_a_chosen_output_is_the_one_that_is_used(graph: Path) -> None:
    graph.with_suffix(".yaml").write_text("output: features\nchannels: [2]\nactivation: none", encoding="utf-8")
    spec = describe_model(graph)
    assert spec.foreign is not None
    assert (spec.foreign.output, spec.foreign.channels) == ("features", (2,))


class Pooled(torch.nn.Module):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean((2, 3))


class Flat(torch.nn.Module):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.sigmoid()


@pytest.mark.parametrize(
    ("network", "shape", "free", "reason"),
    [
        (Pooled(), SIZE, FREE, "No output"),
        (Flat(), (1, 64), (), "2 axes"),
        (Flat(), SIZE, (0, 1, 2, 3), "how many channels"),
        (Flat(), SIZE, (0, 2), "None is any size"),
    ],
)
def test_a_graph_that_predicts_no_masks_is_refused(tmp_path: Path, network, shape, free, reason: str) -> None:
    path = write_onnx(network, tmp_path / "other.onnx", shape, free, ["out"])
    with pytest.raises(ModelError, match=reason):
        load_model(path)


@pytest.mark.parametrize("size", [0, 10, 300])
def test_a_damaged_graph_is_a_model_error(graph: Path, size: int) -> None:
    graph.write_bytes(graph.read_bytes()[:size])
    with pytest.raises(ModelError, match=r"cells\.onnx"):
        load_model(graph)


def test_without_onnx_runtime_the_error_says_how_to_install_it(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"pip install unetkit\[onnxruntime\]"):
        load_model(graph)
