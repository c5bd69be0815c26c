"""Values of options: from a word of a command line or a YAML file to what a type hint asks for, and in plain words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from unetkit.foundation.errors import ConfigError, closest

KIND_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a file name",
    str: "text",
    list: "a list such as [1, 2]",
    Sequence: "a list such as [1, 2]",
    dict: "settings such as {name: value}",
    NoneType: "null",
}
"""Words for the kinds of values."""

PLACEHOLDERS: dict[Any, str] = {
    int: "NUMBER",
    float: "NUMBER",
    bool: "true|false",
    Path: "PATH",
    str: "TEXT",
    list: "LIST",
    Sequence: "LIST",
    dict: "SETTINGS",
}
"""Placeholders of values in a help text."""


def _true_or_false(word: str) -> bool:
    if word.lower() not in ("true", "false"):
        raise ValueError(word)
    return word.lower() == "true"


def _null(word: str) -> None:
    if word != "null":
        raise ValueError(word)


WORD_READERS: dict[Any, Callable[[str], Any]] = {
    int: int,
    float: float,
    bool: _true_or_false,
    Path: Path,
    str: str,
    NoneType: _null,
}
"""Functions that read a word of the command line as a value, in the order in which the kinds are tried."""

FILE_KINDS: dict[type, tuple[Any, ...]] = {
    NoneType: (NoneType,),
    bool: (bool,),
    int: (int, float),
    float: (float,),
    str: (Path, str, float),  # YAML takes 1e-3 for a text
    list: (Sequence,),
}
"""Kinds that a value in a YAML file can have, by its type in the file."""

SEVERAL_SUFFIX = " ..."
"""End of the placeholder of an argument that takes several values."""


def alternatives(hint: Any) -> tuple[Any, ...]:
    """Return the hints that a union consists of; of any other hint itself."""
    if get_origin(hint) in (Union, UnionType):
        return tuple(part for own in get_args(hint) for part in alternatives(own))
    return (hint,)


def choices(hint: Any) -> tuple[Any, ...]:
    """Return the values that a hint lists one by one."""
    return tuple(value for part in alternatives(hint) if get_origin(part) is Literal for value in get_args(part))


def item_of(hint: Any) -> Any:
    """Return the type of the items of `list[...]` or of `list[...] | None`; None for every other hint."""
    lists = [part for part in alternatives(hint) if get_origin(part) is list]
    return get_args(lists[0])[0] if lists else None


def from_word(key: str, word: str, hint: Any) -> Any:
    """Return the value that a word of the command line stands for. Text and file names are taken as they are.

    Raises:
        ConfigError: The word is no such value.
    """
    kinds = alternatives(hint)
    if word in choices(hint):
        return word
    for kind, read in WORD_READERS.items():
        if kind in kinds:
            with suppress(ValueError):
                return read(word)
    raise _not_possible(key, word, [kind for kind in kinds if kind is not NoneType], choices(hint))


def from_file(key: str, value: Any, hint: Any) -> Any:
    """Return what a value in a YAML file stands for. A single value will do for a list.

    Raises:
        ConfigError: It is of another kind.
    """
    item = item_of(hint)
    if item is not None and value is not None:
        return [from_file(key, one, item) for one in (value if isinstance(value, list) else [value])]
    if isinstance(value, str) and value in choices(hint):
        return value
    kinds = [get_origin(kind) or kind for kind in alternatives(hint)]
    for kind in FILE_KINDS.get(type(value), ()):
        if kind in kinds:
            with suppress(ValueError):
                return value if kind in (NoneType, Sequence) else kind(value)
    raise _not_possible(key, value, alternatives(hint), choices(hint), quoted=True)


def _not_possible(
    key: str, value: Any, kinds: Sequence[Any], listed: Sequence[Any], *, quoted: bool = False
) -> ConfigError:
    """Return the error for a value that an option does not take, with the values that it takes."""
    problem = f"{key}: '{value}' is not possible."
    named = [get_origin(kind) or kind for kind in kinds if get_origin(kind) is not Literal]
    words = list(dict.fromkeys(KIND_WORDS[kind] for kind in named if kind in KIND_WORDS))
    if quoted:
        words = ["text in quotes" if word in (KIND_WORDS[str], KIND_WORDS[Path]) else word for word in words]
    if listed and set(words) <= {KIND_WORDS[NoneType]}:
        return ConfigError(problem, closest(str(value), map(str, listed)))
    return ConfigError(problem, f"Give {' or '.join([*words, *map(repr, listed)])}.")


def placeholder(hint: Any) -> str:
    """Return what stands for a value in a help text, such as NUMBER|auto."""
    item = item_of(hint)
    if item in (Path, str):
        return PLACEHOLDERS[item]
    words = [str(choice) for choice in choices(hint)]
    named = [get_origin(part) or part for part in alternatives(hint)]
    first = [PLACEHOLDERS[kind] for kind in named if kind in PLACEHOLDERS and kind not in (list, Sequence, dict)]
    first = first or [PLACEHOLDERS[kind] for kind in named if kind in PLACEHOLDERS]
    free = first == [PLACEHOLDERS[str]]  # any text will do, so the known ones come first
    return "|".join(dict.fromkeys([*words, *first] if free else [*first, *words])) or "VALUE"


def default_text(default: Any) -> str:
    """Return a default value as text; "" where the help names none."""
    if default is None or default == [] or default is NotImplemented or isinstance(default, type):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list | tuple):
        return f"[{', '.join(map(str, default))}]"
    return f"{default:g}" if isinstance(default, float) else str(default)
