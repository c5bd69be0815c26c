"""Classify a whole image, resized as in training, beside the tiles of its mask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from unetkit.foundation.errors import ModelError
from unetkit.inference.run.predictor import check_dtype
from unetkit.inference.tiling.windows import measure_plane
from unetkit.io.base.contracts import ImageSource, match_channels
from unetkit.io.views.thumbnail import read_small
from unetkit.models.image_head import ImageClassifier, decide


@torch.inference_mode()
def classify(source: ImageSource, classifiers: Sequence[ImageClassifier]) -> dict[str, float]:
    """Return the probability of each image class: the mean over the models, and over the planes of the image.

    Raises:
        ImageError: The image cannot be read, or has other channels than the models.
        ModelError: A probability is NaN.
    """
    spec = classifiers[0].spec
    total = torch.zeros(len(spec.image_classes))
    for plane in range(source.info.planes):
        for classifier, given in read_whole(source, plane, classifiers):
            total += classifier(*given)[0]
    mean = total / (source.info.planes * len(classifiers))
    if not bool(mean.isfinite().all()):
        raise ModelError(
            f"The model predicted NaN for {source.info.name}.",
            "Its weights or the values of the image are beyond what it can compute with: check both.",
        )
    return dict(zip(spec.image_classes, mean.tolist(), strict=True))


def read_whole(
    source: ImageSource, plane: int, classifiers: Sequence[ImageClassifier]
) -> Iterator[tuple[ImageClassifier, tuple[Tensor, Tensor, Tensor]]]:
    """Yield each model with its inputs for a plane: raw pixels (1, C, side, side), center and scale (1, C).

    Raises:
        ImageError: The image cannot be read, or has other channels than the models.
    """
    check_dtype(source.info)
    channels = classifiers[0].spec.in_channels
    measured = measure_plane(source, plane, [classifier.normalizer for classifier in classifiers], channels)
    for classifier, values in zip(classifiers, measured, strict=True):
        square = read_small(source, plane, classifier.spec.image_sides)
        pixels = match_channels(square, channels, source.info.name)[None].astype("float32")
        center, scale = torch.from_numpy(values.center[None]), torch.from_numpy(values.scale[None])
        yield classifier, (torch.from_numpy(pixels), center, scale)


def predicted_label(classes: dict[str, float], threshold: float) -> str:
    """Return the predicted class of an image as a label: "1" or "0" for one class, or the name of one of several.

    >>> predicted_label({"pneumonia": 0.4}, 0.35), predicted_label({"normal": 0.6, "pneumonia": 0.4}, 0.5)
    ('1', 'normal')
    """
    names = ("0", "1") if len(classes) == 1 else tuple(classes)
    probabilities = torch.tensor([list(classes.values())], dtype=torch.float64)
    return names[int(decide(probabilities, threshold))]


def describe_classes(classes: Mapping[str, float]) -> str:
    """Write the probabilities of image classes.

    >>> describe_classes({"normal": 0.062, "pneumonia": 0.938})
    'normal 0.06, pneumonia 0.94'
    """
    return ", ".join(f"{name} {probability:.2f}" for name, probability in classes.items())
