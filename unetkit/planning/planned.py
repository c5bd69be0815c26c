"""A plan: the facts, the choices with their reasons, and the warnings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from unetkit.data.places import Places
from unetkit.planning.choice import Choice
from unetkit.planning.machine import Machine
from unetkit.planning.measure import Facts
from unetkit.planning.warn import Concern

PLACE_SETTINGS = tuple(field.name for field in fields(Places))
"""Names of the settings that locate the data."""


@dataclass(frozen=True)
class Planned:
    """A training run that is not started yet.

    Attributes:
        given: Settings that were fixed before, by key.
        facts: What the images to train on are like (with those to validate on, where these are a fraction of them).
        machine: What it runs on.
        choices: The settings that were chosen, and the given ones that they depend on.
        concerns: What may spoil it.
        minutes: How long the run may take, if that is given.
        instead: Sentences that training is not needed, with the command to use; "" where it is.
    """

    given: Mapping[str, Any]
    facts: Facts
    machine: Machine
    choices: tuple[Choice, ...]
    concerns: tuple[Concern, ...]
    minutes: float | None = None
    instead: str = ""
