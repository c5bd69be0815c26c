"""The command line of a run, written out again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from unetkit.foundation import shell
from unetkit.foundation.names import printable
from unetkit.inference.tiling.options import SegmentOptions


def given_fields(options: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their defaults."""
    usual = type(options)()
    fields = dataclasses.asdict(options)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in fields.items()
        if value != getattr(usual, name)
    }


def option_words(given: Mapping[str, Any]) -> list[str]:
    """Return options and their values as the words of a command.

    >>> option_words({"tta": True, "channels": [0, 2], "min_size": 5})
    ['--tta', '--channels', '0,2', '--min-size', '5']
    >>> option_words({"report": "-x.html"})
    ['--report=-x.html']
    """
    words = []
    for name, value in given.items():
        text = ",".join(str(part) for part in value) if isinstance(value, list) else str(value)
        option = f"--{name.replace('_', '-')}"
        words += [option] if value is True else [f"{option}={text}"] if text.startswith("-") else [option, text]
    return words


def whole_command(
    named: Sequence[str], result: str, models: Sequence[str], options: SegmentOptions, cluster: str | None = None
) -> str:
    """Return the command of a run of `segment`.

    Args:
        named: The images, as the user named them.
        result: Where the outputs go.
        models: Names of the models.
        options: The user's choices.
        cluster: Where it is done, see `unetkit.cluster.options.ClusterOptions`.
    """
    given: dict[str, Any] = {} if cluster is None else {"cluster": cluster}
    for part in (options.read, options.tiling, options.write, options.objects):
        given |= given_fields(part)
    words = ["--model", *models, *option_words(given)]
    places = [*named, result]
    hidden = any(place.startswith("-") for place in places)
    ordered = [*words, "--", *places] if hidden else [*places, *words]
    return printable(shell.join(["unetkit", "segment", *ordered]))
