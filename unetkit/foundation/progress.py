"""How far the work on images has come, in pixels: bars on the terminal or in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from unetkit.foundation.console import console
from unetkit.foundation.names import printable
from unetkit.foundation.notebook import NotebookBar, clock, in_notebook

Move = Callable[[int, float | None], None]
"""Moves a bar on by pixels that were done, and says how many there are in all now."""

Add = Callable[[str, float | None], Move]
"""Adds a bar of a title and a number of pixels."""


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
    with _in_notebook() if in_notebook() else _on_terminal(asked) as add:

        def start(name: str, pixels: int) -> Callable[[int], None]:
            move = add(name, pixels)
            return lambda done: move(done, None)

        known: list[int] = []
        whole = None if together is None else add(f"{together} images", None)

        def join(_: str, pixels: int) -> Callable[[int], None]:
            assert whole is not None
            assert together is not None
            known.append(pixels)
            whole(0, sum(known) * max(together, len(known)) / len(known))
            return lambda done: whole(done, None)

        yield start if together is None else join


class _PixelRate(ProgressColumn):
    """Megapixels done, in all, and a second."""

    def render(self, task: Task) -> Text:
        return Text(_rate(task.completed, task.total, task.speed))


@contextmanager
def _on_terminal(asked: bool) -> Iterator[Add]:
    screen = console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        _PixelRate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen, disable=not (asked or screen.is_terminal)) as progress:

        def add(title: str, total: float | None) -> Move:
            task = progress.add_task(escape(printable(title)), total=total)

            def move(done: int, total: float | None) -> None:
                if total is not None:
                    progress.update(task, total=total)
                progress.advance(task, done)

            return move

        yield add


@contextmanager
def _in_notebook() -> Iterator[Add]:
    bars: list[NotebookBar] = []

    def add(title: str, total: float | None) -> Move:
        bar = NotebookBar(title, total)
        bars.append(bar)
        pixels, whole = 0, total

        def move(done: int, total: float | None) -> None:
            nonlocal pixels, whole
            pixels, whole = pixels + done, whole if total is None else total
            speed = pixels / bar.seconds if bar.seconds else 0
            left = f"{clock(bar.seconds)}, {clock(((whole or 0) - pixels) / speed)} left" if pixels else ""
            note = "  ".join((_rate(pixels, whole, speed), clock(bar.seconds) if pixels == whole else left))
            bar.update(pixels, total=whole, note=note, at_once=pixels == whole)

        return move

    yield add


def _rate(done: float, total: float | None, speed: float | None) -> str:
    rate = f"{speed / 1e6:.1f} Mpx/s" if speed else ""
    return f"{done / 1e6:.1f}/{(total or 0) / 1e6:.1f} Mpx  {rate}"
