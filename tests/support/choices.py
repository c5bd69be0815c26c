"""Choices of objects that nobody has learnt."""

from __future__ import annotations

import numpy as np

from unetkit.postprocess.candidates import FEATURES
from unetkit.postprocess.choice import Choice


def random_choice(seed: int = 0, least: float = 0.3) -> Choice:
    """Return a choice with random weights, whose qualities lie on both sides of `least`."""
    rng = np.random.default_rng(seed)
    count = len(FEATURES)
    hidden = rng.normal(size=(4, count))
    return Choice(
        center=(0.0,) * count,
        scale=(1.0,) * count,
        hidden=tuple(tuple(map(float, row)) for row in hidden),
        hidden_bias=tuple(map(float, rng.normal(size=4))),
        output=tuple(map(float, 3 * rng.normal(size=4))),
        output_bias=0.0,
        least=least,
    )


def choice_by(feature: str, weight: float = 1.0, bias: float = 0.0, least: float = 0.3) -> Choice:
    """Return a choice whose quality rises with one feature."""
    count = len(FEATURES)
    row = tuple(weight * (name == feature) for name in FEATURES)
    return Choice((0.0,) * count, (1.0,) * count, (row,), (bias,), (5.0,), 0.0, least)
