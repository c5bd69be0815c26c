"""Whether int8 is used, with a backend that shifts probabilities instead of computing in int8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from unetkit.backends.base import Backend, Probe
from unetkit.backends.int8 import INT8_TOLERANCE, Quantized, quantize, verdicts_file
from unetkit.models.segmenter import Segmenter
from unetkit.models.trimmed import Kept

SIZE = 50
WHOLE = (slice(0, SIZE), slice(0, SIZE))
PIXELS = torch.arange(SIZE * SIZE, dtype=torch.float32).reshape(1, 1, SIZE, SIZE) / SIZE**2
WINDOW: Probe = (PIXELS, torch.zeros(1, 1), torch.ones(1, 1), WHOLE)
CHANGED = 3 / SIZE**2
"""Share of mask pixels that a shift by 3 grey values changes; below the tolerance."""


class Shifted:
    """A backend whose probabilities are the pixels and a shift."""

    device = torch.device("cpu")
    memory_format = torch.contiguous_format

    def __init__(self, shift: float) -> None:
        self.shift = shift

    def __call__(self, pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> Tensor:
        return pixels + self.shift

    def release(self) -> None:
        """Nothing is held."""


class Shifting:
    """A quantizer that remembers in memory what it keeps."""

    identity = "one model"

    def __init__(self, file: Path | None, shift: float, stored: Backend | None = None) -> None:
        self.file = file
        self.stored = stored
        self.made: Backend | None = None
        self.shift = shift

    def load(self) -> Backend | None:
        return self.stored

    def exact(self) -> Backend:
        return Shifted(0)

    def quantize(self, windows: Sequence[Probe]) -> Backend:
        self.made = Shifted(self.shift)
        return self.made

    def keep(self) -> Backend:
        assert self.made is not None
        self.stored = self.made
        return self.made


def go(segmenter: Segmenter, quantizer: Shifting) -> Quantized:
    return quantize(segmenter, quantizer, lambda: [WINDOW], [WINDOW], 0.5)


def test_what_changes_little_is_used_and_kept(tiny_segmenter: Segmenter, tmp_path: Path) -> None:
    quantizer = Shifting(tmp_path / "model.xml", CHANGED)
    result = go(tiny_segmenter, quantizer)
    assert result == Quantized(quantizer.stored, pytest.approx(CHANGED), False)
    assert result.backend is not None
    quantizer.made = None
    assert go(tiny_segmenter, quantizer) == Quantized(quantizer.stored, pytest.approx(CHANGED), True)
    assert quantizer.made is None


def test_what_changes_much_is_refused_and_not_kept(tiny_segmenter: Segmenter, tmp_path: Path) -> None:
    quantizer = Shifting(tmp_path / "model.xml", 2 * INT8_TOLERANCE)
    assert go(tiny_segmenter, quantizer) == Quantized(None, pytest.approx(2 * INT8_TOLERANCE), False)
    assert quantizer.stored is None
    quantizer.made = None
    assert go(tiny_segmenter, quantizer).remembered
    assert quantizer.made is None
    verdicts_file(tmp_path / "model.xml").unlink()
    assert not go(tiny_segmenter, quantizer).remembered


@pytest.mark.parametrize(("shift", "again"), [(CHANGED, False), (0.2, True)])
def test_what_was_kept_is_used_only_if_it_passes_the_check_on_this_input(
    tiny_segmenter: Segmenter, tmp_path: Path, shift: float, again: bool
) -> None:
    before = Shifted(shift)
    quantizer = Shifting(tmp_path / "model.xml", CHANGED, before)
    assert (go(tiny_segmenter, quantizer).backend is not before) == again
    assert (quantizer.made is not None) == again


def test_without_a_file_nothing_is_remembered(tiny_segmenter: Segmenter) -> None:
    quantizer = Shifting(None, 2 * INT8_TOLERANCE)
    assert not go(tiny_segmenter, quantizer).remembered
    assert not go(tiny_segmenter, quantizer).remembered
