"""Normalization: how raw pixels become network input."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

from unetkit.foundation.errors import ConfigError


@dataclass(frozen=True)
class Normalization:
    """How raw pixels become network input: `(pixels - center) / scale`, per channel.

    Args:
        method: "percentile" maps the `low` percentile to 0 and the `high` percentile to 1; "mean_std" maps the mean to
            0 and one standard deviation to 1; "window" maps the ends of `window` to 0 and 1.
        scope: "image" measures every image by itself (a huge one from a fixed sample of it); "dataset" measures the
            training images once and stores the values in the model file.
        low: Lower percentile, 0 to 100.
        high: Upper percentile, 0 to 100.
        channelwise: Whether each channel has values of its own. By default the 3 channels of a colour image share
            theirs, which keeps the colours, and any other number of channels does not.
        bright_background: "keep" leaves an image as it is. "invert" inverts images whose background is bright, such as
            stained tissue, so that a model always sees bright objects. For scope "image".
        window: Lowest and highest value in the units of the file, which clip others: [-1000, 1000] for CT, say.
        of: "image" measures all pixels. "foreground" measures those of the foreground of the training masks alone, for
            scope "dataset"; values beyond their `low` and `high` percentiles are clipped in all images (see nnU-Net).
        center: Value of each channel that becomes 0; filled in by `fit` for scope "dataset".
        scale: Difference of each channel that becomes 1; filled in by `fit` for scope "dataset".
        clip: Lowest and highest value of each channel that is not clipped; filled in by `fit` for of: foreground.
    """

    method: Literal["percentile", "mean_std", "window"] = "percentile"
    scope: Literal["image", "dataset"] = "image"
    low: float = 1.0
    high: float = 99.8
    channelwise: bool | None = None
    bright_background: Literal["keep", "invert"] = "keep"
    center: tuple[float, ...] | None = None
    scale: tuple[float, ...] | None = None
    window: tuple[float, float] | None = None
    of: Literal["image", "foreground"] = "image"
    clip: tuple[tuple[float, float], ...] | None = None

    def __post_init__(self) -> None:
        if self.window is not None and self.method == "percentile":  # which nobody has chosen: it is the default
            object.__setattr__(self, "method", "window")
        self._check_window()
        if self.of == "foreground" and self.scope != "dataset":
            raise ConfigError(
                "normalization.of: foreground measures the masks of the training images, and other images have none.",
                "Use scope: dataset with it, or of: image.",
            )
        if not 0 <= self.low < self.high <= 100:
            raise ConfigError(
                f"The normalization percentiles low={self.low:g} and high={self.high:g} are out of order.",
                "Use 0 <= low < high <= 100.",
            )
        if self.bright_background == "invert" and self.scope == "dataset":
            raise ConfigError(
                "normalization.bright_background: invert looks at each image, scope: dataset at all together.",
                "Use scope: image, or bright_background: keep.",
            )

    def _check_window(self) -> None:
        """Raise a ConfigError unless the window and the method go together."""
        if (self.window is None) == (self.method == "window"):
            raise ConfigError(
                f"normalization.method: {self.method} does not go with window: {self.window}.",
                "For values that mean something, such as CT, give the window alone; else leave it out.",
            )
        if self.window is None:
            return
        if not -inf < self.window[0] < self.window[1] < inf:
            low, high = self.window
            raise ConfigError(
                f"normalization.window: [{low:g}, {high:g}] is not possible.", "Give the lower value first."
            )
        if self.scope == "dataset" or self.of == "foreground" or self.bright_background == "invert":
            raise ConfigError(
                "normalization.window is the same for all images, so nothing is measured.",
                "Leave out scope, of and bright_background.",
            )
