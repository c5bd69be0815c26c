"""A task, and what the client does with its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unetkit.cluster.tasks import Task
from unetkit.foundation.errors import UnetkitError


def nothing(_: Any) -> None:
    """Do nothing with a result."""


@dataclass(frozen=True)
class Step(Task):
    """A task, and what the client does when it is done.

    Attributes:
        image: The image that is spread of which it is a part; None for an image that is begun.
        then: Called with its result.
        otherwise: Called with its error, of an image that is begun.
    """

    image: Path | None = None
    then: Callable[[Any], None] = field(default=nothing, compare=False)
    otherwise: Callable[[UnetkitError], None] = field(default=nothing, compare=False)
