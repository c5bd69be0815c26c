"""The result of a run of `pretrain`."""

from __future__ import annotations

from dataclasses import dataclass

from unetkit.inference.tiling.halo import HaloMeasurement
from unetkit.training.run.result import RunResult


@dataclass(frozen=True)
class PretrainResult(RunResult):
    """The result of a run of `pretrain`.

    Attributes:
        r2: Share of the variance of the hidden pixels of the validation crops, or of all where none are hidden, that
            the model restores, at most 1; None without validation images.
        halo: The halo that was measured.
    """

    r2: float | None
    halo: HaloMeasurement
