"""The files of a run folder, by name: training writes them, and the report of a run reads them."""

from __future__ import annotations

from pathlib import Path

CONFIG_FILE = "config.yaml"
"""Every setting of the run."""

METRICS_FILE = "metrics.csv"
"""Loss and scores of each epoch."""

NOTES_FILE = "run.json"
"""What the run was told, what was chosen and why, what was noticed of the data, and how it ended."""

IMAGES_FILE = "validation.csv"
"""Scores of the model on each validation image."""

PICTURES_FOLDER = "report"
"""Pictures of some of these images, which the page shows."""

VALIDATION_PICTURE = "validation.png"
"""Validation images with truth and prediction; of a model for whole images, those that are classified worst."""

RESTORED_PICTURE = "restored.png"
"""Damaged, restored and clean crops."""

SCORES_FILE = "scores.json"
"""Scores of each class of whole images, and the confusion table."""

CHECKPOINT_FILE = "last.ckpt"
"""Where the run goes on."""

PREVIOUS_FILE = "previous.ckpt"
"""The checkpoint of the epoch before the last; removed at the end of a run."""

FOLDS_FILE = "cross_validation.json"
"""Scores of the folds of a cross-validation; beside it the same as CSV."""

PAGE_FILE = "report.html"
"""The page that shows all of it."""


def fold_folder(folder: Path, fold: int) -> Path:
    """Return the run folder of a fold of a cross-validation."""
    return folder / f"fold-{fold}"


def has_checkpoint(folder: Path) -> bool:
    """Whether a run folder holds a checkpoint."""
    return (folder / CHECKPOINT_FILE).is_file() or (folder / PREVIOUS_FILE).is_file()
