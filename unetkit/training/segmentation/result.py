"""The result of a run on masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unetkit.inference.tiling.halo import HaloMeasurement
from unetkit.training.run.result import RunResult


@dataclass(frozen=True)
class SegmentationResult(RunResult):
    """The result of a run on masks.

    Attributes:
        scores: All scores of the model over the validation images, named as in metrics.csv; empty without them. A
            model for instances also has scores of its objects, pooled over the images: val_ap50, val_f1 and val_pq.
        dice: Mean Dice of the model over the validation images, None without validation images.
        halo: The halo that was measured; None if the run was stopped before.
        calibration: What was chosen on the validation images, as the model file has it; None if nothing was.
        choice: What a choice of objects gained, as the model file has it; None if there is none.
        compared: Sentence that compares the result with the model that the run started from; "" if it did not.
    """

    dice: float | None
    halo: HaloMeasurement | None
    compared: str = ""
    calibration: Mapping[str, Any] | None = None
    choice: Mapping[str, Any] | None = None
