"""A table of the classes of images, each of which a worker classifies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from unetkit.cluster.crew import Crew
from unetkit.cluster.in_order import in_common
from unetkit.cluster.kept import device, kept
from unetkit.foundation.errors import UnetkitError
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.run.outcome import SegmentOutcome
from unetkit.inference.run.table import TableRun
from unetkit.inference.spread.aside import renamed, with_names
from unetkit.inference.spread.session import SentModel, load_sent, sent_models
from unetkit.inference.tiling.options import SegmentOptions
from unetkit.io.base.inner import file_of


@dataclass(frozen=True)
class TableSession:
    """A table that is made on a cluster.

    Attributes:
        id: What tells it from other runs.
        models: The models.
        options: The user's choices.
    """

    id: str
    models: tuple[SentModel, ...]
    options: SegmentOptions


@dataclass(frozen=True)
class _Classified:
    """An image that a worker has classified, or its error, and what was logged meanwhile."""

    found: SegmentOutcome | UnetkitError
    said: tuple[str, ...]


def classify_on(
    crew: Crew,
    images: Sequence[Path],
    folder: Path,
    ensemble: Ensemble,
    options: SegmentOptions,
    log: Callable[[str], None],
) -> Iterator[SegmentOutcome | UnetkitError]:
    """Classify whole images on a crew.

    Args:
        crew: The workers.
        images: The images.
        folder: The folder of the table.
        ensemble: The models, loaded.
        options: The user's choices.
        log: Called with sentences for people.

    Yields:
        The outcome of each image, or its error, in their order.

    Raises:
        ClusterError: Workers do not see the files, or are gone.
    """
    sent = [image.absolute() for image in images]
    waiting: dict[int, _Classified] = {}
    turn = 0
    with sent_models(ensemble, folder.absolute()) as models:
        files = [model.file for model in models if model.file.is_absolute()]
        crew.check_paths([*in_common(map(file_of, sent)), *files], [])
        session = TableSession(uuid4().hex, models, options)
        orders = [(session, image) for image in sent]
        for index, told in crew.map(classify_one, orders, names=[image.name for image in images]):
            waiting[index] = _Classified(told, ()) if isinstance(told, UnetkitError) else told
            while turn in waiting:
                names = {sent[turn]: images[turn]} if sent[turn] != images[turn] else {}
                done, turn = waiting.pop(turn), turn + 1
                for sentence in done.said:
                    log(with_names(sentence, names))
                if isinstance(done.found, UnetkitError):
                    yield renamed(done.found, names)
                else:
                    remarks = tuple(with_names(remark, names) for remark in done.found.remarks)
                    yield replace(done.found, image=images[turn - 1], remarks=remarks)


def classify_one(order: tuple[TableSession, Path]) -> _Classified:
    """Classify an image, on a worker."""
    session, image = order
    said: list[str] = []

    def make() -> tuple[TableRun, list[str]]:
        ensemble, heard = Ensemble(tuple(map(load_sent, session.models)), owned=True), list[str]()
        return TableRun(ensemble, session.options, heard.append), heard

    run, heard = kept(("table", session.id), make, most=1)
    with device:
        heard.clear()
        try:
            found: SegmentOutcome | UnetkitError = run.do(image)
        except UnetkitError as error:
            found = error
        said += heard
    return _Classified(found, tuple(said))
