"""A chosen setting with its reason, and the network that other choices depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Network = Mapping[str, Any]
"""Settings of a network, by the names of `ModelSpec`."""


@dataclass(frozen=True)
class Choice:
    """A setting.

    Attributes:
        key: Its name in a configuration, for example "data.crop".
        value: The value.
        why: The reason, in words.
        doubt: What may be wrong with it, and what to do about it: two sentences, the first without its full stop.
    """

    key: str
    value: Any
    why: str
    doubt: tuple[str, str] | None = None
