"""How well a model finds the single objects of the validation images."""

from __future__ import annotations

from unetkit.data.annotated import UNKNOWN
from unetkit.data.datamodule import SegmentationData
from unetkit.inference.array import predict_tiled
from unetkit.models.segmenter import Segmenter
from unetkit.scoring.instances import InstanceCounts, match_instances
from unetkit.scoring.table import OBJECT_SCORES, scores_of


def count_objects(segmenter: Segmenter, data: SegmentationData) -> list[InstanceCounts]:
    """Count the objects of the labels that `segment` makes of each validation image."""
    counts = []
    device = str(next(segmenter.parameters()).device)
    for item, truth in data.val_objects():
        labels = predict_tiled(item["image"].numpy(), segmenter, axes="CYX", output="labels", device=device)
        counts.append(match_instances(labels, truth, item["mask"].numpy() == UNKNOWN))
    return counts


def pool_objects(counts: list[InstanceCounts]) -> dict[str, float]:
    """Return the scores of the objects of all images together; empty without images."""
    scores = scores_of([score for score in OBJECT_SCORES if score.validated], sum(counts, InstanceCounts()))
    return {f"val_{name}": value for name, value in scores.items()} if counts else {}


def score_objects(segmenter: Segmenter, data: SegmentationData) -> dict[str, float]:
    """Score the labels that `segment` makes of the validation images; empty without validation images."""
    return pool_objects(count_objects(segmenter, data))
