"""What is written for an image, and what decides it."""

from __future__ import annotations

import dataclasses
import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from unetkit.foundation.errors import ConfigError
from unetkit.foundation.names import printable
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.engine.forward import layout
from unetkit.inference.tiling.options import CONFIDENCE, WITHOUT_MASK, Output, OutputOptions, TilingOptions
from unetkit.inference.tuning.plan import ExecutionPlan
from unetkit.io.base.contracts import ImageInfo, OutputSpec
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import image_stem
from unetkit.models.zoo import short_name

PLANNED = ("device", "backend", "precision", "tile", "halo", "batch")
"""Choices of a plan that decide what comes out, to the bit."""

METHODS = ("tta", "skip_empty")
"""Choices of the user, besides those of the plan, that decide it too."""


def describe_output(
    info: ImageInfo,
    ensemble: Ensemble,
    plan: ExecutionPlan | None,
    reading: ReadOptions,
    tiling: TilingOptions,
    result: OutputOptions,
    notes: tuple[tuple[str, str], ...] = (),
) -> OutputSpec:
    """Describe the output for an image, with what made it and more `notes`; labels as if there were many.

    There is a plan unless the image is seen whole.
    """
    spec = ensemble.specs[0]
    restored_channels, restored_type = layout("restored", ensemble.classes, info)
    outputs: dict[Output, tuple[int, np.dtype[Any], tuple[str, ...]]] = {
        "mask": (1, np.dtype(np.uint8), ()),
        "probabilities": (ensemble.classes, np.dtype(np.float32), spec.class_names),
        "labels": (1, np.dtype(np.uint32), ()),
        "attention": (len(spec.image_classes), np.dtype(np.float32), spec.image_classes),
        "restored": (restored_channels, restored_type, info.channel_names),
    }
    channels, dtype, names = outputs[result.output]
    return OutputSpec(
        size=info.size,
        dtype=dtype,
        channels=channels,
        plane_axes=info.plane_axes,
        plane_shape=info.plane_shape,
        pixel_size_um=info.pixel_size_um,
        notes=_notes(info, ensemble, plan, reading, tiling, result) + notes,
        pyramid=result.pyramid,
        channel_names=names if len(names) == channels > 1 else (),
        steps=info.steps,
        name=printable(image_stem(info.name)),
        compression=result.compression,
        layout=result.layout,
    )


def smallest_size(info: ImageInfo, ensemble: Ensemble, result: OutputOptions) -> int:
    """Return below how many pixels objects are left out of labels: what the user says, or else the models."""
    return ensemble.smallest_object(info.pixel_size_um) if result.min_size is None else result.min_size


def least_confidence(ensemble: Ensemble, result: OutputOptions) -> float | None:
    """Return below which confidence objects are left out of labels; None where the models tell none.

    Raises:
        ConfigError: The user says it, and the models do not tell it.
    """
    if ensemble.instances:
        return CONFIDENCE if result.min_confidence is None else result.min_confidence
    if result.min_confidence is not None:
        raise ConfigError(
            f"min_confidence has no meaning for {ensemble.name}, which was trained without instances.", "Leave it out."
        )
    return None


def describe_job(
    info: ImageInfo,
    ensemble: Ensemble,
    plan: ExecutionPlan,
    reading: ReadOptions,
    tiling: TilingOptions,
    result: OutputOptions,
) -> dict[str, Any]:
    """Return all that decides what comes out, which a resumed run must have in common with the one that was stopped."""
    image = Path(info.name)
    stamp = image.stat() if image.exists() else None
    return {
        **_planned(plan),
        **{name: getattr(tiling, name) for name in METHODS},
        "image": image.name,
        "image_bytes": stamp.st_size if stamp else 0,
        "image_changed": stamp.st_mtime_ns if stamp else 0,
        "image_shape": [info.planes, info.channels, info.height, info.width],
        "model_sha256": [segmenter.sha256 for segmenter in ensemble.segmenters],
        "reading": _given(reading),
        "output": ensemble.kind(result.output),
        "threshold": ensemble.threshold if result.threshold is None else result.threshold,
        "unetkit": version("unetkit"),
    }


def _notes(
    info: ImageInfo,
    ensemble: Ensemble,
    plan: ExecutionPlan | None,
    reading: ReadOptions,
    tiling: TilingOptions,
    result: OutputOptions,
) -> tuple[tuple[str, str], ...]:
    """Return what made an output; `command` is one that makes it again."""
    words = ["unetkit", "segment", Path(info.name).name, "RESULT", "--model"]
    words += [short_name(segmenter.name) for segmenter in ensemble.segmenters]
    methods = {name: True for name in METHODS if getattr(tiling, name)}
    labels: dict[str, float] = {}
    if result.output == "labels":
        labels["min_size"] = smallest_size(info, ensemble, result)
        confidence = least_confidence(ensemble, result)
        labels |= {} if confidence is None else {"min_confidence": confidence}
    planned = {} if plan is None else _planned(plan)
    options = {**_given(reading), **planned, **methods, **_given(result), **labels}
    for name, value in options.items():
        if name not in ("overwrite", "resume"):
            words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [_text(value)])
    threshold = ensemble.threshold if result.threshold is None else result.threshold
    thresholds = () if result.output in WITHOUT_MASK else (("threshold", f"{threshold:g}"),)
    return (
        ("made_by", f"unetkit {version('unetkit')}"),
        ("model", printable(ensemble.name)),
        ("model_sha256", ", ".join(segmenter.sha256 for segmenter in ensemble.segmenters)),
        ("output", result.output),
        *thresholds,
        *(() if plan is None else (("halo", str(plan.halo)),)),
        ("command", printable(shlex.join(words))),
    )


def _planned(plan: ExecutionPlan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in PLANNED} | {"device": str(plan.device)}


def _given(options: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that are not as they are by default."""
    usual = type(options)()
    fields = dataclasses.asdict(options)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in fields.items()
        if value != getattr(usual, name)
    }


def _text(value: Any) -> str:
    return ",".join(str(part) for part in value) if isinstance(value, list) else str(value)
