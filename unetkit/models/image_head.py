"""Classify whole images by one or two layers on the encoder's deepest features, beside the network for masks.

smp's `aux_params` would add the classes to the network's output. Here that output stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from torch import Tensor, nn

from unetkit.models.segmenter import Segmenter


def image_logits(network: Any, pixels: Tensor) -> Tensor:
    """Classify whole images.

    The encoder's batch norm uses its running statistics, in training too: they stay those of the crops, which the masks
    are made with.

    Args:
        network: A network with an image head, see `build_network`.
        pixels: (N, C, side, side) normalised.

    Returns:
        Logits (N, image classes), float32.
    """
    with _frozen_batch_norm(network.encoder):
        deepest = network.encoder(pixels)[-1]
    logits: Tensor = network.image_head(deepest).float()
    return logits


def to_image_probabilities(logits: Tensor) -> Tensor:
    """Turn logits (N, k) into probabilities: of one class that is there or not, or of several of which one is there."""
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)


def decide(probabilities: Tensor, threshold: float) -> Tensor:
    """Decide which class images show.

    Args:
        probabilities: (N, k) of the image classes.
        threshold: Probability from which an image shows the one class, or the last of two.

    Returns:
        (N,) int64: of one class 1 if it is there, else 0; of two or more the number of the one that is there.
    """
    if probabilities.shape[1] > 2:
        return probabilities.argmax(1)
    return (probabilities[:, -1].double() >= threshold).long()


class ImageClassifier(nn.Module):
    """A copy of the part of a model that classifies whole images. Changes of the network for masks do not affect it.

    Args:
        segmenter: A model with image classes.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        network: Any = segmenter.network
        self.encoder: nn.Module = deepcopy(network.encoder)
        self.image_head: nn.Module = deepcopy(network.image_head)
        self.normalizer = segmenter.normalizer
        self.spec = segmenter.spec
        self.eval()

    def forward(self, pixels: Tensor, center: Tensor, scale: Tensor) -> Tensor:
        """Predict the probability of each image class (N, k), for raw pixels (N, C, side, side)."""
        return to_image_probabilities(image_logits(self, self.normalizer(pixels, center, scale)))


@contextmanager
def _frozen_batch_norm(encoder: nn.Module) -> Iterator[None]:
    training = [module for module in encoder.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
