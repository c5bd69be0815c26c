"""The result of an evaluation: scores for each image, their means, the pooled scores; as table, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from math import isfinite
from operator import add
from pathlib import Path
from typing import Any

from rich.table import Table

from unetkit.foundation.atomic import check_target, partial_file
from unetkit.scoring.instance_result import InstanceEvaluation
from unetkit.scoring.instances import InstanceCounts
from unetkit.scoring.membrane_result import MembraneEvaluation
from unetkit.scoring.membranes import Regions
from unetkit.scoring.pixels import Counts
from unetkit.scoring.settings import Settings
from unetkit.scoring.surfaces import SurfaceCounts
from unetkit.scoring.table import (
    PIXEL_SCORES,
    SURFACE_SCORES,
    VOXEL_SCORES,
    Score,
    Scores,
    instance_scores,
    mean_scores,
    pixel_scores,
    volume_scores,
)
from unetkit.scoring.terminal import cell, empty_table, worst


@dataclass(frozen=True)
class Row:
    """The result for one plane or volume of one image and one class.

    Attributes:
        name: Stem of the file; with the number of the plane, "stem[3]", where there are several.
        class_number: The class that was scored against all others; 1 where there are two.
        counts: Pixels counted.
        scores: Scores from these counts.
        instances: Objects counted, where instances are scored.
        surfaces: Surfaces measured, where volumes are scored.
        regions: Regions between borders compared, where these are scored.
    """

    name: str
    class_number: int
    counts: Counts
    scores: Scores
    instances: InstanceCounts | None = None
    surfaces: SurfaceCounts | None = None
    regions: Regions | None = None


@dataclass(frozen=True)
class Evaluation:
    """The result of a comparison.

    Attributes:
        rows: One for each image, plane and foreground class.
        settings: How the masks were compared.
        taken: Sentences on how masks were read, where their files leave a doubt.
        unit: Unit of distances between surfaces: "mm", "µm", "nm", or "px" where the size of a voxel is not known.
    """

    rows: tuple[Row, ...]
    settings: Settings
    taken: tuple[str, ...] = ()
    unit: str = ""

    @property
    def mean(self) -> Scores:
        """Mean of each score over the rows: every image counts the same."""
        return mean_scores([row.scores for row in self.rows])

    @property
    def pooled(self) -> Scores:
        """Scores of the summed counts: every pixel counts the same, and every part of a surface."""
        counts = reduce(add, (row.counts for row in self.rows))
        surfaces = [row.surfaces for row in self.rows if row.surfaces is not None]
        return volume_scores(counts, reduce(add, surfaces)) if surfaces else pixel_scores(counts)

    @property
    def instances(self) -> InstanceEvaluation | None:
        """How well the objects agree, where instances are scored."""
        counts = {row.name: row.instances for row in self.rows if row.instances is not None}
        return InstanceEvaluation(counts) if counts else None

    @property
    def boundaries(self) -> MembraneEvaluation | None:
        """How well regions between borders agree, where they are scored."""
        regions = {row.name: row.regions for row in self.rows if row.regions is not None}
        return MembraneEvaluation(regions) if regions else None

    def of_class(self, class_number: int) -> Evaluation:
        """Return the result for one class."""
        return Evaluation(
            tuple(row for row in self.rows if row.class_number == class_number), self.settings, unit=self.unit
        )

    def write_json(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the settings, the mean and pooled scores, and scores and counts of every row.

        Raises:
            OutputError: The file exists and `overwrite` is off, or it cannot be written.
        """
        result: dict[str, Any] = {
            "settings": asdict(self.settings),
            "taken": list(self.taken),
            **({"unit": self.unit} if self.unit else {}),
            "mean": dict(self.mean),
            "pooled": dict(self.pooled),
        }
        if self.settings.classes > 2:
            parts = {k: self.of_class(k) for k in range(1, self.settings.classes)}
            result["classes"] = {k: {"mean": dict(v.mean), "pooled": dict(v.pooled)} for k, v in parts.items()}
        if self.instances is not None:
            result["instances"] = {"mean": dict(self.instances.mean), "pooled": dict(self.instances.pooled)}
        membranes = self.boundaries
        if membranes is not None:
            result["boundaries"] = {"mean": dict(membranes.mean), "thresholds": membranes.thresholds}
        result["rows"] = [_flat(row, membranes) for row in self.rows]
        _write_text(Path(path), json.dumps(_finite(result), indent=2, allow_nan=False) + "\n", overwrite)

    def write_csv(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write scores and counts, one line for each row; means and pooled scores follow from them.

        Raises:
            OutputError: The file exists and `overwrite` is off, or it cannot be written.
        """
        membranes = self.boundaries
        lines = [_flat(row, membranes) for row in self.rows]
        text = io.StringIO()
        columns = dict.fromkeys(name for line in lines for name in line)
        writer = csv.DictWriter(text, columns, restval=0, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        _write_text(Path(path), text.getvalue(), overwrite)

    def table(self) -> Table:
        """Return a table for the terminal: the images (the worst of them if there are many), mean and pooled scores."""
        several = self.settings.classes > 2
        volumes = any(row.surfaces is not None for row in self.rows)
        scores: tuple[Score[Any], ...] = (*VOXEL_SCORES, *SURFACE_SCORES) if volumes else PIXEL_SCORES
        shown = [score for score in scores if score.shown]
        headings = [score.heading_within(self.settings.within, self.unit) for score in shown]
        table = empty_table(headings, headings[0], len(self.rows))
        for row in worst(self.rows, lambda row: row.scores[shown[0].name]):
            name = cell(row.name)
            table.add_row(f"{name}, class {row.class_number}" if several else name, *_cells(row.scores, shown))
        table.add_section()
        if several:
            for class_number in range(1, self.settings.classes):
                part = self.of_class(class_number)
                table.add_row(f"Mean, class {class_number}", *_cells(part.mean, shown))
                table.add_row(f"Pooled, class {class_number}", *_cells(part.pooled, shown))
            table.add_section()
        table.add_row(f"Mean of {len(self.rows)}", *_cells(self.mean, shown), style="bold")
        table.add_row("Pooled", *_cells(self.pooled, shown), style="bold")
        return table


def _cells(scores: Scores, shown: Sequence[Score[Any]]) -> list[str]:
    """Return the scores of a row of the table; nothing where there is none, as pooled percentiles."""
    return [f"{scores[score.name]:.3f}" if score.name in scores else "" for score in shown]


def _flat(row: Row, membranes: MembraneEvaluation | None) -> dict[str, Any]:
    values: dict[str, Any] = {"name": row.name, "class": row.class_number, **row.scores, **asdict(row.counts)}
    if row.surfaces is not None:
        values |= {name: value for name, value in asdict(row.surfaces).items() if value is not None}
    if membranes is not None:
        values |= membranes.scores(row.name)
    if row.instances is not None:
        objects = dict(instance_scores(row.instances)) | row.instances.flat()
        values |= {f"instance_{name}": value for name, value in objects.items()}
    return values


def _finite(value: Any) -> Any:
    """Return a value for JSON, which has no infinite distances: they become null."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _write_text(path: Path, text: str, overwrite: bool) -> None:
    check_target(path, overwrite)
    with partial_file(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
