"""Help texts: options in groups, each with its values, what it does and its default, as wide as the terminal."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from inspect import Parameter

from unetkit.commandline.values import SEVERAL_SUFFIX, default_text, item_of, placeholder
from unetkit.foundation.options import Option

TEXT_COLUMN = 26
"""Column in which the text of an option begins."""

LARGEST_WIDTH = 100
"""Largest width of a help text, in columns. Longer lines are hard to read."""


def help_page(usage: str, about: str, groups: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    """Return a help text.

    Args:
        usage: The command, as it is written.
        about: Description. Indented lines are kept as they are.
        groups: Headings, each with its options: how one is written, and what it does.
    """
    width = min(LARGEST_WIDTH, shutil.get_terminal_size().columns - 2)
    paragraphs = [_wrap(paragraph, width) for paragraph in about.strip().split("\n\n")]
    parts = [f"usage: {usage}", *paragraphs]
    for title, entries in groups.items():
        if entries:
            parts.append("\n".join([f"{title}:", *(_entry(written, text, width) for written, text in entries)]))
    return "\n\n".join(parts)


def entry_of(option: Option, word: str, *, is_key: bool = False) -> tuple[str, str]:
    """Return how an option is written and what it does, with its default if the text does not name one.

    Args:
        option: The option.
        word: Its name on the command line.
        is_key: Whether it is the key of a setting. A key always has a value, and a list is one value.
    """
    several = SEVERAL_SUFFIX if item_of(option.type) is not None else ""
    bare = not word.startswith("-") or (option.is_flag and not is_key)
    written = word if bare else f"{word} {placeholder(option.type)}{several * (not is_key)}"
    text = " ".join(option.help.split())
    default = "" if option.default is Parameter.empty or (bare and option.is_flag) else default_text(option.default)
    return written, text if not default or re.search(r"\bdefault\b", text) else f"{text} By default {default}."


def _wrap(paragraph: str, width: int) -> str:
    if any(line.startswith(" ") for line in paragraph.splitlines()):
        return paragraph
    return textwrap.fill(paragraph, width, break_on_hyphens=False, break_long_words=False)


def _entry(written: str, text: str, width: int) -> str:
    """Return the lines of an option: its text stands beside it, or below it where the option is long."""
    indent = " " * TEXT_COLUMN
    lines = textwrap.wrap(text, max(20, width - TEXT_COLUMN), break_on_hyphens=False, break_long_words=False)
    if len(written) + 4 > TEXT_COLUMN or not lines:
        return "\n".join([f"  {written}", *(indent + line for line in lines)])
    return "\n".join([f"  {written}".ljust(TEXT_COLUMN) + lines[0], *(indent + line for line in lines[1:])])
