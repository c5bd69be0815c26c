"""What a run folder holds, as far as it can be read: what is missing or damaged is said, and the rest is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml

from unetkit.foundation import shell
from unetkit.foundation.errors import ConfigError, UnetkitError
from unetkit.models.model_file import MODEL_FILE, hash_file, read_spec
from unetkit.models.spec import ModelSpec
from unetkit.report.run.folder import (
    CHECKPOINT_FILE,
    CONFIG_FILE,
    FOLDS_FILE,
    METRICS_FILE,
    NOTES_FILE,
    fold_folder,
    has_checkpoint,
)
from unetkit.report.run.metrics import Metrics, read_metrics
from unetkit.report.run.notes import RunNotes, read_notes
from unetkit.report.run.validated import ImageRow, read_images

Read = TypeVar("Read")

RUN_FILES = (CONFIG_FILE, METRICS_FILE, MODEL_FILE, NOTES_FILE, FOLDS_FILE, CHECKPOINT_FILE)
"""Files of which a run folder has at least one."""


@dataclass(frozen=True)
class RunContents:
    """What a run folder holds.

    Attributes:
        folder: The folder.
        notes: What is noted of the run; empty where nothing is.
        has_notes: Whether anything is noted.
        metrics: Its epochs.
        config_text: Its configuration file; "" if there is none.
        config: Its settings by key.
        spec: Its model.
        sha256: Hash of the model file; "" without one.
        images: Scores of single images.
        problems: Sentences on what is damaged.
    """

    folder: Path
    notes: RunNotes
    has_notes: bool
    metrics: Metrics
    config_text: str
    config: Mapping[str, Any]
    spec: ModelSpec | None
    sha256: str
    images: list[ImageRow]
    problems: tuple[str, ...]

    @property
    def ended(self) -> bool:
        """Whether the run has come to an end; one that is going, or was killed, has not."""
        if self.has_notes:
            return self.notes.ending is not None
        return self.spec is not None and bool(self.spec.training)

    @property
    def data(self) -> Mapping[str, Any]:
        """Facts about the data by name."""
        if self.notes.data or self.spec is None:
            return self.notes.data
        data = self.spec.training.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def task(self) -> str:
        """What the model is for."""
        if self.spec is not None:
            return self.spec.task
        if self.notes.verb == "pretrain" or "data.images" in self.config:
            return "reconstruction"
        alone = self.config.get("data.image_labels") and not self.config.get("data.train")
        return "classification" if alone else "segmentation"


def find_run(run: Path) -> Path:
    """Return a folder, once it is clear that it holds a run.

    Raises:
        ConfigError: It does not exist, or holds none; the nearest one is named.
    """
    if is_run(run):
        return run
    if run.is_file() and is_run(run.parent):
        raise ConfigError(f"{run} is a file of a run.", f"Give its folder: {run.parent}")
    if run.is_dir():
        inside = sorted(filter(is_run, _folders(run)), key=_age)
        found = f"It holds runs; give one of them, such as {inside[0]}" if inside else _other(run)
        raise ConfigError(f"{run} is no run folder: it has none of the files of a run.", found)
    raise ConfigError(f"There is no run {run}.", _other(run))


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run or a cross-validation."""
    return any((folder / name).is_file() for name in RUN_FILES) or is_cross_validation(folder)


def is_cross_validation(folder: Path) -> bool:
    """Whether a folder holds the runs of a cross-validation."""
    return (folder / FOLDS_FILE).is_file() or fold_folder(folder, 0).is_dir()


def _other(run: Path) -> str:
    """Return a sentence that names the run beside a folder whose name is nearest, or how to make one."""
    beside = run.parent if run.parent.is_dir() else Path("runs")
    names = [folder.name for folder in _folders(beside) if is_run(folder) and folder != run]
    if not names:
        return "Give the folder that `unetkit fit` wrote, such as runs/cells-1."
    near = get_close_matches(run.name, names, n=1, cutoff=0.5)
    return f"Did you mean {beside / near[0]}?" if near else f"There is {beside / sorted(names)[-1]}, for example."


def _folders(folder: Path) -> Iterator[Path]:
    try:
        yield from (inside for inside in folder.iterdir() if inside.is_dir())
    except OSError:
        return


def _age(folder: Path) -> float:
    return -folder.stat().st_mtime


def read_run(folder: Path) -> RunContents:
    """Read what can be read of a run folder."""
    problems: list[str] = []

    def read(what: Callable[[Path], Read], otherwise: Read) -> Read:
        try:
            return what(folder)
        except UnetkitError as error:
            problems.append(f"{error.problem} {error.remedy}")
            return otherwise

    notes: RunNotes | None = read(read_notes, None)
    metrics: Metrics | None = read(read_metrics, None)
    nothing: tuple[str, dict[str, Any]] = "", {}
    no_model: tuple[ModelSpec | None, str] = None, ""
    text, config = read(_read_config, nothing)
    spec, sha256 = read(_read_model, no_model)
    images: list[ImageRow] = read(read_images, [])
    if metrics is not None and metrics.problem:
        problems.append(metrics.problem)
    return RunContents(
        folder,
        notes or RunNotes(verb="pretrain" if spec is not None and spec.task == "reconstruction" else "fit"),
        notes is not None,
        metrics or Metrics(()),
        text,
        config,
        spec,
        sha256,
        images,
        tuple(problems),
    )


def missing(run: RunContents) -> list[str]:
    """Return sentences on what a run folder lacks, and how to get it."""
    found = []
    folder = run.folder
    if not run.metrics.rows and not (folder / METRICS_FILE).is_file():
        found.append(f"There are no curves: {METRICS_FILE} is written from the first epoch on.")
    if not (folder / MODEL_FILE).is_file():
        found.append(f"There is no {MODEL_FILE}: it is written when the first epoch has been validated.")
    if not run.config_text and not (folder / CONFIG_FILE).is_file():
        found.append(f"There is no {CONFIG_FILE}, so the settings are not known.")
    scored = run.task in ("segmentation", "classification") and run.data.get("val_images", ["unknown"])
    if scored and not run.images and not (folder / "validation.csv").is_file():
        again = f"`unetkit {run.notes.verb} --resume {shell.quote(str(folder))}`"
        if not run.ended:
            why = "They are written when the run ends."
        elif has_checkpoint(folder):
            why = f"{again} writes them, without training further."
        else:
            why = "Without a checkpoint they cannot be made."
        found.append(f"There are no scores of single images. {why}")
    return found


def _read_config(folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the configuration of a run as text, and by key.

    Raises:
        ConfigError: It is damaged.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        return "", {}
    remedy = "Put it back; the checkpoint holds a copy, which `--resume` writes if the file is deleted."
    try:
        text = path.read_text(encoding="utf-8")
        values = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is damaged: it is no YAML.", remedy) from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is damaged: it is no configuration.", remedy)
    return text, dict(_flat(values))


def _flat(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _read_model(folder: Path) -> tuple[ModelSpec | None, str]:
    """Return the description and the hash of a run's model.

    Raises:
        ModelError: It is damaged.
    """
    path = folder / MODEL_FILE
    return (read_spec(path), hash_file(path)) if path.is_file() else (None, "")
