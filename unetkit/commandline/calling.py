"""Call a function with arguments from the command line: its typed signature and its docstring are the options."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from inspect import Parameter, getdoc, signature
from itertools import takewhile
from pathlib import Path
from types import NoneType
from typing import Any, get_type_hints

import docstring_parser

from unetkit.commandline.help_text import entry_of, help_page
from unetkit.commandline.values import SEVERAL_SUFFIX, alternatives, from_file, from_word, item_of
from unetkit.foundation.console import log
from unetkit.foundation.errors import ConfigError, closest
from unetkit.foundation.options import Option, heading, options_of

CONFIG_OPTION = Option("config", Path | None, None, "YAML file with any of these options, by their names.")
HELP_OPTION = Option("help", bool, False, "Show this text.")

OPTION_WORD = re.compile(r"--?[^\W\d_][^\s=]*(=.*)?", re.DOTALL)
"""A word that names an option; "-1", "-" and "- a.tif" do not."""


@dataclass(frozen=True)
class Verb:
    """The arguments of a command.

    Attributes:
        name: Name of the command.
        about: Description of the command.
        positional: Arguments without a name. One of them can be a list.
        named: Options, by the heading of their group.
        parts: Names of the fields of each parameter that is a dataclass.
    """

    name: str
    about: str
    positional: list[Option]
    named: dict[str, list[Option]]
    parts: dict[str, list[str]]

    @property
    def options(self) -> list[Option]:
        """All options."""
        return [option for group in self.named.values() for option in group]

    @property
    def see_help(self) -> str:
        """Sentence that points to the help."""
        return f"See `unetkit {self.name} --help` for all options and their values."


def call(function: Callable[..., Any], name: str, args: Sequence[str]) -> Any:
    """Call a function with arguments from the command line.

    - Parameters without a default are positional. Positional-only ones with a default may be left out.
    - One without a default that may be None may be left out too, even before others: it is None then.
    - All other parameters are options. Those that are False by default are flags.
    - A parameter that is a list takes one or more values.
    - A parameter whose type is a dataclass stands for its fields. Each is an option under the dataclass's heading.
    - `--config FILE` reads options from a YAML file. Options on the command line replace those in the file.
    - File names and options can be mixed in any order.
    - Text and file names are taken as they are, whatever signs are in them.

    Args:
        function: The function.
        name: Name of the command in its help.
        args: The command line.

    Returns:
        What the function returns; None if help was asked for.

    Raises:
        ConfigError: The command line does not fit the signature, or a dataclass refuses its values.
    """
    verb = _read(function, name)
    words = list(args)
    if any(word in ("-h", "--help") for word in takewhile(lambda word: word != "--", words)):
        log(_help(verb))
        return None
    named, places = _sort(words, verb)
    values = {option.name: option.default for option in (*verb.positional, *verb.options)}
    if "config" in named:
        values |= _read_file(Path(named.pop("config")), verb)
    values |= named | _place(places, verb, values)
    hints = get_type_hints(function)
    values |= {group: hints[group](**{field: values[field] for field in own}) for group, own in verb.parts.items()}
    parameters = signature(function).parameters
    first = [key for key, parameter in parameters.items() if parameter.kind is Parameter.POSITIONAL_ONLY]
    return function(*[values[key] for key in first], **{key: values[key] for key in parameters if key not in first})


def _read(function: Callable[..., Any], name: str) -> Verb:
    """Read the signature and the docstring of a function."""
    docstring = docstring_parser.parse(getdoc(function) or "")
    texts = {entry.arg_name: entry.description or "" for entry in docstring.params}
    hints = get_type_hints(function)
    positional: list[Option] = []
    named: dict[str, list[Option]] = {"Options": []}
    parts: dict[str, list[str]] = {}
    for parameter in signature(function).parameters.values():
        hint, default = hints[parameter.name], parameter.default
        option = Option(parameter.name, hint, default, texts.get(parameter.name, ""))
        if isinstance(hint, type) and is_dataclass(hint):
            fields = options_of(hint() if default is Parameter.empty else default)
            named[heading(hint)] = fields
            parts[parameter.name] = [field.name for field in fields]
        elif default is Parameter.empty or parameter.kind is Parameter.POSITIONAL_ONLY:
            positional.append(option)
        else:
            named["Options"].append(option)
    named["Options"] += [CONFIG_OPTION, HELP_OPTION]
    about = (getdoc(function) or "").partition("\nArgs:")[0]
    return Verb(name, about, positional, named, parts)


def _help(verb: Verb) -> str:
    """Return the help of a command."""
    places = [option.name + (SEVERAL_SUFFIX if item_of(option.type) else "") for option in verb.positional]
    optional = [option.default is not Parameter.empty or _may_be_none(option) for option in verb.positional]
    usage = " ".join(f"[{place}]" if free else place for place, free in zip(places, optional, strict=True))
    entries = [(place, entry_of(option, place)[1]) for place, option in zip(places, verb.positional, strict=True)]
    groups = {"Arguments": entries} | {
        title: [entry_of(option, _word(option.name)) for option in options] for title, options in verb.named.items()
    }
    return help_page(f"unetkit {verb.name} {usage} [options]".replace("  ", " "), verb.about, groups)


def _word(name: str) -> str:
    """Return an option as it is written on the command line; underscores are understood too."""
    return f"--{name.replace('_', '-')}"


def _sort(words: list[str], verb: Verb) -> tuple[dict[str, Any], list[str]]:
    """Return the values of the options by name, and the words that belong to none."""
    known = {_word(option.name): option for option in verb.options}
    named: dict[str, Any] = {}
    places: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return named, places + rest
        if not OPTION_WORD.fullmatch(word):
            places.append(word)
            continue
        key, equals, value = word.partition("=")
        option = known.get(key.replace("_", "-"))
        if option is None:
            raise _unknown(word, key, verb)
        following = list(takewhile(lambda next_: next_ != "--" and not OPTION_WORD.fullmatch(next_), rest))
        if option.is_flag:
            named[option.name] = True if not equals else from_word(option.name, value, bool)
            continue
        if equals:
            named[option.name] = _values(option, [value])
            continue
        if not following:
            raise _bare(key, rest, verb)
        taken = following if item_of(option.type) is not None else following[:1]
        named[option.name] = _values(option, taken)
        del rest[: len(taken)]
    return named, places


def _values(option: Option, words: list[str]) -> Any:
    """Return the value of an option from its words."""
    item = item_of(option.type)
    if item is None:
        return from_word(option.name, words[0], option.type)
    return [from_word(option.name, word, item) for word in words]


def _place(places: list[str], verb: Verb, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the positional arguments. A list takes all words that the other arguments leave.

    Args:
        places: The words.
        verb: The command.
        values: The values from a file, or the defaults.
    """
    positional, more = verb.positional, len(places) - len(verb.positional)
    if not places and all(values[option.name] is not Parameter.empty for option in positional):
        return {}
    at = next((i for i, option in enumerate(positional) if item_of(option.type) is not None), None)
    if more > 0 and at is None:
        raise ConfigError(
            f"'{places[len(positional)]}' is one argument too many.", f"Options begin with --. {verb.see_help}"
        )
    if at is not None and more >= 0:
        end = at + more + 1
        shares = [*([word] for word in places[:at]), places[at:end], *([word] for word in places[end:])]
    else:
        shares = [[word] for word in places]
    left_out = [option for option in positional if _may_be_none(option)][: max(-more, 0)]
    given = {name: value for name, value in values.items() if value is not Parameter.empty}
    values = {option.name: None for option in left_out} | given
    positional = [option for option in positional if option not in left_out]
    found = {option.name: _values(option, share) for option, share in zip(positional, shares, strict=False)}
    missing = [option.name for option in positional if option.name not in values | found]
    if missing:
        greedy = [_word(option.name) for option in verb.options if item_of(option.type)]
        hint = f" What follows {' or '.join(greedy)} belongs to it, so write file names before it." if greedy else ""
        raise ConfigError(f"{' and '.join(missing)} must be given.", verb.see_help + hint)
    return {option.name: values[option.name] for option in left_out} | found


def _may_be_none(option: Option) -> bool:
    """Return whether a positional argument without a default may be left out."""
    return option.default is Parameter.empty and NoneType in alternatives(option.type)


def _unknown(word: str, key: str, verb: Verb) -> ConfigError:
    """Return the error for an unknown option."""
    name = key.lstrip("-").replace("-", "_")
    if not word.startswith("--"):
        return ConfigError(
            f"There is no option '{word}'.", f"A file of that name is written ./{word}, or after a word --."
        )
    return ConfigError(f"There is no setting '{name}'.", closest(name, [option.name for option in verb.options]))


def _bare(key: str, rest: list[str], verb: Verb) -> ConfigError:
    """Return the error for an option without a value."""
    dash = f"; one that begins with a dash as {key}={rest[0]}" if rest and not rest[0].startswith("--") else ""
    return ConfigError(f"{key} was given without a value.", f"Write the value after it{dash}. {verb.see_help}")


def _read_file(path: Path, verb: Verb) -> dict[str, Any]:
    """Read a file of options.

    Raises:
        ConfigError: The file cannot be read, is not YAML, or has an unknown option or an impossible value.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"There is no configuration file {path}.", "Give an existing YAML file with --config."
        ) from error
    except OSError as error:
        raise ConfigError(
            f"The configuration file {path} cannot be read: {error.strerror}.",
            "Give a YAML file that you may read with --config.",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError("The file given by --config is not text.", "Give a YAML file.") from error
    except yaml.YAMLError as error:
        raise ConfigError(
            f"The configuration file {path} is not YAML that can be read ({' '.join(str(error).split())}).",
            "Correct that line: an option is 'name: value'.",
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"The configuration file {path} names no options.", "Write lines such as 'name: value'.")
    known = {option.name: option for option in (*verb.positional, *verb.options) if option is not CONFIG_OPTION}
    names = {str(key).replace("-", "_"): value for key, value in content.items()}
    for name in names:
        if name not in known:
            raise ConfigError(f"There is no setting '{name}'.", closest(name, known))
    return {name: from_file(name, value, known[name].type) for name, value in names.items()}
