"""The commands with which people go on from a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from unetkit.foundation import shell
from unetkit.foundation.names import printable
from unetkit.models.model_file import MODEL_FILE
from unetkit.models.spec import ModelSpec
from unetkit.report.run.folder import has_checkpoint
from unetkit.report.run.notes import RunNotes

LONGER = 2
"""Factor on the length of a run in the command that goes on."""


class Command(NamedTuple):
    """A command: what it is for, and its line for the shell."""

    purpose: str
    line: str


def go_on(folder: Path, notes: RunNotes, spec: ModelSpec | None, config: Mapping[str, Any]) -> list[Command]:
    """Return the commands that suit a run.

    Args:
        folder: The run folder.
        notes: What is known of the run.
        spec: Its model; None if there is none that can be read.
        config: Its settings by key, as far as they are known.
    """
    found = [] if spec is None else list(_use(folder, notes, spec))
    if has_checkpoint(folder):
        found += _resume(folder, notes, config)
    if spec is not None:
        found.append(Command("What the model file says", _line("unetkit", "info", folder / MODEL_FILE)))
    return [*found, Command("Make this page again", _line("unetkit", "report", folder))]


def use_all(folder: Path, target: str) -> Command:
    """Return the command that takes all models of a cross-validation together."""
    line = f"{_line('unetkit', 'segment', 'image.tif')} {target} {_line('--model', folder)}"
    return Command("Use all models together: their mean counts", line)


def _use(folder: Path, notes: RunNotes, spec: ModelSpec) -> Iterator[Command]:
    """Yield the commands that use the model."""
    model = folder / MODEL_FILE
    image = notes.ending.image if notes.ending and notes.ending.image else "image.tif"
    if spec.task == "classification":
        table = ("classes.csv", "--output", "classes")
        yield Command("Classify an image", _line("unetkit", "segment", image, *table, "--model", model))
        return
    if spec.task == "reconstruction":
        restored = ("restored.tif", "--output", "restored")
        yield Command("Restore an image", _line("unetkit", "segment", image, *restored, "--model", model))
        widths = str(list(spec.decoder_channels)).replace(" ", "")
        shape = ("--model.encoder", spec.encoder, "--model.depth", spec.depth, "--model.decoder_channels", widths)
        yield Command(
            "Train on masks from here",
            _line("unetkit", "fit", "--data.train", "FOLDER", *shape, "--model.weights", model),
        )
        return
    result, kind = ("labels.tif", ("--output", "labels")) if spec.instances else ("mask.tif", ())
    yield Command("Segment an image", _line("unetkit", "segment", image, result, *kind, "--model", model))
    yield Command("Look at the result", _line("unetkit", "view", image, result))
    if notes.ending and notes.ending.mask:
        classes = ("--classes", spec.classes) if spec.classes > 2 else ()
        objects = ("--instances",) if spec.instances else ()
        ignored = notes.data.get("ignore")
        ignore = () if ignored is None else ("--ignore", ignored)
        line = _line("unetkit", "evaluate", result, notes.ending.mask, *classes, *objects, *ignore)
        yield Command("Score it against its true mask", line)
    folder_line = _line("unetkit", "segment", "FOLDER", "results", *kind, "--model", model, "--report", "results.html")
    yield Command("Segment a folder, with a page of all results", folder_line)
    yield Command(
        "Start from this model on other images",
        _line("unetkit", "fit", "--data.train", "FOLDER", "--model.weights", model),
    )


def _resume(folder: Path, notes: RunNotes, config: Mapping[str, Any]) -> Iterator[Command]:
    """Yield the commands that train on."""
    line = _line("unetkit", notes.verb, "--resume", folder)
    if notes.ending is None or notes.ending.interrupted:
        yield Command("Go on with this run", line)
    elif isinstance(minutes := config.get("minutes"), int | float):
        yield Command("Train for longer", f"{line} --minutes {LONGER * minutes:g}")
    elif isinstance(epochs := config.get("trainer.max_epochs"), int) and epochs > 0:
        yield Command("Train for longer", f"{line} --trainer.max_epochs {LONGER * epochs}")


def _line(*words: object) -> str:
    """Return words as a line for the shell; signs that are no text are written out, as they are on a terminal."""
    return printable(shell.join(map(str, words)))
