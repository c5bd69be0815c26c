"""Learning rates over a run, as pure functions of its progress."""

from __future__ import annotations

from math import cos, pi
from typing import Literal

Schedule = Literal["one_cycle", "cosine", "constant"]
"""Names of the schedules."""

WARM_UP_SHARE = 0.15
"""Share of a one-cycle run in which the learning rate rises."""


def rate_factor(schedule: Schedule, progress: float) -> float:
    """Return the share of the full learning rate at a point of the run.

    Args:
        schedule: "one_cycle" rises along a half cosine, then falls along one to zero (Smith and Topin 2018); "cosine"
            falls from the start (Loshchilov and Hutter 2017); "constant" stays at 1.
        progress: Share of the run's steps that are done, 0 to 1.

    Returns:
        A factor, 0 to 1.
    """
    if schedule == "constant":
        return 1.0
    if schedule == "one_cycle":
        if progress < WARM_UP_SHARE:
            return 0.04 + 0.96 * (1 - cos(pi * progress / WARM_UP_SHARE)) / 2
        progress = (progress - WARM_UP_SHARE) / (1 - WARM_UP_SHARE)
    return (1 + cos(pi * min(progress, 1.0))) / 2
