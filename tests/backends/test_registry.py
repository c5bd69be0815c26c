from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from unetkit.backends import registry
from unetkit.backends.registry import (
    backend_info,
    backend_names,
    backends_in,
    check_backend,
    create_backend,
    is_installed,
)
from unetkit.backends.torch import INFO as TORCH
from unetkit.foundation.errors import ConfigError
from unetkit.inference.tiling.options import TilingOptions
from unetkit.testing.backend_inputs import make_segmenter

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


def test_each_name_has_a_backend_of_that_name() -> None:
    assert [backend_info(name).name for name in backend_names()] == list(backend_names())


def test_a_backend_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    with pytest.raises(ConfigError, match="no backend tensorrt") as caught:
        backend_info("tensorrt")
    assert "onnxruntime, openvino" in caught.value.remedy


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """A function that adds a backend of another package: a name, and what its entry point says."""
    points: list[EntryPoint] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: [one for one in points if one.group == group])

    def forget() -> None:
        registry._added.cache_clear()
        registry.backend_info.cache_clear()

    forget()
    yield lambda name, value: points.append(EntryPoint(name, value, "unetkit.backends"))
    forget()


def test_another_package_adds_a_backend_by_an_entry_point(added: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    added("shifted", "added_backend:INFO")
    monkeypatch.setitem(sys.modules, "added_backend", SimpleNamespace(INFO=replace(TORCH, name="shifted")))
    assert backend_names() == ("torch", "compile", "onnxruntime", "openvino", "shifted")
    assert TilingOptions(backend="shifted").backend == "shifted"
    check_backend("shifted", CPU, "fp32")
    assert "shifted" in backends_in("fp16", "cuda")


def test_a_backend_of_planes_only_is_left_out_for_volumes(added: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    added("flat", "added_backend:INFO")
    flat = replace(TORCH, name="flat", axes=(2,))
    monkeypatch.setitem(sys.modules, "added_backend", SimpleNamespace(INFO=flat))
    assert "flat" in backends_in("fp32", "cpu")
    assert backends_in("fp32", "cpu", 3) == ["torch", "compile", "onnxruntime", "openvino"]
    with pytest.raises(ConfigError, match="flat does not compute volumes"):
        create_backend("flat", make_segmenter(axes=3), CPU, "fp32")
    create_backend("flat", make_segmenter(), CPU, "fp32")


@pytest.mark.parametrize(
    ("value", "reason"),
    [("no_such_module:INFO", "No module named"), ("unetkit:INFO", "INFO"), ("unetkit:__version__", "no BackendInfo")],
)
def test_a_package_whose_backend_cannot_be_loaded_is_named(added: Any, value: str, reason: str) -> None:
    added("broken", value)
    with pytest.raises(ConfigError, match=reason) as caught:
        backend_info("broken")
    assert "pip uninstall" in caught.value.remedy


def test_another_package_does_not_replace_a_backend(added: Any) -> None:
    added("torch", "no_such_module:INFO")
    assert backend_names().count("torch") == 1
    assert backend_info("torch") is TORCH


def test_onnx_runtime_without_a_provider_for_the_device_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(runtime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ConfigError, match="does not run on cuda") as caught:
        create_backend("onnxruntime", make_segmenter(), CUDA, "fp32")
    assert "onnxruntime-gpu" in caught.value.remedy
