"""Augmentation of what a crop looks like by its stains and its objects, before it is moved and lit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.data.object_gain import vary_objects
from unetkit.data.objects import number_objects
from unetkit.data.stains import StainJitter
from unetkit.data.statistics import Measured
from unetkit.data.transforms import Augmentation
from unetkit.models.normalization import Normalization
from unetkit.models.statistics import measure_statistics

AS_INVERTED = Normalization("percentile", bright_background="invert")
"""Tells images with a bright background from others."""


class Appearance:
    """Varies the stains of a crop, and how much each object stands out; its result depends on its arguments only.

    Args:
        augmentation: What to vary. What has a probability of 0 draws no random numbers.
        images: The images, by index.
    """

    def __init__(self, augmentation: Augmentation, images: Sequence[Measured]) -> None:
        self._augmentation = augmentation
        self._images = images
        self._stained: dict[int, bool] = {}
        self._stains = StainJitter(augmentation) if augmentation.stain_probability else None

    def __call__(
        self, index: int, pixels: NDArray[np.float32], labels: NDArray[Any], rng: np.random.Generator, *, numbered: bool
    ) -> NDArray[np.float32]:
        """Return the crop with another look.

        Args:
            index: Its image.
            pixels: (C, h, w) in the units of the file.
            labels: (h, w) unsigned or signed, 0 for background, the highest value of the type for what nobody has
                annotated.
            rng: Source of all random numbers.
            numbered: Whether the labels number the objects; if not, each part of the foreground is one.
        """
        options = self._augmentation
        gains = bool(options.object_gain_probability) and rng.random() < options.object_gain_probability
        stains = self._stains if self._stains and self.is_stained(index) else None
        if stains and rng.random() >= options.stain_probability:
            stains = None
        if not gains and stains is None:
            return pixels
        known = np.where(labels == np.iinfo(labels.dtype).max, 0, labels)
        objects = number_objects(known, numbered=numbered)
        if gains:
            pixels = vary_objects(pixels, objects, options.object_gain, rng)
        if stains is not None:
            ends = self._images[index].range
            pixels = stains(pixels, objects, (ends.center, ends.center + ends.scale), rng)
        return pixels

    def is_stained(self, index: int) -> bool:
        """Return whether an image has three channels and a bright background, as stained tissue has."""
        if index not in self._stained:
            sample = self._images[index].sample
            bright = len(sample) == 3 and bool((measure_statistics(sample, AS_INVERTED).scale < 0).all())
            self._stained[index] = bright
        return self._stained[index]
