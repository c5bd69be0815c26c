"""What a learnt choice of objects gained on the validation images, as a model file has it, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CHOICE = "choice"
"""Key in `ModelSpec.training` of the fields of a `unetkit.training.segmentation.choosing_objects.Gain`."""


def describe_choice(found: Mapping[str, Any]) -> str:
    """Return a sentence on what was gained."""
    ap50, ap70 = (f"from {before:.3f} to {after:.3f}" for before, after in (found["ap50"], found["ap70"]))
    return (
        f"Which regions are one object is chosen by a quality, learnt from {found['candidates']:,} candidates in "
        f"training images (stored in the model): on {found['images']} validation images AP goes {ap50} at an IoU of "
        f"0.5, and {ap70} at 0.7."
    )
