"""Graphs that OpenVINO compiles for one size and kept part."""

from __future__ import annotations

import pytest
import torch
from backend_cases import KEPT, expect, make_segmenter, make_windows

pytest.importorskip("openvino")

from unetkit.backends import openvino as module
from unetkit.backends.openvino import FIXED_GRAPHS, OpenVinoBackend


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> OpenVinoBackend:
    """A backend that compiles for each size, however small."""
    monkeypatch.setattr(module, "FIXED_FROM", 0)
    return OpenVinoBackend(make_segmenter(), "fp32")


def test_small_windows_share_one_graph_for_all_sizes() -> None:
    backend = OpenVinoBackend(make_segmenter(), "fp32")
    for size in ((64, 96), (32, 32)):
        backend(*make_windows(size=size), (slice(0, 16), slice(8, 32)))
    assert (len(backend._requests), len(backend._fixed)) == (1, 0)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32], ids=str)
def test_a_graph_for_one_size_gives_what_the_model_does(fixed: OpenVinoBackend, dtype: torch.dtype, batch: int) -> None:
    windows = make_windows(batch, dtype=dtype)
    for kept in KEPT.values():
        expected = expect(make_segmenter(), windows, kept)
        torch.testing.assert_close(fixed(*windows, kept), expected, rtol=0, atol=2e-5)
    assert not fixed._requests


def test_few_graphs_are_kept_and_those_made_again_give_the_same_bytes(fixed: OpenVinoBackend) -> None:
    windows = make_windows(1)
    kinds = [(slice(8 * i, 8 * i + 16), slice(0, 32)) for i in range(FIXED_GRAPHS + 2)]
    first = [fixed(*windows, kept).clone() for kept in kinds]
    assert len(fixed._fixed) == FIXED_GRAPHS
    for kept, before in zip(kinds, first, strict=True):
        assert torch.equal(fixed(*windows, kept), before)


def test_a_row_of_tiles_is_compiled_once(fixed: OpenVinoBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    made, compile_graph = [], fixed._compile
    monkeypatch.setattr(fixed, "_compile", lambda *given: made.append(given) or compile_graph(*given))
    left, inside, right = ((slice(0, 32), columns) for columns in (slice(0, 32), slice(16, 48), slice(32, 96)))
    for kept in (left, inside, inside, right, left, inside, right):
        fixed(*make_windows(1), kept)
    assert len(made) == FIXED_GRAPHS
