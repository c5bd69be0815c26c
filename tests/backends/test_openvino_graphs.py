from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from backend_cases import as_from_a_file, make_layers

from unetkit.models.builtin_models import builtin_folder
from unetkit.models.segmenter import Segmenter

pytest.importorskip("openvino")

from unetkit.backends import openvino_backend, openvino_graphs
from unetkit.backends.openvino_backend import OpenVinoBackend, graph_of
from unetkit.backends.openvino_graphs import converted_file, quantized_file
from unetkit.testing.backend_inputs import make_windows

KEPT = (slice(0, 64), slice(8, 40))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def segmenter() -> Segmenter:
    made = make_layers()
    as_from_a_file(made, "a" * 64)
    return made


def never(segmenter: Segmenter) -> None:
    raise AssertionError("the model is converted again")


def test_a_model_is_converted_once_and_predicts_the_same_afterwards(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = make_windows(batch=1, size=(64, 64), dtype=torch.uint8)
    first = OpenVinoBackend(segmenter, "fp32")(*windows, KEPT).clone()
    monkeypatch.setattr(openvino_backend, "convert", never)
    assert torch.equal(OpenVinoBackend(segmenter, "fp32")(*windows, KEPT), first)


def test_a_model_that_was_changed_after_loading_is_converted_anew_and_not_kept(segmenter: Segmenter) -> None:
    graph_of(segmenter)
    with torch.no_grad():
        next(segmenter.network.parameters()).mul_(2)
    assert converted_file(segmenter) is None
    windows = make_windows(batch=1, size=(64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        expected = segmenter(*windows)[:, :, *KEPT]
    torch.testing.assert_close(OpenVinoBackend(segmenter, "fp32")(*windows, KEPT), expected, atol=1e-4, rtol=0)


def test_a_model_that_never_was_a_file_is_not_kept(tmp_path: Path, segmenter: Segmenter) -> None:
    segmenter.sha256 = ""
    graph_of(segmenter)
    assert not list(tmp_path.rglob("*.xml"))


def test_only_the_newest_graphs_stay(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_graphs, "KEPT_GRAPHS", 1)
    graph_of(segmenter)
    first = converted_file(segmenter)
    segmenter.sha256 = "b" * 64
    graph_of(segmenter)
    second = converted_file(segmenter)
    assert first is not None
    assert second is not None
    assert sorted(first.parent.iterdir()) == [second.with_suffix(".bin"), second]


def test_what_is_made_of_a_built_in_model_is_not_put_beside_it(tmp_path: Path, segmenter: Segmenter) -> None:
    assert quantized_file(segmenter) == Path("model.int8.xml")
    for folder in (builtin_folder(), os.path.relpath(builtin_folder())):
        segmenter.name = str(Path(folder) / "nuclei.safetensors")
        assert quantized_file(segmenter) == tmp_path / "unetkit" / "openvino" / "nuclei.int8.xml"
