"""The card of a model on the Hugging Face Hub: YAML for machines, then what a person asks first."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from unetkit.models.builtin_models import builtin_folder
from unetkit.models.model_file import MODEL_FILE
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.sharing.card_text import card_body
from unetkit.sharing.said import SaidOptions

PIPELINES = {
    "segmentation": "image-segmentation",
    "classification": "image-classification",
    "reconstruction": "image-to-image",
}
"""What the Hub calls the tasks."""

HUB_LICENCES = {
    *("mit", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "gpl-2.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0"),
    *("cc0-1.0", "cc-by-4.0", "cc-by-3.0", "cc-by-sa-4.0", "cc-by-sa-3.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
    *("cc-by-nc-nd-4.0", "cc-by-nd-4.0", "unlicense", "openrail", "eupl-1.2", "isc", "artistic-2.0", "bsl-1.0"),
}
"""Licences that the Hub knows; others have a name of their own there."""

METRICS = {
    "dice": "Dice",
    "ap50": "AP@0.5 of objects",
    "f1": "F1 of objects",
    "pq": "panoptic quality",
    "r2": "R2",
    "accuracy": "accuracy",
}
"""Names of scores for people."""

HUB_DATASET = re.compile(r"(?:https?://[^/]+/datasets/)?([\w.-]+/[\w.-]+)/?")
"""A data set of the Hub: owner/name, or its address."""


def model_name(segmenter: Segmenter, said: SaidOptions) -> str:
    """Return the name of a model as the Hub allows it: letters, digits, -, _ and dots."""
    file = Path(segmenter.name)
    stem = file.parent.name if file.name == MODEL_FILE else file.stem
    name = re.sub(r"[^\w.-]+|-{2,}|\.{2,}", "-", said.title or stem, flags=re.ASCII)
    return name.strip("-.")[:96] or "model"


def scores(spec: ModelSpec) -> dict[str, float]:
    """Return the scores on the validation images that the training noted, by name, such as "dice"."""
    noted = {key.removeprefix("val_"): value for key, value in spec.training.items() if key.startswith("val_")}
    return {key: value for key, value in noted.items() if isinstance(value, float | int) and math.isfinite(value)}


def card_data(segmenter: Segmenter, said: SaidOptions, *, smp: bool) -> ModelCardData:
    """Return what the Hub itself reads of a card.

    Args:
        segmenter: The model.
        said: What its user says of it.
        smp: Whether the folder has smp's layout.
    """
    spec, name = segmenter.spec, model_name(segmenter, said)
    pipeline = PIPELINES[spec.task]
    found = scores(spec)
    hub = HUB_DATASET.fullmatch(said.training_data or "")
    tags = ["unetkit", "u-net", "biomedical", "pytorch", *(["instance-segmentation"] if spec.instances else [])]
    tags += ["3d"] if spec.dims == 3 else []
    tags += ["segmentation-models-pytorch"] if smp else []
    return ModelCardData(
        **_licence(said.license),
        library_name="segmentation-models-pytorch" if smp else "unetkit",
        pipeline_tag=pipeline,
        tags=[*tags, *(said.tags or [])],
        datasets=[hub[1]] if hub is not None else None,
        metrics=list(found) or None,
        model_name=name if found else None,
        eval_results=_results(spec, said, pipeline) if found else None,
    )


def write_card(segmenter: Segmenter, path: Path, said: SaidOptions, *, added_stages: list[str] | None) -> None:
    """Write the card of a model.

    Args:
        segmenter: The model.
        path: The file.
        said: What its user says of it.
        added_stages: Of a folder in smp's layout, the parts with random weights that smp wants; None for unetkit's.
    """
    data = card_data(segmenter, said, smp=added_stages is not None)
    named = {METRICS.get(key, key.replace("_", " ")): value for key, value in scores(segmenter.spec).items()}
    body = card_body(segmenter.spec, model_name(segmenter, said), said, named, _notes(segmenter), added_stages)
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}").save(path)


def _licence(stated: str | None) -> dict[str, Any]:
    if stated is None:
        return {}
    known = stated.lower().removesuffix("-only").removesuffix("-or-later")  # the Hub does not tell these apart
    if known in HUB_LICENCES:
        return {"license": known}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.]+", "-", stated.lower()).strip("-")}


def _results(spec: ModelSpec, said: SaidOptions, pipeline: str) -> list[EvalResult]:
    data: dict[str, Any] = spec.training.get("data", {})
    dataset = said.training_data or str(data.get("train", "training data"))
    return [
        EvalResult(
            task_type=pipeline,
            dataset_type=re.sub(r"[^\w.-]+", "-", dataset.partition("://")[2] or dataset),
            dataset_name=f"{dataset}, validation images",
            dataset_split="validation",
            metric_type=key,
            metric_name=METRICS.get(key, key.replace("_", " ")),
            metric_value=round(value, 4),
        )
        for key, value in scores(spec).items()
    ]


def _notes(segmenter: Segmenter) -> str:
    """Return what is written of a built-in model beside its file, without title and how it was made; "" for others."""
    file = Path(segmenter.name)
    notes = file.with_suffix(".md")
    if file.parent != builtin_folder() or not notes.is_file():
        return ""
    sections = notes.read_text(encoding="utf-8").partition("\n")[2].split("\n## ")
    return "\n## ".join(section for section in sections if not section.startswith("How it was made")).strip()
