"""What an earlier run left beside an output: blocks of a run on a cluster, or rows of tiles of one without.

Blocks are gone on with by a cluster alone. Rows of tiles become blocks, and a cluster goes on with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from unetkit.foundation.atomic import unfinished_file
from unetkit.inference.run.jobs import Job
from unetkit.inference.run.recipe import Recipe
from unetkit.inference.spread.blocks import BlockPlace, Blocks
from unetkit.inference.spread.session import Session
from unetkit.inference.spread.tasks import keep
from unetkit.inference.spread.writing import Writing
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
        for place in _whole(store, blocks):
            if place.name not in writing.finished:
                keep(session, writing.spread, place, blocks.window(place), _pixels(store, blocks, place))
                writing.adopt(place)
    finally:
        store.close()
    store.remove()


def _whole(store: BandStore, blocks: Blocks) -> Iterator[BlockPlace]:
    """Yield the blocks of which all rows of tiles are there."""
    for item in range(blocks.items):
        for place in blocks.of_item(item):
            if _rows(blocks, place)[-1] < len(store):
                yield place


def _rows(blocks: Blocks, place: BlockPlace) -> Sequence[int]:
    """Return the numbers of the rows of tiles of a block, in all items."""
    first = place.item * len(blocks.grid.bands)
    return range(first + place.tiles[0][0], first + place.tiles[0][1])


def _pixels(store: BandStore, blocks: Blocks, place: BlockPlace) -> np.ndarray:
    """Return the pixels of a block (channels, ...)."""
    beside = blocks.window(place)[1:]
    return np.concatenate([store[row][:, :, *beside] for row in _rows(blocks, place)], axis=1)
