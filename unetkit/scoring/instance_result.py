"""The part of an evaluation that is about objects: their means over images, their pooled scores, and a table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add

from rich.table import Table

from unetkit.scoring.instances import InstanceCounts, InstanceScores, mean_instance_scores
from unetkit.scoring.table import cell, empty_table, worst

HEADINGS = ("AP 0.5", "Mean AP", "F1", "Precision", "Recall", "PQ", "Objects / true")


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
        return mean_instance_scores([counts.scores for counts in self.rows.values()])

    @property
    def counts(self) -> InstanceCounts:
        """The objects of all images."""
        return reduce(add, self.rows.values())

    @property
    def pooled(self) -> InstanceScores:
        """Scores of the summed counts: every object counts the same."""
        return self.counts.scores

    def table(self) -> Table:
        """Return a table for the terminal: the images (the worst of them if there are many), mean and pooled scores."""
        table = empty_table(HEADINGS, HEADINGS[0], len(self.rows))
        for name, counts in worst(list(self.rows.items()), lambda row: row[1].scores.ap[0]):
            table.add_row(cell(name), *_cells(counts.scores), _sizes(counts))
        table.add_section()
        table.add_row(f"Mean of {len(self.rows)}", *_cells(self.mean), style="bold")
        table.add_row("Pooled", *_cells(self.pooled), _sizes(self.counts), style="bold")
        return table


def _cells(scores: InstanceScores) -> list[str]:
    shown = (scores.ap[0], scores.mean_ap, scores.f1, scores.precision, scores.recall, scores.pq)
    return [f"{score:.3f}" for score in shown]


def _sizes(counts: InstanceCounts) -> str:
    return f"{counts.predicted} / {counts.true}"
