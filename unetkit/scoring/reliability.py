"""How often predicted probabilities are right, and the temperature that makes them say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

BINS = 10
"""Number of bins of probabilities, of equal width from 0 to 1."""

LEAST_PROBABILITY = 1e-7
"""Lowest probability that is told from 0: about what float32 tells from 1."""

TEMPERATURES = (0.25, 4.0)
"""Lowest and highest temperature that is looked for."""


@dataclass(frozen=True)
class Bin:
    """Pixels whose probabilities lie close together.

    Attributes:
        low: Lower end of the bin, 0 to 1.
        high: Upper end of the bin, 0 to 1.
        share: Share of all pixels, 0 to 1.
        said: Mean of their probabilities, 0 to 1.
        right: Share of them that is what the probability is of, 0 to 1.
    """

    low: float
    high: float
    share: float
    said: float
    right: float


def to_log_probabilities(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the logarithms (N, classes) of probabilities (N, classes), or of (N, 1) of the foreground those of both.

    They are logits: softmax gives the probabilities again, and that of their quotient by a temperature those at it.
    """
    exact = probabilities.astype(np.float64)
    both = np.concatenate([1 - exact, exact], axis=1) if exact.shape[1] == 1 else exact
    logs: NDArray[np.float64] = np.log(np.clip(both, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))
    return logs


def log_loss(logits: NDArray[np.float64], truth: NDArray[np.intp], temperature: float = 1.0) -> float:
    """Return the mean negative logarithm of the probabilities (N, classes) of the true classes (N,)."""
    scaled = log_softmax(logits / temperature, axis=1)
    return -float(scaled[np.arange(len(truth)), truth].mean())


def fit_temperature(logits: NDArray[np.float64], truth: NDArray[np.intp]) -> float:
    """Return the temperature at which the log loss is lowest (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    Args:
        logits: (N, classes).
        truth: (N,) true classes.
    """
    found = minimize_scalar(
        lambda exponent: log_loss(logits, truth, float(np.exp(exponent))),
        bounds=np.log(TEMPERATURES),
        method="bounded",
        options={"xatol": 1e-3},
    )
    return float(np.exp(found.x))


def bin_probabilities(
    logits: NDArray[np.float64], truth: NDArray[np.intp], temperature: float = 1.0
) -> tuple[Bin, ...]:
    """Return how often probabilities are right, for each bin that is not empty.

    With two classes they are those of the foreground, with more those of the most probable class.

    Args:
        logits: (N, classes).
        truth: (N,) true classes.
        temperature: What the logits are divided by.
    """
    probabilities = np.exp(log_softmax(logits / temperature, axis=1))
    chosen = np.ones(len(truth), np.intp) if logits.shape[1] == 2 else probabilities.argmax(axis=1)
    said, right = probabilities[np.arange(len(truth)), chosen], chosen == truth
    places = np.minimum((said * BINS).astype(np.intp), BINS - 1)
    return tuple(
        Bin(
            place / BINS,
            (place + 1) / BINS,
            float((here := places == place).mean()),
            float(said[here].mean()),
            float(right[here].mean()),
        )
        for place in np.unique(places).tolist()
    )


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error, 0 to 1: how far probabilities lie from how often they are right.

    It is the mean over the pixels (Naeini et al. 2015, https://doi.org/10.1609/aaai.v29i1.9602).

    Example:
        >>> calibration_error([Bin(0.1, 0.2, 0.5, 0.1, 0.1), Bin(0.9, 1.0, 0.5, 0.9, 0.7)])
        0.1
    """
    return round(sum(one.share * abs(one.said - one.right) for one in bins), 12)
