"""Transparent layers over an image: what was found in it, at any scale."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from unetkit.drawing.pixels import PREDICTION, Colour, Display, class_colour

Shares = NDArray[np.floating]

LINE_COVER, TINT_COVER = 0.95, 0.3
"""How much a line and a tint hide of what is below, 0 to 1."""

SMALL_DIAMETER = 5.0
"""Objects of a smaller diameter, in pixels of the layer, are tinted: lines around them would run into each other."""

SOFT_COVER = 0.45
"""How much of a line's cover its neighbours get where objects are large enough, so that it is seen on bright pixels."""

SOFT_DIAMETER = 10.0
"""Diameter of such objects, in pixels of the layer."""

ON_COLOURS: Colour = (0, 255, 130)
"""Colour of lines over images that are coloured: over the red and blue of stains, orange is hard to see."""

LEAST_COLOUR = 0.08
"""Mean difference between the largest and the smallest of red, green and blue, as a share, in a coloured image."""

COVER_STEP = 17
"""Covers are multiples of this: the file becomes small, and nobody sees it."""


@dataclass(frozen=True)
class Layer:
    """Pixels over others.

    Attributes:
        colours: (H, W, 3); or one colour for all.
        cover: (H, W) how much each hides of what is below, 0 to 255, in multiples of `COVER_STEP`.
    """

    colours: Display | Colour
    cover: NDArray[np.uint8]


def outline_layer(
    shares: Shares, edges: Shares, shrink: float, *, diameter: float, tinted: bool, colour: Colour = PREDICTION
) -> Layer:
    """Return outlines of what was found; where objects are small, a tint, the stronger the more of a pixel they cover.

    Args:
        shares: (K, H, W) share of each pixel, 0 to 1, that each of K classes covers.
        edges: (H, W) share of each pixel that lies on an edge, as lines of one pixel of the full resolution.
        shrink: How many pixels of the full resolution one of the layer is, along a side.
        diameter: Usual diameter of objects, in pixels of the layer.
        tinted: Whether regions are tinted inside of their outlines.
        colour: Colour where there is one class.
    """
    covered = shares.sum(0)
    if diameter < SMALL_DIAMETER:
        cover = np.where(covered > 0, 0.3, 0) + 0.5 * np.sqrt(np.clip(covered, 0, 1))  # a single object is seen, too
    else:
        cover = LINE_COVER * np.clip(edges * np.float32(shrink), 0, 1)
        if diameter > SOFT_DIAMETER:
            cover = np.maximum(cover, SOFT_COVER * cv2.dilate(cover, np.ones((3, 3), np.uint8)))
        if tinted:
            cover = np.maximum(cover, TINT_COVER * np.clip(covered, 0, 1))
    return _layer(_colours(shares, colour), cover)


def probability_layer(shares: Shares) -> Layer:
    """Return the probabilities (K, H, W) of K classes, 0 to 1, in the colours of these."""
    return _layer(_colours(shares, PREDICTION), 0.65 * np.clip(shares.sum(0), 0, 1))


def map_layer(values: Shares) -> Layer:
    """Return a map (H, W) of values from 0 to 1: dark to bright, and the more opaque the larger they are."""
    steps = np.rint(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(steps, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return _layer(np.asarray(colours, np.uint8), 0.25 + 0.65 * steps.astype(np.float32) / 255)


def line_colour(display: Display) -> Colour:
    """Return the colour of lines that are seen on an image (H, W, 3)."""
    red, green, blue = (display[::3, ::3, i] for i in range(3))  # many times faster than along the last axis
    largest, smallest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    return ON_COLOURS if float((largest - smallest).mean()) > LEAST_COLOUR * 255 else PREDICTION


def _colours(shares: Shares, only: Colour) -> Display | Colour:
    """Return the colour of the only class; or of each pixel (H, W, 3), a mixture of those in and around it."""
    if len(shares) == 1:
        return only
    near = np.stack([cv2.blur(share, (3, 3)) for share in shares])  # edges lie beside what they surround, too
    weights = near / np.maximum(near.sum(0), np.finfo(np.float32).tiny)
    colours = np.array([class_colour(i + 1) for i in range(len(shares))], np.float32)
    mixed: Display = np.rint(np.einsum("khw,kc->hwc", weights, colours)).astype(np.uint8)
    return mixed


def _layer(colours: Display | Colour, cover: Shares) -> Layer:
    steps = np.rint(cover * (255 / COVER_STEP)).astype(np.uint8) * np.uint8(COVER_STEP)
    if isinstance(colours, np.ndarray):
        colours = colours * (steps > 0)[..., None]  # what is not seen should not make the file larger
    return Layer(colours, steps)
