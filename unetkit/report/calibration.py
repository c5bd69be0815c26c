"""What was chosen for a model on its validation images, as its file has it: a sentence, and a table of reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CALIBRATION = "calibration"
"""Key in `ModelSpec.training` of the fields of a `unetkit.training.segmentation.calibration.Calibration`."""

SCORES = {"dice": "mean Dice", "ap50": "AP at an IoU of 0.5", "ap70": "AP at an IoU of 0.7"}
"""Scores that settings are chosen by."""

NO_PIXELS = ("", "", "")
"""Cells of a bin that holds no pixels."""

Row = tuple[str, tuple[str, str, str], tuple[str, str, str]]
"""A bin: its probabilities; their mean, how often they are right and the share of the pixels, before and after."""


def describe_calibration(found: Mapping[str, Any]) -> str:
    """Return a sentence on what was chosen."""
    changes = [_temperature(found)] if found["temperature"] != 1 else []
    names = {"threshold": "a threshold of", "min_confidence": "a lowest confidence of objects of"}
    changes += [f"{words} {found[key][1]:g}" for key, words in names.items() if found[key][0] != found[key][1]]
    on = f"{found['images']} validation images"
    if not changes:
        return f"On {on} no other temperature, threshold or lowest confidence surely gains."
    gains = [
        f"{SCORES[name]} goes from {before:.3f} to {after:.3f}"
        for name, (before, after) in found["scores"].items()
        if before != after
    ]
    last = f" On these images {' and '.join(gains)}." if gains else ""
    return f"Chosen on {on}, and stored in the model: {', '.join(changes)}.{last}"


def _temperature(found: Mapping[str, Any]) -> str:
    before, after = found["error"]
    shown = f"the calibration error of probabilities goes from {before:.4f} to {after:.4f}"
    return f"a temperature of {found['temperature']:.3g} ({shown})"


def reliability_rows(found: Mapping[str, Any] | None) -> list[Row]:
    """Return the rows of the table of reliability; none without a calibration, or where it cannot be read."""
    if found is None:
        return []
    try:
        before, after = (_by_low(found[name]) for name in ("bins", "bins_after"))
    except (KeyError, TypeError, ValueError):
        return []
    return [
        (f"{low:.1f} to {high:.1f}", before.get((low, high), NO_PIXELS), after.get((low, high), NO_PIXELS))
        for low, high in sorted({*before, *after})
    ]


def _by_low(bins: Sequence[Mapping[str, float]]) -> dict[tuple[float, float], tuple[str, str, str]]:
    """Return the cells of bins by their ends."""
    return {
        (one["low"], one["high"]): (f"{one['said']:.3f}", f"{one['right']:.3f}", f"{one['share']:.2%}") for one in bins
    }
