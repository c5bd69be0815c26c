"""The configuration of a run, from a command line, configuration files or a call from Python, parsed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from unetkit.commandline.parsing import UnknownSettingError, complete, read_arguments, read_object
from unetkit.foundation.errors import ConfigError
from unetkit.models.architectures import architecture_info
from unetkit.models.encoders import smp_name
from unetkit.report.run.folder import CONFIG_FILE
from unetkit.report.run.notes import PlanNotes
from unetkit.training.settings.options import (
    CLUSTER,
    EXTRA_ARGUMENTS,
    GROUPS,
    PATH_SETTINGS,
    PRINT_CONFIG,
    Settings,
)

if TYPE_CHECKING:
    from unetkit.data.store import ImageStore


@dataclass(frozen=True)
class RunConfig:
    """The given settings of a run; all others have their defaults.

    Attributes:
        verb: Settings of the verb.
        given: The settings that are given.
        files: Configuration files that some of them are from, by name.
        began: When the command began, by the monotonic clock.
        print_config: How to print all settings instead of training, see `print_settings`; None to train.
        objects: Arguments of Lightning's Trainer that no file can hold, such as callbacks.
        planned: Whether some of the settings were chosen for the data.
        plan: What planning found and chose.
        store: Keeps the decoded images, so that planning, training and all folds decode each once.
        cluster: Machines that train the folds, see `ClusterOptions`.
        client: A `distributed.Client` in its place.
    """

    verb: Settings
    given: Namespace
    files: tuple[str, ...] = ()
    began: float = field(default_factory=monotonic)
    print_config: str | None = None
    objects: Mapping[str, Any] = field(default_factory=dict)
    planned: bool = False
    plan: PlanNotes = field(default_factory=PlanNotes)
    store: ImageStore | None = None
    cluster: str | None = None
    client: Any = None

    def get(self, key: str) -> Any:
        """Return a setting by its whole key, such as "data.crop"; None where it is not given."""
        return self.given.get(key)

    @property
    def values(self) -> dict[str, Any]:
        """The given settings, by their whole keys; null is given only for the weights, where it means random ones."""
        return {key: value for key, value in self.given.items() if value is not None or key == "model.weights"}

    @property
    def resume(self) -> Path | None:
        """The run folder to go on with."""
        folder = self.get("resume")
        return None if folder is None else Path(folder)

    @property
    def settings(self) -> Settings:
        """Settings by what is trained on: masks, or labels of whole images alone."""
        alone = self.get("data.image_labels") is not None and self.get("data.train") is None
        return self.verb.also[0] if alone and self.verb.also else self.verb

    @property
    def is_spread(self) -> bool:
        """Whether folds are trained by the workers of a cluster."""
        return self.cluster is not None or self.client is not None

    @property
    def wants_plan(self) -> bool:
        """Whether the settings that are not given are to be chosen for the data."""
        begins = self.resume is None and not self.files and self.print_config is None
        return begins and self.settings.can_plan and self.get("plan") is not False

    def with_values(self, values: Mapping[str, Any]) -> RunConfig:
        """Return this configuration with other settings, by their whole keys."""
        return replace(self, given=_merge(self.given, _group(values)))

    def with_choices(self, values: Mapping[str, Any]) -> RunConfig:
        """Return this configuration with settings that were chosen where none are given, by their whole keys."""
        return replace(self, given=_merge(_group(values), self.given), planned=True)

    def over(self, file: Path) -> RunConfig:
        """Return this configuration, with the settings of a file where it has none.

        Raises:
            ConfigError: The file cannot be read.
        """
        given = _merge(_read_files(self.verb, [file]), self.given)
        given.pop(CLUSTER.name, None)
        return replace(self, given=given, files=(str(file), *self.files))

    def check(self) -> None:
        """Check the settings, as far as that is possible without PyTorch.

        Raises:
            UnetkitError: A setting is not known or cannot have its value, or a file or a folder is missing.
        """
        if self.print_config is not None:
            return
        config = self
        if self.resume is not None:
            if not self.resume.is_dir():
                raise cannot_resume(self.resume)
            file = self.resume / CONFIG_FILE
            try:
                before = replace(self, given=_group({})).over(file)
                complete(before.settings.parser(), before.given)
            except ConfigError:  # reading the checkpoint, which takes PyTorch, gives a better remedy
                return
            config = self.over(file)
        full = complete(config.settings.parser(), config.given)
        config.check_spread(full.data.get("folds"), full.data.get("fold"))
        if architecture_info(full.model.get("arch", "unet")).has_encoder:
            smp_name(full.model.encoder)
        _check_places(full.data)

    def check_spread(self, folds: int | None, fold: int | str | None) -> None:
        """Check that there is something to spread over the workers of a cluster, if there is one.

        Args:
            folds: Number of folds of the data.
            fold: The one that is trained; None or "all" for all of them.

        Raises:
            ConfigError: There is one run alone, or it has objects that cannot be sent.
        """
        if not self.is_spread:
            return
        if folds is None or fold not in (None, "all"):
            raise ConfigError(
                "A cluster trains the folds of a cross-validation side by side, and this is one run.",
                "Leave cluster out, and give Lightning its devices (trainer.devices, trainer.num_nodes); or give "
                "data.folds.",
            )
        if self.objects:
            raise ConfigError(
                f"trainer.{min(self.objects)} is an object, which cannot be sent to the workers of a cluster.",
                "Name its class in a configuration file (class_path), or leave the cluster out.",
            )


def from_arguments(verb: Settings, args: list[str]) -> RunConfig:
    """Parse a command line.

    Args:
        verb: Settings of the verb.
        args: Arguments after it.

    Raises:
        ConfigError: A setting is not known or cannot have its value, or there is nothing to train on.
    """
    began = monotonic()
    given = _read_arguments(verb, args)
    files = tuple(str(file) for file in given.pop("config", None) or ())
    machines = given.pop(CLUSTER.name, None)
    config = RunConfig(verb, given, files, began, given.pop(PRINT_CONFIG, None), cluster=machines)
    extra = given.pop(EXTRA_ARGUMENTS, None)
    _check_given(config)
    if extra:
        raise ConfigError(
            f"'{' '.join(extra)}' is one argument too many.",
            f"Options begin with --. See `unetkit {verb.verb} --help-all` for all settings and their values.",
        )
    return config


def from_values(
    verb: Settings,
    values: Mapping[str, Any],
    files: Sequence[str | Path] = (),
    objects: Mapping[str, Any] | None = None,
    client: Any = None,
) -> RunConfig:
    """Take settings from Python.

    Args:
        verb: Settings of the verb.
        values: Settings by their whole keys, such as {"model.lr": 0.001}; what is below a key may also be a dictionary.
        files: Configuration files, which the settings go over.
        objects: Arguments of Lightning's Trainer that no file can hold, such as callbacks.
        client: A `distributed.Client` whose workers train the folds.

    Raises:
        ConfigError: A setting is not known or cannot have its value, or there is nothing to train on.
    """
    began = monotonic()
    given = _merge(_read_files(verb, files), read_object(verb.reader(), _group(values)))
    machines = given.pop(CLUSTER.name, None)
    config = RunConfig(
        verb, given, tuple(map(str, files)), began, objects=objects or {}, cluster=machines, client=client
    )
    _check_given(config)
    return config


def is_plain(value: Any) -> bool:
    """Whether a configuration file can hold a value."""
    if type(value) in (list, tuple):
        return all(map(is_plain, value))
    if type(value) is dict:
        return all(map(is_plain, (*value, *value.values())))
    return value is None or isinstance(value, str | int | float)


def cannot_resume(folder: Path) -> ConfigError:
    """Return the error for a folder that is no run to go on with."""
    return ConfigError(
        f"{folder} is not a run that can be resumed: it needs {CONFIG_FILE} and last.ckpt.",
        "Give a folder under runs/ whose first epoch was finished.",
    )


def _read_arguments(verb: Settings, args: list[str]) -> Namespace:
    """Return the settings of a command line; Lightning's Trainer is imported only for settings of its own classes."""
    try:
        given = read_arguments(verb.reader(), args)
        whole = all(is_plain(value) for key, value in given.items() if key.startswith("trainer."))
    except UnknownSettingError as error:
        whole = False
        if not (error.key.startswith("trainer.") and error.key.endswith("+")):
            raise
    if whole:
        return given
    from lightning.pytorch import Trainer

    return read_arguments(verb.reader(Trainer), args)


def _read_files(verb: Settings, files: Sequence[str | Path]) -> Namespace:
    """Return the settings that configuration files give, of later ones over those of earlier ones."""
    words = [word for file in files for word in ("--config", str(file))]
    given = read_arguments(verb.reader(), words)
    for name in ("config", EXTRA_ARGUMENTS, PRINT_CONFIG):
        given.pop(name, None)
    return given


def _check_given(config: RunConfig) -> None:
    """Check that groups are groups, and that `fit` is given something to train on.

    Raises:
        ConfigError: A group is a value, or there is nothing to train on.
    """
    for group in GROUPS:
        value = config.get(group)
        if value is not None and not isinstance(value, Namespace):
            raise ConfigError(f"{group}: '{value}' is not possible.", f"Give the settings of {group} below it.")
    if config.verb.also and not (
        config.files or config.resume or config.get("data") or config.print_config is not None
    ):
        raise ConfigError(
            "--data.train must be given.",
            "Name a folder with the folders images and masks in it, or a configuration file (--config); or labels of "
            "whole images without masks (--data.image_labels).",
        )


def _check_places(data: Namespace) -> None:
    """Check that the files and folders of the data exist."""
    from unetkit.data.pairs import check_exists  # here, since it takes NumPy

    for name in PATH_SETTINGS:
        value = data.get(name)
        if isinstance(value, str):
            check_exists(Path(value))


def _group(values: Mapping[str, Any]) -> Namespace:
    """Return settings by their whole keys as groups."""
    grouped = Namespace()  # type: ignore[no-untyped-call]
    for key, value in values.items():
        grouped[key] = value
    return grouped


def _merge(below: Namespace, above: Namespace) -> Namespace:
    """Return settings over others. A description of an object (class_path) replaces the other as a whole."""
    merged = below.clone()
    for key, value in vars(above).items():
        old = merged.get(key)
        groups = isinstance(old, Namespace) and isinstance(value, Namespace) and "class_path" not in value
        merged[key] = _merge(old, value) if groups else value
    return merged
