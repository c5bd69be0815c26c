"""Transparent layers over an image: what was found in it, at any scale."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from unetkit.drawing.pixels import PREDICTION, class_colour

Layer = NDArray[np.uint8]
"""Pixels over others: (H, W, 4), red, green, blue and cover, 0 to 255."""

Shares = NDArray[np.floating]

LINE_COVER, TINT_COVER = 0.95, 0.3
"""How much a line and a tint hide of what is below, 0 to 1."""

SMALL_DIAMETER = 5.0
"""Objects of a smaller diameter, in pixels of the layer, are tinted: lines around them would run into each other."""

COVER_STEPS = 17
"""Covers are multiples of this: the file becomes small, and nobody sees it."""


def outline_layer(shares: Shares, edges: Shares, shrink: float, *, small: bool, tinted: bool) -> Layer:
    """Return outlines of what was found; where objects are small, a tint, the stronger the more of a pixel they cover.

    Args:
        shares: (K, H, W) share of each pixel, 0 to 1, that each of K classes covers.
        edges: (H, W) share of each pixel that lies on an edge, as lines of one pixel of the full resolution.
        shrink: How many pixels of the full resolution one of the layer is, along a side.
        small: Whether objects are small at this scale.
        tinted: Whether regions are tinted inside of their outlines.
    """
    covered = shares.sum(0)
    if small:
        cover = 0.8 * np.sqrt(np.clip(covered, 0, 1))  # the root: a single object in a pixel is seen, too
    else:
        cover = LINE_COVER * np.clip(edges * np.float32(shrink), 0, 1)
        if tinted:
            cover = np.maximum(cover, TINT_COVER * np.clip(covered, 0, 1))
    return _layer(_colours(shares), cover)


def probability_layer(shares: Shares) -> Layer:
    """Return the probabilities (K, H, W) of K classes, 0 to 1, in the colours of these."""
    return _layer(_colours(shares), 0.65 * np.clip(shares.sum(0), 0, 1))


def map_layer(values: Shares) -> Layer:
    """Return a map (H, W) of values from 0 to 1: dark to bright, and the more opaque the larger they are."""
    steps = np.rint(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(steps, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return _layer(colours.astype(np.float32), 0.25 + 0.65 * steps.astype(np.float32) / 255)


def _colours(shares: Shares) -> Shares:
    """Return a colour (H, W, 3) for each pixel: that of the only class, or a mixture of those in and around it."""
    if len(shares) == 1:
        return np.broadcast_to(np.array(PREDICTION, np.float32), (*shares.shape[1:], 3))
    near = np.stack([cv2.blur(share, (3, 3)) for share in shares])  # edges lie beside what they surround, too
    weights = near / np.maximum(near.sum(0), np.finfo(np.float32).tiny)
    colours = np.array([class_colour(i + 1) for i in range(len(shares))], np.float32)
    mixed: Shares = np.einsum("khw,kc->hwc", weights, colours)
    return mixed


def _layer(colours: Shares, cover: Shares) -> Layer:
    steps = np.rint(cover * (255 / COVER_STEPS)).astype(np.uint8) * np.uint8(COVER_STEPS)
    layer = np.dstack([np.rint(colours).astype(np.uint8), steps])
    layer[steps == 0] = 0  # what is not seen should not make the file larger
    return layer
