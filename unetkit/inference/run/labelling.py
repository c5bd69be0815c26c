"""From predicted bands to labels. It is imported only for labels, which need OpenCV and its memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.run.recipe import Recipe
from unetkit.postprocess.class_labels import ClassLabels
from unetkit.postprocess.components import CONNECTED
from unetkit.postprocess.labels import Labels
from unetkit.postprocess.predicted_distance import by_predicted_distance
from unetkit.postprocess.split_by_distance import BY_DISTANCE


def make_labels(bands: Sequence[NDArray[np.uint8]], recipe: Recipe) -> Labels | ClassLabels:
    """Label the objects in the predictions of models, by the best method for these models.

    Args:
        bands: Masks (1, h, width); or masks and distance maps (2, h, width) of models with instances; or class numbers
            (1, h, width) of models with several classes.
        recipe: The decisions about the image.
    """
    confidence, smallest = recipe.min_confidence, recipe.min_size or 0
    without_map = BY_DISTANCE if recipe.options.write.split else CONNECTED
    method = without_map if confidence is None else by_predicted_distance(confidence)
    height, classes = recipe.info.height, recipe.ensemble.classes
    if classes > 1:
        return ClassLabels(bands, height, classes, method=method, smallest=smallest)
    return Labels(bands, height, method=method, smallest=smallest)


def describe_object_classes(labels: Labels | ClassLabels, ensemble: Ensemble) -> str:
    """Return the labels of each class, for example "tumour 1-120, stroma 121-300"; "" where there is one class."""
    if isinstance(labels, Labels):
        return ""
    names = ensemble.specs[0].class_names
    parts, first = [], 1
    for value, last in enumerate(labels.last, 1):
        name = names[value] if len(names) == ensemble.classes else f"class {value}"
        parts.append(f"{name} {first}-{last}" if last >= first else f"{name} none")
        first = last + 1
    return ", ".join(parts)
