"""Pixels for the screen: images as people see them, contours and colours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Display = NDArray[np.uint8]
"""Pixels for the screen: (H, W, 3), red, green, blue."""

Colour = tuple[int, int, int]

# Blue and orange can be distinguished with every common form of colour blindness.
TRUTH: Colour = (0, 200, 255)
PREDICTION: Colour = (255, 140, 0)

HATCHED: Colour = (170, 170, 170)
"""Colour of the lines over what nobody has annotated."""

HATCH_DISTANCE, HATCH_WIDTH, HATCH_COVER = 9, 2, 0.45
"""Distance and width of these lines in pixels, along the rows, and how much they cover, 0 to 1."""

CLASS_COLOURS: tuple[Colour, ...] = (
    *((230, 159, 0), (86, 180, 233), (0, 190, 130), (240, 228, 66), (235, 100, 20), (220, 125, 180), (110, 130, 255)),
)
"""Colours of the classes from 1 up, repeated as needed. They suit all forms of colour blindness, after Okabe and Ito
2008 (https://jfly.uni-koeln.de/color/); the dark ones are lighter, for a dark page."""

PAPER, INK, FAINT = "#101418", "#f2f4f6", "#8f9aa5"

CHANNEL_COLOURS = ((0, 1, 0), (1, 0, 1), (0, 0.6, 1), (1, 0.8, 0), (1, 0.2, 0), (1, 1, 1))
"""Red, green and blue shares of the channels where there are 2 or more than 3; the first two are complementary."""

OVERSAMPLING = 4
"""Factor on the size at which lines are drawn before they are averaged."""


def to_display(pixels: NDArray[Any], like: NDArray[Any] | None = None) -> Display:
    """Return pixels for the screen: the range from the 0.5th to the 99.7th percentile becomes 0 to 255.

    Args:
        pixels: (C, H, W), any number type. One channel becomes grey; three are red, green and blue and are stretched
            together, which keeps the colours of a stain; others are stretched by themselves and their colours added up.
        like: (C, h, w) pixels whose percentiles count, so that two pictures can be compared; by default `pixels`.
    """
    like = pixels if like is None else like
    channels, height, width = pixels.shape
    if channels == 1:
        return np.repeat(_stretch(pixels[0], like[0])[..., None], 3, axis=2)
    if channels == 3:
        return np.ascontiguousarray(_stretch(pixels.transpose(1, 2, 0), like.transpose(1, 2, 0)))
    mixed = np.zeros((height, width, 3), np.float32)
    for i, channel in enumerate(pixels):
        shares = np.array(CHANNEL_COLOURS[i % len(CHANNEL_COLOURS)], np.float32)
        mixed += _stretch(channel, like[i])[..., None] * shares
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _stretch(values: NDArray[Any], like: NDArray[Any]) -> NDArray[np.uint8]:
    step = max(int((like.size / 1e6) ** 0.5), 1)  # a million values are enough for percentiles
    low, high = np.percentile(like[::step, ::step], (0.5, 99.7))
    if high <= low:
        low, high = float(like.min()), float(like.max())
    scale = 255 / max(float(high - low), 1e-12)
    scaled = (values.astype(np.float32) - np.float32(low)) * np.float32(scale)
    stretched: NDArray[np.uint8] = np.clip(scaled, 0, 255).round().astype(np.uint8)
    return stretched


def draw_contours(
    display: Display, mask: NDArray[Any], colour: Colour, *, thickness: float = 1.5, outside: bool = False
) -> Display:
    """Return a copy of the image with smooth lines along the outlines of the mask's regions.

    A line along the inner side of one mask and one along the outer side of another stay apart where the masks agree.

    Args:
        display: (H, W, 3).
        mask: (h, w), bool or whole numbers; each number but 0 is outlined by itself. It may have another size than the
            image: it is stretched over it.
        colour: Red, green and blue, 0 to 255.
        thickness: Thickness of the lines, in pixels of the image.
        outside: Draw along the outer side of the outlines, not the inner.
    """
    height, width = display.shape[:2]
    radius = round(thickness * OVERSAMPLING)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    line = np.zeros((height * OVERSAMPLING, width * OVERSAMPLING), np.uint8)
    for number, window, place in _windows(mask, (height * OVERSAMPLING, width * OVERSAMPLING), radius):
        drawn = line[place]
        region = resize_mask(mask[window] == number, *drawn.shape).view(np.uint8)
        drawn |= cv2.dilate(region, disc) - region if outside else region - cv2.erode(region, disc)
    return blend(display, colour, cv2.resize(line * np.float32(1), (width, height), interpolation=cv2.INTER_AREA))


def _windows(
    mask: NDArray[Any], size: tuple[int, int], radius: int
) -> Iterator[tuple[Any, tuple[slice, slice], tuple[slice, slice]]]:
    """Yield each number of a mask but 0, with the part of the mask that is drawn for it and its place in a picture.

    The part surrounds the number if the size of the picture is a multiple of the mask's; else it is the whole mask.

    Args:
        mask: (h, w).
        size: Height and width of the picture.
        radius: Pixels of the picture around the number that are drawn on.
    """
    numbers, places = np.unique(mask, return_inverse=True)
    scales = [large // small for large, small in zip(size, mask.shape, strict=True)]
    whole = all(large == small * scale for large, small, scale in zip(size, mask.shape, scales, strict=True))
    for number, found in zip(numbers, ndimage.find_objects(places.reshape(mask.shape) + 1), strict=True):
        if number == 0 or not whole:
            if number != 0:
                yield number, (slice(None), slice(None)), (slice(None), slice(None))
            continue
        around = [radius // scale + 2 for scale in scales]
        window = [
            slice(max(part.start - more, 0), min(part.stop + more, length))
            for part, more, length in zip(found, around, mask.shape, strict=True)
        ]
        place = [slice(part.start * scale, part.stop * scale) for part, scale in zip(window, scales, strict=True)]
        yield number, (window[0], window[1]), (place[0], place[1])


def class_colour(number: int) -> Colour:
    """Return the colour of a class, from 1 up."""
    return CLASS_COLOURS[(number - 1) % len(CLASS_COLOURS)]


def pale(colour: Colour) -> Colour:
    """Return a colour mixed with white."""
    red, green, blue = ((part + 255) // 2 for part in colour)
    return red, green, blue


def blend(display: Display, colour: Colour, cover: NDArray[Any]) -> Display:
    """Return a copy of the image (H, W, 3) with a colour laid over it, by a cover (H, W) from 0 to 1."""
    share = np.asarray(cover, np.float32)[..., None]
    blended: Display = (display * (1 - share) + np.array(colour, np.float32) * share).round().astype(np.uint8)
    return blended


def hatch(display: Display, region: NDArray[np.bool_]) -> Display:
    """Return a copy of the image (H, W, 3) with thin grey diagonal lines over a region.

    Args:
        display: The image.
        region: (h, w). It may have another size than the image: it is stretched over it.
    """
    height, width = display.shape[:2]
    lines = np.add.outer(np.arange(height), np.arange(width)) % HATCH_DISTANCE < HATCH_WIDTH
    return blend(display, HATCHED, HATCH_COVER * (lines & resize_mask(region, height, width)))


def fit_size(height: int, width: int, box_height: int, box_width: int) -> tuple[int, int]:
    """Return the largest size (height, width) with the image's proportions that fits into a box."""
    scale = min(box_height / height, box_width / width)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def resize(display: Display, height: int, width: int) -> Display:
    """Return the image at another size: averaged where it shrinks, smooth where it grows."""
    shrinks = height < display.shape[0]
    return np.asarray(
        cv2.resize(display, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC), np.uint8
    )


def resize_mask(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """Return the mask at another size, its outline smooth where it grows."""
    shrinks = height < mask.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized: NDArray[np.bool_] = cv2.resize(mask.astype(np.float32), (width, height), interpolation=interpolation) > 0.5
    return resized


def shade(colour: Colour) -> tuple[float, float, float]:
    """Return the colour as matplotlib takes it: parts from 0 to 1."""
    red, green, blue = colour
    return red / 255, green / 255, blue / 255
