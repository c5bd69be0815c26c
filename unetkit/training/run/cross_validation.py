"""Cross-validation: a run for each fold, and the mean and spread of their scores."""

from __future__ import annotations

import csv
import gc
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Protocol

from rich.box import SIMPLE_HEAD
from rich.table import Table

from unetkit.foundation.atomic import partial_file
from unetkit.foundation.console import log
from unetkit.foundation.errors import ConfigError
from unetkit.report.run.folder import FOLDS_FILE, PAGE_FILE, fold_folder
from unetkit.scoring.table import VALIDATED


class FoldRun(Protocol):
    """The result of the run of a fold."""

    @property
    def model_file(self) -> Path:
        """The model file."""

    @property
    def epoch(self) -> int:
        """Number of the epoch that it is from, the first being 1; 0 for the model that the run started from."""

    @property
    def scores(self) -> dict[str, float]:
        """Its scores over the images of the fold, named as in metrics.csv."""

    @property
    def interrupted(self) -> bool:
        """Whether the run was stopped before its end."""


@dataclass(frozen=True)
class FoldResult:
    """The result of one fold.

    Attributes:
        fold: Its number, from 0.
        model: The model file, relative to the folder of the cross-validation.
        epoch: Number of the epoch that the model is from, see `FoldRun`.
        scores: Scores of that model over the images of the fold, named as in metrics.csv.
    """

    fold: int
    model: str
    epoch: int
    scores: dict[str, float]


@dataclass(frozen=True)
class CrossValidation:
    """The result of a cross-validation.

    Attributes:
        folder: The folder with a run folder for each fold.
        folds: Number of folds.
        rows: The folds that are finished, in their order.
        interrupted: Whether it was stopped before its end.
    """

    folder: Path
    folds: int
    rows: tuple[FoldResult, ...]
    interrupted: bool = False

    @property
    def report(self) -> Path | None:
        """The page of the folds together; None if it could not be written."""
        page = self.folder / PAGE_FILE
        return page if page.is_file() else None

    @property
    def mean(self) -> dict[str, float]:
        """Mean of each score over the finished folds: every fold counts the same."""
        return {name: mean(values) for name, values in self._columns().items()}

    @property
    def std(self) -> dict[str, float]:
        """Standard deviation of each score between the finished folds (n - 1 in the denominator); empty below 2."""
        return {name: stdev(values) for name, values in self._columns().items() if len(values) > 1}

    def _columns(self) -> dict[str, list[float]]:
        names = self.rows[0].scores if self.rows else ()
        return {name: [row.scores[name] for row in self.rows] for name in names}

    def write(self) -> None:
        """Write `cross_validation.json`, and `cross_validation.csv` with a line for each fold.

        Raises:
            OutputError: The files cannot be written.
        """
        result = {
            "folds": self.folds,
            "finished": len(self.rows),
            "mean": self.mean,
            "std": self.std,
            "rows": [asdict(row) for row in self.rows],
        }
        with partial_file(_result_file(self.folder)) as path:
            path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        with (
            partial_file(_result_file(self.folder).with_suffix(".csv")) as path,
            path.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, ["fold", "model", "epoch", *self.mean], lineterminator="\n")
            writer.writeheader()
            for row in self.rows:
                writer.writerow({"fold": row.fold, "model": row.model, "epoch": row.epoch, **row.scores})

    def table(self) -> Table:
        """Return a table for the terminal: the validation scores of each fold, their mean and standard deviation."""
        headings = {name: score.fold_heading for name, score in VALIDATED.items() if name in self.mean}
        shown = [name for name, heading in headings.items() if heading]
        table = Table(box=SIMPLE_HEAD)
        for heading in ("Fold", "Epoch", *(headings[name] for name in shown)):
            table.add_column(heading, justify="right")
        for row in self.rows:
            table.add_row(str(row.fold), str(row.epoch), *(f"{row.scores[name]:.4f}" for name in shown))
        table.add_section()
        table.add_row(f"Mean of {len(self.rows)}", "", *(f"{self.mean[name]:.4f}" for name in shown), style="bold")
        if self.std:
            table.add_row("Standard deviation", "", *(f"{self.std[name]:.4f}" for name in shown))
        return table


TrainFolds = Callable[[Sequence[int]], Iterator[tuple[int, FoldRun]]]
"""Trains models that are validated on some folds, given by their numbers; yields each as soon as it is trained."""


def one_by_one(folder: Path, folds: int, train_fold: Callable[[int], FoldRun]) -> TrainFolds:
    """Return what trains folds one after the other.

    Args:
        folder: The folder of the cross-validation.
        folds: Number of folds.
        train_fold: Trains the model that is validated on a fold, given its number. Trainer, module and data have to be
            new for each fold.
    """

    def train(missing: Sequence[int]) -> Iterator[tuple[int, FoldRun]]:
        for fold in missing:
            log(f"Fold {fold} of 0 to {folds - 1}: {fold_folder(folder, fold)}")
            yield fold, train_fold(fold)

    return train


def cross_validate(folder: Path, folds: int, train: TrainFolds) -> CrossValidation:
    """Train a model for each fold, and write their scores after each.

    Folds whose scores are in `folder` already are not trained again, so that one that was stopped or killed goes on.

    Args:
        folder: Gets a run folder for each fold.
        folds: Number of folds.
        train: Trains folds in `fold_folder` of each. A run that is in that folder already is resumed.

    Raises:
        ConfigError: The scores in `folder` cannot be read.
        UnetkitError: A fold cannot be trained, or the scores not written.
    """
    known = _read_results(folder)
    rows = {fold: row for fold, row in known.items() if fold < folds and (folder / row.model).is_file()}

    def result(*, interrupted: bool = False) -> CrossValidation:
        return CrossValidation(folder, folds, tuple(rows[fold] for fold in sorted(rows)), interrupted)

    try:
        for fold, run in train([fold for fold in range(folds) if fold not in rows]):
            if run.interrupted:
                return result(interrupted=True)
            model = run.model_file.relative_to(folder).as_posix()
            rows[fold] = FoldResult(fold, model, run.epoch, run.scores)
            result().write()
            gc.collect()  # a trainer and its module refer to each other, and the images of this fold hang on them
    except KeyboardInterrupt:
        return result(interrupted=True)
    return result()


def _result_file(folder: Path) -> Path:
    return folder / FOLDS_FILE


def _read_results(folder: Path) -> dict[int, FoldResult]:
    """Return the folds whose scores were written."""
    path = _result_file(folder)
    if not path.is_file():
        return {}
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["rows"]
        return {row["fold"]: FoldResult(**row) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}).",
            "Delete it: each finished fold is then scored again from its last checkpoint, without more training.",
        ) from error
