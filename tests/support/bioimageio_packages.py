"""Packages of bioimage.io around small networks that unetkit did not build, written with bioimageio.spec by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import torch
import yaml
from bioimageio.spec import ValidationContext, save_bioimageio_package
from bioimageio.spec.model import v0_5
from foreign_models import Scales, write_onnx
from numpy.typing import NDArray
from torch import nn

FREE = v0_5.ParameterizedSize(min=32, step=4)
"""Sizes of the axes of the image, unless a test says otherwise."""


@dataclass
class Made:
    """What a package is made of.

    Attributes:
        network: The network, which gives a mask and features.
        axes: Axes of the image, and of the first output.
        channels: Names of the channels of the image.
        mask: Names of the channels of the mask.
        sizes: Size of each axis of the image.
        halo: Halo of the outputs; None to leave it out.
        before: Preprocessing.
        after: Postprocessing of the mask.
        weights: Entries of weights.
        shape: Shape of the test image.
        features: Channels of the second output; 0 for none.
        feature_axes: Axes of the second output.
        unit: Unit of the axes of space.
        scale: Size of a pixel in this unit.
        config: More configuration.
    """

    network: nn.Module
    axes: str = "bcyx"
    channels: Sequence[str] = ("channel0",)
    mask: Sequence[str] = ("channel0",)
    sizes: dict[str, Any] = field(default_factory=dict)
    halo: int | None = None
    before: Sequence[Any] = ()
    after: Sequence[Any] = ()
    weights: Sequence[str] = ("onnx", "torchscript")
    shape: tuple[int, ...] = (1, 1, 64, 64)
    features: int = 12
    feature_axes: str = "bcyx"
    unit: str | None = None
    scale: float = 1.0
    config: dict[str, Any] = field(default_factory=dict)


def write_package(made: Made, path: Path) -> Path:
    """Write a package; files that it is made of lie in a folder beside it. Its test tensors have the right shapes."""
    folder = path.with_suffix(".parts")
    folder.mkdir()
    weights = {name: WRITERS[name](made, folder) for name in made.weights}
    for entry, parent in zip(list(weights.values())[1:], weights, strict=False):
        entry["parent"] = parent
    image = np.random.default_rng(0).integers(0, 255, made.shape).astype(np.float32)
    with torch.inference_mode():
        found = made.network.eval()(torch.from_numpy(image))
    outputs = [one.numpy() for one in (found if isinstance(found, tuple) else (found,))]
    for name, array in zip(("image", "mask", "features"), (image, *outputs), strict=False):
        np.save(folder / f"{name}.npy", array)
    (folder / "README.md").write_text("# A network\n\n# Validation\n\nNone.\n")
    with ValidationContext(perform_io_checks=False, log_warnings=False):
        description = v0_5.ModelDescr(
            name="Scales of a test",
            description="A network of two scales.",
            authors=[v0_5.Author(name="Ada Lovelace")],
            cite=[v0_5.CiteEntry(text="Nothing", doi=v0_5.Doi("10.1234/abcd"))],
            license=v0_5.LicenseId("MIT"),
            documentation=v0_5.FileDescr(source=folder / "README.md"),
            inputs=[
                v0_5.InputTensorDescr(
                    id=v0_5.TensorId("image"),
                    axes=[_input_axis(axis, made) for axis in made.axes],
                    test_tensor=v0_5.FileDescr(source=folder / "image.npy"),
                    data=v0_5.IntervalOrRatioDataDescr(type="float32"),
                    preprocessing=list(made.before),
                )
            ],
            outputs=[
                v0_5.OutputTensorDescr(
                    id=v0_5.TensorId(name),
                    axes=[_output_axis(axis, made, names) for axis in axes],
                    test_tensor=v0_5.FileDescr(source=folder / f"{name}.npy"),
                    data=v0_5.IntervalOrRatioDataDescr(type="float32"),
                    postprocessing=list(made.after) if name == "mask" else [],
                )
                for name, axes, names in (
                    ("mask", made.axes, made.mask),
                    ("features", made.feature_axes, [f"feature {n}" for n in range(made.features)]),
                )
                if names
            ],
            weights=v0_5.WeightsDescr(**{name: ENTRIES[name](**entry) for name, entry in weights.items()}),
            config=v0_5.Config(**made.config),
        )
        save_bioimageio_package(description, output_path=path)
    return path


def _input_axis(axis: str, made: Made) -> Any:
    if axis == "b":
        return v0_5.BatchAxis()
    if axis == "c":
        return v0_5.ChannelAxis(channel_names=list(made.channels))
    return v0_5.SpaceInputAxis(id=v0_5.AxisId(axis), size=made.sizes.get(axis, FREE), unit=made.unit, scale=made.scale)


def _output_axis(axis: str, made: Made, names: Sequence[str]) -> Any:
    if axis == "b":
        return v0_5.BatchAxis()
    if axis == "c":
        return v0_5.ChannelAxis(channel_names=list(names))
    size: Any = made.sizes.get(axis, FREE)
    if not isinstance(size, int) or made.halo is not None:
        size = v0_5.SizeReference(tensor_id=v0_5.TensorId("image"), axis_id=v0_5.AxisId(axis))
    about = {"id": v0_5.AxisId(axis), "size": size, "unit": made.unit, "scale": made.scale}
    if made.halo is None:
        return v0_5.SpaceOutputAxis(**about)
    return v0_5.SpaceOutputAxisWithHalo(**about, halo=made.halo)


def _write_onnx(made: Made, folder: Path) -> dict[str, Any]:
    free = tuple(
        number for number, axis in enumerate(made.axes) if axis != "c" and not isinstance(made.sizes.get(axis), int)
    )
    path = folder / "weights.onnx"
    write_onnx(made.network, path, made.shape, free, ("mask", "features") if made.features else ("mask",))
    return {"source": path, "sha256": digest(path), "opset_version": 18}


def _write_torchscript(made: Made, folder: Path) -> dict[str, Any]:
    path = folder / "weights.pt"
    with torch.inference_mode():
        torch.jit.trace(made.network.eval(), torch.zeros(made.shape)).save(str(path))
    return {"source": path, "sha256": digest(path), "pytorch_version": v0_5.Version("2.0.0")}


def digest(path: Path) -> v0_5.Sha256:
    """Return the hash of a file."""
    return v0_5.Sha256(hashlib.sha256(path.read_bytes()).hexdigest())


WRITERS: dict[str, Any] = {
    "onnx": _write_onnx,
    "torchscript": _write_torchscript,
}

ENTRIES: dict[str, Any] = {
    "onnx": v0_5.OnnxWeightsDescr,
    "torchscript": v0_5.TorchscriptWeightsDescr,
}


def predict_by_core(path: Path, image: NDArray[np.float32], entry: str | None = None) -> NDArray[np.float32]:
    """Return the first output of a package as bioimageio.core predicts it, of an image in the axes of the package."""
    from bioimageio import core

    model = core.load_model(path, perform_io_checks=False)
    tensor = core.Tensor(image, dims=[axis.id for axis in model.inputs[0].axes])
    sample = core.Sample(members={"image": tensor}, stat={}, id="image")
    with core.create_prediction_pipeline(model, weight_format=entry) as pipeline:
        result = pipeline.predict_sample_without_blocking(sample, skip_input_padding=True, skip_output_cropping=True)
    return np.asarray(result.members["mask"].data.to_numpy())


def noise(*shape: int) -> NDArray[np.float32]:
    """Return an image of noise, 0 to 255."""
    return np.random.default_rng(1).integers(0, 255, shape).astype(np.float32)


def pack(folder: Path, network: nn.Module | None = None, **made: Any) -> Path:
    """Write a package of a network to a folder, see `Made`."""
    return write_package(Made(network or Scales(), **made), folder / "cells.zip")


def rewrite(package: Path, change: Any) -> Path:
    """Unpack a package, change its description, and return its folder."""
    folder = package.with_suffix(".folder")
    with ZipFile(package) as archive:
        archive.extractall(folder)
    description = next(folder.glob("*.yaml"))
    content = yaml.safe_load(description.read_text())
    change(content)
    description.write_text(yaml.safe_dump(content))
    return folder
