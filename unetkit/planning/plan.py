"""The whole of planning: find the images, look at them, choose settings, check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

from unetkit.data.annotated import check_annotated
from unetkit.data.pairs import Pair
from unetkit.data.places import Places, name_of
from unetkit.data.split import split_fraction
from unetkit.data.store import ImageStore
from unetkit.foundation import shell
from unetkit.foundation.errors import ConfigError
from unetkit.io.base.inner import file_of
from unetkit.models.architectures import DEFAULT_ENCODER
from unetkit.models.weight_sources import check_start, find_source, trained_on
from unetkit.planning.choose import choose, most_cache
from unetkit.planning.choose_depth import choose_depth
from unetkit.planning.choose_length import affordable
from unetkit.planning.choose_volume import CUBE, choose_encoder, sized
from unetkit.planning.machine import Machine, find_machine
from unetkit.planning.measure import Facts, look_at_all, measure
from unetkit.planning.planned import PLACE_SETTINGS, Planned
from unetkit.planning.stack import Stack, find_stacks
from unetkit.planning.timing import time_crop
from unetkit.planning.trial import Trial, try_builtin
from unetkit.planning.warn import Concern, find_concerns
from unetkit.planning.write import describe, settings_of, write_plan

TRIAL_SHARE = 0.05
"""Share of a given time that trying the built-in model may take; timing a few steps may take as much."""

MOST_IMAGES_WITHOUT_TRAINING = 100
"""Up to this many images, training may not be needed. More of them can teach what the built-in model does not know."""


class TrainingPlan(Planned):
    """A training run that is not started yet: its settings, each with its reason, and what may spoil it.

    Example:
        >>> import unetkit
        >>> plan = unetkit.plan("mydata", minutes=10)  # doctest: +SKIP
        >>> print(plan)  # doctest: +SKIP
        >>> plan.write("mydata.yaml")  # doctest: +SKIP
    """

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that were chosen, by key, without those that were given."""
        return settings_of(self)

    def write(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the configuration for `unetkit fit --config`, and return its path.

        Raises:
            OutputError: The file exists and may not be overwritten, or cannot be written.
        """
        write_plan(self, Path(path), overwrite=overwrite)
        return Path(path)

    def __str__(self) -> str:
        """Return what `unetkit plan` prints."""
        return "\n".join(describe(self))


def plan(
    train: str | Path,
    *,
    masks: str | Path | None = None,
    pages: str | None = None,
    val: float | str | Path | None = None,
    val_masks: str | Path | None = None,
    val_pages: str | None = None,
    ignore: int | None = None,
    minutes: float | None = None,
    settings: Mapping[str, Any] | None = None,
) -> TrainingPlan:
    """Look at images and masks, and choose settings for `unetkit fit` that suit them and this machine.

    Args:
        train: A folder with `images` and `masks` in it, a stack or a folder of images (with `masks`), or a CSV.
        masks: Folder, stack or file of the masks, where `train` does not have them.
        pages: Pages of the stack to train on, for example "0-20,24"; all by default.
        val: Images to validate on: a fraction, or any of the forms of `train`; by default a fraction that is chosen.
        val_masks: Masks of `val`.
        val_pages: Pages of the stack to validate on.
        ignore: Value in the masks of pixels that nobody has annotated, for example 255; by default there are none.
        minutes: How long the whole run may take; by default about 25 on a processor and 40 on a GPU.
        settings: Further settings that are fixed, by key, for example {"model.encoder": "resnet34"}.

    Returns:
        The settings with their reasons, and warnings; `TrainingPlan.write` writes them as a configuration.

    Raises:
        ConfigError: There is no time to train in.
        DataError: The images and masks cannot be trained on.
        ImageError: A file that cannot be read.
    """
    place = {"train": train, "masks": masks, "pages": pages, "val": val, "val_masks": val_masks, "val_pages": val_pages}
    place["ignore"] = ignore
    given = {
        f"data.{name}": str(value) if isinstance(value, Path) else value
        for name, value in place.items()
        if value is not None
    }
    return make_plan({**given, **(settings or {})}, minutes)


def make_plan(
    given: Mapping[str, Any],
    minutes: float | None = None,
    began: float | None = None,
    clock: Callable[[], float] = monotonic,
    store: ImageStore | None = None,
) -> TrainingPlan:
    """Plan a training run.

    Args:
        given: Settings that are fixed, by key; at least "data.train".
        minutes: How long the whole run may take; by default what suits the machine.
        began: When the run's time began, by the clock; by default it begins when the plan is done.
        clock: Returns the time in seconds.
        store: Keeps the decoded images for a run that follows, as far as it has room; by default none is kept.

    Raises:
        ConfigError: There is no time to train in.
        DataError: The images and masks cannot be trained on.
        ImageError: A file that cannot be read.
        ModelError: The weights to start from cannot be had, or there are none for the network that is given.
    """
    if minutes is not None and minutes <= 0:
        raise ConfigError(f"minutes: {minutes:g} is not possible.", "Use a number above 0.")
    limit = inf if minutes is None else 60 * TRIAL_SHARE * minutes
    place: dict[str, Any] = {name: given.get(f"data.{name}") for name in PLACE_SETTINGS}
    places = Places(**place)
    machine = find_machine(str(given.get("trainer.accelerator", "auto")))  # while no images take its memory
    if store is not None:
        store.resize(round(given.get("data.cache_gb", most_cache(machine)) * 2**30))
    opened = clock()
    weights = given.get("model.weights")
    check_start(weights, given.get("model.arch", "unet"), given.get("model.encoder", DEFAULT_ENCODER))
    start = None if weights is None else find_source(str(weights))
    depth = choose_depth(
        given,
        start,
        lambda: find_stacks(places.find()),
        lambda stack: count_patches(stack, given, machine, minutes, limit),
    )
    pairs, own = places.find(depth.dims), places.find_validation(depth.dims)
    objects = bool(given.get("model.instances")) or given.get("model.classes") == 2
    looks = look_at_all([*pairs, *own], store, classes=not objects)
    looking = clock() - opened
    check_annotated([(look.name, look.annotated) for look in looks])
    facts = measure(looks[: len(pairs)])
    tried: list[Trial] = []

    def try_once() -> Trial | None:
        trial = try_builtin(looks[: len(pairs)], limit, store)
        tried.extend(() if trial is None else (trial,))
        return trial

    def time(network: Mapping[str, Any], crop: Sequence[int], batch: int) -> float:
        return time_crop(network, facts.channels, crop, batch, machine, limit)

    def elapsed() -> float:
        """Return the seconds before training: those so far, and those for reading the images again."""
        return looking + (0.0 if began is None else clock() - began)

    choices = choose(facts, machine, given, try_once, time, minutes, elapsed, start, depth)
    chosen = {choice.key: choice.value for choice in choices}
    share = 0.0 if own else chosen.get("data.val", 0.0)
    held = {id(pair) for pair in own or split_fraction(pairs, share, given.get("data.seed", 0))[1]}
    held_out = [id(look.pair) in held for look in looks]
    weights = chosen.get("model.weights", weights)
    seen = () if weights is None else trained_on(str(weights))
    doubts = [Concern("doubt", choice.doubt[0], (), choice.doubt[1]) for choice in choices if choice.doubt]
    crop = chosen["data.crop"]
    found = find_concerns(looks, facts, [crop] * depth.dims if isinstance(crop, int) else crop, held_out, seen)
    concerns = (*doubts, *_left_out(places), *found)
    instead = need_not_train(tried[0], facts, pairs, places) if tried else ""
    return TrainingPlan(given, facts, machine, tuple(choices), concerns, minutes, instead)


def count_patches(
    stack: Stack, given: Mapping[str, Any], machine: Machine, minutes: float | None, limit: float
) -> float:
    """Return how many patches of volumes there is time to train on.

    Args:
        stack: The volumes.
        given: Settings that are fixed, by key.
        machine: What it is trained on.
        minutes: How long the run may take; None for what suits the machine.
        limit: Seconds after which no further step is timed.
    """
    choices = choose_encoder(machine)
    settings = {**{choice.key: choice.value for choice in choices}, **given}
    volumes = sized(choices, settings, stack.size, stack.voxel or CUBE, 1, machine)
    seconds = time_crop(volumes.network, 1, volumes.patch.size, volumes.patch.batch, machine, limit)
    return affordable(machine, minutes) / seconds


def _left_out(places: Places) -> list[Concern]:
    """Name the images without a mask and the masks without an image that are skipped."""
    names = tuple(path.name for path in places.left_out())
    problem = f"Images without a mask and masks without an image are left out, {len(names)} in all"
    return [Concern("unpaired", problem, names, "Check that none of them is needed.")] if names else []


def need_not_train(trial: Trial, facts: Facts, pairs: Sequence[Pair], places: Places) -> str:
    """Return sentences that training is not needed, with the command to use; "" where training is worth while."""
    numbered = facts.kind == "instances"
    if facts.images > MOST_IMAGES_WITHOUT_TRAINING or not trial.is_enough(numbered):
        return ""
    folders = {pair.image.parent for pair in pairs}
    if file_of(places.train).is_file():
        images = places.train if len({pair.image for pair in pairs}) == 1 else str(pairs[0].image)
    else:
        images = str(folders.pop() if len(folders) == 1 else pairs[0].image)
    output = "labels" if numbered or trial.separate else "mask"
    target = f"{name_of(places.train)}_{output}" + ("" if Path(images).is_dir() else ".tif")
    command = f"unetkit segment {shell.quote(images)} {shell.quote(target)} --output {output}"
    objects = f" and an F1 score of its objects of {trial.f1:.2f}" if numbered else ""
    known = " It was trained on these images, so look at others of yours too." if trial.known else ""
    return (
        f"You need not train: the built-in model '{trial.model}' finds these objects with a Dice of {trial.dice:.2f}"
        f"{objects} ({trial.images} images tried), and training on {facts.images} images can hardly be expected to do "
        f"better.{known} Use it: {command}"
    )
