"""What workers do for a run of `segment`. Each function is a task: it may be done twice, at the same time too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.cluster.kept import device, kept
from unetkit.inference.checks.seams import Seams
from unetkit.inference.checks.uncertain_fields import Field, find_field
from unetkit.inference.run.jobs import Job
from unetkit.inference.run.outcome import SegmentOutcome
from unetkit.inference.run.predictor import PlaneFacts
from unetkit.inference.spread.aside import Aside
from unetkit.inference.spread.blocks import BlockPlace
from unetkit.inference.spread.session import WHOLE_OUTPUTS, Session, opened, station
from unetkit.inference.tiling.grid import Tile
from unetkit.io.base.blocks import is_shared
from unetkit.io.base.cells import Cells
from unetkit.io.base.contracts import BadTile, ImageInfo, OutputSpec, SharedSink, Window
from unetkit.io.base.windows import inside, sizes_of
from unetkit.io.files import create_sink
from unetkit.io.views.neighbours import planes_around
from unetkit.io.views.regrid import Regrid
from unetkit.io.writing.block_folder import BlockFolder
from unetkit.models.sampling import Holes


@dataclass(frozen=True)
class Whole:
    """An image that one worker has segmented.

    Attributes:
        outcome: What was done with it.
        said: What was logged.
        places: Where each file goes that was written.
    """

    outcome: SegmentOutcome
    said: tuple[str, ...]
    places: dict[Path, Path]

    @property
    def pixels(self) -> int:
        """Pixels that were segmented."""
        return self.outcome.pixels


@dataclass(frozen=True)
class Large:
    """An image that is to be spread over workers.

    Attributes:
        info: The image as it is interpreted.
        image_classes: Probability of each class of the whole image, if the models classify it.
        remarks: What was noticed about it.
        zoom: Pixels that the models see, along each axis, for one of the image.
        back: How results are put back to the pixels of the image; None where these are the same.
        said: What was logged.
    """

    info: ImageInfo
    image_classes: dict[str, float]
    remarks: tuple[str, ...]
    zoom: float = 1.0
    back: Regrid | None = None
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """What is measured of an item once, for all its blocks.

    Attributes:
        facts: See `PlaneFacts`.
        holes: The pixels that hold no data, None if all do; of the item and of those that are seen with it, by number.
    """

    facts: PlaneFacts
    holes: dict[int, Holes | None]


@dataclass(frozen=True)
class Spread:
    """An image that is spread over workers, as they have to know it.

    Attributes:
        job: The image and its output.
        folder: Where its blocks wait.
        output: What is written in place, if the output takes blocks; None where all blocks wait.
        starts: The first pixel of each block along each axis, where they are written in place.
        zoom: Pixels that the models see, along each axis, for one of the image.
    """

    job: Job
    folder: BlockFolder
    output: OutputSpec | None = None
    starts: tuple[tuple[int, ...], ...] = ()
    zoom: float = 1.0


@dataclass(frozen=True)
class Predicted:
    """What is to be said of blocks that were predicted.

    Attributes:
        skipped: Item and place of tiles that were left out as empty.
        bad_tiles: Parts of the image that could not be decoded.
    """

    skipped: tuple[tuple[int, Tile], ...]
    bad_tiles: tuple[BadTile, ...]


def begin(session: Session, job: Job, alone: bool) -> Whole | Large:
    """Segment an image if it is small; if it is large, or its output is made of blocks, only look at it.

    Args:
        session: The run.
        job: The image.
        alone: Whether one worker may do it all.

    Raises:
        UnetkitError: See `ImageRun.do`.
    """
    here = station(session)
    run = here.run
    asides: list[Aside] = []

    def aside() -> Aside:
        asides.append(Aside.make(BlockFolder.place(job.result), job))
        return asides[0]

    def do() -> SegmentOutcome | Large:
        if session.options.write.output in WHOLE_OUTPUTS or session.options.tiling.directions > 1:
            with aside().named():
                return run.do(asides[0].inside)
        with ExitStack() as stack:
            source, predictor, recipe = run.prepare(job)
            stack.callback(source.close)
            in_blocks = is_shared(create_sink(job.result, recipe.output, overwrite=True))
            large = in_blocks or not alone or recipe.info.pixels >= session.large
            # What is put back to other pixels is done by one worker, but for labels, which wait for each other anyway.
            apart = recipe.zoom != 1 and session.options.write.output == "labels" and not in_blocks
            if large and (recipe.back is None or apart):
                return Large(recipe.info, dict(recipe.image_classes), run.remarks, recipe.zoom, recipe.back)
            stack.pop_all()
        with aside().named():
            return run.segment(asides[0].inside, source, predictor, recipe)

    with device:
        done, said = here.heard(do)
    if isinstance(done, Large):
        return replace(done, said=said)
    (used,) = asides
    places = used.places
    if done.picture is not None:
        places[done.picture] = job.result.with_name(done.picture.name)
        done = replace(done, picture=places[done.picture])
    return Whole(done, tuple(map(used.named_in, said)), places)


def look(session: Session, spread: Spread, item: int) -> Look:
    """Measure an item of an image, see `Look`."""
    source = opened(session, spread.job.image, spread.zoom)
    here = station(session)
    seen = dict.fromkeys(planes_around(source.info, item, here.predictor.ensemble.planes))
    return Look(here.predictor.look(source, item), {number: source.holes(number) for number in seen})


def predict(session: Session, spread: Spread, places: Sequence[BlockPlace], look: Look | None) -> Predicted:
    """Predict blocks of an image, and keep them.

    Args:
        session: The run.
        spread: The image.
        places: The blocks.
        look: What was measured of their item; None where they are whole items, which are measured here.
    """
    predictor, source = station(session).predictor, opened(session, spread.job.image, spread.zoom)
    grid = predictor.grid(source.info)
    blocks = [grid.cut(place.item, place.tiles) for place in places]
    if look is not None:
        for number, holes in look.holes.items():
            source.know_holes(number, holes)

    def write(bands: Iterator[NDArray[Any]]) -> None:
        for place, block in zip(places, blocks, strict=True):
            keep(session, spread, place, block.window, _fill(sizes_of(block.window), bands))

    with device:
        known = None if look is None else lambda _: look.facts
        skipped = predictor.run(source, blocks, write, look=known)
    items = {place.item for place in places}
    bad = tuple(bad for bad in source.bad_tiles if bad.item in items)
    return Predicted(tuple(skipped), bad)


def _fill(sizes: Sequence[int], bands: Iterator[NDArray[Any]]) -> NDArray[Any]:
    """Return a block (channels, *sizes) of its bands."""
    band = next(bands)
    if band.shape[1] == sizes[0]:
        return band
    pixels = np.empty((band.shape[0], *sizes), band.dtype)
    done = band.shape[1]
    pixels[:, :done] = band
    while done < sizes[0]:
        band = next(bands)
        pixels[:, done : done + band.shape[1]] = band
        done += band.shape[1]
    return pixels


def keep(session: Session, spread: Spread, place: BlockPlace, window: Window, pixels: NDArray[Any]) -> None:
    """Keep a block (channels, ...): in the output where whole chunks lie in it alone, else where it waits."""
    if spread.output is None:
        spread.folder.put(place.item, window, pixels)
        return
    sink, size = placed_sink(session, spread), spread.output.size
    cells = kept(("cells", session.id, spread.job.result), lambda: Cells(size, spread.starts, sink.block))
    direct = cells.direct(place.index)
    if direct is not None:
        sink.write_block(place.item, direct, pixels[:, *inside(direct, window)])
    for _, part in cells.shared_parts(place.index):
        spread.folder.put(place.item, part, pixels[:, *inside(part, window)])


def join(session: Session, spread: Spread, item: int, window: Window, parts: Sequence[Window]) -> None:
    """Write chunks that several blocks share, of what these blocks have put aside."""
    pixels = spread.folder.read(item, window, parts)
    placed_sink(session, spread).write_block(item, window, pixels)


def shrink(session: Session, spread: Spread, piece: Any) -> None:
    """Make a piece of a smaller level of an output of chunks."""
    placed_sink(session, spread).shrink(piece)


def write(spread: Spread, output: OutputSpec) -> dict[Path, Path]:
    """Write an output that is written in order from its blocks; return where each file goes that was written."""
    aside = Aside.make(spread.folder.path, spread.job)
    with aside.named():
        create_sink(aside.inside.result, output).write(spread.folder.rows(output))
    return aside.places


def placed_sink(session: Session, spread: Spread) -> SharedSink:
    """Return the output of chunks into which this worker writes."""
    output = spread.output
    assert output is not None
    key = ("sink", session.id, spread.job.result)
    sink = kept(key, lambda: create_sink(spread.job.result, output, overwrite=True))
    assert is_shared(sink)
    return sink


def verify(session: Session, spread: Spread) -> Seams:
    """Compare tiles of an image with passes that see far more of it."""
    predictor, source = station(session).predictor, opened(session, spread.job.image, spread.zoom)
    with device:
        return predictor.verify(source, predictor.grid(source.info))


def rank(_: Session, spread: Spread) -> Field:
    """Return the least sure field of an uncertainty that was written."""
    return find_field(spread.job.result)
