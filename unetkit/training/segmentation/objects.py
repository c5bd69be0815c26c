"""How well a model tells the objects of the validation images apart."""

from __future__ import annotations

from unetkit.data.datamodule import SegmentationData
from unetkit.inference.array import predict_tiled
from unetkit.models.segmenter import Segmenter
from unetkit.scoring.instances import InstanceCounts, match_instances

OBJECT_SCORES = ("ap50", "f1", "pq")


def score_objects(segmenter: Segmenter, data: SegmentationData) -> dict[str, float]:
    """Score the labels that `segment` makes of the validation images; nothing without these."""
    counts = []
    device = str(next(segmenter.parameters()).device)
    for item, truth in data.val_objects():
        labels = predict_tiled(item["image"].numpy(), segmenter, axes="CYX", output="labels", device=device)
        counts.append(match_instances(labels, truth))
    scores = sum(counts, InstanceCounts()).scores.flat()
    return {f"val_{name}": scores[name] for name in OBJECT_SCORES} if counts else {}
