"""How long to train: epochs, and crops in each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, floor

from unetkit.foundation.errors import ConfigError
from unetkit.inference.tiling.halo import plan_comparison
from unetkit.planning.choice import Choice
from unetkit.planning.machine import Machine
from unetkit.planning.measure import Facts

MINUTES = {"cpu": 25.0, "gpu": 40.0}
"""How long training takes if no time is given."""

RESERVED_SHARE = 0.1
"""Share of the time that is kept for the start, and for the halo and the picture at the end."""

EPOCHS_RANGE = {"cpu": (8, 20), "gpu": (15, 50)}
"""Fewest and most epochs: validation after each of them takes its time."""

VALIDATION_COST = 0.7
"""Time of validating as many pixels as a crop has, as a multiple of the time of training on a crop."""

VALIDATION_SHARE = 0.1
"""Share of the time of a run that validation may take. Where it would take more, not every epoch is validated."""

TOTAL_CROPS = {"cpu": (640, 20_000), "gpu": (8_000, 100_000)}
"""Fewest and most crops in the whole training."""

MOST_PASSES = 400
"""Most passes through the images."""

FEWEST_USEFUL_CROPS = {False: 640, True: 160}
"""Fewest crops that teach something, by whether training starts from a trained model."""

FINISH_SECONDS = 3.0
"""Seconds for reading and writing at the end of a run."""


@dataclass(frozen=True)
class Length:
    """How long a run is.

    Attributes:
        choices: The settings.
        crops: Crops in the whole run.
    """

    choices: tuple[Choice, ...]
    crops: float


@dataclass(frozen=True)
class Work:
    """The work of a run, and how long it takes.

    Attributes:
        facts: The data.
        machine: The machine.
        crop: Pixels of a crop.
        batch: Crops in a batch.
        val: Share of the images that is validated on.
        seconds: Seconds for training on a crop.
        trained: Whether training starts from a trained model.
        epochs: Number of epochs, if given.
        strides: Stride of the network along each axis.
    """

    facts: Facts
    machine: Machine
    crop: int
    batch: int
    val: float
    seconds: float
    trained: bool = False
    epochs: int | None = None
    strides: tuple[int, ...] = (32, 32)

    @property
    def validation(self) -> float:
        """Seconds for validating once."""
        return self.val * self.facts.pixels / self.crop * self.seconds * VALIDATION_COST

    @property
    def finish(self) -> float:
        """Seconds for the halo, measured on few windows, and the picture at the end."""
        halo = plan_comparison(self.strides, 2).pixels / self.crop * self.seconds * VALIDATION_COST
        return FINISH_SECONDS + halo + self.validation

    @property
    def covering(self) -> float:
        """Crops that cover the images to train on once."""
        return count_covering(self.facts, self.crop, self.val)


def affordable(machine: Machine, minutes: float | None) -> float:
    """Return the seconds that there are to train in, for a run of so many minutes or of those that suit the machine."""
    usual = MINUTES["gpu" if machine.gpu else "cpu"]
    return 60 * (usual if minutes is None else minutes) * (1 - RESERVED_SHARE - VALIDATION_SHARE)


def choose_length(work: Work) -> Length:
    """Choose epochs and crops in each, so that training and validation take about the time that suits the machine."""
    kind = "gpu" if work.machine.gpu else "cpu"
    budget = 60 * MINUTES[kind] * (1 - RESERVED_SHARE)
    epochs = work.epochs
    if epochs is None:
        affordable = floor(VALIDATION_SHARE * budget / work.validation) if work.validation else EPOCHS_RANGE[kind][1]
        fewest, most_epochs = EPOCHS_RANGE[kind]
        epochs = min(max(affordable, fewest), most_epochs)
    least, most = TOTAL_CROPS[kind]
    enough = min(most, max(least, MOST_PASSES * work.covering))
    validation = min(epochs * work.validation, VALIDATION_SHARE * budget)
    total = min(max((budget - validation) / work.seconds, least), enough)
    batches = max(1, round(total / epochs / work.batch))
    crops = batches * work.batch
    training = epochs * crops * work.seconds
    validation = min(epochs * work.validation, training * VALIDATION_SHARE / (1 - VALIDATION_SHARE))
    needed = (training + validation) / (1 - RESERVED_SHARE) / 60
    length = f"about {ceil(needed)} min in all: {_speed(work)}"
    choices = (_crops(work, crops, epochs * crops), Choice("trainer.max_epochs", epochs, length))
    return Length(choices, epochs * crops)


def fit_length(work: Work, minutes: float, elapsed: float) -> Length:
    """Choose the crops in an epoch for a run of a given time, of which validation takes a tenth or less.

    How many epochs there will be is up to the clock.

    Args:
        work: What there is to do.
        minutes: How long the whole command may take.
        elapsed: Seconds that are over.

    Raises:
        ConfigError: There is no time for a single batch.
    """
    left = 60 * minutes - elapsed - work.finish - work.validation
    if left < work.batch * work.seconds:
        needed = ceil((60 * minutes - left + FEWEST_USEFUL_CROPS[work.trained] * work.seconds) / 60)
        raise ConfigError(
            f"minutes: {minutes:g} is too little to train on a single batch: {elapsed:.0f} s went into looking at the "
            f"images, a batch takes {work.batch * work.seconds:.1f} s, and the end of the run about "
            f"{work.finish + work.validation:.0f} s.",
            f"Give at least {needed} min; or use the built-in model without training (unetkit segment).",
        )
    epochs = work.epochs
    if epochs is None:
        most = EPOCHS_RANGE["gpu" if work.machine.gpu else "cpu"][1]
        epochs = min(max(floor(VALIDATION_SHARE * left / work.validation), 2), most) if work.validation else most
    total = max(left - epochs * work.validation, left * (1 - VALIDATION_SHARE)) / work.seconds
    crops = max(1, round(total / epochs / work.batch)) * work.batch
    choice = _crops(work, crops, total)
    if total < FEWEST_USEFUL_CROPS[work.trained]:
        needed = ceil((elapsed + work.finish + 1.2 * FEWEST_USEFUL_CROPS[work.trained] * work.seconds) / 60)
        doubt = f"{minutes:g} min are little: there is time for about {total:.0f} crops, which teach hardly anything"
        choice = replace(choice, doubt=(doubt, f"From about {needed} min on training is worth while here."))
    return Length((choice,), total)


def _crops(work: Work, crops: int, total: float) -> Choice:
    passes = total / work.covering
    why = f"{total:,.0f} crops in all: each part of the images comes about {passes:.3g} times"
    return Choice("data.crops_per_epoch", crops, why)


def _speed(work: Work) -> str:
    busy = ", while other work is going on: plan again when it is not" if work.machine.busy else ""
    return f"training on a crop takes {1000 * work.seconds:.0f} ms here{busy}"


def count_covering(facts: Facts, crop: int, val: float) -> float:
    """Return how many crops of so many pixels cover what is annotated once, without the share to validate on."""
    return (1 - val) * facts.area / crop
