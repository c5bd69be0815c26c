"""The halo of a trained model, measured on the validation images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from unetkit.data.datamodule import SegmentationData
from unetkit.data.dataset import NamedItem
from unetkit.inference.tiling.halo import HALO_IMAGES, HaloMeasurement, measure_halo
from unetkit.models.segmenter import Segmenter


def note_halo(segmenter: Segmenter, data: SegmentationData, positions: int | None = None) -> HaloMeasurement:
    """Measure the halo of a model on the validation images, with `positions` windows along each axis, and note it."""
    halo = measure_halo(
        segmenter,
        [(item["image"].numpy(), *_statistics(item, segmenter, data)) for item in first_items(data, HALO_IMAGES)],
        positions,
    )
    segmenter.spec = replace(segmenter.spec, halo=halo.halo, halo_error=halo.error)
    return halo


def first_items(data: SegmentationData, most: int) -> list[NamedItem]:
    """Return the first validation images."""
    images = data.val_items()
    return [images[index] for index in range(min(len(images), most))]


def _statistics(
    item: NamedItem, segmenter: Segmenter, data: SegmentationData
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the center and scale that normalise an image; a model that was not trained further has its own."""
    normalization = segmenter.spec.normalization
    if normalization == data.normalization:
        return item["center"].numpy(), item["scale"].numpy()
    statistics = segmenter.normalizer.statistics(item["image"].numpy()[segmenter.spec.middle])
    return statistics.center, statistics.scale
