"""8-bit integers on any backend: a model in int8 is used where it changes few mask pixels of the input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.backends.base import Backend, Probe
from unetkit.backends.info import Quantizer
from unetkit.backends.verdicts import Verdicts, describe_look
from unetkit.models.masks import to_mask
from unetkit.models.segmenter import Segmenter

INT8_TOLERANCE = 2e-3
"""Largest share of mask pixels that int8 may change. A model that would change more is refused."""


@dataclass(frozen=True)
class Quantized:
    """A model in int8, and the result of its check.

    Attributes:
        backend: The model in int8; None where that would change too much.
        changed: Share of mask pixels that int8 changes on the windows that it was checked on.
        remembered: Whether the share was found before, on an image that looks like this one.
    """

    backend: Backend | None
    changed: float
    remembered: bool


def quantize(
    segmenter: Segmenter,
    quantizer: Quantizer,
    calibration: Callable[[], Sequence[Probe]],
    checks: Sequence[Probe],
    threshold: float,
) -> Quantized:
    """Put a model in int8 where that does no harm.

    A quantised model that was kept is used if it passes the check on this input. Otherwise one is made. The result of
    the check, also a refusal, is kept beside it (see `verdicts_file`). It holds for images that look alike.

    Args:
        segmenter: The model.
        quantizer: Puts the model in int8 on a backend.
        calibration: Returns windows of float32 from which the ranges of all features are measured; called if needed.
        checks: Other windows, on which the masks in int8 and float32 are compared.
        threshold: Foreground probability from which a pixel is foreground.

    Raises:
        ConfigError: A package that quantises is not installed.
    """
    look = describe_look(checks)
    verdicts = Verdicts(quantizer.file and verdicts_file(quantizer.file), quantizer.identity, threshold)
    known = verdicts.recall(look)
    if known is not None and known > INT8_TOLERANCE:
        return Quantized(None, known, True)
    stored = quantizer.load()
    if known is not None and stored is not None:
        return Quantized(stored, known, True)
    classes = segmenter.spec.out_channels
    exact = quantizer.exact()
    truth = [_mask(exact, probe, threshold, classes) for probe in checks]
    if stored is not None:
        changed = _compare(stored, checks, truth, threshold, classes)
        if changed <= INT8_TOLERANCE:
            verdicts.remember(look, changed)
            return Quantized(stored, changed, False)
    made = quantizer.quantize(calibration())
    changed = _compare(made, checks, truth, threshold, classes)
    if changed > INT8_TOLERANCE:
        verdicts.remember(look, changed)
        return Quantized(None, changed, False)
    kept = quantizer.keep()
    verdicts.remember(look, changed, forget=INT8_TOLERANCE)
    return Quantized(kept, changed, False)


def verdicts_file(file: Path) -> Path:
    """Return the file with the results of checking the quantised model in `file`."""
    return file.with_suffix(".json")


def _mask(backend: Backend, probe: Probe, threshold: float, classes: int) -> NDArray[Any]:
    """Return the mask of a window (*kept): of foreground, or class numbers."""
    return to_mask(backend(*probe)[0, :classes], threshold).numpy()


def _compare(
    backend: Backend, checks: Sequence[Probe], truth: Sequence[NDArray[Any]], threshold: float, classes: int
) -> float:
    """Return the share of mask pixels that differ from the truth."""
    masks = [_mask(backend, probe, threshold, classes) for probe in checks]
    differs = [(mask != true).ravel() for mask, true in zip(masks, truth, strict=True)]
    return float(np.concatenate(differs).mean())
