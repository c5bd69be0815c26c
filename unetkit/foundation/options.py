"""Options that live in dataclasses: one field is one keyword of the Python API and one option of the command line."""

from __future__ import annotations

from dataclasses import dataclass, fields
from inspect import getdoc
from typing import Any, get_type_hints

from unetkit.foundation.errors import ConfigError, closest


@dataclass(frozen=True)
class Option:
    """One keyword argument: of a function, or a field of a dataclass.

    Attributes:
        name: Name of the argument.
        type: Its type, resolved.
        default: Its default.
        help: Its text in the docstring.
    """

    name: str
    type: Any
    default: Any
    help: str

    @property
    def is_flag(self) -> bool:
        """Whether the option takes no value."""
        return self.type is bool and self.default is False


def heading(cls: type) -> str:
    """Return what a dataclass is about: the first line of its docstring, without the full stop."""
    return (getdoc(cls) or cls.__name__).split("\n", 1)[0].rstrip(".")


def options_of(defaults: Any) -> list[Option]:
    """Return the fields of a dataclass as options, in their order.

    Args:
        defaults: An instance, whose values are the defaults. The docstring of its class describes the fields under
            "Args:", and what their types name can be imported (not only under TYPE_CHECKING).
    """
    import docstring_parser

    cls = type(defaults)
    texts = {entry.arg_name: entry.description or "" for entry in docstring_parser.parse(getdoc(cls) or "").params}
    hints = get_type_hints(cls)
    return [
        Option(field.name, hints[field.name], getattr(defaults, field.name), texts.get(field.name, ""))
        for field in fields(defaults)
        if field.init
    ]


def split_options(values: dict[str, Any], *classes: type) -> tuple[Any, ...]:
    """Distribute keyword arguments over dataclasses by the names of their fields.

    >>> @dataclass(frozen=True)
    ... class Cut:
    ...     tile: int = 1024
    >>> @dataclass(frozen=True)
    ... class Read:
    ...     level: int = 0
    >>> split_options({"tile": 512}, Cut, Read)
    (Cut(tile=512), Read(level=0))

    Args:
        values: Values by field name; fields that are not named keep their defaults.
        classes: Dataclasses. A field that several of them have goes to each of these.

    Returns:
        An instance of each class, in order.

    Raises:
        ConfigError: No class has a field of that name, or a class refuses its values.
    """
    names = [[field.name for field in fields(cls) if field.init] for cls in classes]
    known = {name for own in names for name in own}
    for name in values:
        if name not in known:
            raise ConfigError(f"There is no setting '{name}'.", closest(name, known))
    return tuple(
        cls(**{name: values[name] for name in own if name in values}) for cls, own in zip(classes, names, strict=True)
    )
