"""jsonargparse, the parser of LightningCLI: its peculiarities, and its messages in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace, get_loader, set_loader

from unetkit.commandline.values import KIND_WORDS
from unetkit.foundation.errors import ConfigError, closest

PARSER_MODE = "literal"
"""Name of the parser mode that reads values by `load_literally`."""


class UnknownSettingError(ConfigError):
    """A setting that the parser does not know.

    Args:
        key: Its whole key, as it was given.
        remedy: One sentence that says what the user can do.
    """

    def __init__(self, key: str, remedy: str) -> None:
        super().__init__(f"There is no setting '{key.rstrip('+')}'.", remedy)
        self.key = key


def read_arguments(parser: ArgumentParser, args: list[str]) -> Namespace:
    """Return the settings that the arguments give, without those that have their defaults.

    Raises:
        ConfigError: The arguments do not fit the parser.
    """
    with _plain_errors(parser):
        return parser.parse_args(args, defaults=False)


def read_object(parser: ArgumentParser, given: Namespace | dict[str, Any]) -> Namespace:
    """Return the settings that an object gives, without those that have their defaults.

    Raises:
        ConfigError: The object does not fit the parser.
    """
    with _plain_errors(parser):
        read: Namespace = parser.parse_object(given, defaults=False)
        return read


def complete(parser: ArgumentParser, given: Namespace) -> Namespace:
    """Return all settings: the given ones, and the defaults of the others.

    Raises:
        ConfigError: A given setting does not fit the parser, or one that must be given is missing.
    """
    with _plain_errors(parser):
        settings: Namespace = parser.parse_object(given)
        return settings


def print_settings(parser: ArgumentParser, given: Namespace, flags: str) -> NoReturn:
    """Print all settings as a configuration file, and end the program.

    Args:
        parser: The parser.
        given: The given ones.
        flags: Flags of jsonargparse for printing; "" for none.

    Raises:
        ConfigError: There is no such flag.
        SystemExit: Always, after printing.
    """
    with _plain_errors(parser):
        parser.parse_args([f"--print_config={flags}"], namespace=given)
    raise SystemExit(0)


@contextmanager
def _plain_errors(parser: ArgumentParser) -> Iterator[None]:
    """Put the parser's message in plain words, and name the closest option for an unknown one."""
    try:
        yield
    except ArgumentError as error:
        raise _explain(str(error), parser) from error
    except UnicodeDecodeError as error:
        raise ConfigError("The file given by --config is not text.", "Give a YAML file.") from error


def load_literally(text: str) -> Any:
    """Read a value or a file as YAML does, but take what it would drop, such as "#a.tif" or "~", for a name."""
    value = get_loader("yaml")(text)
    return text if value is None and "\n" not in text and text.strip() not in ("", "null") else value


set_loader(PARSER_MODE, load_literally, (yaml.YAMLError,))


def _explain(message: str, parser: ArgumentParser) -> ConfigError:
    """Turn a message of the parser into an error for people."""
    message = " ".join(message.split()).replace('in "<unicode string>",', "in").rstrip(".")
    for pattern, explain in MESSAGE_EXPLANATIONS:
        if found := re.search(pattern, message, re.IGNORECASE):
            return explain(found, parser)
    return ConfigError(f"{message[:1].upper()}{message[1:]}.", _see_help(parser))


def _explain_key(found: re.Match[str], parser: ArgumentParser) -> ConfigError:
    key = ".".join(found.groups())
    known = parser.get_defaults().keys()
    return UnknownSettingError(key, closest(key.rstrip("+").replace("-", "_"), known))


def _explain_value(found: re.Match[str], parser: ArgumentParser) -> ConfigError:
    """Return the error for a value that a setting does not take, with the values that it takes."""
    key, expected, value = found.groups()
    choices = re.findall(r"'([^']+)'", " ".join(re.findall(r"Literal(\[.*?\])", expected)))
    kinds = list(dict.fromkeys(TYPE_WORDS[kind] for kind in re.findall(rf"\b(?:{'|'.join(TYPE_WORDS)})\b", expected)))
    problem = f"{key}: '{value}' is not possible."
    if choices and set(kinds) <= {TYPE_WORDS["NoneType"]}:
        return ConfigError(problem, closest(value, choices))
    options = [
        *(k for k in kinds if k != TYPE_WORDS["int"] or TYPE_WORDS["list"] not in kinds),
        *dict.fromkeys(f"'{choice}'" for choice in choices),
    ]
    return ConfigError(problem, f"Give {' or '.join(options)}." if options else _see_help(parser))


def _explain_missing(found: re.Match[str], parser: ArgumentParser) -> ConfigError:
    names = found[1].replace(" ", "").split(",")
    return ConfigError(f"{' and '.join(f'--{name}' for name in names)} must be given.", _see_help(parser))


def _explain_file(found: re.Match[str], parser: ArgumentParser) -> ConfigError:  # noqa: ARG001
    return ConfigError(f"There is no configuration file {found[1]}.", "Give an existing YAML file with --config.")


def _explain_yaml(found: re.Match[str], parser: ArgumentParser) -> ConfigError:  # noqa: ARG001
    return ConfigError(
        f"The configuration file is not YAML that can be read ({found[1]}).",
        "Correct that line: settings are 'key: value', indented below their group.",
    )


def _explain_extra(found: re.Match[str], parser: ArgumentParser) -> ConfigError:
    return ConfigError(f"'{found[1]}' is one argument too many.", f"Options begin with --. {_see_help(parser)}")


def _explain_bare(found: re.Match[str], parser: ArgumentParser) -> ConfigError:
    dash = f"one that begins with a dash as {found[1]}=VALUE"
    return ConfigError(
        f"{found[1]} was given without a value.", f"Write the value after it; {dash}. {_see_help(parser)}"
    )


def _explain_class(found: re.Match[str], parser: ArgumentParser) -> ConfigError:  # noqa: ARG001
    return ConfigError(
        f"{found[1]}: {found[2]} is no class that Lightning has or that can be imported, or its init_args do not fit.",
        "Give its name or import path, for example TensorBoardLogger, or class_path and init_args.",
    )


def _see_help(parser: ArgumentParser) -> str:
    return f"See `{parser.prog} --help-all` for all settings and their values."


TYPE_WORDS = {
    "str": "text",
    "int": KIND_WORDS[int],
    "float": KIND_WORDS[float],
    "bool": KIND_WORDS[bool],
    "list": KIND_WORDS[list],
    "Sequence": KIND_WORDS[list],
    "dict": KIND_WORDS[dict],
    "NoneType": KIND_WORDS[type(None)],
}
"""Words for the types in the parser's messages."""

MESSAGE_EXPLANATIONS: tuple[tuple[str, Callable[[re.Match[str], ArgumentParser], ConfigError]], ...] = (
    (r"unrecognized arguments: -+([\w.-]+\+?)", _explain_key),
    (r"unrecognized arguments: (.*)", _explain_extra),
    (r"Group '([\w.]+)' does not accept option '([\w.]+)'", _explain_key),
    (r"Option '([\w.]+)' is not accepted", _explain_key),
    (r'Parser key "config": (?:File does not exist|Path is not a file): \'(.*)\'', _explain_file),
    (r'Parser key "(trainer\.(?:logger|callbacks|plugins|strategy|profiler))".* Given value: (.*)', _explain_class),
    (r'Parser key "([\w.]+)": Does not validate .* Subtypes: (.*) Errors: .* Given value: (.*)', _explain_value),
    (r'Parser key "([\w.]+)": Expected an? (.*)\. Got value: (.*)', _explain_value),
    (r"arguments are required: (.*)", _explain_missing),
    (r"Problems parsing config: (.*)", _explain_yaml),
    (r"Unexpected config: (.*)", _explain_yaml),
    (r"argument (?:-c/)?(--[\w.]+): expected one argument", _explain_bare),
)
"""Patterns of the parser's messages, and what makes a ConfigError of each."""
