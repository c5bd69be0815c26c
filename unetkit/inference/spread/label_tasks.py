"""What workers do for the labels of an image that is spread. It is imported only for labels, which need OpenCV."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.inference.run.labelling import method_of, write_objects
from unetkit.inference.run.objects import kept_rows
from unetkit.inference.run.recipe import Recipe, make_recipe
from unetkit.inference.run.zoom import with_zoom
from unetkit.inference.spread.aside import Aside
from unetkit.inference.spread.session import Session, opened, station
from unetkit.inference.spread.tasks import Spread, placed_sink
from unetkit.io.base.contracts import OutputSpec, Window
from unetkit.io.files import create_sink
from unetkit.io.views.regrid import unzoomed
from unetkit.objects.summary import Summary
from unetkit.postprocess.block_faces import BlockFaces
from unetkit.postprocess.blocks import draw_block, find_block, margin_window
from unetkit.postprocess.joined import Joined, Numbered

LABELS = "labels"
"""The layer of blocks of labels that wait for their file."""

CONFIDENCES = "confidences"
"""The name under which the confidences of all objects wait."""


@dataclass(frozen=True)
class Part:
    """A block of labels.

    Attributes:
        item: Number of the item.
        number: Number of the block in its item.
        window: Where it lies.
        parts: The blocks of the mask that it is made of.
    """

    item: int
    number: int
    window: Window
    parts: tuple[Window, ...]


@dataclass(frozen=True)
class Written:
    """What was written of objects.

    Attributes:
        places: Where each file goes that was written.
        summary: What the objects amount to, where they are measured.
        said: What was logged.
    """

    places: dict[Path, Path]
    summary: Summary | None
    said: tuple[str, ...]


def find(session: Session, spread: Spread, part: Part) -> None:
    """Find the objects of a block, as far as the block alone tells."""
    recipe = _recipe(session, spread)
    faces = find_block(
        _read(spread, part, recipe), part.window, recipe.info.size, method_of(recipe), classes=recipe.ensemble.classes
    )
    spread.folder.put_bytes(faces_name(part), faces.to_bytes())


def faces_name(part: Part) -> str:
    """Return the name under which waits what `find` has found."""
    return _name("faces", part.item, part.number)


def number(session: Session, spread: Spread, windows: Sequence[Window]) -> tuple[int, ...]:
    """Join and number the objects of all blocks.

    Args:
        session: The run.
        spread: The image.
        windows: The blocks of labels of each item, in raster order.

    Returns:
        The last number of each class.
    """
    recipe = _recipe(session, spread)
    joined = Joined(method_of(recipe), classes=recipe.ensemble.classes, smallest=recipe.smallest)
    places = [(item, i, window) for item in range(recipe.info.planes) for i, window in enumerate(windows)]
    for item, i, window in places:
        faces = BlockFaces.from_bytes(spread.folder.read_bytes(_name("faces", item, i)))
        joined.add(window, recipe.info.size, faces)
    for (item, i, _), numbers in zip(places, joined.numbers(), strict=True):
        spread.folder.put_bytes(_name("numbers", item, i), numbers.tobytes())
    numbered = joined.numbered
    if numbered.confidences is not None:
        spread.folder.put_bytes(CONFIDENCES, numbered.confidences.tobytes())
    return numbered.last


def draw(session: Session, spread: Spread, part: Part, dtype: np.dtype[Any], waits: bool) -> None:
    """Draw the numbers of the objects of a block.

    Args:
        session: The run.
        spread: The image; its output is written in place, if that can be.
        part: The block.
        dtype: Type of the labels.
        waits: Whether the block is kept for a file that is written in order.
    """
    recipe = _recipe(session, spread)
    numbers = np.frombuffer(spread.folder.read_bytes(_name("numbers", part.item, part.number)), np.uint32)
    labels = draw_block(
        _read(spread, part, recipe),
        part.window,
        recipe.info.size,
        method_of(recipe),
        numbers,
        dtype,
        classes=recipe.ensemble.classes,
    )
    if spread.output is not None:
        placed_sink(session, spread).write_block(part.item, part.window, labels)
    if waits:
        spread.folder.put(part.item, part.window, labels, LABELS)


def write(session: Session, spread: Spread, output: OutputSpec, last: tuple[int, ...]) -> Written:
    """Write labels in order, and the files of their objects, into a folder of their own.

    Args:
        session: The run.
        spread: The image.
        output: The labels.
        last: See `number`.
    """
    recipe, job, said = _recipe(session, spread), spread.job, list[str]()
    confidences = None
    if recipe.min_confidence is not None:
        confidences = np.frombuffer(spread.folder.read_bytes(CONFIDENCES), np.float32)
    aside = Aside.make(spread.folder.path, job)
    rows = spread.folder.rows(replace(output, size=recipe.info.size), layer=LABELS)
    if recipe.back is not None:
        rows = recipe.back.rows(rows, recipe.info.planes)
    with aside.named():
        files = _writer(spread, aside.inside.result, recipe, output)
        summary = write_objects(aside.inside, Numbered(last, confidences), rows, recipe, files, said.append)
    return Written(aside.places, summary, tuple(map(aside.named_in, said)))


def _writer(
    spread: Spread, result: Path, recipe: Recipe, output: OutputSpec
) -> Callable[[Iterator[NDArray[Any]]], None]:
    """Return what takes the rows of labels: their file, or a comparison with the one that is there."""
    if spread.output is not None:  # they are written in place
        return lambda rows: deque(rows, maxlen=0).clear()
    if spread.job.is_kept:
        return lambda rows: deque(kept_rows(spread.job.result, rows, recipe.output), maxlen=0).clear()
    return create_sink(result, output).write


def _read(spread: Spread, part: Part, recipe: Recipe) -> NDArray[Any]:
    """Return the pixels of a block and of what decides on its objects around it."""
    window = margin_window(part.window, recipe.info.size, method_of(recipe))
    return spread.folder.read(part.item, window, part.parts)


def _recipe(session: Session, spread: Spread) -> Recipe:
    stored, seen = (opened(session, spread.job.image, zoom).info for zoom in (1.0, spread.zoom))
    back = None if spread.zoom == 1 else unzoomed(seen, stored)
    options = with_zoom(session.options, spread.zoom)
    return make_recipe(options, station(session).run.ensemble, seen, session.plan, back=back)


def _name(kind: str, item: int, number: int) -> str:
    return f"{kind}-{item}-{number}"
