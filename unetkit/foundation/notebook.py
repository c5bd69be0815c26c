"""Progress in a notebook: a bar of plain HTML, for which nothing has to be installed."""

from __future__ import annotations

import sys
from html import escape
from threading import Lock
from time import monotonic
from typing import Any

from unetkit.foundation.names import printable

UPDATE_SECONDS = 0.2
"""Least time between two pictures of a bar: each is a message to the browser."""


def in_notebook() -> bool:
    """Return whether this process runs the cells of a notebook; IPython on a terminal is none."""
    ipython = sys.modules.get("IPython")
    return hasattr(None if ipython is None else ipython.get_ipython(), "kernel")


class NotebookBar:
    """A bar in the output of the cell that runs now. Several threads may move it.

    Args:
        title: What is done.
        total: Steps in all; None where that is not known yet.
    """

    def __init__(self, title: str, total: float | None) -> None:
        self._title, self._total = title, total
        self._done, self._note = 0.0, ""
        self._start = self._shown = monotonic()
        self._lock = Lock()
        self._handle: Any = self._display(display_id=True)

    def update(
        self,
        done: float | None = None,
        *,
        title: str | None = None,
        total: float | None = None,
        note: str | None = None,
        at_once: bool = False,
    ) -> None:
        """Change what is given.

        Args:
            done: Steps done so far.
            title: What is done.
            total: Steps in all.
            note: What is said after the bar.
            at_once: Show it even if the last picture is only just there.
        """
        with self._lock:
            self._done = self._done if done is None else done
            self._title = self._title if title is None else title
            self._total = self._total if total is None else total
            self._note = self._note if note is None else note
            if at_once or monotonic() - self._shown >= UPDATE_SECONDS:
                self._shown = monotonic()
                self._handle.update(self._picture(), raw=True)

    @property
    def seconds(self) -> float:
        """Seconds since it was made."""
        return monotonic() - self._start

    def _display(self, **how: Any) -> Any:
        from IPython.display import display  # there in a notebook, and in none else needed

        return display(self._picture(), raw=True, **how)

    def _picture(self) -> dict[str, str]:
        """Return the bar as HTML, and as text for what shows no HTML."""
        share = f"{min(self._done / self._total, 1):.0%}" if self._total else ""
        words = [printable(self._title), share, self._note]
        value = f'value="{self._done:g}" max="{self._total:g}"' if self._total else ""
        cells = [escape(words[0]), f'<progress {value} style="width: 20em"></progress>', *map(escape, words[1:])]
        html = f'<div style="white-space: nowrap">{" &nbsp; ".join(cell for cell in cells if cell)}</div>'
        return {"text/html": html, "text/plain": "  ".join(word for word in words if word)}


def clock(seconds: float) -> str:
    """Return a duration as minutes and seconds, or hours.

    >>> clock(75), clock(4000)
    ('1:15', '1:06:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
