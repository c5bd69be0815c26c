"""What a user chooses for exported objects: plain data that a command's help imports."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from unetkit.foundation.errors import ConfigError


@dataclass(frozen=True)
class ExportOptions:
    """How objects are written.

    Args:
        object_type: What QuPath takes objects for: "detection", or "annotation", which can be edited there.
        simplify: Leave out corners that are nearer than this to the simpler outline, in pixels, for example 1. Outlines
            do not hold the very same pixels then; 0 leaves them exact.
    """

    object_type: Literal["detection", "annotation"] = "detection"
    simplify: float = 0.0

    def __post_init__(self) -> None:
        if not (isfinite(self.simplify) and self.simplify >= 0):
            raise ConfigError(f"simplify: {self.simplify} is no distance.", "Give pixels, for example 1.")


DEFAULT_EXPORT = ExportOptions()
"""Exact outlines, as detections."""
