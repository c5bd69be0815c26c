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
    parser = ArgumentParser(prog=f"unetkit {name}", exit_on_error=False, description=docstring.short_description)
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
    values = parser.instantiate_classes(parse(parser, args)).as_dict()
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


def _explain(message: str, parser: ArgumentParser) -> ConfigError:
    """Turn a message of the parser into an error."""
    unknown = re.search(r"unrecognized arguments: --([\w.]+)", message, re.IGNORECASE)
    nested = re.search(r"Group '([\w.]+)' does not accept option '([\w.]+)'", message)
    key = unknown[1] if unknown else f"{nested[1]}.{nested[2]}" if nested else None
    if key is not None:
        return ConfigError(f"There is no setting '{key}'.", closest(key, parser.get_defaults().keys()))
    text = " ".join(message.split()).rstrip(".")
    return ConfigError(
        f"{text[:1].upper()}{text[1:]}.", f"See `{parser.prog} --help` for all settings and their values."
    )
