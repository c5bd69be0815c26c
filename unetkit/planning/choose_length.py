"""How long to train: epochs, and crops in each."""

from __future__ import annotations

from math import ceil, floor

from unetkit.planning.choice import Choice
from unetkit.planning.machine import Machine
from unetkit.planning.measure import Facts

MINUTES = {"cpu": 25.0, "gpu": 40.0}
"""How long training may take."""

RESERVED = 0.1
"""Share of the time for the start, and for the halo and the picture at the end."""

EPOCHS = {"cpu": (8, 20), "gpu": (15, 50)}
"""Fewest and most epochs: validation after each of them takes its time."""

VALIDATION_COST = 0.7
"""Time of validating a crop's worth of pixels, in times of training on a crop."""

VALIDATION_SHARE = 0.25
"""Share of the time that validation may take, as long as the epochs do not become too few."""

TOTAL_CROPS = {"cpu": (640, 20_000), "gpu": (8_000, 100_000)}
"""Fewest and most crops in the whole training."""

PASSES = 400
"""Times that the images are gone through at most."""


def choose_length(
    facts: Facts,
    machine: Machine,
    crop: int,
    batch: int,
    val: float,
    seconds: float,
    minutes: float | None,
    epochs: int | None,
) -> list[Choice]:
    """Choose epochs and crops in each, so that training and validation take the time that there is.

    Args:
        facts: The data.
        machine: The machine.
        crop: In pixels.
        batch: Crops in a batch.
        val: Share of the images that is validated on.
        seconds: For training on a crop.
        minutes: How long it may take; None for what suits the machine.
        epochs: Number of epochs, if given.
    """
    kind = "gpu" if machine.gpu else "cpu"
    minutes = MINUTES[kind] if minutes is None else minutes
    budget = 60 * minutes * (1 - RESERVED)
    cover = facts.pixels / crop**2
    validation = val * cover * seconds * VALIDATION_COST
    if epochs is None:
        affordable = floor(VALIDATION_SHARE * budget / validation) if validation else EPOCHS[kind][1]
        fewest, most_epochs = EPOCHS[kind]
        epochs = min(max(affordable, fewest), most_epochs)
    least, most = TOTAL_CROPS[kind]
    enough = min(most, max(least, PASSES * count_covering(facts, crop, val)))
    total = min(max((budget - epochs * validation) / seconds, least), enough)
    batches = max(1, round(total / epochs / batch))
    crops = batches * batch
    needed = epochs * (crops * seconds + validation) / (1 - RESERVED) / 60
    passes = epochs * crops / count_covering(facts, crop, val)
    return [
        Choice(
            "data.crops_per_epoch",
            crops,
            f"{epochs * crops:,} crops in all: each part of the images comes about {passes:.3g} times",
        ),
        Choice(
            "trainer.max_epochs",
            epochs,
            f"about {ceil(needed)} min in all: training on a crop takes {1000 * seconds:.0f} ms here"
            f"{', while other work is going on: plan again when it is not' if machine.busy else ''}",
        ),
    ]


def count_covering(facts: Facts, crop: int, val: float) -> float:
    """Return how many crops cover the images to train on once, without the share to validate on."""
    return (1 - val) * facts.pixels / crop**2
