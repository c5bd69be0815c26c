"""The result of every run, and how it is logged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unetkit.foundation import shell
from unetkit.foundation.console import log
from unetkit.models.segmenter import Segmenter, load_network
from unetkit.report.run.folder import PAGE_FILE, has_checkpoint


@dataclass(frozen=True)
class RunResult:
    """The result of a run.

    Attributes:
        folder: The run folder.
        model_file: The model file.
        epoch: Number of the epoch that the model is from, the first being 1; 0 for the model that the run started from.
        scores: Scores of the model over the validation images, named as in metrics.csv; empty without them.
        interrupted: Whether the run was stopped before its end.
    """

    folder: Path
    model_file: Path
    epoch: int
    scores: dict[str, float]
    interrupted: bool

    @property
    def report(self) -> Path | None:
        """The page of the run; None if it could not be written."""
        page = self.folder / PAGE_FILE
        return page if page.is_file() else None

    @property
    def model(self) -> Segmenter:
        """The model, read anew from its file at each call.

        Raises:
            ModelError: The file is gone or damaged.
        """
        return load_network(self.model_file)


def log_page(page: Path | None) -> None:
    """Log where the page of a run is, if there is one."""
    if page is not None:
        log(f"Report: {page}")


def log_how_to_go_on(verb: str, folder: Path) -> None:
    """Log how a run that was stopped goes on."""
    if has_checkpoint(folder):
        log(f"Stopped. Go on with: unetkit {verb} --resume {shell.quote(str(folder))}")
    else:
        log("Stopped before the first epoch was kept to go on from: there is nothing to resume.")


def log_best(model: Path, epoch: int, scores: str) -> None:
    """Log which model a run has kept, with its epoch (0 for the one that it started from) and its scores."""
    log(f"Best model: {model} ({f'epoch {epoch}' if epoch else 'as it was before training'}{scores}).")
    if not epoch:
        log(
            "No epoch was better than what the run started from: it may need no training; else train for longer, or "
            "lower model.lr."
        )
