"""Settings on the page of a run: what was given, what was chosen and why; the rest has its defaults."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from unetkit.report.run_contents import RunContents

GIVEN, PLANNED = "given", "planned"

PLACES = ("config", "runs", "name", "resume")
"""Settings that locate the run and do not describe it."""


class SettingRow(NamedTuple):
    """A setting: its key, its value, who chose it, and why."""

    key: str
    value: str
    by: str
    why: str


def settings_rows(run: RunContents) -> list[SettingRow]:
    """Return the settings that were given or planned, in the order of the configuration; [] where that is unknown."""
    notes = run.notes
    if notes.given is None:
        return []
    planned = {choice.key: choice for choice in notes.plan.chosen if choice.key not in notes.given}
    values = {**{key: choice.value for key, choice in planned.items()}, **notes.given, **run.config}
    rows = []
    for key, value in values.items():
        if key in planned:
            rows.append(SettingRow(key, write(value), PLANNED, planned[key].why))
        elif key in notes.given and key not in PLACES:
            rows.append(SettingRow(key, write(value), GIVEN, _why(run, key)))
    return sorted(rows, key=lambda row: list(values).index(row.key) if not run.config else _place(run, row.key))


def _why(run: RunContents, key: str) -> str:
    """Return why planning has kept a given setting, if it says so."""
    return next((choice.why for choice in run.notes.plan.chosen if choice.key == key), "")


def _place(run: RunContents, key: str) -> int:
    keys = list(run.config)
    return keys.index(key) if key in run.config else len(keys)


def write(value: Any) -> str:
    """Write a value as in a configuration.

    >>> write([8, 8]), write("a b"), write(None), write(0.5), write(True)
    ('[8, 8]', 'a b', 'null', '0.5', 'true')
    """
    return value if isinstance(value, str) else json.dumps(value, default=str)
