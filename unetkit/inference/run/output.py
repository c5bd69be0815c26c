"""Bands of an item to the sink of its output."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.inference.run.recipe import Recipe
from unetkit.inference.tiling.grid import TileBlock
from unetkit.io.base.blocks import written_in_blocks
from unetkit.io.base.contracts import ImageSink, Window
from unetkit.io.views.aligned import AlignedBlocks
from unetkit.io.views.band_source import BandSource
from unetkit.io.views.regrid import RegridSource

INTERPOLATED = ("probabilities", "uncertainty", "restored")
"""Outputs that are interpolated where they are put back to the pixels of the image; others take the nearest pixel."""

JOINED_BYTES = 2**27
"""Most bytes of bands that are put side by side, unless a single plane has more."""


def places_of(blocks: Sequence[TileBlock]) -> Iterator[tuple[int, Window]]:
    """Yield the item and the window of each band of some blocks, in the order in which they are predicted."""
    for block in blocks:
        for span in block.bands:
            yield block.item, (span.kept, *block.window[1:])


def are_whole(recipe: Recipe) -> bool:
    """Return whether each band is as wide as its item, so that bands follow each other without a gap."""
    whole = tuple(slice(0, length) for length in recipe.info.size[1:])
    return all(block.window[1:] == whole for block in recipe.blocks)


def write_bands(
    sink: ImageSink, path: Path, recipe: Recipe, bands: Iterable[NDArray[Any]], kept: Sequence[NDArray[Any]] = ()
) -> None:
    """Write the bands (channels, ...) of an image, in the order in which they are predicted.

    Args:
        sink: The sink of the output.
        path: The output.
        recipe: The decisions about the image.
        bands: All of them.
        kept: The same bands, each there as soon as it was taken; needed for those that are interpolated.

    Raises:
        OutputError: The output cannot be written.
    """
    placed = put_back(recipe, bands, kept)
    if are_whole(recipe):
        return sink.write(band for _, _, band in placed)
    with written_in_blocks(sink):
        if set(sink.block) == {1}:
            for item, window, band in placed:
                sink.write_block(item, window, band)
            return None
        with closing(AlignedBlocks(sink, path, recipe.output)) as blocks:
            for item, window, band in placed:
                blocks.put(item, window, band)
            blocks.hand_on()
    return None


def put_back(
    recipe: Recipe, bands: Iterable[NDArray[Any]], kept: Sequence[NDArray[Any]]
) -> Iterator[tuple[int, Window, NDArray[Any]]]:
    """Yield item, window and pixels of bands in the pixels of the output.

    Classes are put back by the nearest pixel, as they come. What has a fraction is interpolated between bands, so all
    have to be there first.

    Args:
        recipe: The decisions about the image.
        bands: See `write_bands`.
        kept: See `write_bands`.
    """
    places, back = list(places_of(recipe.blocks)), recipe.back
    if back is None:
        for (item, window), band in zip(places, bands, strict=True):
            yield item, window, band
            del band  # before the next is made
    elif recipe.options.write.output in INTERPOLATED:
        deque(bands, maxlen=0)
        source = RegridSource(BandSource(recipe.info, places, kept), back)
        value = recipe.output.channels * recipe.output.dtype.itemsize
        for item, window in places:
            for part in back.parts(window, value):
                yield item, part, source.read(item, part)
    else:
        yield from back.bands(places, bands)


class WholeBands:
    """The bands of an item put side by side where they are not as wide as the item; they can be read again and again.

    In memory are at most `JOINED_BYTES` of them, or one plane.

    Args:
        bands: All bands (channels, ...), in the order in which they are predicted.
        recipe: The decisions about the image.
    """

    def __init__(self, bands: Sequence[NDArray[Any]], recipe: Recipe) -> None:
        self._bands = bands
        self._recipe = recipe

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield bands (channels, n, ...) that are as wide as the item."""
        if are_whole(self._recipe):
            yield from self._bands
            return
        beside = groupby(enumerate(places_of(self._recipe.blocks)), key=lambda one: (one[1][0], one[1][1][0].start))
        for _, group in beside:
            yield from self._join([(number, window) for number, (_, window) in group])

    def _join(self, group: list[tuple[int, Window]]) -> Iterator[NDArray[Any]]:
        first, across = self._bands[group[0][0]], self._recipe.info.size[1:]
        step = max(JOINED_BYTES // (len(first) * prod(across) * first.itemsize), 1)
        for start in range(0, first.shape[1], step):
            part = slice(start, min(start + step, first.shape[1]))
            joined = np.empty((len(first), part.stop - part.start, *across), first.dtype)
            for number, (_, *window) in group:
                joined[:, :, *window] = self._bands[number][:, part]
            yield joined
            del joined  # before the next is made
