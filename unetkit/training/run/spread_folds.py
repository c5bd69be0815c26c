"""Folds that the workers of a cluster train side by side, each in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from unetkit.cluster.apart import run_apart
from unetkit.cluster.connecting import connect
from unetkit.cluster.kept import device
from unetkit.cluster.speaking import speak
from unetkit.foundation import shell
from unetkit.foundation.atomic import ClaimedError, claimed, make_folder, when_free
from unetkit.foundation.console import log
from unetkit.foundation.errors import UnetkitError
from unetkit.report.run.folder import fold_folder
from unetkit.training.run.cross_validation import FoldRun, TrainFolds
from unetkit.training.run.fold import Split, train_fold
from unetkit.training.run.result import RunResult
from unetkit.training.run.trainer import quiet_lightning
from unetkit.training.run.training_run import FoldPlace, TrainingRun
from unetkit.training.settings.config import RunConfig
from unetkit.training.settings.options import PATH_SETTINGS


@dataclass(frozen=True)
class FoldOrder:
    """A fold that a worker trains.

    Attributes:
        kind: Class of the run.
        config: The configuration of the cross-validation.
        place: Which fold it is.
        split: See `train_fold`.
        seconds: Time that the command had taken when the folds were handed out.
        cwd: Working folder of the command, from which its relative paths start.
    """

    kind: type[TrainingRun]
    config: RunConfig
    place: FoldPlace
    split: Split | None
    seconds: float
    cwd: str


def on_cluster(whole: TrainingRun, folds: int, split: Split | None) -> TrainFolds:
    """Return what trains folds on a cluster.

    The data are looked at here first: what is wrong with them is an error before any worker begins.

    Args:
        whole: The run of all folds together.
        folds: Number of folds.
        split: See `train_fold`.
    """

    def train(missing: Sequence[int]) -> Iterator[tuple[int, FoldRun]]:
        if not missing:
            return
        try:
            yield from _train(whole, folds, missing, split)
        finally:
            for fold in missing:
                _drop_claim(fold_folder(Path(whole.trainer.default_root_dir), fold))

    return train


def _train(
    whole: TrainingRun, folds: int, missing: Sequence[int], split: Split | None
) -> Iterator[tuple[int, FoldRun]]:
    """Train folds; yield each as soon as it is trained, and raise one error for all that are not."""
    folder = Path(whole.trainer.default_root_dir)
    config = whole.run_config
    _look_at_data(whole, FoldPlace(folder, missing[0]), split)
    make_folder(folder, "The run folder", "Choose another folder (--runs).")
    whole.fill_beside_folds()
    failed: dict[int, UnetkitError] = {}
    with connect(config.cluster, config.client, log=log) as crew, crew.heard(log) as topic:
        crew.check_paths(_read(config), [folder.absolute() / "fold"])
        log(f"Folds 0 to {folds - 1}: {folder}")
        sent = replace(config, store=None, cluster=None, client=None)
        seconds = monotonic() - config.began
        orders = [
            FoldOrder(type(whole), sent, FoldPlace(folder, fold), split, seconds, str(Path.cwd())) for fold in missing
        ]
        names = [f"fold {fold}" for fold in missing]
        for index, result in crew.map(partial(train_on_worker, topic), orders, names=names):
            if isinstance(result, UnetkitError):
                failed[missing[index]] = result
                log(f"Fold {missing[index]} was not trained: {result.problem}")
            else:
                yield missing[index], result
    if failed:
        fold, error = min(failed.items())
        others = f", nor {len(failed) - 1} more" if len(failed) > 1 else ""
        raise type(error)(
            f"Fold {fold} was not trained{others}; the other folds are done. {error.problem}",
            f"{error.remedy} Then go on with: unetkit fit --resume {shell.quote(str(folder))}",
        )


def _drop_claim(folder: Path) -> None:
    """Remove the lock file of a fold whose process was killed; it claims nothing any more."""
    if folder.parent.is_dir():
        with suppress(ClaimedError), claimed(folder):
            pass


def _look_at_data(whole: TrainingRun, place: FoldPlace, split: Split | None) -> None:
    """Read the images as a fold does.

    Raises:
        UnetkitError: They cannot be trained on.
    """
    data: Any = type(whole)(whole.run_config, place).datamodule
    if split is not None:
        data.keep_split(split)
    data.setup("fit")


def _read(config: RunConfig) -> list[Path]:
    """Return the files and folders that are trained on."""
    given = (config.get(f"data.{name}") for name in PATH_SETTINGS)
    return [Path(value).absolute() for value in given if isinstance(value, str)]


def train_on_worker(topic: str, order: FoldOrder) -> RunResult:
    """Train a fold, as a task of a worker; what its process prints goes to the user with the number of the fold.

    A worker trains one fold at a time.
    """
    fold = order.place.fold
    with device:
        result: RunResult = run_apart(
            f"fold {fold}", train_here, (order,), lambda line: speak(topic, f"Fold {fold}: {line}")
        )
    return result


def train_here(order: FoldOrder) -> RunResult:
    """Train a fold in this process, in the working folder of the command, where there is one here."""
    if Path(order.cwd).is_dir():
        os.chdir(order.cwd)
    config = replace(order.config, began=monotonic() - order.seconds)
    folder = fold_folder(order.place.folder, order.place.fold)

    def once() -> RunResult:
        with claimed(folder):
            return train_fold(order.kind, config, order.place, order.split)

    with quiet_lightning():
        return when_free(once)
