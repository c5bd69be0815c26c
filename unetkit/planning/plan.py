"""The whole of planning: find the images, look at them, choose settings, check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from unetkit.data.places import Places
from unetkit.data.split import split_fraction
from unetkit.errors import ConfigError
from unetkit.models.weights import trained_on
from unetkit.planning.choice import Choice
from unetkit.planning.choose import choose
from unetkit.planning.machine import Machine, find_machine
from unetkit.planning.measure import Facts, look_at_all, measure
from unetkit.planning.timing import time_crop
from unetkit.planning.trial import try_builtin
from unetkit.planning.warn import Concern, find_concerns

PLACES = tuple(field.name for field in fields(Places))
"""Settings of the data that say where they are."""


@dataclass(frozen=True)
class Plan:
    """A training run that is not started yet.

    Attributes:
        given: Settings that were fixed before, by key.
        facts: What the images to train on are like (with those to validate on, where these are a fraction of them).
        machine: What it runs on.
        choices: The settings that were chosen, and the given ones that bear on them.
        concerns: What may spoil it.
    """

    given: Mapping[str, Any]
    facts: Facts
    machine: Machine
    choices: tuple[Choice, ...]
    concerns: tuple[Concern, ...]


def name_of(data: str) -> str:
    """Return what data are called: their folder, or their file without its suffix."""
    path = Path(data).resolve()
    return path.name if path.is_dir() else path.stem


def make_plan(given: Mapping[str, Any], minutes: float | None = None) -> Plan:
    """Plan a training run.

    Args:
        given: Settings that are fixed, by key; at least "data.train".
        minutes: How long training may take; by default what suits the machine.

    Raises:
        ConfigError: There is no time to train in.
        DataError: The images and masks cannot be trained on.
        ImageError: A file that cannot be read.
    """
    if minutes is not None and minutes <= 0:
        raise ConfigError(f"minutes: {minutes:g} is not possible.", "Use a number above 0.")
    place: dict[str, Any] = {name: given.get(f"data.{name}") for name in PLACES}
    places = Places(**place)
    pairs, own = places.find(), places.find_validation()
    looks = look_at_all([*pairs, *own])
    facts = measure(looks[: len(pairs)])
    machine = find_machine(str(given.get("trainer.accelerator", "auto")))

    def time(network: Mapping[str, Any], crop: int, batch: int) -> float:
        return time_crop(network, facts.channels, crop, batch, machine)

    choices = choose(facts, machine, given, partial(try_builtin, looks[: len(pairs)]), time, minutes)
    chosen = {choice.key: choice.value for choice in choices}
    share = 0.0 if own else chosen.get("data.val", 0.0)
    held = {id(pair) for pair in own or split_fraction(pairs, share, given.get("data.seed", 0))[1]}
    held_out = [id(look.pair) in held for look in looks]
    start = given.get("model.weights", chosen.get("model.weights"))
    seen = () if start is None else trained_on(str(start))
    concerns = [
        *_left_out(places),
        *find_concerns(looks, facts, chosen["data.crop"], held_out, seen),
    ]
    return Plan(given, facts, machine, tuple(choices), tuple(concerns))


def _left_out(places: Places) -> list[Concern]:
    """Name the images without a mask and the masks without an image that are skipped."""
    names = tuple(path.name for path in places.left_out())
    problem = f"Images without a mask and masks without an image are left out, {len(names)} in all"
    return [Concern("unpaired", problem, names, "Check that none of them is needed.")] if names else []
