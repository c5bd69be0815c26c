"""What only a GPU shows: copies on streams of their own, pinned memory, and memory that really runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from unetkit.backends.torch import TorchBackend
from unetkit.inference.array import predict_tiled
from unetkit.inference.engine.forward import Forward
from unetkit.models.segmenter import Segmenter
from unetkit.models.statistics import Statistics

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

Make = Callable[..., Segmenter]
RAW = Statistics(np.zeros(1, np.float32), np.ones(1, np.float32))


def picture(*shape: int, dtype: Any = np.uint8) -> NDArray[Any]:
    return np.random.default_rng(1).integers(0, 60, shape).astype(dtype)


@pytest.fixture
def exact_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    """No TF32, so that float32 is float32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


def make_forward(segmenter: Segmenter, device: str, log: Callable[[str], None] = lambda sentence: None) -> Forward:
    where = torch.device(device)
    return Forward(
        [TorchBackend(segmenter, where, "fp32", owned=False)],
        classes=1,
        kind="mask",
        threshold=0.5,
        augment=False,
        halo=8,
        stride=8,
        log=log,
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("batch", [1, 4])
def test_the_mask_is_that_of_the_cpu(exact_segmenter: Make, exact_floats: None, dtype: Any, batch: int) -> None:
    image = picture(3, 300, 250, dtype=dtype)
    options: dict[str, Any] = {"tile": 64, "batch": batch, "precision": "fp32", "backend": "torch", "axes": "ZYX"}
    expected = predict_tiled(image, exact_segmenter(), device="cpu", **options)
    for _ in range(3):  # copies that overtake the computation would not do so every time
        np.testing.assert_array_equal(predict_tiled(image, exact_segmenter(), device="cuda", **options), expected)


@pytest.mark.parametrize("backend", ["torch", "compile"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_precision_is_near(tiny_segmenter: Segmenter, backend: str, precision: str) -> None:
    image = picture(100, 120)
    options: dict[str, Any] = {"tile": 64, "output": "probabilities"}
    expected = predict_tiled(image, tiny_segmenter, device="cpu", backend="torch", **options)
    got = predict_tiled(image, tiny_segmenter, device="cuda", backend=backend, precision=precision, **options)
    np.testing.assert_allclose(got, expected, atol=0.01 if precision == "fp32" else 0.1)


def test_batches_are_pinned_and_results_wait_for_their_copy(exact_segmenter: Make) -> None:
    forward = make_forward(exact_segmenter(), "cuda")
    windows = forward.gather([picture(1, 64, 64)] * 4)
    assert windows.is_pinned()
    kept = (slice(0, 64), slice(0, 64))
    pending = [forward.submit(windows, [[RAW] * 4], kept) for _ in range(20)]
    assert all(one.ready is not None for one in pending)
    first = pending[0].result()
    assert all(np.array_equal(one.result(), first) for one in pending)


def test_a_batch_for_which_there_is_no_memory_is_divided(exact_segmenter: Make, exact_floats: None) -> None:
    """The memory that this process may take is made small, and really runs out."""
    told: list[str] = []
    pixels = list(picture(8, 1, 1024, 1024))
    kept = (slice(0, 1024), slice(0, 1024))
    statistics = [[RAW] * len(pixels)]
    whole = make_forward(exact_segmenter(), "cpu")
    expected = whole.submit(whole.gather(pixels), statistics, kept).result()
    forward = make_forward(exact_segmenter(), "cuda", told.append)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 120 * 2**20) / total)
    try:
        for _ in range(2):
            got = forward.submit(forward.gather(pixels), statistics, kept).result()
            np.testing.assert_array_equal(got, expected)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert len(told) == 1
