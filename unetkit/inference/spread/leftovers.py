"""What an earlier run left beside an output: blocks of a run on a cluster, or rows of tiles of one without.

Blocks are gone on with by a cluster alone. Rows of tiles become blocks, and a cluster goes on with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.atomic import unfinished_file
from unetkit.inference.run.jobs import Job
from unetkit.inference.run.output import places_of
from unetkit.inference.run.recipe import Recipe
from unetkit.inference.spread.blocks import Blocks
from unetkit.inference.spread.session import Session
from unetkit.inference.spread.tasks import keep
from unetkit.inference.spread.writing import Writing
from unetkit.io.base.contracts import Window
from unetkit.io.base.windows import common, inside, overlap, sizes_of
from unetkit.io.writing.block_folder import BlockFolder
from unetkit.io.writing.resume_store import BandStore, read_job


def are_left(job: Job) -> bool:
    """Whether an earlier run left finished parts of an output."""
    return BlockFolder.is_begun(job.result) or unfinished_file(job.result).exists()


def remove_left(job: Job, log: Callable[[str], None]) -> None:
    """Remove what an earlier run left, as the user has said."""
    for path in (BlockFolder.place(job.result), unfinished_file(job.result)):
        if path.exists():
            log(f"{path}, which an earlier run left, is replaced, as --overwrite says.")
    unfinished_file(job.result).unlink(missing_ok=True)
    BlockFolder(BlockFolder.place(job.result), {}).remove()


def adopt_rows(
    session: Session, job: Job, recipe: Recipe, blocks: Blocks, writing: Writing, log: Callable[[str], None]
) -> None:
    """Make blocks of the rows of tiles that a run without a cluster left, and delete these.

    Args:
        session: The run.
        job: The image.
        recipe: The decisions about it.
        blocks: Its blocks.
        writing: Its output.
        log: Called with sentences for people.

    Raises:
        OutputError: They are of another job, or cannot be read; or a block cannot be written.
    """
    path = unfinished_file(job.result)
    if not path.exists():
        return
    if read_job(path) is None:
        log(f"{path}, which an earlier run left, holds nothing that can be read, and is replaced.")
        path.unlink()
        return
    store = BandStore.resume(path, recipe.job)
    if len(store):
        log(f"{path} holds finished rows of tiles of a run without a cluster: going on from there.")
    try:
        bands = [*places_of(recipe.blocks)][: len(store)]
        for place in (place for item in range(blocks.items) for place in blocks.of_item(item)):
            window = blocks.window(place)
            pixels = None if place.name in writing.finished else _pixels(store, bands, place.item, window)
            if pixels is not None:
                keep(session, writing.spread, place, window, pixels)
                writing.adopt(place)
    finally:
        store.close()
    store.remove()


def _pixels(store: BandStore, bands: Sequence[tuple[int, Window]], item: int, window: Window) -> NDArray[Any] | None:
    """Return the pixels of a block (channels, ...) of the bands that are there; None if not all of it is."""
    there = [number for number, (of, band) in enumerate(bands) if of == item and overlap(band, window)]
    if sum(prod(sizes_of(common(bands[number][1], window))) for number in there) < prod(sizes_of(window)):
        return None
    pixels: NDArray[Any] | None = None
    for number in there:
        band, place = store[number], bands[number][1]
        if pixels is None:
            pixels = np.empty((len(band), *sizes_of(window)), band.dtype)
        part = common(place, window)
        pixels[:, *inside(part, window)] = band[:, *inside(part, place)]
    return pixels
