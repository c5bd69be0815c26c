"""Augmentation of stained tissue in the space of its stains: strengths that vary, and brown where there was none."""

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

PATCHES = (24, 96)
"""Least and most pixels between the points from one to the next of which a brown stain becomes stronger or weaker."""

GRAIN = (2, 6)
"""The same for the fine texture of a brown stain."""

LEAST_LIGHT = 1 / 255
"""Least share of the light that a pixel lets through: less counts as this."""

DARKEST_PERCENT = 0.5
"""Percentile of a crop that counts as its darkest."""


class StainOptions(Protocol):
    """The parameters of `Augmentation` for stains."""

    @property
    def stain(self) -> float:
        """Largest change of the strength of each stain, up or down, as a share."""

    @property
    def stain_shift(self) -> float:
        """Largest amount of each stain that is added or taken away everywhere."""

    @property
    def brown(self) -> float:
        """Share of the crops that are shown as immunohistochemistry."""


class StainJitter:
    """Varies the stains of an RGB crop in transmitted light; its result depends on its arguments only.

    The optical density of each pixel is divided into the amounts of hematoxylin, eosin and DAB (Ruifrok and Johnston
    2001, Anal Quant Cytol Histol 23, 291-299), as `StainSource` does it. Each amount is multiplied and shifted at
    random (Tellez et al. 2018, IEEE Trans Med Imaging 37, 2126-2136), and the crop is put together again. Some crops
    become immunohistochemistry before: DAB takes the place of eosin, surrounds the objects, or is inside some of them.

    Args:
        options: How much to vary.
    """

    def __init__(self, options: StainOptions) -> None:
        from skimage.color import hed_from_rgb, rgb_from_hed  # here, since most images need no such thing

        self._options = options
        self._to_amounts = np.ascontiguousarray(hed_from_rgb.T, np.float32)
        self._to_density = np.ascontiguousarray(rgb_from_hed.T, np.float32)

    def __call__(
        self,
        pixels: NDArray[np.float32],
        objects: NDArray[Any],
        ends: tuple[NDArray[np.float32], NDArray[np.float32]],
        rng: np.random.Generator,
    ) -> NDArray[np.float32]:
        """Return a crop with other stains.

        What becomes darker than the image was is brought back into its range, as the normaliser would do with such an
        image.

        Args:
            pixels: (3, h, w) in the units of the file, 0 for no light.
            objects: (h, w) number of the object of each pixel, 0 for none.
            ends: The darkest and the brightest value of the image, (3,); the brightest is glass without tissue.
            rng: Source of all random numbers.
        """
        dark, white = (np.ascontiguousarray(end, np.float32)[:, None] for end in ends)
        light = np.maximum(pixels.reshape(3, -1) / white, LEAST_LIGHT)
        amounts = self._to_amounts @ (np.log(light) * np.float32(-1 / np.log(10)))
        if rng.random() < self._options.brown:
            amounts = _show_brown(np.maximum(amounts, 0).reshape(pixels.shape), objects, rng).reshape(3, -1)
        share, shift = self._options.stain, self._options.stain_shift
        amounts *= rng.uniform(1 - share, 1 + share, (3, 1)).astype(np.float32)
        amounts += rng.uniform(-shift, shift, (3, 1)).astype(np.float32)
        density = np.maximum(self._to_density @ amounts, 0)
        varied = np.exp(density * np.float32(-np.log(10))) * white
        darkest = np.percentile(varied[:, ::7], DARKEST_PERCENT, axis=1).astype(np.float32)[:, None]
        squeeze = np.minimum(1, ((white - dark) / np.maximum(white - darkest, 1e-6)).min())
        result: NDArray[np.float32] = (white - (white - varied) * squeeze).reshape(pixels.shape)
        return result


def _show_brown(amounts: NDArray[np.float32], objects: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the amounts (3, h, w) of hematoxylin, eosin and DAB of a crop as immunohistochemistry.

    Its counterstain is hematoxylin alone, so that little is left of eosin. The ranges are those of scikit-image's
    `immunohistochemistry`, made wider.
    """
    blue, red, _ = amounts
    kind = rng.integers(3)
    if kind == 0:  # in place of eosin
        brown = red * rng.uniform(1.0, 3.0)
        blue = blue * rng.uniform(0.4, 1.0)
    elif kind == 1:  # around the objects: what lies in them is seen through little of it
        inside = cv2.GaussianBlur((objects > 0).astype(np.float32), (0, 0), 1.0)
        patches = np.clip(_smooth_noise(objects.shape, PATCHES, rng) + rng.uniform(-0.5, 1.5), 0, 1)
        grain = np.exp(rng.uniform(0.0, 0.3) * _smooth_noise(objects.shape, GRAIN, rng))
        brown = rng.uniform(0.2, 1.2) * patches * (1 - inside * rng.uniform(0.4, 1.0)) * grain
        blue = blue * rng.uniform(0.3, 0.9)
    else:  # inside some of the objects
        chosen = rng.random(int(objects.max()) + 1) < rng.uniform(0.2, 1.0)
        chosen[0] = False
        share = cv2.GaussianBlur(chosen[objects].astype(np.float32), (0, 0), 1.0) * rng.uniform(0.6, 1.0)
        brown = share * (blue + red) * rng.uniform(0.6, 1.5)
        blue = blue * (1 - share) * rng.uniform(0.4, 1.0)
    return np.stack([blue, red * rng.uniform(0.0, 0.3), brown]).astype(np.float32)


def _smooth_noise(size: tuple[int, ...], bounds: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw normal noise (h, w) at points with a distance within bounds, in pixels, and cubic interpolation between."""
    distance = int(rng.integers(bounds[0], bounds[1] + 1))
    rows, columns = (length // distance + 3 for length in size)
    coarse = rng.standard_normal((rows, columns), np.float32)
    full = cv2.resize(coarse, (columns * distance, rows * distance), interpolation=cv2.INTER_CUBIC)
    inside = full[distance : distance + size[0], distance : distance + size[1]]  # away from the ends of the cubics
    return np.asarray(inside, np.float32)
