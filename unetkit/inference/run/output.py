"""Bands of an item to the sink of its output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from unetkit.inference.run.recipe import Recipe
from unetkit.inference.tiling.grid import TileBlock
from unetkit.io.base.blocks import written_in_blocks
from unetkit.io.base.contracts import ImageSink, Window
from unetkit.io.views.aligned import AlignedBlocks


def places_of(blocks: Sequence[TileBlock]) -> Iterator[tuple[int, Window]]:
    """Yield the item and the window of each band of some blocks, in the order in which they are predicted."""
    for block in blocks:
        for span in block.bands:
            yield block.item, (span.kept, *block.window[1:])


def are_whole(recipe: Recipe) -> bool:
    """Return whether each band is as wide as its item, so that bands follow each other without a gap."""
    whole = tuple(slice(0, length) for length in recipe.info.size[1:])
    return all(block.window[1:] == whole for block in recipe.blocks)


def write_bands(sink: ImageSink, path: Path, recipe: Recipe, bands: Iterable[NDArray[Any]]) -> None:
    """Write the bands (channels, ...) of an image, in the order in which they are predicted.

    Args:
        sink: The sink of the output.
        path: The output.
        recipe: The decisions about the image.
        bands: All of them.

    Raises:
        OutputError: The output cannot be written.
    """
    if are_whole(recipe):
        return sink.write(bands)
    with written_in_blocks(sink):
        places = places_of(recipe.blocks)
        if set(sink.block) == {1}:
            for (item, window), band in zip(places, bands, strict=True):
                sink.write_block(item, window, band)
            return None
        with closing(AlignedBlocks(sink, path, recipe.output)) as blocks:
            for (item, window), band in zip(places, bands, strict=True):
                blocks.put(item, window, band)
            blocks.hand_on()
    return None
