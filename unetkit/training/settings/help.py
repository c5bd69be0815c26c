"""The help of a verb that trains."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Literal

from unetkit.commandline.help_text import entry_of, help_page
from unetkit.commandline.values import alternatives
from unetkit.foundation.options import Option
from unetkit.training.settings.options import PATH_SETTINGS, Settings

PLAIN_OPTIONS = {
    "trainer.max_epochs": Option("trainer.max_epochs", int, 50, "Epochs, each with data.crops_per_epoch crops."),
    "trainer.accelerator": Option(
        "trainer.accelerator", Literal["auto", "cpu", "gpu", "mps"], "auto", "What to train on."
    ),
}
"""Options of Lightning's Trainer in plainer words."""

SECTIONS = {
    "": "Run",
    "data": "Data",
    "model": "Network and training",
    "trainer": "Lightning's Trainer (see its documentation)",
}
"""Headings of all settings, by the first part of their keys."""


def help_of(settings: Settings, *, everything: bool) -> str:
    """Return the help of a verb that trains: the settings that people change first, or all."""
    known = settings.by_key()
    if not everything:
        shown = {title: [_entry(key, known[key]) for key in keys] for title, keys in settings.first.items()}
        shown["Help"] = [
            ("--help", "Show this text."),
            ("--help-all", f"Show all {len(known)} settings."),
            ("--print_config", "Write all settings and their values as a configuration file."),
        ]
        return help_page(f"unetkit {settings.verb} [settings]", settings.about, shown)
    all_shown: dict[str, list[tuple[str, str]]] = {title: [] for title in SECTIONS.values()}
    for key, option in known.items():
        group = key.partition(".")[0] if "." in key else ""
        all_shown[SECTIONS[group]].append(_entry(key, option))
    return help_page(f"unetkit {settings.verb} [settings]", settings.about, all_shown)


def _entry(key: str, option: Option) -> tuple[str, str]:
    """Return how a setting is written in the help, and what it does."""
    option = PLAIN_OPTIONS.get(key, option)
    if key.rpartition(".")[2] in (*PATH_SETTINGS, "weights", "runs", "resume"):
        kinds = [Path if kind is str else kind for kind in alternatives(option.type)]
        option = replace(option, type=reduce(or_, kinds))
    return entry_of(option, f"--{key}", is_key=True)
