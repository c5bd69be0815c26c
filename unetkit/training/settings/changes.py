"""The settings of a run that is resumed: what may change, and that nothing else has changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from unetkit.foundation import shell
from unetkit.foundation.atomic import partial_file
from unetkit.foundation.console import log
from unetkit.foundation.errors import ConfigError
from unetkit.models.model_file import MODEL_FILE
from unetkit.report.run.folder import CONFIG_FILE

CHANGEABLE_SETTINGS = (
    *(
        "minutes",
        "trainer.max_epochs",
        "trainer.max_time",
        "trainer.accelerator",
        "trainer.strategy",
        "trainer.devices",
    ),
    *("trainer.num_nodes", "trainer.precision", "trainer.logger", "trainer.callbacks", "trainer.profiler"),
    *("trainer.plugins", "trainer.deterministic", "trainer.benchmark", "trainer.detect_anomaly"),
    *("trainer.enable_progress_bar", "trainer.enable_model_summary", "trainer.log_every_n_steps"),
    *("trainer.num_sanity_val_steps", "model.compile", "data.workers", "data.cache_gb"),
    *("data.train", "data.masks", "data.val_masks", "data.images", "data.image_labels"),
)
"""Settings that may change when a run is resumed: its length, the machine, and where the images are. The pixels show
whether the images are the same."""

COMMAND_SETTINGS = ("resume", "config")
"""Settings of a command that are not settings of its run."""

Changes = dict[str, tuple[Any, Any]]
"""Settings by key: what they were, what they are."""


def check_config(folder: Path, stored: str, ignored: tuple[str, ...] = ()) -> None:
    """Check that the config.yaml of a run is whole; where it is missing, write the one that the checkpoint holds.

    Args:
        folder: The run folder.
        stored: The config.yaml that the last checkpoint was trained with.
        ignored: Keys in which `stored` may differ.

    Raises:
        ConfigError: The file is cut off, or is no configuration.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        with partial_file(path) as partial:
            partial.write_text(stored, encoding="utf-8")
        log(f"There was no {path}: it is written again from the checkpoint.")
        return
    text = path.read_bytes().decode("utf-8", "replace")
    if text == stored:
        return
    keys, known = flat(text).keys(), flat(stored).keys()
    if not text.endswith("\n") or any(key not in keys for key in known if key not in ignored and not _under(key, keys)):
        raise ConfigError(
            f"{path} is damaged: it is not the whole configuration of the run.",
            "Put it back; or delete it, and --resume takes the one that the checkpoint holds.",
        )


def changes(before: str, now: str) -> Changes:
    """Return the settings that differ between two configurations, given as YAML.

    A setting that only one of them has is no change. Settings below one that has changed as a whole, such as a logger,
    are not listed.
    """
    old, new = flat(before), flat(now)
    found = {key: (old[key], new[key]) for key in old if key in new and old[key] != new[key]}
    for key in old.keys() ^ new.keys():  # a value in the place of a group, or a group in the place of a value
        if parent := _under(key, old if key in new else new):
            found[parent] = (old.get(parent, "something else"), new.get(parent, "something else"))
    return {key: values for key, values in found.items() if key not in COMMAND_SETTINGS}


def check_changes(found: Changes, folder: Path, verb: str) -> None:
    """Raise a ConfigError for the first setting that may not change."""
    for key, (old, new) in found.items():
        if any(key == may or key.startswith(f"{may}.") for may in CHANGEABLE_SETTINGS) or _moved(key, old, new):
            continue
        other = f"unetkit {verb} --config {shell.quote(str(folder / CONFIG_FILE))} --{key} {shell.quote(_word(new))}"
        raise ConfigError(
            f"{key}: {_word(new)} cannot be set for a run that is resumed: it was begun with {_word(old)}.",
            f"Leave it out; or start a new run from its best model: {other} --model.weights "
            f"{shell.quote(str(folder / MODEL_FILE))}",
        )


def describe_changes(found: Changes) -> list[str]:
    """Return a sentence for each setting that has changed, and for its effect."""
    lines = [f"{key}: {_word(new)} from here on (it was {_word(old)})." for key, (old, new) in found.items()]
    if "trainer.max_epochs" in found:
        lines.append("The learning rate goes on where it would be now in a run of that length.")
    return lines


def flat(text: str) -> dict[str, Any]:
    """Return the settings of a YAML file by their whole key, such as "model.lr"; none if it is no configuration."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return dict(_flatten(content, "")) if isinstance(content, dict) else {}


def _flatten(group: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in group.items():
        name = f"{prefix}{key}"
        found += _flatten(value, f"{name}.") if isinstance(value, dict) and value else [(name, value)]
    return found


def _under(key: str, keys: Any) -> str:
    """Return the key of a group that `key` is in, if it is among `keys`; else ""."""
    while "." in key:
        key = key.rpartition(".")[0]
        if key in keys:
            return key
    return ""


def _moved(key: str, old: Any, new: Any) -> bool:
    """Whether images to validate on that are named are only in another place."""
    return key == "data.val" and isinstance(old, str) and isinstance(new, str)


def _word(value: Any) -> str:
    """Return a value as it is written on the command line."""
    return (
        value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=1000).split("\n")[0]
    )
