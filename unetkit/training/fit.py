"""The verbs that train: from a configuration, parsed once, over the plan to data, module and trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unetkit.data.store import ImageStore
from unetkit.training.classification.run import ClassificationRun
from unetkit.training.pretraining.run import PretrainRun
from unetkit.training.run.cross_validation import CrossValidation
from unetkit.training.run.result import RunResult
from unetkit.training.run.resumed import resumed
from unetkit.training.run.start import start
from unetkit.training.segmentation.planned import planned
from unetkit.training.segmentation.run import SegmentationRun
from unetkit.training.settings.config import RunConfig, from_values, is_plain
from unetkit.training.settings.tasks import FIT, FIT_LABELS


def fit(
    *,
    config: str | Path | Sequence[str | Path] | None = None,
    data: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
    trainer: Mapping[str, Any] | None = None,
    minutes: float | None = None,
    runs: str | Path | None = None,
    name: str | None = None,
    resume: str | Path | None = None,
    plan: bool | None = None,
    seed_everything: bool | int | None = None,
    cluster: str | None = None,
    client: Any = None,
) -> RunResult | CrossValidation:
    """Train a U-Net on a folder of images and masks, as `unetkit fit` does with the same settings.

    What is not given is chosen for the data and this machine, or, with a configuration file, has its default. The run
    is reported on standard output, as by the command.

    Args:
        config: YAML file of settings, such as those in configs/, or several; the other arguments go over it.
        data: Settings of the data, for example {"train": "my_images", "crop": 192}. A group in it is a
            dictionary, or its settings have dots: {"normalization.low": 2}.
        model: Settings of the network and its training, for example {"encoder": "resnet18", "lr": 0.002}.
        trainer: Settings of Lightning's Trainer, for example {"max_epochs": 20}. Loggers, callbacks and the like may be
            objects; those are not in the run's configuration, so give them again to go on with it.
        minutes: Minutes that the whole call may take.
        runs: Folder of the run folders; by default "runs".
        name: Name of the run; by default that of the configuration or the data and a number.
        resume: Run folder to go on with, from its last whole epoch and with its settings.
        plan: Whether settings are chosen for the data where there is no configuration file; by default they are.
        seed_everything: Seed of the first weights and of all else that is random; by default 0.
        cluster: With data={"folds": 5}: machines whose workers train the folds, see `ClusterOptions`.
        client: A `distributed.Client` in place of `cluster`.

    Returns:
        What the run left: its folder, the model and its scores. With data={"folds": 5} the cross-validation.

    Raises:
        UnetkitError: The settings or the data do not fit, or there is nothing to resume.
        KeyboardInterrupt: It was stopped before there was a model. Later, what the run has is returned.

    Example:
        >>> import unetkit
        >>> run = unetkit.fit(data={"train": "cells"}, model={"encoder": "resnet18"}, minutes=10)  # doctest: +SKIP
        >>> run.scores["val_dice"]  # doctest: +SKIP
        >>> mask = unetkit.predict_tiled(array, run.model)  # doctest: +SKIP
    """
    own = {"minutes": minutes, "runs": runs, "name": name, "resume": resume, "plan": plan, "cluster": cluster}
    values = {key: value for key, value in {**own, "seed_everything": seed_everything}.items() if value is not None}
    for group, settings in {"data": data, "model": model, "trainer": trainer}.items():
        values |= {f"{group}.{key}": value for key, value in (settings or {}).items()}
    values = {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}
    objects = {key for key, value in values.items() if key.startswith("trainer.") and not is_plain(value)}
    run_config = from_values(
        FIT,
        {key: value for key, value in values.items() if key not in objects},
        [config] if isinstance(config, str | Path) else config or (),
        {key.removeprefix("trainer."): values[key] for key in objects},
        client,
    )
    run_config.check()
    return run_fit(run_config)


def run_fit(config: RunConfig) -> RunResult | CrossValidation:
    """Train on masks, or on labels of whole images alone: one run, or one for each fold.

    Args:
        config: The configuration.

    Raises:
        UnetkitError: The settings or the data do not fit, or there is nothing to resume.
    """
    config = resumed(config)
    if config.settings is FIT_LABELS:
        return start(ClassificationRun, config)
    config = replace(config, store=ImageStore())
    return start(SegmentationRun, planned(config) if config.wants_plan else config)


def run_pretrain(config: RunConfig) -> RunResult | CrossValidation:
    """Train on images without masks.

    Args:
        config: The configuration.

    Raises:
        UnetkitError: The settings or the data do not fit, or there is nothing to resume.
    """
    return start(PretrainRun, resumed(config))
