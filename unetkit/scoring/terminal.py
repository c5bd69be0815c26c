"""What tables of scores have in common: a row for each image, of which the worst are shown if there are many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from unetkit.foundation.names import printable

TABLE_ROWS = 20
"""Rows of images that a table shows at most."""

Row = TypeVar("Row")


def empty_table(headings: Sequence[str], order: str, images: int) -> Table:
    """Return a table without rows: a column for the image, and one for each heading.

    Args:
        headings: Headings of the columns of scores.
        order: The score by which images are chosen if there are too many.
        images: How many there are.
    """
    caption = f"The {TABLE_ROWS} with the lowest {order} of {images}." if images > TABLE_ROWS else None
    table = Table(box=SIMPLE_HEAD, caption=caption, caption_justify="left")
    table.add_column("Image", overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def cell(name: str) -> str:
    """Return the name of an image as a table shows it, whatever signs are in it."""
    return escape(printable(name))


def worst(rows: Sequence[Row], score: Callable[[Row], float]) -> Sequence[Row]:
    """Return all rows in their order, or those with the lowest scores if there are too many for a table."""
    return sorted(rows, key=score)[:TABLE_ROWS] if len(rows) > TABLE_ROWS else rows
