from __future__ import annotations

from importlib.machinery import ModuleSpec
from typing import Any

import pytest
import torch
from backend_cases import make_segmenter

from unetkit.backends import registry
from unetkit.backends.registry import check_backend, create_backend, is_installed
from unetkit.foundation.errors import ConfigError

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function after which only the named package is missing."""

    def hide(package: str) -> None:
        found = ModuleSpec("found", None)
        monkeypatch.setattr(registry, "find_spec", lambda name: None if name == package else found)

    return hide


@pytest.mark.parametrize(
    ("name", "package"), [("openvino", "openvino"), ("onnxruntime", "onnxruntime"), ("onnxruntime", "onnx")]
)
def test_a_missing_package_is_an_error_with_the_command_that_installs_it(name: Any, package: str, without: Any) -> None:
    without(package)
    assert not is_installed(name)
    with pytest.raises(ConfigError, match=f"{name} is not installed") as caught:
        create_backend(name, make_segmenter(), CPU, "fp32")
    assert f"pip install unetkit[{name}]" in caught.value.remedy


def test_torch_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    assert is_installed("torch")
    assert is_installed("compile")


@pytest.mark.parametrize(
    ("name", "device", "precision", "remedy"),
    [
        ("openvino", CUDA, "fp32", "--device cpu, or --backend torch"),
        ("compile", MPS, "fp32", "--device cpu or cuda, or --backend torch"),
        ("torch", CPU, "fp16", "--precision fp32 or bf16."),
        ("torch", CPU, "int8", "--precision fp32 or bf16, or --backend openvino."),
        ("openvino", CPU, "fp16", "--precision fp32 or bf16 or int8."),
        ("onnxruntime", CPU, "bf16", "--precision fp32, or --backend torch or compile or openvino."),
        ("torch", MPS, "bf16", "--precision fp32 or fp16."),
    ],
)
def test_what_a_backend_cannot_do_is_an_error_with_what_can(
    name: Any, device: torch.device, precision: Any, remedy: str, without: Any
) -> None:
    without("")
    with pytest.raises(ConfigError) as caught:
        check_backend(name, device, precision)
    assert remedy in caught.value.remedy


def test_every_precision_that_is_promised_on_a_cpu_can_be_made() -> None:
    for name, table in registry.PRECISIONS.items():
        for precision in table["cpu"]:
            if is_installed(name):
                check_backend(name, CPU, precision)


def test_onnx_runtime_without_a_provider_for_the_device_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(runtime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ConfigError, match="does not run on cuda") as caught:
        create_backend("onnxruntime", make_segmenter(), CUDA, "fp32")
    assert "onnxruntime-gpu" in caught.value.remedy
