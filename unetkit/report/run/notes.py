"""What a run was told, what was chosen and why, what was noticed of the data, and how it ended: `run.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from unetkit.foundation.atomic import partial_file
from unetkit.foundation.errors import DataError
from unetkit.report.run.folder import NOTES_FILE


class Chosen(NamedTuple):
    """A setting that was chosen for the data: its key, its value, and the reason in words."""

    key: str
    value: Any
    why: str


@dataclass(frozen=True)
class PlanNotes:
    """What planning found and chose.

    Attributes:
        chosen: The settings that were not given, with reasons.
        facts: Sentences on images, masks and machine.
        warnings: Sentences on what may spoil the training.
    """

    chosen: tuple[Chosen, ...] = ()
    facts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
        interrupted: Whether it was stopped before its end.
        seconds: How long the command took, in seconds; of a resumed run the last one.
        remarks: Sentences on what was measured at the end.
        image: An image to try the model on.
        mask: The file of its true mask; "" if there is none.
        sha256: Hash of the model file, as it was when the images were scored.
    """

    interrupted: bool
    seconds: float
    remarks: tuple[str, ...] = ()
    image: str = ""
    mask: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class RunNotes:
    """The notes of a run.

    Attributes:
        verb: The command that made it: fit or pretrain.
        given: Settings that were given, by key; None where that is not known.
        files: Configuration files that some of them are from.
        plan: What planning found and chose.
        noticed: Sentences on the images, from when they were read.
        data: Facts about the data by name: counts, kinds, settings.
        ending: How the run ended; None while it goes on.
    """

    verb: str = "fit"
    given: Mapping[str, Any] | None = None
    files: tuple[str, ...] = ()
    plan: PlanNotes = PlanNotes()
    noticed: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    ending: Ending | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was noticed of the data, in planning and in reading, each sentence once."""
        return tuple(dict.fromkeys((*self.plan.warnings, *self.noticed)))

    def write(self, folder: Path) -> None:
        """Write the file in a run folder.

        Raises:
            OutputError: It cannot be written.
        """
        with partial_file(folder / NOTES_FILE) as partial:
            partial.write_text(json.dumps(asdict(self), indent=2, default=str) + "\n", encoding="utf-8")


def read_notes(folder: Path) -> RunNotes | None:
    """Read the notes of a run; None where there are none, as in folders of an older unetkit.

    Raises:
        DataError: The file is damaged.
    """
    path = folder / NOTES_FILE
    if not path.is_file():
        return None
    try:
        return _notes(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is damaged: what was given, planned and noticed is not shown.",
            "Put it back, or delete it; training does not need it.",
        ) from error


def _notes(values: Any) -> RunNotes:
    """Return notes from JSON.

    Raises:
        KeyError, TypeError, ValueError: They are not what `RunNotes.write` writes.
    """
    plan, ending = values["plan"], values["ending"]
    given = values["given"]
    return RunNotes(
        verb=_text(values["verb"]),
        given=None if given is None else dict(given),
        files=_texts(values["files"]),
        plan=PlanNotes(
            tuple(Chosen(_text(key), value, _text(why)) for key, value, why in plan["chosen"]),
            _texts(plan["facts"]),
            _texts(plan["warnings"]),
        ),
        noticed=_texts(values["noticed"]),
        data=dict(values["data"]),
        ending=None
        if ending is None
        else Ending(
            bool(ending["interrupted"]),
            float(ending["seconds"]),
            _texts(ending["remarks"]),
            *(_text(ending[name]) for name in ("image", "mask", "sha256")),
        ),
    )


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError(values)
    return tuple(map(_text, values))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
