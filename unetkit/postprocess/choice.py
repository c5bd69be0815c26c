"""A small network that predicts how good a candidate for an object is, as plain numbers for a model file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ConfigError
from unetkit.postprocess.candidates import FEATURES

BEST = 1 << 20
"""Quality of a candidate that surely is right, in whole numbers, so that sums of them do not depend on their order."""

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Choice:
    """How candidates for objects are chosen: by a network with one hidden layer, whose output is a quality, 0 to 1.

    Attributes:
        center: (10,) mean of each of `FEATURES`.
        scale: (10,) standard deviation of each.
        hidden: (H, 10) weights of the hidden layer, to whose sums a hyperbolic tangent is applied.
        hidden_bias: (H,).
        output: (H,) weights of the quality, of whose sum the logistic function is taken.
        output_bias: Bias of the quality.
        least: Quality, 0 to 1, up to which a candidate is no object. It is what a false object costs.

    Raises:
        ConfigError: The numbers do not fit each other, or `FEATURES`.
    """

    center: Numbers
    scale: Numbers
    hidden: tuple[Numbers, ...]
    hidden_bias: Numbers
    output: Numbers
    output_bias: float
    least: float

    def __post_init__(self) -> None:
        widths = {len(self.center), len(self.scale), *map(len, self.hidden)}
        if widths != {len(FEATURES)} or len({len(self.hidden), len(self.hidden_bias), len(self.output)}) != 1:
            raise ConfigError(
                f"The numbers of the model's choice of objects do not fit {len(FEATURES)} features.",
                "Learn the choice anew with this version of unetkit.",
            )

    def qualities(self, features: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the quality of candidates (N,), 1 to `BEST`, from their features (N, 10)."""
        inputs = (features - np.array(self.center)) / np.array(self.scale)
        hidden = np.tanh((inputs[:, None] * np.array(self.hidden)).sum(2) + np.array(self.hidden_bias))
        logits = (hidden * np.array(self.output)).sum(1) + self.output_bias
        shares = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
        found: NDArray[np.int64] = np.maximum(np.rint(shares * BEST), 1).astype(np.int64)
        return found

    @property
    def cost(self) -> int:
        """What a false object costs, in units of `qualities`."""
        return round(self.least * BEST)
