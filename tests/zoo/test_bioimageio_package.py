"""Packages of bioimage.io as models: their prediction is that of bioimageio.core, and what unetkit has not is named."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

pytest.importorskip("bioimageio.core")

from bioimageio.spec.model import v0_5
from bioimageio_packages import noise, pack, predict_by_core, rewrite
from foreign_models import ChannelsLast, Scales

import unetkit
from unetkit.errors import ModelError
from unetkit.models.normalization import Normalization
from unetkit.models.spec import ModelSpec
from unetkit.zoo import package_description
from unetkit.zoo.opening import describe_model, load_model

KEEPS = v0_5.ZeroMeanUnitVarianceDescr(
    kwargs=v0_5.ZeroMeanUnitVarianceKwargs(axes=[v0_5.AxisId("x"), v0_5.AxisId("y")])
)
TOGETHER = v0_5.ZeroMeanUnitVarianceDescr(kwargs=v0_5.ZeroMeanUnitVarianceKwargs(eps=1e-2))
RANGE = v0_5.ScaleRangeDescr(
    kwargs=v0_5.ScaleRangeKwargs(
        axes=[v0_5.AxisId("x"), v0_5.AxisId("y")], min_percentile=2.0, max_percentile=99.0, eps=1e-3
    )
)
ALONG = v0_5.FixedZeroMeanUnitVarianceDescr(
    kwargs=v0_5.FixedZeroMeanUnitVarianceAlongAxisKwargs(
        mean=[90.0, 120.0], std=[30.0, 70.0], axis=v0_5.AxisId("channel")
    )
)
SCALE = v0_5.ScaleLinearDescr(kwargs=v0_5.ScaleLinearKwargs(gain=1 / 255, offset=-0.5))
CLIP = v0_5.ClipDescr(kwargs=v0_5.ClipKwargs(min=50.0, max=200.0))
SIGMOID, SOFTMAX = v0_5.SigmoidDescr(), v0_5.SoftmaxDescr(kwargs=v0_5.SoftmaxKwargs())


class Square(nn.Module):
    """A network for one size, with channels in the last axis and one output."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = ChannelsLast(Scales())

    def forward(self, pixels: Tensor) -> Tensor:
        return self.inner(pixels)


class Flat(nn.Module):
    """A network whose image and mask have no axis of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Scales()

    def forward(self, pixels: Tensor) -> Tensor:
        return self.inner(pixels[:, None])[0][:, 0]


LOGITS = nn.Identity()
TWO = {"channels": ("red", "green"), "shape": (1, 2, 64, 64)}


@pytest.mark.parametrize("entry", ["onnx", "torchscript"])
@pytest.mark.parametrize(
    ("network", "made"),
    [
        (Scales, {"before": [TOGETHER]}),
        (Scales, {"before": [CLIP, TOGETHER]}),
        (lambda: Scales(2, end=LOGITS), {"before": [KEEPS], "after": [SIGMOID], **TWO}),
        (lambda: Scales(2, end=LOGITS), {"before": [RANGE], "after": [SIGMOID], **TWO}),
        (lambda: Scales(2), {"before": [ALONG], **TWO}),
        (Square, {"before": [SCALE], "axes": "byxc", "shape": (1, 64, 96, 1), "features": 0}),
        (Flat, {"before": [SCALE], "axes": "byx", "shape": (1, 64, 96), "features": 0}),
        (Scales, {"before": [TOGETHER], "sizes": {"y": 64, "x": 96}, "shape": (1, 1, 64, 96), "features": 0}),
    ],
    ids=["mean", "clip then mean", "channelwise", "percentiles", "fixed by channel", "byxc", "byx", "one size"],
)
def test_the_prediction_of_one_tile_is_that_of_bioimageio_core(tmp_path: Path, entry, network, made) -> None:
    axes = made.get("axes", "bcyx")
    sizes = {"b": 1, "c": len(made.get("channels", ("one",))), "y": 64, "x": 96}
    package = pack(tmp_path, network(), weights=[entry], **made)
    given = noise(*(sizes[axis] for axis in axes))
    expected = predict_by_core(package, given)
    order = [axes.index(axis) for axis in "bcyx" if axis in axes]
    image = given.transpose(order)[0] if "c" in axes else given
    got = unetkit.predict_tiled(image, load_model(package), output="probabilities", halo=0)
    np.testing.assert_allclose(got.squeeze(), expected.transpose(order).reshape(64, 96), atol=1e-4)
    assert expected.std() > 0.05, "the network shows nothing"


@pytest.mark.parametrize("entry", ["onnx", "torchscript"])
def test_classes_are_those_of_bioimageio_core(tmp_path: Path, entry) -> None:
    network = Scales(classes=3, end=LOGITS)
    made = {"mask": ("cell", "background", "debris"), "after": [SOFTMAX], "before": [TOGETHER], "weights": [entry]}
    package = pack(tmp_path, network, **made)
    model = load_model(package)
    assert model.spec.class_names == ("background", "cell", "debris")
    image = noise(64, 96)
    expected = predict_by_core(package, image[None, None])[0]
    got = unetkit.predict_tiled(image, model, output="probabilities", halo=0)
    np.testing.assert_allclose(got, expected[[1, 0, 2]], atol=1e-4)


@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])
def test_the_backends_agree_on_a_package(tmp_path: Path, backend) -> None:
    package = pack(
        tmp_path, Flat(), before=[SCALE], axes="byx", shape=(1, 64, 96), features=0, weights=["onnx"], halo=12
    )
    image = noise(200, 160)
    first = unetkit.predict_tiled(image, load_model(package), output="probabilities", tile=96, backend="torch")
    got = unetkit.predict_tiled(image, load_model(package), output="probabilities", tile=96, backend=backend)
    np.testing.assert_allclose(got, first, atol=1e-4)


def test_a_volume_is_predicted_as_by_bioimageio_core(tmp_path: Path) -> None:
    made = {"axes": "bczyx", "feature_axes": "bczyx", "shape": (1, 1, 32, 32, 32), "before": [TOGETHER]}
    package = pack(tmp_path, Scales(axes=3), **made)
    image = noise(32, 40, 36)
    expected = predict_by_core(package, image[None, None])[0, 0]
    got = unetkit.predict_tiled(image, load_model(package), output="probabilities", halo=0)
    np.testing.assert_allclose(got.squeeze(), expected, atol=1e-4)


@pytest.mark.parametrize("entry", ["onnx", "torchscript"])
@pytest.mark.parametrize("size", [v0_5.ParameterizedSize(min=40, step=12), 64])
def test_a_large_image_has_no_seams(tmp_path: Path, entry, size) -> None:
    made = {"before": [TOGETHER], "halo": 12, "weights": [entry], "features": 0 if size == 64 else 12}
    package = pack(tmp_path, Scales(), sizes={"y": size, "x": size}, **made)
    model = load_model(package)
    image = noise(300, 260)
    tiled = unetkit.predict_tiled(image, model, output="probabilities", tile="auto" if size == 64 else 96)
    normalized = torch.from_numpy((image - image.mean()) / (image.std() + 1e-2))
    with torch.inference_mode():  # 260 and 300 are multiples of the network's own grid of 4
        whole = Scales().eval()(normalized[None, None])[0][0, 0].numpy()
    np.testing.assert_allclose(tiled[:292, :252], whole[:292, :252], atol=1e-4)  # beyond, what lies outside matters


def test_all_of_a_description_is_used(tmp_path: Path) -> None:
    about = {"channels": ("DAPI", "actin"), "shape": (1, 2, 64, 64), "halo": 10, "unit": "nanometer", "scale": 250.0}
    package = pack(tmp_path, Scales(2, classes=2), mask=("boundary", "cell foreground"), **about)
    spec = describe_model(package)
    assert spec.foreign is not None
    assert (spec.in_channels, spec.channel_names) == (2, ("DAPI", "actin"))
    assert (spec.classes, spec.class_names, spec.foreign.channels) == (2, ("background", "cell foreground"), (1,))
    assert spec.pixel_size_um == pytest.approx((0.25, 0.25))
    assert (spec.halo, spec.foreign.halo_known) == ((12, 12), True)
    assert (spec.foreign.stride, spec.foreign.smallest) == ((4, 4), (32, 32))


def test_a_halo_that_is_not_stated_is_measured_on_the_first_image(tmp_path: Path) -> None:
    model = load_model(pack(tmp_path, before=[TOGETHER]))
    assert model.spec.foreign is not None
    assert not model.spec.foreign.halo_known
    unetkit.predict_tiled(noise(200, 200), model)
    assert model.spec.foreign.halo_known
    assert model.spec.halo_error is not None


def test_a_zip_a_folder_and_a_description_are_the_same_model(tmp_path: Path) -> None:
    package = pack(tmp_path, before=[TOGETHER])
    folder = rewrite(package, lambda content: None)
    description = next(folder.glob("*.yaml"))
    assert describe_model(package) == describe_model(folder) == describe_model(description)
    shutil.copy(description, folder / "cells.rdf.yaml")
    assert describe_model(folder / "cells.rdf.yaml") == describe_model(folder)


def test_the_second_output_is_used_if_the_first_holds_no_probabilities(tmp_path: Path) -> None:
    class Swapped(Scales):
        def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
            mask, features = super().forward(pixels)
            return features, mask

    package = pack(tmp_path, Swapped(), mask=[f"feature {n}" for n in range(12)], features=1)
    spec = describe_model(package)
    assert spec.foreign is not None
    assert spec.foreign.output == 1


CASES: dict[str, tuple[Any, str]] = {
    "a time axis": (
        lambda c: c["inputs"][0]["axes"].append({"type": "time", "id": "time", "size": 4}),
        "axis 'time'",
    ),
    "two inputs": (
        lambda c: c["inputs"].append({**c["inputs"][0], "id": "other"}),
        "'image', 'other'",
    ),
    "an output of another scale": (
        lambda c: [
            axis.update(scale=2.0) for axis in c["outputs"][0]["axes"] + c["outputs"][1]["axes"] if "size" in axis
        ],
        "another scale than the input along y",
    ),
    "a smaller output": (
        lambda c: [
            axis["size"].update(offset=-8)
            for axis in c["outputs"][0]["axes"] + c["outputs"][1]["axes"]
            if "size" in axis
        ],
        "8 pixels fewer along y",
    ),
    "what another image measures": (
        lambda c: c["outputs"][0].update(
            postprocessing=[{"id": "scale_mean_variance", "kwargs": {"reference_tensor": "image"}}]
        ),
        "scale_mean_variance",
    ),
    "star-convex shapes": (
        lambda c: c["outputs"][0].update(
            postprocessing=[
                {
                    "id": "stardist_postprocessing",
                    "kwargs": {"prob_threshold": 0.5, "nms_threshold": 0.3, "grid": [1, 1], "b": 2, "n_rays": 32},
                }
            ]
        ),
        "stardist_postprocessing",
    ),
    "two measured steps": (
        lambda c: c["inputs"][0].update(preprocessing=[{"id": "zero_mean_unit_variance"}, {"id": "scale_range"}]),
        "measures the image 2 times",
    ),
    "clipping by percentiles": (
        lambda c: c["inputs"][0].update(preprocessing=[{"id": "clip", "kwargs": {"min_percentile": 1, "max": 5}}]),
        "clip by percentiles",
    ),
    "values that are no probabilities": (
        lambda c: [output.update(data={"type": "float32", "range": [-5, 5]}) for output in c["outputs"]],
        "holds values from -5",
    ),
    "weights of another framework": (
        lambda c: c.update(
            weights={"keras_hdf5": {"source": "w.h5", "tensorflow_version": "2.9.0", "sha256": "0" * 64}}
        ),
        "keras_hdf5",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_unetkit_has_not_is_named(tmp_path: Path, case) -> None:
    change, named = CASES[case]
    folder = rewrite(pack(tmp_path), change)
    with pytest.raises(ModelError, match=named) as raised:
        describe_model(folder)
    assert raised.value.remedy


def test_logits_without_a_sigmoid_are_refused_by_the_example(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="in its example"):
        describe_model(pack(tmp_path, Scales(end=LOGITS)))


OLD: dict[str, Any] = {
    **{"format_version": "0.4.10", "type": "model", "name": "An old model", "description": "Old.", "license": "MIT"},
    **{"authors": [{"name": "Ada"}], "cite": [{"text": "x", "doi": "10.1234/abcd"}], "documentation": "README.md"},
    **{"timestamp": "2022-01-01T00:00:00", "tags": [], "test_inputs": ["image.npy"], "test_outputs": ["mask.npy"]},
    "inputs": [
        {
            **{"name": "image", "axes": "bcyx", "data_type": "float32"},
            "shape": {"min": [1, 1, 32, 32], "step": [0, 0, 4, 4]},
        }
    ],
    "outputs": [
        {
            **{"name": "mask", "axes": "bcyx", "data_type": "float32", "halo": [0, 0, 8, 8]},
            "shape": {"reference_tensor": "image", "scale": [1, 1, 1, 1], "offset": [0, 0, 0, 0]},
        }
    ],
}


@pytest.mark.parametrize(
    "kwargs",
    [
        {"mode": "per_sample", "axes": "cyx"},
        {"mode": "per_dataset", "axes": "cyx"},
        {"mode": "fixed", "mean": [100.0], "std": [50.0], "axes": "yx"},
    ],
)
def test_packages_of_format_0_4_are_read_without_a_network(tmp_path: Path, kwargs, no_network) -> None:
    folder = rewrite(pack(tmp_path, features=0, weights=["onnx"]), lambda content: None)
    digest = hashlib.sha256((folder / "weights.onnx").read_bytes()).hexdigest()
    old = {**OLD, "weights": {"onnx": {"source": "weights.onnx", "sha256": digest, "opset_version": 18}}}
    step = {"name": "zero_mean_unit_variance", "kwargs": kwargs}
    old["inputs"] = [{**OLD["inputs"][0], "preprocessing": [step]}]
    next(folder.glob("*.yaml")).write_text(yaml.safe_dump(old))
    model = load_model(folder)
    image = noise(64, 96)
    fixed = kwargs["mode"] == "fixed"
    normalized = (image - 100) / 50 if fixed else (image - image.mean()) / image.std()
    with torch.inference_mode():
        expected = Scales().eval()(torch.from_numpy(normalized)[None, None])[0][0, 0].numpy()
    got = unetkit.predict_tiled(image, model, output="probabilities", halo=0)
    np.testing.assert_allclose(got.squeeze(), expected, atol=1e-4)
    assert model.spec.halo == (8, 8)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network is asked")

    monkeypatch.setattr("httpx.get", refuse)
    monkeypatch.setattr("socket.create_connection", refuse)


def test_the_output_of_another_model_is_refused_without_asking_the_network(tmp_path: Path, no_network) -> None:
    package = rewrite(pack(tmp_path), lambda content: content["inputs"][0].update(output_of={"model": "other"}))
    with pytest.raises(ModelError):
        describe_model(package)


def test_whole_numbers_that_a_package_asks_for_are_said(tmp_path: Path) -> None:
    cast = v0_5.EnsureDtypeDescr(kwargs=v0_5.EnsureDtypeKwargs(dtype="uint8"))
    folder = rewrite(
        pack(tmp_path, before=[cast, SCALE]),
        lambda content: content["inputs"][0].update(data={"type": "uint8"}),
    )
    spec = describe_model(folder)
    assert spec.foreign is not None
    assert "above 255" in spec.foreign.remarks[0]


def test_a_package_of_unetkit_tells_objects_apart(tmp_path: Path) -> None:
    bright = Normalization(bright_background="invert")
    own = ModelSpec(instances=True, class_names=("background", "nucleus"), threshold=0.4, smallest_object=7)
    own = replace(own, normalization=bright)
    config = {"unetkit": {"spec": own.to_json(), "version": "0.1.0"}}
    made = {"mask": ("nucleus", "distance map"), "before": [TOGETHER], "halo": 12}
    package = pack(tmp_path, Scales(classes=2), config=config, **made)
    model = load_model(package)
    spec = model.spec
    assert spec.foreign is not None
    assert (spec.instances, spec.foreign.channels, spec.foreign.distance) == (True, (0,), 1)
    assert "does not invert" in spec.foreign.remarks[0]
    assert (spec.threshold, spec.smallest_object, spec.class_names) == (0.4, 7, ("background", "nucleus"))
    image = noise(128, 128)
    expected = predict_by_core(package, image[None, None])[0, 0]
    got = unetkit.predict_tiled(image, model, output="probabilities", halo=0)
    np.testing.assert_allclose(got.squeeze(), expected, atol=1e-4)
    assert unetkit.predict_tiled(image, model, output="labels").max() > 1


def test_a_description_of_unetkit_that_does_not_fit_is_ignored(tmp_path: Path) -> None:
    own = replace(ModelSpec(), in_channels=3)
    spec = describe_model(pack(tmp_path, config={"unetkit": {"spec": own.to_json()}}))
    assert spec.in_channels == 1


def test_the_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = pack(tmp_path)
    monkeypatch.setattr(package_description, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"need bioimageio\.spec") as raised:
        describe_model(package)
    assert "pip install unetkit[bioimageio]" in raised.value.remedy
