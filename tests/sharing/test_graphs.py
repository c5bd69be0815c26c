"""Models as graphs of ONNX and TorchScript give what unetkit gives, at any size and batch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from unetkit.errors import ModelError
from unetkit.models.normalization import Normalization
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.sharing.graphs import OPSET, write_onnx, write_torchscript
from unetkit.sharing.known_values import with_values

SMALL: dict[str, Any] = {"encoder": "resnet18", "depth": 3, "decoder_channels": (16, 8, 8)}
FIXED = Normalization("percentile", "dataset", center=(10.0,), scale=(200.0,))

CASES: dict[str, dict[str, Any]] = {
    "mask": {},
    "stored values": {"normalization": FIXED},
    "window": {"normalization": Normalization(window=(-100, 300))},
    "clipped": {"normalization": replace(FIXED, of="foreground", clip=((20.0, 90.0),))},
    "instances": {"instances": True},
    "classes": {"classes": 4},
    "colours": {"in_channels": 3},
    "planes": {"planes": 3},
    "volumes": {"dims": 3, "pooling": ((1, 2, 2), (2, 2, 2), (2, 2, 2))},
    "volumes that grow by unequal steps": {"dims": 3, "pooling": ((1, 2, 2), (1, 2, 2), (2, 2, 2)), "classes": 3},
    "restored": {"task": "reconstruction", "residual": True},
    "plain": {"arch": "plain_unet", "depth": 4, "base_channels": 4},
    "plain, valid": {"arch": "plain_unet", "depth": 4, "base_channels": 4, "padding": "valid"},
    "inception": {"encoder": "inceptionv4"},
}


def make(case: str) -> Segmenter:
    settings = CASES[case]
    torch.manual_seed(0)
    segmenter = Segmenter(ModelSpec(**settings if "arch" in settings else {**SMALL, **settings}))
    for module in segmenter.modules():  # so that the folded norms matter
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return segmenter.eval()


def windows(segmenter: Segmenter) -> list[torch.Tensor]:
    spec = segmenter.spec
    generator = torch.Generator().manual_seed(1)
    return [
        255 * torch.rand(batch, spec.network_inputs, *[(steps + axis) * s for axis, s in enumerate(spec.strides)],
                         generator=generator)
        for batch, steps in ((1, 1), (3, 2))
    ]  # fmt: skip


def expected(segmenter: Segmenter, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the input of the graph and what unetkit predicts."""
    spec = segmenter.spec
    stored = spec.normalization.scope == "dataset" or spec.normalization.window is not None
    values = segmenter.normalizer.statistics(np.array([[0, 100, 200]] * spec.in_channels))
    center, scale = (torch.from_numpy(one)[None].expand(len(pixels), -1) for one in (values.center, values.scale))
    with torch.no_grad():
        taken = pixels if stored else segmenter.normalizer(pixels, center, scale)
        return taken, segmenter(pixels, center, scale)


@pytest.mark.parametrize("case", CASES)
def test_onnx_gives_the_same_probabilities(case: str, tmp_path: Path) -> None:
    segmenter = make(case)
    write_onnx(segmenter, tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"))
    for pixels in windows(segmenter):
        taken, wanted = expected(segmenter, pixels)
        (got,) = session.run(None, {"pixels": taken.numpy()})
        np.testing.assert_allclose(got, wanted.numpy(), atol=2e-5)


@pytest.mark.parametrize("case", [case for case in CASES if case != "inception"])
def test_torchscript_gives_the_same_probabilities(case: str, tmp_path: Path) -> None:
    segmenter = make(case)
    write_torchscript(segmenter, tmp_path / "a.pt")
    network = torch.jit.load(str(tmp_path / "a.pt"))
    for pixels in windows(segmenter):
        taken, wanted = expected(segmenter, pixels)
        torch.testing.assert_close(network(taken).detach(), wanted, atol=2e-5, rtol=0)


def test_half_precision_halves_the_file_and_keeps_the_masks(tmp_path: Path) -> None:
    segmenter = make("stored values")
    for half in (False, True):
        write_onnx(segmenter, tmp_path / f"{half}.onnx", half=half)
        write_torchscript(segmenter, tmp_path / f"{half}.pt", half=half)
    for suffix in ("onnx", "pt"):
        small, large = ((tmp_path / f"{half}.{suffix}").stat().st_size for half in (True, False))
        assert 0.48 < small / large < 0.55
    pixels = windows(segmenter)[1] * 250  # raw 16-bit values are beyond the range of float16
    taken, _ = expected(segmenter, pixels)
    session = onnxruntime.InferenceSession(str(tmp_path / "True.onnx"))
    wanted = onnxruntime.InferenceSession(str(tmp_path / "False.onnx")).run(None, {"pixels": taken.numpy()})[0]
    np.testing.assert_allclose(session.run(None, {"pixels": taken.numpy()})[0], wanted, atol=5e-2)
    got = torch.jit.load(str(tmp_path / "True.pt"))(taken).detach().numpy()
    np.testing.assert_allclose(got, wanted, atol=5e-2)


def test_the_graph_says_what_it_is(tmp_path: Path) -> None:
    segmenter = make("instances")
    write_onnx(segmenter, tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")] == [OPSET]
    about = {one.key: one.value for one in model.metadata_props}
    assert about["unetkit_input"] == "normalized"
    assert json.loads(about["unetkit"])["encoder"] == "resnet18"


def test_fixed_values_go_into_the_graph(tmp_path: Path) -> None:
    segmenter = make("mask")
    values = segmenter.normalizer.statistics(np.arange(1000)[None])
    fixed = with_values(segmenter, values)
    write_onnx(fixed, tmp_path / "a.onnx")
    pixels = windows(segmenter)[0]
    with torch.no_grad():
        wanted = segmenter(pixels, torch.from_numpy(values.center)[None], torch.from_numpy(values.scale)[None])
    (got,) = onnxruntime.InferenceSession(str(tmp_path / "a.onnx")).run(None, {"pixels": pixels.numpy()})
    np.testing.assert_allclose(got, wanted.numpy(), atol=1e-5)


def test_a_model_of_whole_images_is_no_graph(tmp_path: Path) -> None:
    spec = ModelSpec(**SMALL, task="classification", image_classes=("sick",), image_size=64)
    for write in (write_onnx, write_torchscript):
        with pytest.raises(ModelError, match="classifies whole images"):
            write(Segmenter(spec).eval(), tmp_path / "a")
    assert not any(tmp_path.iterdir())
