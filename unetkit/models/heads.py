"""How each output of a network starts from the outputs of another that mean the same, or nearly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unetkit.models.spec import ModelSpec


@dataclass(frozen=True)
class Mixture:
    """The outputs of a network as sums of those of another.

    Attributes:
        shares: (outputs, outputs of the other network): how much of each counts.
        note: Description for people; "" where the outputs are the same.
        stand_in: Whether the distance map has the values of the mask until it is trained.
    """

    shares: Tensor
    note: str = ""
    stand_in: bool = False

    def apply(self, values: Tensor) -> Tensor:
        """Mix the weights or biases of a last layer (outputs of the other network, ...)."""
        return torch.einsum("ts,s...->t...", self.shares.to(values.dtype), values)


def mix_outputs(source: ModelSpec, target: ModelSpec) -> Mixture:
    """Return how the segmentation head of a model starts from that of another model.

    - The mask of foreground and background is taken as it is.
    - The distance map is taken as it is. Without one it starts as the mask: each connected part is then one object.
    - From foreground and background to several classes: every class but the background starts as the foreground.
      So the foreground is found as before, and training separates the classes.
    - From several classes to foreground and background: the mean of the other classes against the background.
    - Among several classes, those of the same name are taken. Where either model has no names, those of the same number
      are taken. A new class starts as the mean of the classes that are no background.
    """
    if source.classes == 2 and target.classes == 2:
        return _mix_foreground(source, target)
    if source.classes == 2:
        shares = torch.zeros(target.classes, source.network_channels)
        shares[1:, 0] = 1
        return Mixture(shares, "each class starts as its foreground")
    if target.classes == 2:
        row = torch.full((1, source.classes), 1 / (source.classes - 1))
        row[0, 0] = -1
        rows = row.repeat(target.network_channels, 1)
        return Mixture(rows, f"the foreground starts as the mean of its {source.classes - 1} classes", target.instances)
    return _mix_classes(source, target)


def _mix_foreground(source: ModelSpec, target: ModelSpec) -> Mixture:
    """Mix the outputs of foreground and background, with or without a distance map."""
    shares = torch.eye(target.network_channels, source.network_channels)
    if source.instances == target.instances:
        return Mixture(shares)
    if source.instances:
        return Mixture(shares, "only the mask of its two outputs is taken")
    shares[1, 0] = 1
    return Mixture(shares, "it has no distance map of objects, which starts as its mask", stand_in=True)


def _mix_classes(source: ModelSpec, target: ModelSpec) -> Mixture:
    """Mix the outputs of several classes."""
    origins = match_classes(source.class_names, target.class_names, source.classes, target.classes)
    shares = torch.zeros(target.classes, source.classes)
    for row, origin in enumerate(origins):
        if origin is None:
            shares[row, 1:] = 1 / (source.classes - 1)
        else:
            shares[row, origin] = 1
    if list(origins) == list(range(source.classes)):
        return Mixture(shares)
    kept = sum(origin is not None for origin in origins)
    new = target.classes - kept
    started = f", {new} start as the mean of its classes" if new else ""
    return Mixture(shares, f"{kept} of its {source.classes} classes are taken{started}")


def match_classes(source: Sequence[str], target: Sequence[str], classes: int, wanted: int) -> tuple[int | None, ...]:
    """Return which class each of `wanted` classes is among `classes` others; None for one that is not there.

    Args:
        source: Names of the others; empty if they have none.
        target: Names of the wanted; empty if they have none.
        classes: Number of the others, the background included, which is always 0.
        wanted: Number of the wanted.
    """
    if not source or not target:
        return tuple(number if number < classes else None for number in range(wanted))
    numbers = {name: number for number, name in enumerate(source) if number}
    return (0, *(numbers.get(name) for name in target[1:]))
