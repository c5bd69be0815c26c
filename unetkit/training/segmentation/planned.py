"""Settings of a run on masks that are not given are chosen for the data and this machine."""

from __future__ import annotations

from dataclasses import replace

from lightning.pytorch import Trainer

from unetkit.commandline.parsing import complete
from unetkit.foundation import shell
from unetkit.foundation.console import log
from unetkit.foundation.errors import ConfigError
from unetkit.planning.plan import make_plan
from unetkit.planning.write import describe, facts_of, settings_of
from unetkit.report.run.notes import Chosen, PlanNotes
from unetkit.training.settings.config import RunConfig


def planned(config: RunConfig) -> RunConfig:
    """Choose the settings that are not given, log them, and return the configuration with them.

    Raises:
        ConfigError: A setting is not possible; or several processes are to train: each would time the machine and plan
            for itself.
        UnetkitError: The images and masks cannot be trained on.
    """
    complete(config.verb.reader(Trainer), config.given)  # an unknown logger is an error now, not after planning
    given = config.values
    if str(given.get("trainer.devices", 1)) != "1" or given.get("trainer.num_nodes", 1) != 1:
        raise ConfigError(
            "Training on several devices needs a configuration file.",
            f"Write one with `unetkit plan {shell.quote(given['data.train'])}`, then give it with --config.",
        )
    log(f"Looking at {given['data.train']}, and trying out a few steps.")
    minutes, folds = given.get("minutes"), given.get("data.folds", 1)  # each fold has the same part of the time
    plan = make_plan(given, None if minutes is None else minutes / folds, config.began, store=config.store)
    for line in describe(plan):
        log(line)
    log("")
    chosen = tuple(Chosen(choice.key, choice.value, choice.why) for choice in plan.choices if choice.key not in given)
    noted = PlanNotes(chosen, tuple(facts_of(plan)), tuple(concern.text for concern in plan.concerns))
    return replace(config.with_choices(settings_of(plan)), plan=noted)
