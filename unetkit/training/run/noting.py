"""What a run leaves for its page: notes when it begins and when it ends, and the page itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from unetkit.data.base import TrainingData
from unetkit.foundation.console import log
from unetkit.foundation.errors import DataError, OutputError
from unetkit.models.model_file import hash_file
from unetkit.report.run.contents import is_run
from unetkit.report.run.folder import NOTES_FILE
from unetkit.report.run.notes import Ending, RunNotes, read_notes
from unetkit.report.run.write_report import write_report
from unetkit.training.run.result import RunResult
from unetkit.training.settings.config import RunConfig


def note_start(folder: Path, config: RunConfig, changed: Mapping[str, Any], data: TrainingData | None) -> None:
    """Write down what a run was told, and what was chosen and noticed, as it begins or goes on.

    Args:
        folder: The run folder.
        config: The configuration.
        changed: Settings by key that a resumed run has changed: what they were, and what they are.
        data: What it is trained on; None for the folds of a cross-validation together.

    Raises:
        OutputError: The notes cannot be written.
    """
    planned = {choice.key for choice in config.plan.chosen}
    given = {key: value for key, value in config.values.items() if not _is_within(key, planned)}
    notes = RunNotes(config.verb.verb, given, config.files, config.plan)
    if config.resume is not None:
        begun = (folder / NOTES_FILE).is_file() or not (folder.parent / NOTES_FILE).is_file()
        known = _known(folder if begun else folder.parent)  # a fold that begins has the settings of all folds
        told = known.given
        if told is not None:
            told = {**told, **{key: new for key, (_, new) in changed.items()}}
        notes = replace(known, verb=config.verb.verb, given=told, ending=None)
    if data is not None:
        notes = replace(notes, noticed=data.notes, data=data.describe())
    notes.write(folder)


def note_end(result: RunResult, config: RunConfig, data: TrainingData, remarks: Sequence[str]) -> None:
    """Write down how a run ended, and make its page; say so if that is not possible, as the model is there.

    Args:
        result: What the run gave.
        config: The configuration.
        data: What it was trained on.
        remarks: Sentences on what was measured at its end.
    """
    mask = data.example_mask()
    ending = Ending(
        interrupted=result.interrupted,
        seconds=monotonic() - config.began,
        remarks=tuple(remarks),
        image=str(data.example_image()),
        mask="" if mask is None else str(mask),
        sha256=hash_file(result.model_file),
    )
    try:
        replace(_known(result.folder), noticed=data.notes, ending=ending).write(result.folder)
    except OutputError as error:
        log(f"{error.problem} {error.remedy}")
    make_page(result.folder)


def make_page(folder: Path) -> None:
    """Write the page of a run or of a cross-validation, if there is one; say so if that is not possible."""
    if not is_run(folder):
        return
    try:
        write_report(folder)
    except OutputError as error:
        log(f"There is no report: {error.problem} {error.remedy}")


def _is_within(key: str, keys: Collection[str]) -> bool:
    """Return whether a key, or a group that it is in, is among some keys."""
    parts = key.split(".")
    return any(".".join(parts[:end]) in keys for end in range(1, len(parts) + 1))


def _known(folder: Path) -> RunNotes:
    """Return the notes of a run so far; empty where there are none that can be read."""
    try:
        return read_notes(folder) or RunNotes()
    except DataError as error:
        log(f"{error.problem} They are written anew.")
        return RunNotes()
