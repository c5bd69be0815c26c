"""Command lines from typed signatures, with errors that name the closest option."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import is_dataclass
from inspect import Parameter, signature
from itertools import takewhile
from typing import Any, get_args, get_origin, get_type_hints

import docstring_parser
from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser  # type: ignore[attr-defined]

from unetkit.errors import ConfigError, closest
from unetkit.options import Option, heading, options_of

SEVERAL = " ..."
"""Ends the placeholder of an argument that takes several values, in the help."""


def call(function: Callable[..., Any], name: str, args: list[str]) -> Any:
    """Call a function with arguments from the command line.

    Its signature and docstring are the options. Parameters without a default are positional; positional-only ones with
    a default may be left out. Of the others, those that are False by default are flags. A parameter that is a list
    takes one or more values. One whose type is a dataclass stands for its fields, each an option of its own under the
    heading of the dataclass. A YAML file with options can be given as `--config FILE`.

    Args:
        function: What to call; only its first positional parameter can be a list.
        name: What the command is called in its help.
        args: The command line.

    Raises:
        ConfigError: The command line does not fit the signature, or a dataclass refuses its values.
    """
    docstring = docstring_parser.parse_from_object(function)
    texts = {entry.arg_name: entry.description or "" for entry in docstring.params}
    hints = get_type_hints(function)
    parser = ArgumentParser(
        prog=f"unetkit {name}", exit_on_error=False, allow_abbrev=False, description=docstring.short_description
    )
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of these options.")
    positional: list[Option] = []
    named: list[Option] = []
    groups: dict[str, list[str]] = {}
    parameters = signature(function).parameters
    for parameter in parameters.values():
        hint, default = hints[parameter.name], parameter.default
        if isinstance(hint, type) and is_dataclass(hint):
            group = parser.add_argument_group(heading(hint))
            fields = options_of(hint() if default is Parameter.empty else default)
            groups[parameter.name] = [_add_named(group, field).name for field in fields]
            named += fields
            continue
        option = Option(parameter.name, hint, default, texts.get(parameter.name, ""))
        if default is Parameter.empty or parameter.kind is Parameter.POSITIONAL_ONLY:
            positional.append(_add_positional(parser, option))
        else:
            named.append(_add_named(parser, option))
    values = parse(parser, _arrange(args, positional, named)).as_dict()
    for option in (*positional, *named):
        if _item(option.type) is not None and not isinstance(values[option.name], list | None):
            values[option.name] = [values[option.name]]  # a file of options gives a single value
    values |= {group: hints[group](**{field: values[field] for field in own}) for group, own in groups.items()}
    first = [key for key, parameter in parameters.items() if parameter.kind is Parameter.POSITIONAL_ONLY]
    return function(*[values[key] for key in first], **{key: values[key] for key in parameters if key not in first})


def _add_positional(parser: ArgumentParser, option: Option) -> Option:
    """Add an argument that has a place instead of a name."""
    more: dict[str, Any] = {} if option.default is Parameter.empty else {"nargs": "?", "default": option.default}
    if _item(option.type) is not None:
        more["metavar"] = option.name + SEVERAL
    parser.add_argument(option.name, type=_type(option), help=option.help, **more)
    return option


def _add_named(group: Any, option: Option) -> Option:
    """Add an option to a parser or to a group of it."""
    word = _word(option.name)
    if option.is_flag:
        group.add_argument(word, action="store_true", help=option.help)
    else:
        placeholder = {"metavar": option.name.upper() + SEVERAL} if _item(option.type) else {}
        action = group.add_argument(word, type=_type(option), default=option.default, help=option.help, **placeholder)
        action.option_strings = [word]  # hides --NAME+, which jsonargparse adds to append to a list
    return option


def _word(name: str) -> str:
    """Return an option as it is written on the command line; underscores are understood too."""
    return f"--{name.replace('_', '-')}"


def _type(option: Option) -> Any:
    """Return the type that the parser takes for an option: a single value will do for a list."""
    item = _item(option.type)
    return option.type if item is None else option.type | item


def _item(hint: Any) -> Any:
    """Return the type of the items of `list[...]` or of `list[...] | None`; None for every other type."""
    lists = [kind for kind in (hint, *get_args(hint)) if get_origin(kind) is list]
    return get_args(lists[0])[0] if lists else None


def _arrange(args: list[str], positional: list[Option], named: list[Option]) -> list[str]:
    """Put the options first and the arguments without a name last, several values of one argument joined to a list.

    So names of files and options can be mixed in any order, which argparse does not allow once there are several files.
    """
    words = {_word(option.name).replace("-", "_"): _word(option.name) for option in named}
    flags = {"-h", "--help", "--print_config", *(_word(option.name) for option in named if option.is_flag)}
    several = {_word(option.name) for option in named if _item(option.type)}
    options: list[str] = []
    names: list[str] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--":
            names += rest
            break
        if not _is_option(word):
            names.append(word)
            continue
        key, equals, value = word.partition("=")
        word = words.get(key.replace("-", "_"), key)
        options.append(word + equals + value)
        values = list(takewhile(lambda following: not _is_option(following), rest))
        if word in flags or equals or not values:
            continue
        options.append(json.dumps(values) if word in several else rest[0])
        del rest[: len(values) if word in several else 1]
    if positional and _item(positional[0].type) and len(names) >= len(positional):
        last = len(names) - len(positional) + 1
        names = [json.dumps(names[:last]), *names[last:]]
    return [*options, "--", *names] if names else options


def _is_option(word: str) -> bool:
    """Whether a word of the command line is an option, not a value such as -1."""
    return word.startswith("-") and not word[1:2].isdigit()


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
    return ConfigError(f"There is no setting '{key}'.", closest(key.replace("-", "_"), parser.get_defaults().keys()))


def _explain_value(found: re.Match[str], parser: ArgumentParser) -> ConfigError:
    """Say what a setting takes instead of the value that it was given."""
    key, expected, value = found.groups()
    choices = re.findall(r"'([^']+)'", " ".join(re.findall(r"Literal(\[.*?\])", expected)))
    kinds = list(dict.fromkeys(KINDS[kind] for kind in re.findall(rf"\b(?:{'|'.join(KINDS)})\b", expected)))
    problem = f"{key}: '{value}' is not possible."
    if choices and set(kinds) <= {KINDS["NoneType"]}:
        return ConfigError(problem, closest(value, choices))
    options = [
        *(k for k in kinds if k != KINDS["int"] or KINDS["list"] not in kinds),
        *dict.fromkeys(f"'{choice}'" for choice in choices),
    ]
    return ConfigError(problem, f"Give {' or '.join(options)}." if options else _see_help(parser))


def _explain_missing(found: re.Match[str], parser: ArgumentParser) -> ConfigError:
    names = found[1].replace(SEVERAL, "").replace(" ", "").split(",")
    options = [f"--{name}" if "." in name else name for name in names]
    greedy = [
        action.option_strings[0]
        for action in parser._actions
        if action.option_strings and str(action.metavar).endswith(SEVERAL)
    ]
    hint = f" What follows {' or '.join(greedy)} belongs to it, so write file names before it." if greedy else ""
    return ConfigError(f"{' and '.join(options)} must be given.", _see_help(parser) + hint)


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
    "str": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list such as [1, 2]",
    "Sequence": "a list such as [1, 2]",
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
