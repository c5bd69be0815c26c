"""Whether labels lie on an image: same planes, and the same size in pixels or in micrometres."""

from __future__ import annotations

from unetkit.foundation.errors import DataError
from unetkit.io.base.contracts import ImageInfo

LARGEST_DIFFERENCE = 1.5
"""Largest difference between the sizes in micrometres, in pixels of the coarser one: sizes were rounded."""


def check_fit(image: ImageInfo, labels: ImageInfo) -> None:
    """Check that labels lie on an image.

    Args:
        image: The image.
        labels: Mask, labels or probabilities.

    Raises:
        DataError: They have other planes or another size.
    """
    if image.planes != labels.planes:
        words = [f"{one.planes} plane{'s' if one.planes > 1 else ''} (axes {one.axes})" for one in (labels, image)]
        raise DataError(
            f"{labels.name} has {words[0]}, but {image.name} has {words[1]}.",
            "Give what was made of this image, with all its planes; or say with --axes what the dimensions of the "
            "image are.",
        )
    if image.size == labels.size or _same_extent(image, labels):
        return
    known = image.pixel_size_um is not None and labels.pixel_size_um is not None
    raise DataError(
        f"{labels.name} has {_describe(labels)}, but {image.name} has {_describe(image)}.",
        "Give what was made of this image"
        + ("." if known else ", of the same size in pixels; another resolution needs the pixel size in both files.")
        + " What was made of a part of it is shown with the same --region.",
    )


def _same_extent(image: ImageInfo, labels: ImageInfo) -> bool:
    """Return whether both are as high and as wide, in micrometres."""
    if image.pixel_size_um is None or labels.pixel_size_um is None:
        return False
    sides = zip(image.size, image.pixel_size_um, labels.size, labels.pixel_size_um, strict=True)
    return all(
        abs(length * size - other * other_size) <= LARGEST_DIFFERENCE * max(size, other_size)
        for length, size, other, other_size in sides
    )


def _describe(info: ImageInfo) -> str:
    """Write the size of an image.

    >>> from unetkit.io.base.arrays import ArraySource
    >>> import numpy as np
    >>> _describe(ArraySource(np.zeros((8, 9)), "YX").info)
    '8 x 9 pixels'
    """
    pixels = f"{info.height} x {info.width} pixels"
    if info.pixel_size_um is None:
        return pixels
    height, width = (length * size for length, size in zip(info.size, info.pixel_size_um, strict=True))
    return f"{pixels} ({height:.4g} x {width:.4g} µm)"
