"""How the blocks of a large image become labels, and files of their objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

from unetkit.inference.run.labelling import labelled_output, method_of
from unetkit.inference.run.recipe import Recipe
from unetkit.inference.spread import label_tasks
from unetkit.inference.spread.blocks import BlockPlace, Blocks
from unetkit.inference.spread.gate import Gate
from unetkit.inference.spread.label_tasks import Part, Written
from unetkit.inference.spread.session import Session
from unetkit.inference.spread.steps import Step
from unetkit.inference.spread.tasks import Spread
from unetkit.inference.spread.writing import Stage, Writing
from unetkit.io.base.blocks import is_shared
from unetkit.io.base.contracts import OutputSpec, SharedSink
from unetkit.io.files import create_sink
from unetkit.postprocess.blocks import label_blocks, margin_window
from unetkit.postprocess.joined import Numbered

LABEL_BLOCK_PIXELS = 1 << 24
"""Pixels of a block of labels, at most."""


class LabelWriting(Writing):
    """Labels: the masks of blocks wait, blocks of labels are found, numbered together, and drawn.

    Args:
        session: The run.
        spread: The image.
        blocks: Its blocks.
        recipe: The decisions about it.
        log: Called with sentences for people.
    """

    def __init__(
        self, session: Session, spread: Spread, blocks: Blocks, recipe: Recipe, log: Callable[[str], None]
    ) -> None:
        super().__init__(session, spread, blocks, recipe.output)
        self._recipe = recipe
        self._log = log
        self._numbered = Numbered((0,), None)
        self._waits = True
        self._sink: SharedSink | None = None
        size, method = recipe.info.size, method_of(recipe)
        self._windows = label_blocks(size, min(LABEL_BLOCK_PIXELS, blocks.largest))
        self._needs = [blocks.sharing(margin_window(window, size, method)) for window in self._windows]
        self._gate = Gate(self._needs)

    def stages(self) -> Iterator[Stage]:
        """See `Writing`: objects are numbered, drawn, and written."""
        yield self._number
        output = labelled_output(self.spread.job.result, self._numbered, self._recipe, self._log)
        yield self._draw(output)
        if self._sink is not None:
            yield from self._levels(self._sink)
        if self._waits:
            yield self._write_files(output)

    def predicted(self, place: BlockPlace) -> Iterable[Step]:
        """See `Writing`: the objects of blocks of labels are found whose last mask this was."""
        for number in self._gate.open(place.item, place.index):
            part = self._part(place.item, number)
            line = f"objects {part.item} {number}"
            if line in self._noted and self.spread.folder.has_bytes(label_tasks.faces_name(part)):
                continue
            note = partial(self.spread.folder.note, line)
            arguments = (self._session, self.spread, part)
            yield self._step(f"objects of block {number + 1}", label_tasks.find, arguments, then=lambda _, n=note: n())

    def finish(self) -> None:
        """See `Writing`."""
        if self._sink is not None:
            self._sink.finish()
        super().finish()

    def stop(self, *, useful: bool) -> bool:
        """See `Writing`."""
        if self._sink is not None:
            self._sink.abandon()
        return super().stop(useful=useful)

    def _part(self, item: int, number: int) -> Part:
        return Part(item, number, self._windows[number], tuple(self._blocks.windows(self._needs[number])))

    def _number(self) -> Iterator[Step]:
        def then(last: tuple[int, ...]) -> None:
            self._numbered = Numbered(last, None)
            self.said["objects"] = self._numbered.count

        arguments = (self._session, self.spread, tuple(self._windows))
        yield self._step("objects numbered", label_tasks.number, arguments, then=then)

    def _draw(self, output: OutputSpec) -> Stage:
        """Return the stage that draws labels: in place, if the output takes blocks, and as blocks that wait."""
        job = self.spread.job
        sink = None if job.is_kept else create_sink(job.result, output, overwrite=True)
        if sink is not None and is_shared(sink) and self._recipe.back is None:
            self._sink = sink
            sink.begin()
            self.spread = replace(self.spread, output=output)
        self._waits = self._sink is None or len(job.new_files) > 0

        def steps() -> Iterator[Step]:
            for item in range(self._recipe.info.planes):
                for number in range(len(self._windows)):
                    part = self._part(item, number)
                    arguments = (self._session, self.spread, part, output.dtype, self._waits)
                    yield self._step(f"labels of block {number + 1}", label_tasks.draw, arguments)

        return steps

    def _write_files(self, output: OutputSpec) -> Stage:
        def then(written: Written) -> None:
            for sentence in written.said:
                self._log(sentence)
            self.said["summary"] = written.summary
            self._places |= written.places

        def steps() -> Iterator[Step]:
            arguments = (self._session, self.spread, output, self._numbered.last)
            yield self._step("written", label_tasks.write, arguments, then=then)

        return steps
