"""How the output of a large image is begun, or gone on with: its blocks, where they wait, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unetkit.inference.run.jobs import Job
from unetkit.inference.run.recipe import Recipe
from unetkit.inference.run.unfinished import starts_anew
from unetkit.inference.spread.blocks import Blocks, cut_blocks
from unetkit.inference.spread.leftovers import adopt_rows
from unetkit.inference.spread.session import Session
from unetkit.inference.spread.tasks import Spread
from unetkit.inference.spread.writing import PlacedWriting, Writing
from unetkit.io.base.blocks import is_shared
from unetkit.io.files import create_sink
from unetkit.io.writing.block_folder import BlockFolder


def open_output(
    session: Session, job: Job, recipe: Recipe, pixels: int, log: Callable[[str], None]
) -> tuple[Blocks, Writing]:
    """Begin the output of an image, or go on with what an earlier run left.

    Args:
        session: The run.
        job: The image.
        recipe: The decisions about it.
        pixels: Pixels of a block; those of an earlier run count.
        log: Called with sentences for people.

    Raises:
        OutputError: What is left is of another job, or nothing can be written.
    """
    blocks, folder = _open(job, recipe, pixels)
    writing = _writing(session, job, recipe, blocks, folder, log)
    if writing.finished:
        log(
            f"{folder.path} holds {len(writing.finished)} of {len(blocks)} blocks: going on from there. Parts of them "
            "that were skipped or could not be decoded are not listed again."
        )
    try:
        adopt_rows(session, job, recipe, blocks, writing, log)
    except BaseException:  # whatever it is, nothing that is useless must be left
        writing.stop(useful=True)
        raise
    return blocks, writing


def _open(job: Job, recipe: Recipe, pixels: int) -> tuple[Blocks, BlockFolder]:
    """Return the blocks of an image, and the folder in which they wait, which an earlier run may have begun."""
    plan, anew = recipe.plan, starts_anew(recipe.options.write)
    assert recipe.grid is not None
    assert plan is not None
    before = None if anew else BlockFolder.job_of(job.result)
    pixels = pixels if before is None else int(before.get("block", pixels))
    blocks = cut_blocks(recipe.grid, recipe.info.planes, pixels, plan.batch, recipe.info.block)
    stored = recipe.job | {"block": pixels} | _of_objects(recipe)
    folder = BlockFolder.create(job.result, stored) if anew else BlockFolder.resume(job.result, stored)
    return blocks, folder


def _of_objects(recipe: Recipe) -> dict[str, Any]:
    """Return what decides on the objects that are found block by block."""
    if recipe.options.write.output != "labels":
        return {}
    kept = {"min_size": recipe.min_size, "min_confidence": recipe.min_confidence}
    return {"split": recipe.options.write.split, "close": recipe.options.write.close, **kept}


def _writing(
    session: Session, job: Job, recipe: Recipe, blocks: Blocks, folder: BlockFolder, log: Callable[[str], None]
) -> Writing:
    """Return how the blocks of an image become its output."""
    waiting = Spread(job, folder, zoom=recipe.zoom)
    if recipe.options.write.output == "labels":
        from unetkit.inference.spread.label_writing import LabelWriting  # here, since only labels need OpenCV

        return LabelWriting(session, waiting, blocks, recipe, log)
    sink = create_sink(job.result, recipe.output, overwrite=True)  # whether it may be was checked
    if not is_shared(sink):
        return Writing(session, waiting, blocks, recipe.output)
    if not folder.notes():
        sink.begin()
    elif not sink.resume():  # what was written in place is gone
        folder = BlockFolder.create(job.result, folder.job)
    placed = Spread(job, folder, recipe.output, tuple(blocks.starts), recipe.zoom)
    return PlacedWriting(session, placed, blocks, recipe.output, sink)
