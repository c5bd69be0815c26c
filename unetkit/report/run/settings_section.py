"""Settings on the page of a run: what was given, what was chosen and why; the rest has its defaults."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from unetkit.report.run.contents import RunContents

GIVEN, PLANNED = "given", "planned"

PLACES = ("config", "runs", "name", "resume", "plan")
"""Settings that locate the run, or say how its settings are found, and do not describe it."""


class SettingRow(NamedTuple):
    """A setting: its key, its value, who chose it, and why."""

    key: str
    value: str
    by: str
    why: str


def settings_rows(run: RunContents) -> list[SettingRow]:
    """Return the settings that were given or planned, in the order of the configuration; [] where that is unknown.

    A setting of the configuration that is not as planned was given: as null, for example, for what is planned else.
    """
    notes, config = run.notes, run.config
    if notes.given is None:
        return []
    rows = []
    for key, value, why in notes.plan.chosen:
        as_planned = config.get(key, value) == value
        rows.append(SettingRow(key, write(config.get(key, value)), *((PLANNED, why) if as_planned else (GIVEN, ""))))
    for key, value in notes.given.items():
        if key not in PLACES:
            rows.append(SettingRow(key, write(config.get(key, value)), GIVEN, ""))
    places = {key: place for place, key in enumerate(config)}
    return sorted(rows, key=lambda row: places.get(row.key, len(places)))


def write(value: Any) -> str:
    """Write a value as in a configuration.

    >>> write([8, 8]), write("a b"), write(None), write(0.5), write(True)
    ('[8, 8]', 'a b', 'null', '0.5', 'true')
    """
    return value if isinstance(value, str) else json.dumps(value, default=str)
