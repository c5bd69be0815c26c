"""A view of stained tissue as the amount of one stain; with hematoxylin, nuclei are bright."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.io.base.contracts import BadTile, ImageInfo, ImageSource, Window
from unetkit.io.base.read_options import Stain

LEAST_LIGHT = 1e-6
"""Least share of the light: less counts as this, as in scikit-image."""

COLOR_AXES = "CS"


class StainSource:
    """An RGB image in transmitted light as one grey channel: the optical density of a stain, 0 where there is none.

    Colour deconvolution of Ruifrok and Johnston 2001 (Anal Quant Cytol Histol 23, 291-299) with their vectors of
    hematoxylin, eosin and DAB; equal to six times scikit-image's `rgb2hed`, which takes logarithms to the base 1e-6.
    White, the largest value of the pixels' type, is no stain, and neither is pure black: it lies outside the scan of a
    slide, or could not be decoded. Each pixel is computed by itself.

    Args:
        source: The image; closed with this one.
        stain: Which stain.

    Attributes:
        info: The image as it is interpreted: one channel of float32.

    Raises:
        ImageError: The image is not RGB with 8 or 16 bits.
    """

    def __init__(self, source: ImageSource, stain: Stain) -> None:
        from skimage.color import hed_from_rgb  # here, since most images need no such thing

        info = source.info
        if info.channels != 3 or info.dtype.kind != "u" or info.dtype.itemsize > 2:
            raise ImageError(
                f"{info.name} has {info.channels} channel{'s' * (info.channels > 1)} of {info.dtype}: a stain can be "
                "told apart only in RGB images of uint8 or uint16.",
                "Leave --stain out, or choose three channels (--channels).",
            )
        self._source = source
        largest = np.iinfo(info.dtype).max
        density = -np.log10(np.maximum(np.arange(largest + 1) / largest, LEAST_LIGHT))
        column = hed_from_rgb[:, get_args(Stain).index(stain)]
        self._tables = [(density * share).astype(np.float32) for share in column]
        self.info = _as_grey(info, stain)

    @property
    def bad_tiles(self) -> list[BadTile]:
        """What could not be decoded so far."""
        return self._source.bad_tiles

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (1, h, w) of one plane."""
        red, green, blue = self._source.read(item, window)
        amount: NDArray[np.float32] = self._tables[0][red]
        amount += self._tables[1][green]
        amount += self._tables[2][blue]
        amount[(amount < 0) | ((red | green | blue) == 0)] = 0
        return amount[None]

    def close(self) -> None:
        """Close the image."""
        self._source.close()


def _as_grey(info: ImageInfo, stain: Stain) -> ImageInfo:
    """Return the description of the same image with one channel of float32."""
    kept = [(axis, size) for axis, size in zip(info.axes, info.shape, strict=True) if axis not in COLOR_AXES]
    return replace(
        info,
        nodata=None,
        colours=None,
        axes="".join(axis for axis, _ in kept),
        shape=tuple(size for _, size in kept),
        dtype=np.dtype(np.float32),
        channels=1,
        alpha=False,
        channel_names=(stain,),
    )
