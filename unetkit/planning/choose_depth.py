"""Whether a network sees planes, planes with their neighbours, or volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from unetkit.models.spec import ModelSpec
from unetkit.planning.choice import Choice
from unetkit.planning.stack import Stack

FEWEST_PLANES = 8
"""Fewest planes of a stack that a network of volumes is trained on."""

MOST_ANISOTROPY = 3.0
"""Largest distance of planes, as a multiple of the size of a pixel, for a network of volumes; the same number is the
threshold of anisotropy in nnU-Net (Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z)."""

LEAST_LIKENESS = 0.1
"""Least correlation of planes that have something to say about each other."""

FEWEST_PATCHES = 300
"""Fewest patches that a network of volumes learns from; with time for fewer, planes teach more. Not measured."""

DEPTH_KEYS = {"model.dims", "model.planes"}
"""Settings that say what a network sees."""


@dataclass(frozen=True)
class Depth:
    """What a network sees.

    Attributes:
        dims: 2 for planes, 3 for volumes.
        planes: Neighbouring planes that a network of planes sees.
        choices: The settings that were chosen; none where nothing says that planes belong together.
    """

    dims: Literal[2, 3] = 2
    planes: int = 1
    choices: tuple[Choice, ...] = ()


def choose_depth(
    given: Mapping[str, Any],
    start: ModelSpec | None,
    find: Callable[[], Stack | None],
    patches: Callable[[Stack], float],
) -> Depth:
    """Choose what a network sees.

    Args:
        given: Settings that are fixed, by key.
        start: The model that training starts from, if that is one of unetkit.
        find: Looks at the stacks; called only where nothing else decides.
        patches: Returns for how many patches of volumes there is time; called only where volumes are worth while.
    """
    if DEPTH_KEYS & given.keys():
        return Depth(given.get("model.dims", 2), given.get("model.planes", 1))
    if start is not None:
        return _as_start(start)
    if given.get("model.arch", "unet") != "unet" or (stack := find()) is None:
        return Depth()
    thick = f"planes are {stack.anisotropy:.3g} pixels apart"
    alike = f"neighbours are alike (a correlation of {stack.likeness:.2f})"
    reason, count = "", 0.0
    if stack.likeness < LEAST_LIKENESS:
        return _planes(1, f"neighbouring planes have little in common (a correlation of {stack.likeness:.2f})")
    if stack.anisotropy > MOST_ANISOTROPY:
        reason = f"{thick}, too far for a network of volumes, and {alike}"
    elif stack.size[0] < FEWEST_PLANES:
        reason = f"{alike}, and {stack.size[0]} planes are too few for a network of volumes"
    elif (count := patches(stack)) < FEWEST_PATCHES:
        reason = f"{thick}, but there is time for {count:.0f} patches of volumes only"
    if reason:
        return _planes(5 if stack.next_likeness >= LEAST_LIKENESS else 3, reason)
    why = f"{thick}: objects go on from plane to plane, and there is time for {count:.0f} patches of volumes"
    return Depth(3, 1, (Choice("model.dims", 3, why),))


def _as_start(start: ModelSpec) -> Depth:
    why = "as the model has it that training starts from"
    if start.dims == 3:
        return Depth(3, 1, (Choice("model.dims", 3, why),))
    return Depth(2, start.planes, (Choice("model.planes", start.planes, why),) if start.planes > 1 else ())


def _planes(count: int, why: str) -> Depth:
    return Depth(2, count, (Choice("model.planes", count, why),))
