"""Where models looked to classify a whole image: maps of attention by Grad-CAM, at the size of the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetkit.inference.run.classify import read_whole
from unetkit.io.base.contracts import ImageSource
from unetkit.models.encoders import first_centre
from unetkit.models.image_head import ImageClassifier
from unetkit.models.spec import ModelSpec

BAND_PIXELS = 2**22
"""Pixels of a map that are computed at a time."""


def attention_maps(classifier: ImageClassifier, pixels: Tensor, center: Tensor, scale: Tensor) -> Tensor:
    """Return where an image has evidence for each of its classes.

    The method is Grad-CAM (Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391): the sum of the deepest features,
    each weighted with the mean of its gradient. Values below zero become zero. The gradient is that of the log odds of
    the class. For one class these are the network's output itself.

    Args:
        classifier: The model.
        pixels: (N, C, side, side) raw.
        center: (N, C) normalisation values.
        scale: (N, C) normalisation values.

    Returns:
        (N, k, h, w) float32 at the resolution of the features, 0 to 1: 1 where an image has most evidence for a
        class; 0 everywhere if it has none.
    """
    with torch.inference_mode(False), torch.enable_grad():
        with torch.no_grad():
            deepest = classifier.encoder(classifier.normalizer(pixels, center, scale))[-1]
        features = deepest.detach().clone().requires_grad_()
        odds = _log_odds(classifier.image_head(features).float())
        maps = []
        for number in range(odds.shape[1]):
            (gradient,) = torch.autograd.grad(odds[:, number].sum(), features, retain_graph=True)
            weights = gradient.mean((2, 3), keepdim=True)
            maps.append((weights * features).sum(1).relu().detach())
    found = torch.stack(maps, dim=1).float()
    most = found.amax((2, 3), keepdim=True)
    return torch.where(most > 0, found / most.clamp(min=torch.finfo(torch.float32).tiny), 0)


def attention_rows(
    source: ImageSource, classifiers: Sequence[ImageClassifier], progress: Callable[[int], None] | None = None
) -> Iterator[NDArray[np.float32]]:
    """Yield the maps of an image (k, h, width) from top to bottom, plane after plane: the mean over the models.

    Args:
        source: The image. It is seen whole, resized to the square that the models take. So a map is as coarse as their
            deepest features: a 32nd of the square for depth 5.
        classifiers: The models.
        progress: Called with the number of pixels done since its last call.

    Raises:
        ImageError: The image cannot be read, or has other channels than the models.
    """
    height, width = source.info.height, source.info.width
    step = max(1, BAND_PIXELS // width)
    for plane in range(source.info.planes):
        maps = [
            (attention_maps(classifier, *given)[0].numpy(), classifier.spec)
            for classifier, given in read_whole(source, plane, classifiers)
        ]
        for top in range(0, height, step):
            rows = slice(top, min(top + step, height))
            yield np.mean(
                [_enlarge(found, spec, (height, width), rows) for found, spec in maps], axis=0, dtype=np.float32
            )
            if progress is not None:
                progress((rows.stop - rows.start) * width)


def _enlarge(maps: NDArray[np.float32], spec: ModelSpec, size: tuple[int, int], rows: slice) -> NDArray[np.float32]:
    """Return rows (k, rows, width) of maps that are laid over an image of a size, linearly interpolated."""
    first = first_centre(spec.encoder, spec.stride)
    for axis, wanted in ((1, np.arange(rows.start, rows.stop)), (2, np.arange(size[1]))):
        in_square = (wanted + 0.5) * spec.image_sides[axis - 1] / size[axis - 1] - 0.5
        places = ((in_square - first) / spec.stride).clip(0, maps.shape[axis] - 1)
        before = places.astype(np.int64)
        after = np.minimum(before + 1, maps.shape[axis] - 1)
        share = (places - before).astype(np.float32)
        share = share[:, None] if axis == 1 else share
        maps = maps.take(before, axis) * (1 - share) + maps.take(after, axis) * share
    return maps


def _log_odds(logits: Tensor) -> Tensor:
    """Return the log odds of each class from logits (N, k): of one class, or of each of several against the others."""
    if logits.shape[1] == 1:
        return logits
    others = [torch.cat([logits[:, :i], logits[:, i + 1 :]], dim=1).logsumexp(1) for i in range(logits.shape[1])]
    return logits - torch.stack(others, dim=1)
