"""The page of a cross-validation: scores of its folds, their mean and spread, and links to the pages of the folds."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from urllib.parse import quote

from unetkit.drawing.html import write_page
from unetkit.foundation import shell
from unetkit.foundation.errors import OutputError
from unetkit.foundation.names import printable
from unetkit.report.run.charts import Chart, Line, make_chart
from unetkit.report.run.commands import Command, go_on, use_all
from unetkit.report.run.contents import RunContents, read_run
from unetkit.report.run.folder import PAGE_FILE
from unetkit.report.run.image_section import ImageSection, show_images
from unetkit.report.run.notes import RunNotes
from unetkit.report.run.page import best_score, write_run_page
from unetkit.report.run.settings_section import settings_rows
from unetkit.scoring.table import VALIDATED

FOLD_NAME = re.compile(r"fold-(\d+)")

FINISHED = "finished"

TARGETS = {"segmentation": "mask.tif", "classification": "classes.csv --output classes"}
"""What the models of all folds write together, by their task."""


@dataclass(frozen=True)
class FoldRow:
    """A fold on the page.

    Attributes:
        number: Its number, from 0.
        link: Address of its page, relative to this one; "" if it has none.
        epoch: Epoch that its model is from.
        scores: Scores of its model by name; empty while there are none.
        state: Whether it is finished.
    """

    number: int
    link: str
    epoch: str
    scores: dict[str, float]
    state: str


def write_fold_page(folder: Path, target: Path) -> None:
    """Write the page of a cross-validation, and that of each fold in its own folder.

    Args:
        folder: The folder of the cross-validation.
        target: The page.

    Raises:
        OutputError: The page cannot be written.
    """
    found = ((match, inside) for inside in folder.iterdir() if (match := FOLD_NAME.fullmatch(inside.name)))
    runs = {int(match[1]): read_run(inside) for match, inside in found if inside.is_dir()}
    runs = dict(sorted(runs.items()))
    problems = [*read_run(folder).problems]
    for run in runs.values():
        problems += run.problems
        try:
            write_run_page(run.folder, run.folder / PAGE_FILE)
        except OutputError as error:
            problems.append(f"{error.problem} {error.remedy}")
    rows = [_row(number, run, target) for number, run in runs.items()]
    names = [name for name in VALIDATED if rows and all(name in row.scores for row in rows if row.scores)]
    names = [name for name in names if any(row.scores for row in rows)]
    first = next(iter(runs.values()), None)
    planned = next((run for run in runs.values() if run.notes.given is not None), first)
    write_page(
        target,
        "folds.html",
        name=folder.resolve().name,
        rows=rows,
        names=names,
        headings=[VALIDATED[name].heading for name in names],
        spread=[
            (VALIDATED[name].heading, *_spread([row.scores[name] for row in rows if row.scores])) for name in names
        ],
        charts=_charts(runs, names),
        images=_images(runs),
        links={f"fold {row.number}": row.link for row in rows},
        problems=problems,
        warnings=list(dict.fromkeys(text for run in runs.values() for text in run.notes.warnings)),
        sentences=[] if planned is None else planned.notes.plan.facts,
        settings=[] if planned is None else [row for row in settings_rows(planned) if row.key != "data.fold"],
        files=() if planned is None else planned.notes.files,
        config=read_run(folder).config_text,
        commands=_commands(folder, first, all(row.state == FINISHED for row in rows)),
    )


def _row(number: int, run: RunContents, target: Path) -> FoldRow:
    page = run.folder / PAGE_FILE
    link = quote(Path(os.path.relpath(page.resolve(), target.resolve().parent)).as_posix()) if page.is_file() else ""
    training = {} if run.spec is None else run.spec.training
    scores = {name: float(value) for name, value in training.items() if name in VALIDATED and value is not None}
    if run.ended and (epoch := training.get("epoch")) is not None and (best := best_score(run)) is not None:
        scores = _at(run, epoch) | scores or dict([best])
    state = FINISHED if run.ended and not (run.notes.ending and run.notes.ending.interrupted) else "not finished"
    return FoldRow(number, link, str(training.get("epoch", "")), scores, state)


def _at(run: RunContents, epoch: float) -> dict[str, float]:
    """Return the scores of an epoch, from 1."""
    row = next((row for row in run.metrics.rows if row["epoch"] + 1 == epoch), {})
    return {name: value for name, value in row.items() if name in VALIDATED}


def _spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Return mean and standard deviation (n - 1 in the denominator), None for one value."""
    return mean(values), stdev(values) if len(values) > 1 else None


def _charts(runs: dict[int, RunContents], names: Sequence[str]) -> list[Chart]:
    """Return a chart of the score that decides and one of the loss, with a line for each fold."""
    decides = names[0] if names else "val_dice"
    scores = [Line(f"fold {number}", run.metrics.column(decides)) for number, run in runs.items()]
    losses = [Line(f"fold {number}", run.metrics.column("train_loss")) for number, run in runs.items()]
    made = (
        make_chart(f"Validation {VALIDATED[decides].short}", scores, most=1.0),
        make_chart("Loss in training", losses),
    )
    return [chart for chart in made if chart is not None]


def _images(runs: dict[int, RunContents]) -> ImageSection:
    """Return the scores of all images, each by the model that was not trained on it."""
    rows = [
        replace(row, picture="", values={"fold": f"fold {number}", **row.values})
        for number, run in runs.items()
        for row in run.images
    ]
    return show_images(Path(), rows)


def _commands(folder: Path, first: RunContents | None, finished: bool) -> list[Command]:
    """Return the commands that go on from all folds; those of one are on its own page."""
    found = []
    if first is not None and first.task in TARGETS:
        found.append(use_all(folder, TARGETS[first.task]))
    if not finished:
        line = printable(shell.join(("unetkit", "fit", "--resume", str(folder))))
        found.append(Command("Go on with the folds that are not finished", line))
    return [*found, *go_on(folder, RunNotes(), None, {})]
