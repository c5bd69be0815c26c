"""A page of a picture file: images and text are placed on it in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from unetkit.drawing.pixels import FAINT, INK, PAPER, Colour, Display, shade
from unetkit.foundation.atomic import make_folder, partial_file
from unetkit.foundation.names import printable

DPI = 100


class Page:
    """A dark page on which everything is placed by its distance, in pixels, from the left and from the top.

    Args:
        width: Pixels.
        height: Pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=PAPER)
        FigureCanvasAgg(self._figure)

    def image(self, display: Display, left: int, top: int) -> None:
        """Place an image pixel by pixel."""
        self._figure.figimage(display, left, self.height - top - display.shape[0], origin="upper", zorder=1)

    def text(self, words: str, left: float, top: float, size: float, **style: Any) -> None:
        """Write one line whose middle is at `top`; `size` is the height of the letters' line in pixels."""
        style = {"color": INK, "ha": "left", "va": "center_baseline", **style}
        place = (left / self.width, 1 - top / self.height)
        self._figure.text(*place, printable(words), fontsize=size * 72 / DPI, parse_math=False, **style)

    def line(self, left: float, right: float, top: float, colour: Colour, thickness: float) -> None:
        """Draw a horizontal line."""
        xs, ys = [left / self.width, right / self.width], [1 - top / self.height] * 2
        self._figure.add_artist(
            Line2D(xs, ys, color=shade(colour), linewidth=thickness * 72 / DPI, solid_capstyle="butt")
        )

    def box(self, left: float, top: float, width: float, height: float) -> None:
        """Draw the frame of a rectangle."""
        corner = (left / self.width, 1 - (top + height) / self.height)
        self._figure.add_artist(
            Rectangle(
                corner,
                width / self.width,
                height / self.height,
                fill=False,
                edgecolor=INK,
                linewidth=2 * 72 / DPI,
                zorder=3,
            )
        )

    def badge(self, words: str, left: float, top: float) -> None:
        """Write a word on a light plate whose left edge is at `left`."""
        plate = {"boxstyle": "square,pad=0.18", "facecolor": INK, "edgecolor": INK}
        self.text(words, left + 3, top, 14, color=PAPER, weight="bold", bbox=plate)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return axes for a plot, in the page's colours."""
        box = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        axes = self._figure.add_axes(box, facecolor=PAPER)
        axes.tick_params(colors=FAINT, labelsize=13 * 72 / DPI, length=0)
        axes.grid(color=INK, alpha=0.1, linewidth=0.8)
        axes.spines[:].set_visible(False)
        return axes

    def legend(
        self, left: float, top: float, entries: Sequence[tuple[str, Colour, float]], size: float = 16, row: float = 26
    ) -> float:
        """Draw samples of colour and their meaning, in as many rows as they need.

        Args:
            left: Where each row begins.
            top: Middle of the first row.
            entries: (word, colour, thickness of the sample).
            size: Height of the letters' line.
            row: Distance of the rows.

        Returns:
            Middle of the last row.
        """
        start = left
        for word, colour, thickness in entries:
            if left > start and left + 34 + 0.62 * size * len(word) > self.width:
                left, top = start, top + row
            self.line(left, left + 26, top, colour, thickness)
            self.text(word, left + 34, top, size, color=INK)
            left += 34 + 0.62 * size * len(word) + 22
        return top

    def save(self, path: Path) -> None:
        """Write the page as PNG, whole or not at all; the folder is made if it does not exist.

        Raises:
            OutputError: The file cannot be written.
        """
        make_folder(path.parent, remedy="Choose another output.")
        with partial_file(path) as partial:
            self._figure.savefig(partial, format="png", dpi=DPI)
