"""How well the built-in model does already: whether training starts from it or from random weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import inf
from operator import add
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.data.objects import find_parts, number_objects, numbers_objects
from unetkit.data.store import ImageStore
from unetkit.inference.array import predict_tiled
from unetkit.io.base.contracts import match_channels
from unetkit.io.masks.ignored import find_ignored
from unetkit.models.builtin_models import DEFAULT_MODEL
from unetkit.models.weight_sources import trained_on
from unetkit.planning.look import Look
from unetkit.planning.start import take_over
from unetkit.scoring.instances import InstanceCounts, match_instances
from unetkit.scoring.pixels import count_pixels, dice
from unetkit.scoring.table import instance_scores
from unetkit.zoo.opening import load_model

TRIED_IMAGES = 8
"""Most images that the model is tried on, spread over all."""

TRIED_SIDE = 512
"""Largest side of the part of an image that the model is tried on, in pixels."""

ENOUGH_DICE, ENOUGH_F1 = 0.95, 0.9
"""Training on few images is hardly worth while from this Dice and this F1 score of numbered objects on. The values were
chosen, not measured: trained on 20 images of such nuclei, the built-in model reached a Dice of 0.96."""

SEVERAL_SHARE = 0.1
"""Parts of the foreground are single objects if the model sees several objects in at most this share of them."""

COUNTED_SHARE = 0.2
"""An object counts in a part of the foreground if it covers at least this share of it."""


@dataclass(frozen=True)
class Trial:
    """How well the built-in model does on some images.

    Attributes:
        model: Name of the built-in model.
        settings: Settings of its network and its normalisation, by their keys in a configuration.
        dice: Dice of its masks over all pixels tried, 0 to 1: that of the foreground or of the background, whichever is
            lower. A mask that is foreground everywhere thus gains nothing.
        instances: Whether it separates touching objects.
        several: Share of the connected parts of the masks in which it sees more than one object.
        f1: F1 score of its objects at an IoU of 0.5: against the numbered ones, or the connected parts of the masks.
        images: Number of images tried.
        known: Whether the model was trained on these images, as there are no others.
    """

    model: str
    settings: dict[str, Any]
    dice: float
    instances: bool = False
    several: float = 0.0
    f1: float = 1.0
    images: int = 0
    known: bool = False

    @property
    def separate(self) -> bool:
        """Whether the connected parts of the masks are single objects, as far as the model sees."""
        return self.instances and self.several <= SEVERAL_SHARE

    def is_enough(self, numbered: bool) -> bool:
        """Whether training on few images can hardly be expected to do better.

        Args:
            numbered: Whether the masks number their objects; these have to be separated then.
        """
        return self.dice >= ENOUGH_DICE and (not numbered or self.f1 >= ENOUGH_F1)


def try_builtin(
    looks: Sequence[Look],
    seconds: float = inf,
    store: ImageStore | None = None,
    clock: Callable[[], float] = monotonic,
) -> Trial | None:
    """Segment the middles of some images with the built-in model.

    The result is None if it takes images of other channels, or if nothing of the middles is annotated.

    Images that it was trained on are taken only where there are no others.

    Args:
        looks: The images.
        seconds: Time after which no further image is tried.
        store: Where the images may be decoded already.
        clock: Returns the time in seconds.

    Raises:
        ImageError: A file that cannot be read, or NaN or infinite pixels.
        DataError: A mask that is not one plane of labels.
    """
    store, end = store or ImageStore(), clock() + seconds
    model = load_model(DEFAULT_MODEL)
    channels = model.spec.in_channels
    if any(look.channels not in {1, channels} for look in looks):
        return None
    seen = frozenset(trained_on(DEFAULT_MODEL))
    fresh = [look for look in looks if look.digest not in seen]
    chosen = fresh or looks
    pixel_counts, object_counts, parts = [], [], np.zeros(2, np.int64)
    for look in chosen[:: -(-len(chosen) // TRIED_IMAGES)]:
        decoded = store.load(look.pair)  # whole: pixels without data are found on all of it
        middle = tuple(map(_middle, look.size))
        labels = decoded.labels_or_background[middle]
        ignored = find_ignored(labels)
        if ignored.all():
            continue
        pixels = match_channels(decoded.pixels[:, *middle], channels, look.name)
        mask = predict_tiled(pixels, model, axes="CYX") > 0
        pixel_counts.append(count_pixels(mask, labels > 0, ignored=ignored))
        found = predict_tiled(pixels, model, axes="CYX", output="labels")
        truth = number_objects(labels, numbered=numbers_objects(labels) is True)
        object_counts.append(match_instances(found, truth, ignored))
        parts += count_several(find_parts(labels)[1], found)
        if clock() >= end:
            break
    if not pixel_counts:
        return None
    total = reduce(add, pixel_counts)
    background = dice(total.of_background) if total.tn else 0.0
    return Trial(
        DEFAULT_MODEL,
        take_over(model.spec),
        min(dice(total), background),
        instances=model.spec.instances,
        several=float(parts[1] / max(parts[0], 1)),
        f1=instance_scores(sum(object_counts, InstanceCounts())).f1,
        images=len(pixel_counts),
        known=not fresh,
    )


def count_several(parts: NDArray[Any], found: NDArray[Any]) -> tuple[int, int]:
    """Count the parts of a mask in which a model finds objects, and those of them in which it finds more than one.

    Args:
        parts: (h, w) number of each part, 0 for background.
        found: (h, w) labels of the objects found. An object does not count in a part of which it covers less than
            `COUNTED_SHARE`.
    """
    both = (parts > 0) & (found > 0)
    pairs, pixels = np.unique(np.stack([parts[both], found[both]]), axis=1, return_counts=True)
    sizes = np.bincount(parts.ravel())
    counting = pairs[0][pixels >= COUNTED_SHARE * sizes[pairs[0]]]
    objects = np.unique(counting, return_counts=True)[1]
    return len(objects), int((objects > 1).sum())


def _middle(length: int) -> slice:
    start = max(0, (length - TRIED_SIDE) // 2)
    return slice(start, min(start + TRIED_SIDE, length))
