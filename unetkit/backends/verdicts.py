"""Results of checking a model in int8, kept in a file so that images that look alike need not all be checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from unetkit.backends.base import Probe
from unetkit.foundation.json_cache import read_cache, write_cache
from unetkit.models.trimmed import Kept

LOOK_QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
"""Quantiles at which the normalised intensities of two images are compared."""

LOOK_STEP = 4
"""Step, in pixels along each axis, between the pixels that are looked at."""

LOOK_TOLERANCE = 0.05
"""Largest difference, in network input, of each quantile and of the mean contrast between images that look alike."""

KEPT_VERDICTS = 64
"""Largest number of verdicts: the newest are kept."""


def describe_look(windows: Sequence[Probe]) -> tuple[float, ...]:
    """Return how windows look to a network: for each channel, quantiles and the mean contrast along rows."""
    normalized = [_look_at(*probe) for probe in windows]
    values = np.concatenate([window[..., ::LOOK_STEP].flatten(1).numpy() for window in normalized], axis=1)
    contrast = np.mean([window.diff(dim=-1).abs().flatten(1).mean(1).numpy() for window in normalized], axis=0)
    return tuple(float(value) for value in (*np.quantile(values, LOOK_QUANTILES, axis=1).ravel(), *contrast))


def _look_at(pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> Tensor:  # noqa: ARG001
    """Return some rows of the first window, normalised: (C, ..., w)."""
    rows = pixels[:1, :, *[slice(None, None, LOOK_STEP)] * (pixels.dim() - 3)][0]
    beside = (-1, *[1] * (rows.dim() - 1))
    return (rows - center[0].reshape(beside)) / scale[0].reshape(beside)


@dataclass(frozen=True)
class Verdict:
    """The result of one image.

    Attributes:
        model: Identity of the model.
        threshold: Foreground probability from which a pixel is foreground.
        look: Look of the image, see `describe_look`.
        changed: Share of mask pixels that int8 changes.
    """

    model: str
    threshold: float
    look: tuple[float, ...]
    changed: float


class Verdicts:
    """The verdicts on a model.

    Args:
        path: The file (.json); None to keep nothing.
        identity: The model and the versions that made it. Verdicts on others do not count.
        threshold: Foreground probability from which a pixel is foreground.
    """

    def __init__(self, path: Path | None, identity: str, threshold: float) -> None:
        self._path = path
        self._model = identity
        self._threshold = threshold

    def recall(self, look: tuple[float, ...]) -> float | None:
        """Return the share that was found last on an image that looks like this one, if any."""
        for verdict in reversed(self._read()):
            if verdict.threshold == self._threshold and np.abs(np.subtract(verdict.look, look)).max() <= LOOK_TOLERANCE:
                return verdict.changed
        return None

    def remember(self, look: tuple[float, ...], changed: float, *, forget: float = -1.0) -> None:
        """Keep a result. If that is not possible, the image is checked again next time.

        Args:
            look: Look of the image.
            changed: Share of mask pixels.
            forget: Verdicts of at most this share are dropped, since the model in int8 was replaced.
        """
        if self._path is None:
            return
        held = [verdict for verdict in self._read() if verdict.changed > forget]
        verdicts = [*held, Verdict(self._model, self._threshold, look, changed)][-KEPT_VERDICTS:]
        write_cache(self._path, [asdict(verdict) for verdict in verdicts])

    def _read(self) -> list[Verdict]:
        """Return the verdicts on this model: none if there is no file, or one that is damaged."""
        known = read_cache(self._path) if self._path else []
        try:
            verdicts = [
                Verdict(one["model"], float(one["threshold"]), tuple(map(float, one["look"])), float(one["changed"]))
                for one in known
            ]
        except (ValueError, KeyError, TypeError):
            return []
        return [verdict for verdict in verdicts if verdict.model == self._model]
