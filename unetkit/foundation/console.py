"""The one place where unetkit speaks to the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from unetkit.foundation.names import printable

LOADING_TEXT = "Loading PyTorch ..."
"""Message while PyTorch is loaded."""


def console(*, stderr: bool = False) -> Console:
    """Return a console on the present standard output or error, plain text where that is no terminal."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True)


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


class _PixelRate(ProgressColumn):
    """Megapixels done, in all, and a second."""

    def render(self, task: Task) -> Text:
        rate = f"{task.speed / 1e6:.1f} Mpx/s" if task.speed else ""
        return Text(f"{task.completed / 1e6:.1f}/{(task.total or 0) / 1e6:.1f} Mpx  {rate}")


@contextmanager
def pixel_progress(
    *, asked: bool = False, together: int | None = None
) -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """Show progress in pixels on standard error, or in a notebook, while the block runs.

    Args:
        asked: Whether it is shown at the end where standard error is no terminal, too; otherwise nothing is.
        together: Number of images that are worked on at a time, and that one bar stands for; None for a bar for each.
            Their pixels are guessed from those that are known.

    Yields:
        A function of the name of an image and its number of pixels. It returns a function to be called with the number
        of pixels done since its last call.
    """
    screen = console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        _PixelRate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen, disable=not (asked or screen.is_terminal or screen.is_jupyter)) as progress:

        def start(name: str, pixels: int) -> Callable[[int], None]:
            task = progress.add_task(escape(printable(name)), total=pixels)
            return lambda done: progress.advance(task, done)

        known: list[int] = []
        whole = None if together is None else progress.add_task(f"{together} images", total=None)

        def join(_: str, pixels: int) -> Callable[[int], None]:
            assert whole is not None
            assert together is not None
            known.append(pixels)
            progress.update(whole, total=sum(known) * max(together, len(known)) / len(known))
            return lambda done: progress.advance(whole, done)

        yield start if together is None else join
