"""What is chosen for a trained model on its validation images: the temperature of its probabilities, and thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.models.temperature import divide_logits
from unetkit.report.calibration import CALIBRATION
from unetkit.scoring.reliability import Bin, bin_probabilities, calibration_error, fit_temperature, log_loss
from unetkit.training.segmentation.choosing import (
    FEWEST_IMAGES,
    choose_surely,
    pool_precisions,
    score_means,
    score_objects_pooled,
)
from unetkit.training.segmentation.examples import Example, Tried, try_settings

FEWEST_OBJECTS = 50
"""Fewest true objects in these images that settings of objects are chosen on."""

THRESHOLDS = (0.4, 0.45, 0.5, 0.55, 0.6)
"""Foreground probabilities, before the temperature, that are tried."""

CONFIDENCES = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
"""Lowest confidences of an object that are tried."""

SURE = 1.0
"""Standard errors that the gain of a temperature or of a confidence has to exceed."""

VERY_SURE = 2.0
"""Standard errors that the gain of a threshold has to exceed: on nuclei it seldom gains on other images."""


@dataclass(frozen=True)
class Calibration:
    """What was chosen, and what it changed on the images that it was chosen on.

    Attributes:
        images: Number of images.
        temperature: What the logits were divided by; 1 if nothing surely gained.
        log_loss: Mean negative logarithm of the probability of the truth, before and after.
        error: Expected calibration error, 0 to 1, before and after.
        bins: How often probabilities were right before.
        bins_after: The same after.
        threshold: Foreground probability from which a pixel is foreground, before and after; that after is one of
            probabilities after the temperature.
        min_confidence: Lowest confidence of an object, before and after.
        scores: Scores by name, before and after, of what threshold and confidence were chosen by: mean Dice, or the
            average precision of pooled objects at IoUs of 0.5 and 0.7.
    """

    images: int
    temperature: float
    log_loss: tuple[float, float]
    error: tuple[float, float]
    bins: tuple[Bin, ...]
    bins_after: tuple[Bin, ...]
    threshold: tuple[float, float]
    min_confidence: tuple[float, float]
    scores: dict[str, tuple[float, float]] = field(default_factory=dict)

    def apply(self, segmenter: Segmenter) -> None:
        """Change a model in place, and note in its description what was changed."""
        divide_logits(segmenter, self.temperature)
        training: dict[str, Any] = segmenter.spec.training | {CALIBRATION: asdict(self)}
        segmenter.spec = replace(
            segmenter.spec,
            threshold=self.threshold[1],
            min_confidence=self.min_confidence[1],
            training=training,
        )


@dataclass(frozen=True)
class Trials:
    """What a model gives for several images at the settings that are tried.

    Attributes:
        spec: Description of the model.
        thresholds: (T,) thresholds, that of the model among them.
        confidences: (C,) lowest confidences of an object, that of the model among them.
        images: One for each image.
    """

    spec: ModelSpec
    thresholds: NDArray[np.float64]
    confidences: NDArray[np.float64]
    images: Sequence[Tried]

    @property
    def logits(self) -> NDArray[np.float64]:
        """Logits (N, classes) of the pixels of all images."""
        return np.concatenate([one.logits for one in self.images])

    @property
    def truth(self) -> NDArray[np.intp]:
        """True classes (N,) of these pixels."""
        return np.concatenate([one.truth for one in self.images])

    @property
    def objects(self) -> NDArray[np.int64] | None:
        """Objects (images, thresholds, confidences, IoUs, 3), see `Tried`; None where none are separated."""
        counts = [one.objects for one in self.images if one.objects is not None]
        return np.stack(counts) if counts else None

    @property
    def dice(self) -> NDArray[np.float64]:
        """Dice (images, thresholds); no thresholds where there are several classes."""
        return np.stack([one.dice for one in self.images])

    @property
    def now(self) -> Setting:
        """The settings of the model."""
        threshold = int(np.searchsorted(self.thresholds, self.spec.threshold))
        return Setting(threshold, int(np.searchsorted(self.confidences, self.spec.min_confidence)))

    def score(self, at: Setting) -> dict[str, float]:
        """Return the scores by name that settings are chosen by."""
        counts, dices = self.objects, self.dice
        if counts is not None:
            precisions = pool_precisions(counts[:, [at.threshold], at.confidence], np.ones((1, len(counts))))
            return dict(zip(("ap50", "ap70"), precisions[0, 0].tolist(), strict=True))
        return {"dice": float(dices[:, at.threshold].mean())} if dices.size else {}


@dataclass(frozen=True)
class Setting:
    """A threshold and a lowest confidence, by their places among those that are tried."""

    threshold: int
    confidence: int


def calibrate(segmenter: Segmenter, examples: Iterable[Example], *, keep_threshold: bool = False) -> Calibration | None:
    """Choose the settings of a model on images that it was not trained on, and apply them.

    Args:
        segmenter: The model, on the device to predict on; it is changed.
        examples: The images; each is predicted once.
        keep_threshold: Whether the threshold stays as it is.

    Returns:
        What was chosen; None where there are fewer than `FEWEST_IMAGES` images, and all stays as it is.
    """
    trials = try_all(segmenter, examples, keep_threshold=keep_threshold)
    if len(trials.images) < FEWEST_IMAGES:
        return None
    calibration = choose(trials)
    calibration.apply(segmenter)
    return calibration


def try_all(segmenter: Segmenter, examples: Iterable[Example], *, keep_threshold: bool = False) -> Trials:
    """Predict images, and score them at all settings that are tried; images that nobody has annotated are left out."""
    spec = segmenter.spec
    thresholds = np.array(sorted({spec.threshold, *(() if keep_threshold else THRESHOLDS)}))
    confidences = np.array(sorted({spec.min_confidence, *CONFIDENCES}))
    tried = (try_settings(segmenter, example, thresholds, confidences) for example in examples)
    return Trials(spec, thresholds, confidences, [one for one in tried if len(one.truth)])


def choose(trials: Trials) -> Calibration:
    """Choose temperature and settings. What does not surely gain stays as it is, see `choose_surely`."""
    spec, now, logits, truth = trials.spec, trials.now, trials.logits, trials.truth
    best, temperature = choose_setting(trials), choose_temperature(trials)
    before, after = trials.score(now), trials.score(best)
    bins, bins_after = (bin_probabilities(logits, truth, one) for one in (1.0, temperature))
    return Calibration(
        len(trials.images),
        temperature,
        (log_loss(logits, truth), log_loss(logits, truth, temperature)),
        (calibration_error(bins), calibration_error(bins_after)),
        bins,
        bins_after,
        (spec.threshold, at_temperature(float(trials.thresholds[best.threshold]), temperature)),
        (spec.min_confidence, float(trials.confidences[best.confidence])),
        {name: (before[name], after[name]) for name in before},
    )


def choose_temperature(trials: Trials) -> float:
    """Return the temperature; 1 unless the log loss surely gains."""
    fitted = round(fit_temperature(trials.logits, trials.truth), 3)
    losses = np.array([[log_loss(one.logits, one.truth, each) for each in (1.0, fitted)] for one in trials.images])
    return (1.0, fitted)[choose_surely(score_means(-losses), len(losses), 0, SURE)]


def at_temperature(threshold: float, temperature: float) -> float:
    """Return the threshold of probabilities at a temperature that gives the same mask."""
    return round(float(expit(logit(threshold) / temperature)), 4)


def choose_setting(trials: Trials) -> Setting:
    """Return the threshold for the best masks; or the lowest confidence and then the threshold for the best objects."""
    now, counts, dices = trials.now, trials.objects, trials.dice
    if counts is None:
        if not dices.size:
            return now
        return replace(now, threshold=choose_surely(score_means(dices), len(dices), now.threshold, VERY_SURE))
    right, _, missed = counts[:, now.threshold, now.confidence, 0].sum(axis=0)
    if right + missed < FEWEST_OBJECTS:
        return now
    by_confidence = score_objects_pooled(counts[:, now.threshold])
    confidence = choose_surely(by_confidence, len(counts), now.confidence, SURE)
    by_threshold = score_objects_pooled(counts[:, :, confidence])
    return Setting(choose_surely(by_threshold, len(counts), now.threshold, VERY_SURE), confidence)
