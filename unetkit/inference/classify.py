"""The classes of a whole image: judged by itself, resized as in training, beside the tiles of its mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from unetkit.errors import ModelError
from unetkit.inference.engine import measure_plane
from unetkit.inference.predictor import check_dtype
from unetkit.io.image import ImageSource, match_channels
from unetkit.io.resize import read_square
from unetkit.models.image_head import ImageClassifier


@torch.inference_mode()
def classify(source: ImageSource, classifiers: Sequence[ImageClassifier]) -> dict[str, float]:
    """Return the probability of each image class: the mean over the models, and over the planes of the image.

    Raises:
        ImageError: The image cannot be read, or has other channels than the models.
        ModelError: A probability is NaN.
    """
    check_dtype(source.info)
    spec = classifiers[0].spec
    total = torch.zeros(len(spec.image_classes))
    for plane in range(source.info.planes):
        normalizers = [classifier.normalizer for classifier in classifiers]
        measured = measure_plane(source, plane, normalizers, spec.in_channels)
        for classifier, values in zip(classifiers, measured, strict=True):
            square = read_square(source, plane, classifier.spec.image_size)
            pixels = match_channels(square, spec.in_channels, source.info.name)
            center, scale = torch.from_numpy(values.center[None]), torch.from_numpy(values.scale[None])
            total += classifier(torch.from_numpy(pixels[None].astype("float32")), center, scale)[0]
    mean = total / (source.info.planes * len(classifiers))
    if not bool(mean.isfinite().all()):
        raise ModelError(
            f"The model predicted NaN for {source.info.name}.",
            "Its weights or the values of the image are beyond what it can compute with: check both.",
        )
    return dict(zip(spec.image_classes, mean.tolist(), strict=True))


def describe_classes(classes: dict[str, float]) -> str:
    """Write the probabilities of image classes.

    >>> describe_classes({"normal": 0.062, "pneumonia": 0.938})
    'normal 0.06, pneumonia 0.94'
    """
    return ", ".join(f"{name} {probability:.2f}" for name, probability in classes.items())
