"""The scores of objects in an evaluation: means over images, pooled scores, and a table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add

from rich.table import Table

from unetkit.scoring.instances import InstanceCounts
from unetkit.scoring.table import OBJECT_SCORES, InstanceScores, instance_scores, mean_instance_scores
from unetkit.scoring.terminal import cell, empty_table, worst

SHOWN_SCORES = tuple(score for score in OBJECT_SCORES if score.shown)
"""Scores in the table."""


@dataclass(frozen=True)
class InstanceEvaluation:
    """How well the objects of images agree.

    Attributes:
        rows: Objects counted, by the name of the image.
    """

    rows: dict[str, InstanceCounts]

    @property
    def mean(self) -> InstanceScores:
        """Mean of each score over the images: every image counts the same."""
        return mean_instance_scores([instance_scores(counts) for counts in self.rows.values()])

    @property
    def counts(self) -> InstanceCounts:
        """The objects of all images."""
        return reduce(add, self.rows.values())

    @property
    def pooled(self) -> InstanceScores:
        """Scores of the summed counts: every object counts the same."""
        return instance_scores(self.counts)

    def table(self) -> Table:
        """Return a table for the terminal: the images (the worst of them if there are many), mean and pooled scores."""
        headings = [score.heading for score in SHOWN_SCORES]
        table = empty_table([*headings, "Objects / true"], headings[0], len(self.rows))
        rows = [(name, counts, instance_scores(counts)) for name, counts in self.rows.items()]
        for name, counts, scores in worst(rows, lambda row: row[2][SHOWN_SCORES[0].name]):
            table.add_row(cell(name), *_cells(scores), _sizes(counts))
        table.add_section()
        table.add_row(f"Mean of {len(self.rows)}", *_cells(self.mean), style="bold")
        table.add_row("Pooled", *_cells(self.pooled), _sizes(self.counts), style="bold")
        return table


def _cells(scores: InstanceScores) -> list[str]:
    return [f"{scores[score.name]:.3f}" for score in SHOWN_SCORES]


def _sizes(counts: InstanceCounts) -> str:
    return f"{counts.predicted} / {counts.true}"
