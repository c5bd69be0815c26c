"""Choices among settings by their scores on validation images: only what surely gains replaces the present one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FEWEST_IMAGES, MOST_IMAGES = 5, 200
"""Fewest and most images that settings of a model are chosen on."""

MOST_LEARNT = 100
"""Most training images from which a choice of objects is learnt."""

LEARNING_SECONDS = 5.0
"""Seconds for learning it, without the predictions."""

RESAMPLES = 100
"""Samples of the images, drawn with replacement (Efron 1979, https://doi.org/10.1214/aos/1176344552)."""

Weights = NDArray[np.float64]
"""(samples, images): how often each image is in a sample."""

Score = Callable[[Weights], NDArray[np.float64]]
"""Returns the score (samples, choices) of each choice in samples of the images; more is better."""


def choose_surely(score: Score, images: int, now: int, errors: float) -> int:
    """Return the choice whose gain over the present one is the surest; the present one if none surely gains.

    A choice has to gain on the images as they are, and on average over samples of them more than some standard errors.

    Args:
        score: What is to be high.
        images: Number of images.
        now: The present choice.
        errors: How many standard errors.
    """
    rng = np.random.default_rng(0)
    drawn = [np.bincount(rng.integers(0, images, images), minlength=images) for _ in range(RESAMPLES)]
    scores = score(np.array(drawn, np.float64))
    gains = scores - scores[:, [now]]
    whole = score(np.ones((1, images)))[0]
    surely = np.where(whole > whole[now], gains.mean(axis=0) - errors * gains.std(axis=0), 0.0)
    best = int(surely.argmax())
    return best if surely[best] > 0 else now


def score_means(values: NDArray[np.float64]) -> Score:
    """Return a score: the mean over the images of values (images, choices)."""
    return lambda weights: weights @ values / weights.sum(axis=1, keepdims=True)


def score_objects_pooled(counts: NDArray[np.int64]) -> Score:
    """Return a score: the average precision of pooled objects, added up over the IoUs at which they match.

    Args:
        counts: (images, choices, IoUs, 3): right, wrong and missed objects.
    """
    return lambda weights: pool_precisions(counts, weights).sum(axis=-1)


def pool_precisions(counts: NDArray[np.int64], weights: Weights) -> NDArray[np.float64]:
    """Return TP / (TP + FP + FN) of the objects of samples of images: (samples, choices, IoUs), see `Score`."""
    pooled = np.tensordot(weights, counts, axes=1)
    precisions: NDArray[np.float64] = pooled[..., 0] / np.maximum(pooled.sum(axis=-1), 1)
    return precisions
