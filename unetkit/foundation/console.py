"""The one place where unetkit speaks to the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.markup import escape

from unetkit.foundation.names import printable

LOADING_TEXT = "Loading PyTorch ..."
"""Message while PyTorch is loaded."""


def console(*, stderr: bool = False) -> Console:
    """Return a console on the present standard output or error, plain text where that is no terminal.

    In a notebook too: rich would make of each line a piece of HTML of its own.
    """
    return Console(stderr=stderr, highlight=False, soft_wrap=True, force_jupyter=False)


def log(message: str) -> None:
    """Print one message as it is, on a line of its own."""
    console().print(escape(printable(message)))


def log_nothing(_: str) -> None:
    """Log that does nothing."""


def show(renderable: RenderableType) -> None:
    """Print a table."""
    console().print(renderable)


def complain(problem: str, remedy: str) -> None:
    """Print an error and what to do about it on standard error."""
    console(stderr=True).print(f"[bold red]Error:[/] {escape(printable(problem))} {escape(printable(remedy))}")


@contextmanager
def loading() -> Iterator[None]:
    """Write on standard error that PyTorch is being loaded, which takes seconds; on a terminal until that is done."""
    if "torch" in sys.modules:
        yield
        return
    screen = sys.stderr
    terminal = screen.isatty()
    screen.write(LOADING_TEXT if terminal else f"{LOADING_TEXT}\n")
    screen.flush()
    try:
        yield
    finally:
        if terminal:
            screen.write("\r\x1b[2K")
            screen.flush()
