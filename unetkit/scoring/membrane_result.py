"""The scores of regions between borders in an evaluation: at the best threshold, as means over images, and a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from rich.table import Table

from unetkit.scoring.membranes import Regions
from unetkit.scoring.regions import RegionCounts, v_info, v_rand
from unetkit.scoring.table import INFORMATION_SCORES, RAND_SCORES, Scores, mean_scores, scores_of
from unetkit.scoring.terminal import cell, empty_table, worst


@dataclass(frozen=True)
class MembraneEvaluation:
    """How well regions between borders agree.

    Of probabilities, V_Rand and V_info are given at the threshold at which the mean of each over all images is best, as
    in the ISBI 2012 challenge.

    Attributes:
        rows: Regions compared, by the name of the image.
    """

    rows: dict[str, Regions]

    @cached_property
    def thresholds(self) -> dict[str, float]:
        """The best thresholds, for "v_rand" and "v_info", as shares of the highest probability; empty for masks."""
        steps = max((row.thresholds for row in self.rows.values()), key=len)
        return {name: steps[place] for name, place in self._best.items()} if steps else {}

    @cached_property
    def _best(self) -> dict[str, int]:
        return {"v_rand": self._best_place(v_rand), "v_info": self._best_place(v_info)}

    def _best_place(self, score: Callable[[RegionCounts], float]) -> int:
        """Return the number of the threshold with the best mean; of several the one in their middle."""
        places = range(max(len(row.counts) for row in self.rows.values()))
        means = [np.mean([score(row.at(place)) for row in self.rows.values()]) for place in places]
        best = np.flatnonzero(np.isclose(means, max(means), rtol=0, atol=1e-12))
        return int(best[(len(best) - 1) // 2])

    def scores(self, name: str) -> Scores:
        """Return the scores of one image."""
        row = self.rows[name]
        rand = scores_of(RAND_SCORES, row.at(self._best["v_rand"]))
        return Scores(rand | scores_of(INFORMATION_SCORES, row.at(self._best["v_info"])))

    @property
    def mean(self) -> Scores:
        """Mean of each score over the images: every image counts the same."""
        return mean_scores([self.scores(name) for name in self.rows])

    def table(self) -> Table:
        """Return a table for the terminal: the images (the worst of them if there are many), and the mean."""
        shown = [score for score in (*RAND_SCORES, *INFORMATION_SCORES) if score.shown]
        table = empty_table([score.heading for score in shown], shown[0].heading, len(self.rows))
        rows = [(name, self.scores(name)) for name in self.rows]
        for name, scores in worst(rows, lambda row: row[1][shown[0].name]):
            table.add_row(cell(name), *_cells(scores[score.name] for score in shown))
        table.add_section()
        mean = self.mean
        table.add_row(f"Mean of {len(self.rows)}", *_cells(mean[score.name] for score in shown), style="bold")
        if self.thresholds:
            best = ", ".join(f"{name} at {threshold:g}" for name, threshold in self.thresholds.items())
            table.caption = f"Thresholds with the best means: {best} of the highest probability."
        return table


def _cells(values: Iterable[float]) -> list[str]:
    return [f"{value:.4f}" for value in values]
