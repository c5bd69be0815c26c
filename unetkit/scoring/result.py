"""The result of an evaluation: scores for each image, their means, the pooled scores; as table, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from rich.table import Table

from unetkit.foundation.atomic import check_target, partial_file
from unetkit.foundation.errors import ConfigError
from unetkit.scoring.instance_result import InstanceEvaluation
from unetkit.scoring.instances import InstanceCounts
from unetkit.scoring.pixels import Counts
from unetkit.scoring.table import PIXEL_SCORES, Scores, instance_scores, mean_scores, pixel_scores
from unetkit.scoring.terminal import cell, empty_table, worst


@dataclass(frozen=True)
class Settings:
    """How masks are compared.

    Attributes:
        threshold: A pixel of the prediction above it is foreground; None to decide by the meaning of its values. For
            two classes only.
        invert: Score the background instead, for example membranes that are drawn as 0. For two classes only.
        classes: Number of classes, background included. With more than 2, values of both masks are class numbers.
        tolerance: Distance in pixels at which boundaries are taken to agree.
        pages: Pages (planes) of stacks to score, counted from 0, both ends included: "24-26,30"; None for all.
        instances: Both sides are instance labels, whose objects are matched and scored too.
        ignore: Value in true masks of pixels that nobody has annotated, which are not scored; None if there are none.

    Raises:
        ConfigError: A value has no meaning, or does not go with the others.
    """

    threshold: float | None = None
    invert: bool = False
    classes: int = 2
    tolerance: float = 2.0
    pages: str | None = None
    instances: bool = False
    ignore: int | None = None

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise ConfigError(f"classes is {self.classes}.", "Count the background too: give 2 or more.")
        if self.classes > 2 and (self.invert or self.threshold is not None):
            raise ConfigError(
                f"threshold and invert have no meaning for {self.classes} classes, whose masks hold class numbers.",
                "Leave them out, or leave classes at 2.",
            )
        if self.instances and (self.classes > 2 or self.invert or self.threshold is not None):
            raise ConfigError(
                "threshold, invert and classes have no meaning for instances, whose labels number the objects.",
                "Leave them out, or leave instances out.",
            )
        if not 0 <= self.tolerance < float("inf"):
            raise ConfigError(f"tolerance is {self.tolerance}.", "Give a distance in pixels, 0 or more.")


@dataclass(frozen=True)
class Row:
    """The result for one plane of one image and one class.

    Attributes:
        name: Stem of the file; with the number of the plane, "stem[3]", where there are several.
        class_number: The class that was scored against all others; 1 where there are two.
        counts: Pixels counted.
        scores: Scores from these counts.
        instances: Objects counted, where instances are scored.
    """

    name: str
    class_number: int
    counts: Counts
    scores: Scores
    instances: InstanceCounts | None = None


@dataclass(frozen=True)
class Evaluation:
    """The result of a comparison.

    Attributes:
        rows: One for each image, plane and foreground class.
        settings: How the masks were compared.
        taken: Sentences on how masks were read, where their files leave a doubt.
    """

    rows: tuple[Row, ...]
    settings: Settings
    taken: tuple[str, ...] = ()

    @property
    def mean(self) -> Scores:
        """Mean of each score over the rows: every image counts the same."""
        return mean_scores([row.scores for row in self.rows])

    @property
    def pooled(self) -> Scores:
        """Scores of the summed counts: every pixel counts the same."""
        return pixel_scores(reduce(add, (row.counts for row in self.rows)))

    @property
    def instances(self) -> InstanceEvaluation | None:
        """How well the objects agree, where instances are scored."""
        counts = {row.name: row.instances for row in self.rows if row.instances is not None}
        return InstanceEvaluation(counts) if counts else None

    def of_class(self, class_number: int) -> Evaluation:
        """Return the result for one class."""
        return Evaluation(tuple(row for row in self.rows if row.class_number == class_number), self.settings)

    def write_json(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the settings, the mean and pooled scores, and scores and counts of every row.

        Raises:
            OutputError: The file exists and `overwrite` is off, or it cannot be written.
        """
        result: dict[str, Any] = {
            "settings": asdict(self.settings),
            "taken": list(self.taken),
            "mean": dict(self.mean),
            "pooled": dict(self.pooled),
        }
        if self.settings.classes > 2:
            parts = {k: self.of_class(k) for k in range(1, self.settings.classes)}
            result["classes"] = {k: {"mean": dict(v.mean), "pooled": dict(v.pooled)} for k, v in parts.items()}
        if self.instances is not None:
            result["instances"] = {"mean": dict(self.instances.mean), "pooled": dict(self.instances.pooled)}
        result["rows"] = [_flat(row) for row in self.rows]
        _write_text(Path(path), json.dumps(result, indent=2) + "\n", overwrite)

    def write_csv(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write scores and counts, one line for each row; means and pooled scores follow from them.

        Raises:
            OutputError: The file exists and `overwrite` is off, or it cannot be written.
        """
        lines = [_flat(row) for row in self.rows]
        text = io.StringIO()
        columns = dict.fromkeys(name for line in lines for name in line)
        writer = csv.DictWriter(text, columns, restval=0, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        _write_text(Path(path), text.getvalue(), overwrite)

    def table(self) -> Table:
        """Return a table for the terminal: the images (the worst of them if there are many), mean and pooled scores."""
        several = self.settings.classes > 2
        shown = [score for score in PIXEL_SCORES if score.shown]
        headings = [score.heading_within(self.settings.tolerance) for score in shown]
        table = empty_table(headings, headings[0], len(self.rows))
        for row in worst(self.rows, lambda row: row.scores[shown[0].name]):
            name = cell(row.name)
            table.add_row(f"{name}, class {row.class_number}" if several else name, *_cells(row.scores))
        table.add_section()
        if several:
            for class_number in range(1, self.settings.classes):
                part = self.of_class(class_number)
                table.add_row(f"Mean, class {class_number}", *_cells(part.mean))
                table.add_row(f"Pooled, class {class_number}", *_cells(part.pooled))
            table.add_section()
        table.add_row(f"Mean of {len(self.rows)}", *_cells(self.mean), style="bold")
        table.add_row("Pooled", *_cells(self.pooled), style="bold")
        return table


def _cells(scores: Scores) -> list[str]:
    return [f"{scores[score.name]:.3f}" for score in PIXEL_SCORES if score.shown]


def _flat(row: Row) -> dict[str, Any]:
    values = {"name": row.name, "class": row.class_number, **row.scores, **asdict(row.counts)}
    if row.instances is not None:
        objects = dict(instance_scores(row.instances)) | row.instances.flat()
        values |= {f"instance_{name}": value for name, value in objects.items()}
    return values


def _write_text(path: Path, text: str, overwrite: bool) -> None:
    check_target(path, overwrite)
    with partial_file(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
