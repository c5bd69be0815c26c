"""Numbers of things and times, in words."""

from __future__ import annotations


def count(number: int, thing: str) -> str:
    """Write a number of things.

    >>> count(1, "object"), count(1200, "tile")
    ('1 object', '1,200 tiles')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Write a time for people.

    >>> duration(0.34), duration(15.4), duration(200), duration(9000)
    ('0.3 s', '15 s', '3 min', '2.5 h')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
