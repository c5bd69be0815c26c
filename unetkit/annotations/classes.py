"""Names of classes: which number each gets, and the two with a meaning of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from unetkit.annotations.objects import Drawn
from unetkit.foundation.errors import DataError

IGNORE = "ignore"
"""Objects of this class (QuPath's "Ignore*" too, upper or lower case) are neither foreground nor background."""

REGION = "region"
"""Where an image has objects of this class ("Region*" too), only what lies inside them is annotated."""

UNCLASSIFIED = "unclassified"
"""Class of objects without one, where others have one."""

MOST_CLASSES = 254
"""Most classes of a mask of 8 bits, in which 0 is background and 255 is ignored."""

SHOWN = 12
"""How many names a message has at most."""


def is_ignored(drawn: Drawn, ignored: Sequence[str] = ()) -> bool:
    """Return whether the pixels of an object are ignored, by the name of its class; `ignored` has further names."""
    return _plain(drawn.name) == IGNORE or drawn.name in ignored


def is_region(drawn: Drawn) -> bool:
    """Return whether an object says where the image is annotated."""
    return _plain(drawn.name) == REGION


def _plain(name: str) -> str:
    return name.rstrip("*").strip().lower()


def names_of(objects: Iterable[Drawn], ignored: Sequence[str] = ()) -> set[str]:
    """Return the names of the classes of objects, "" for those without one; ignored ones and regions are none."""
    return {drawn.name for drawn in objects if not (drawn.crowd or is_ignored(drawn, ignored) or is_region(drawn))}


def settle_names(
    found: set[str], wanted: Sequence[str] | None = None, where: str = "the annotations"
) -> tuple[str, ...]:
    """Return the names of classes in the order of their numbers, from 1.

    Args:
        found: Names that were found, see `names_of`.
        wanted: The order that a user gave; by default they are sorted.
        where: What holds them, for messages.

    Returns:
        The names. Where no object has a class, there is one without a name.

    Raises:
        DataError: An object has another class than those wanted, or there are more than a mask has numbers for.
    """
    named = {name or UNCLASSIFIED for name in found} if found != {""} or wanted is not None else {""}
    if wanted is None:
        names = tuple(sorted(named))
    else:
        names = tuple(wanted)
        unknown = sorted(named - set(names))
        if unknown:
            raise DataError(
                f"There are objects of the class{'es' * (len(unknown) > 1)} {_list(unknown)} in {where}, but the known "
                f"classes are {_list(names)}.",
                f"Add them to the classes, have them ignored, or give them the class '{IGNORE}'.",
            )
    if len(names) > MOST_CLASSES:
        raise DataError(
            f"There are {len(names)} classes in {where}, but a mask holds {MOST_CLASSES}: {_list(names)}.",
            "If they are names of objects, write labels (a number for each object) instead.",
        )
    return names


def number_of(drawn: Drawn, names: Sequence[str]) -> int:
    """Return the number of an object's class, from 1."""
    return names.index(drawn.name if drawn.name in names else UNCLASSIFIED) + 1


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(name or "(none)" for name in names[:SHOWN]) + more
