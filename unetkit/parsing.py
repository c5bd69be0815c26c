"""Command lines from typed signatures, with errors that name the closest option."""

from __future__ import annotations

import re
from collections.abc import Callable
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import docstring_parser
from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser  # type: ignore[attr-defined]

from unetkit.errors import ConfigError, closest


def call(function: Callable[..., Any], name: str, args: list[str]) -> Any:
    """Call a function with arguments from the command line.

    Its signature and docstring are the options: parameters without a default are positional, positional-only ones with
    a default may be left out, those of type bool are flags. A YAML file with options can be given as `--config FILE`.

    Args:
        function: What to call.
        name: What the command is called in its help.
        args: The command line.

    Raises:
        ConfigError: The command line does not fit the signature.
    """
    docstring = docstring_parser.parse_from_object(function)
    parser = ArgumentParser(
        prog=f"unetkit {name}", exit_on_error=False, allow_abbrev=False, description=docstring.short_description
    )
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of these options.")
    parameters = signature(function).parameters.values()
    flags = {parameter.name for parameter in parameters if isinstance(parameter.default, bool)}
    optional = [parameter.name for parameter in parameters if parameter.kind is Parameter.POSITIONAL_ONLY]
    parser.add_function_arguments(function, as_group=False, as_positional=True, skip={*flags, *optional})
    for described in docstring.params:
        if described.arg_name in optional:
            parser.add_argument(described.arg_name, nargs="?", type=Path | None, help=described.description)
        elif described.arg_name in flags:
            parser.add_argument(f"--{described.arg_name}", action="store_true", help=described.description)
    values = parser.instantiate(parse(parser, args)).as_dict()
    values.pop("config")
    positional = [values.pop(name) for name in optional]
    return function(*positional, **values)


def parse(parser: ArgumentParser, args: list[str]) -> Any:
    """Parse, naming the closest option for one that does not exist.

    Raises:
        ConfigError: The arguments do not fit the parser.
    """
    try:
        return parser.parse_args(args)
    except ArgumentError as error:
        raise _explain(str(error), parser) from error
    except UnicodeDecodeError as error:
        raise ConfigError("The file given by --config is not text.", "Give a YAML file.") from error


def _explain(message: str, parser: ArgumentParser) -> ConfigError:
    """Turn a message of the parser into an error for people."""
    message = " ".join(message.split()).replace('in "<unicode string>",', "in").rstrip(".")
    for pattern, explain in EXPLANATIONS:
        if found := re.search(pattern, message, re.IGNORECASE):
            return explain(found, parser)
    return ConfigError(f"{message[:1].upper()}{message[1:]}.", _see_help(parser))


def _explain_key(found: re.Match[str], parser: ArgumentParser) -> ConfigError:
    key = ".".join(found.groups())
    return ConfigError(f"There is no setting '{key}'.", closest(key, parser.get_defaults().keys()))


def _explain_value(found: re.Match[str], parser: ArgumentParser) -> ConfigError:
    """Say what a setting takes instead of the value that it was given."""
    key, expected, value = found.groups()
    choices = re.findall(r"'([^']+)'", " ".join(re.findall(r"Literal(\[.*?\])", expected)))
    kinds = list(dict.fromkeys(KINDS[kind] for kind in re.findall(r"\b(?:int|float|bool|list|NoneType)\b", expected)))
    problem = f"{key}: '{value}' is not possible."
    if choices and set(kinds) <= {KINDS["NoneType"]}:
        return ConfigError(problem, closest(value, choices))
    options = [
        *(k for k in kinds if k != KINDS["int"] or "list" not in expected),
        *dict.fromkeys(f"'{choice}'" for choice in choices),
    ]
    return ConfigError(problem, f"Give {' or '.join(options)}." if options else _see_help(parser))


def _explain_missing(found: re.Match[str], parser: ArgumentParser) -> ConfigError:
    names = found[1].replace(" ", "").split(",")
    options = [f"--{name}" if "." in name else name for name in names]
    return ConfigError(f"{' and '.join(options)} must be given.", _see_help(parser))


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
    return ConfigError(f"{found[1]} was given without a value.", f"Write the value after it. {_see_help(parser)}")


def _explain_class(found: re.Match[str], parser: ArgumentParser) -> ConfigError:  # noqa: ARG001
    return ConfigError(
        f"{found[1]}: {found[2]} is no class that Lightning has or that can be imported, or its init_args do not fit.",
        "Give its name or import path, for example TensorBoardLogger, or class_path and init_args.",
    )


def _see_help(parser: ArgumentParser) -> str:
    return f"See `{parser.prog} --help` for all settings and their values."


KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list such as [1, 2]",
    "NoneType": "null",
}
"""Words for the types in the parser's messages."""

EXPLANATIONS: tuple[tuple[str, Callable[[re.Match[str], ArgumentParser], ConfigError]], ...] = (
    (r"unrecognized arguments: -+([\w.-]+)", _explain_key),
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
