"""How well a model finds the single objects of the validation images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from unetkit.data.annotated import UNKNOWN
from unetkit.data.datamodule import SegmentationData
from unetkit.data.dataset import NamedItem
from unetkit.models.segmenter import Segmenter
from unetkit.scoring.instances import InstanceCounts, match_instances
from unetkit.scoring.table import OBJECT_SCORES, scores_of
from unetkit.training.segmentation.predicting import predict_item


def find_objects(segmenter: Segmenter, item: NamedItem, truth: NDArray[Any]) -> tuple[NDArray[Any], InstanceCounts]:
    """Return the labels (...) that `segment` makes of an image or volume, and how they match the true objects (...)."""
    labels = predict_item(segmenter, item["image"].numpy(), "labels")
    return labels, match_instances(labels, truth, item["mask"].numpy() == UNKNOWN)


def pool_objects(counts: Sequence[InstanceCounts]) -> dict[str, float]:
    """Return the scores of the objects of all images together; empty without images."""
    scores = scores_of([score for score in OBJECT_SCORES if score.validated], sum(counts, InstanceCounts()))
    return {f"val_{name}": value for name, value in scores.items()} if counts else {}


def score_objects(segmenter: Segmenter, data: SegmentationData) -> dict[str, float]:
    """Score the labels that `segment` makes of the validation images; empty without validation images."""
    images = data.val_items()
    truths = (data.targets.objects(index) for index in data.pool.val)
    return pool_objects([find_objects(segmenter, images[i], truth)[1] for i, truth in enumerate(truths)])
