"""How well the built-in model does already: whether training had better start from it than from random weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from unetkit.data.loading import read_pair
from unetkit.inference.array import predict_tiled
from unetkit.io.image import match_channels
from unetkit.models.segmenter import load_model
from unetkit.models.weights import trained_on
from unetkit.models.zoo import DEFAULT_MODEL
from unetkit.planning.look import Look
from unetkit.scoring.scores import count_pixels

TRIED = 8
"""Images that the model is tried on, spread over all."""

MIDDLE = 512
"""Side of the part of an image that is looked at, in pixels."""


@dataclass(frozen=True)
class Trial:
    """What came of it.

    Attributes:
        model: Name of the built-in model.
        settings: Those of its network and its normalisation, by their keys in a configuration.
        dice: Of its masks, over all pixels tried, 0 to 1: that of the foreground or that of the background, whichever
            is lower, so that calling everything foreground gains nothing.
    """

    model: str
    settings: dict[str, Any]
    dice: float


def try_builtin(looks: Sequence[Look]) -> Trial | None:
    """Segment the middles of some images with the built-in model; None if it takes images of other channels.

    Images that it was trained on are taken only where there are no others.

    Raises:
        ImageError: A file that cannot be read, or NaN or infinite pixels.
        DataError: A mask that is not one plane of labels.
    """
    model = load_model(DEFAULT_MODEL)
    channels = model.spec.in_channels
    if any(look.channels not in {1, channels} for look in looks):
        return None
    seen = frozenset(trained_on(DEFAULT_MODEL))
    fresh = [look for look in looks if look.digest not in seen] or looks
    counts = []
    for look in fresh[:: -(-len(fresh) // TRIED)]:
        pixels, labels, _ = read_pair(look.pair)  # whole: what holds no data is told by all of it
        middle = (_middle(look.height), _middle(look.width))
        pixels, labels = pixels[:, *middle], labels[middle]
        mask = predict_tiled(match_channels(pixels, channels, look.name), model, axes="CYX")
        counts.append(count_pixels(mask > 0, labels > 0))
    total = reduce(add, counts)
    background = 2 * total.tn / max(2 * total.tn + total.fp + total.fn, 1)
    settings = {
        "model.encoder": model.spec.encoder,
        "model.depth": model.spec.depth,
        "model.decoder_channels": list(model.spec.decoder_channels),
        "data.normalization.method": model.spec.normalization.method,
        "data.normalization.bright_background": model.spec.normalization.bright_background,
    }
    return Trial(DEFAULT_MODEL, settings, min(total.dice, background))


def _middle(length: int) -> slice:
    start = max(0, (length - MIDDLE) // 2)
    return slice(start, min(start + MIDDLE, length))
