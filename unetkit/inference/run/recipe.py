"""The recipe: all decisions about one image, made before its pixels are predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from unetkit.foundation import shell
from unetkit.foundation.errors import ConfigError
from unetkit.foundation.names import printable
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.engine.forward import layout
from unetkit.inference.engine.uncertainty import UNCERTAINTY_CHANNELS
from unetkit.inference.run.classify import describe_classes
from unetkit.inference.run.command import given_fields, option_words
from unetkit.inference.tiling.blocks import cut_item
from unetkit.inference.tiling.grid import TileBlock, TileGrid
from unetkit.inference.tiling.options import OUTPUTS_WITHOUT_MASK, Output, SegmentOptions
from unetkit.inference.tuning.plan import ExecutionPlan
from unetkit.io.base.contracts import ImageInfo, OutputSpec
from unetkit.io.base.inner import file_of
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import image_stem
from unetkit.io.views.regrid import Regrid
from unetkit.models.builtin_models import short_name

PLAN_FIELDS = ("device", "backend", "precision", "tile", "halo", "batch")
"""Fields of a plan on which the result depends, to the bit."""

METHOD_FIELDS = ("tta", "skip_empty")
"""Other choices of the user on which the result depends, to the bit."""

NO_PIXELS = ("overwrite", "resume", "report")
"""Choices of what is written that change no pixel of an output."""

NO_CLASSES: Mapping[str, float] = MappingProxyType({})
"""Probabilities of image classes for models without any."""


@dataclass(frozen=True)
class Recipe:
    """All decisions about one image. They are made once.

    Attributes:
        options: The user's choices.
        ensemble: The models.
        info: The image as it is interpreted.
        plan: Device, backend, precision, tile, halo and batch; None where the image is seen whole.
        grid: The tiles of each plane; None where the image is seen whole.
        threshold: Foreground probability, 0 to 1, from which a pixel is foreground.
        min_size: Objects of fewer pixels, before any zoom, are left out of labels; None for other outputs.
        min_confidence: Objects of a lower confidence are left out of labels, 0 to 1; None for other outputs, and for
            models without a confidence.
        image_classes: Probability of each class of the whole image, if the models classify it.
        output: Description of the output. The type of labels holds any number of objects.
        back: How results are put back from the pixels that the models see to those of the output; None where these are
            the same.
    """

    options: SegmentOptions
    ensemble: Ensemble
    info: ImageInfo
    plan: ExecutionPlan | None
    grid: TileGrid | None
    threshold: float
    min_size: int | None
    min_confidence: float | None
    image_classes: Mapping[str, float]
    output: OutputSpec
    back: Regrid | None = None

    @property
    def zoom(self) -> float:
        """Pixels that the models see, along each axis, for one of the image."""
        zoom = self.options.tiling.zoom
        return 1.0 if zoom == "auto" else zoom

    @property
    def smallest(self) -> int:
        """Objects of fewer pixels, as the models see them, are left out of labels."""
        return round((self.min_size or 0) * self.zoom**2)

    @property
    def pixels(self) -> int:
        """Number of pixels of the image; of the output, where results are put back."""
        return self.info.planes * prod(self.output.size)

    @property
    def reading(self) -> ReadOptions:
        """How the image is read in the pixels of the output."""
        if self.back is None or not self.options.read.pixel_sizes:
            return self.options.read
        return replace(self.options.read, pixel_size=None, region=self.back.region)

    @property
    def blocks(self) -> list[TileBlock]:
        """All tiles, see `cut_item`; none where the image is seen whole."""
        if self.grid is None:
            return []
        value = self.output.channels * self.output.dtype.itemsize
        return [block for item in range(self.info.planes) for block in cut_item(self.grid, item, value)]

    @property
    def job(self) -> dict[str, Any]:
        """All on which the result depends. It must be the same in a resumed run as in the run that was stopped."""
        image, info = Path(self.info.name), self.info
        stamp = file_of(image).stat() if file_of(image).exists() else None
        return {
            **_planned(self.plan),
            **{name: getattr(self.options.tiling, name) for name in METHOD_FIELDS},
            "zoom": self.zoom,
            "image": image.name,
            "image_bytes": stamp.st_size if stamp else 0,
            "image_changed": stamp.st_mtime_ns if stamp else 0,
            "image_shape": [info.planes, info.channels, *info.size],
            "model_sha256": [segmenter.sha256 for segmenter in self.ensemble.segmenters],
            "reading": given_fields(self.options.read),
            "output": self.ensemble.kind(self.options.write),
            "threshold": self.threshold,
            "unetkit": version("unetkit"),
        }


def make_recipe(
    options: SegmentOptions,
    ensemble: Ensemble,
    info: ImageInfo,
    plan: ExecutionPlan | None,
    image_classes: Mapping[str, float] = NO_CLASSES,
    back: Regrid | None = None,
) -> Recipe:
    """Decide everything about one image.

    Args:
        options: The user's choices.
        ensemble: The models.
        info: The image.
        plan: How the image is predicted; None where it is seen whole.
        image_classes: See `Recipe`.
        back: See `Recipe`.

    Raises:
        ConfigError: A smallest confidence is given, but the models predict none.
    """
    write = options.write
    threshold = ensemble.threshold if write.threshold is None else write.threshold
    min_size = min_confidence = None
    if write.output == "labels":
        shown = info if back is None or options.read.pixel_sizes else back
        min_size = ensemble.smallest_object(shown.pixel_size_um) if write.min_size is None else write.min_size
        min_confidence = _least_confidence(ensemble, write.min_confidence)
    several = options.tiling.tta or len(ensemble.segmenters) > 1
    channels, dtype, names = _values(write.output, ensemble, info, several)
    left_out = {"min_size": min_size, "min_confidence": min_confidence}
    output = OutputSpec(
        size=info.size if back is None else back.size,
        dtype=dtype,
        channels=channels,
        plane_axes=info.plane_axes,
        plane_shape=info.plane_shape,
        pixel_size_um=info.pixel_size_um if back is None else back.pixel_size_um,
        space=info.space if back is None else back.space,
        notes=(
            ("made_by", f"unetkit {version('unetkit')}"),
            ("model", printable(ensemble.name)),
            ("model_sha256", ", ".join(segmenter.sha256 for segmenter in ensemble.segmenters)),
            ("output", write.output),
            *((("dims", str(ensemble.dims)),) if ensemble.dims == 3 else ()),
            *(() if write.output in OUTPUTS_WITHOUT_MASK else (("threshold", f"{threshold:g}"),)),
            *(() if plan is None else (("halo", str(plan.halo)),)),
            ("command", printable(_command(options, ensemble, info, plan, left_out))),
            *((("image_classes", describe_classes(image_classes)),) if image_classes else ()),
        ),
        pyramid=write.pyramid,
        channel_names=names if len(names) == channels > 1 else (),
        steps=info.steps,
        name=printable(image_stem(info.name)),
        compression=write.compression,
        layout=write.layout,
    )
    grid = None if plan is None else plan.grid(info.size, ensemble.stride)
    return Recipe(options, ensemble, info, plan, grid, threshold, min_size, min_confidence, image_classes, output, back)


def _values(
    output: Output, ensemble: Ensemble, info: ImageInfo, several: bool
) -> tuple[int, np.dtype[Any], tuple[str, ...]]:
    """Return the channels, the type and the names of the channels of an output.

    Args:
        output: The output.
        ensemble: The models.
        info: The image.
        several: Whether each pixel is predicted several times.
    """
    unsure_channels, unsure_type = layout("uncertainty", ensemble.classes, several=several)
    spec = ensemble.specs[0]
    restored_channels, restored_type = layout("restored", ensemble.classes, info)
    outputs: dict[Output, tuple[int, np.dtype[Any], tuple[str, ...]]] = {
        "mask": (1, np.dtype(np.uint8), ()),
        "probabilities": (ensemble.classes, np.dtype(np.float32), spec.class_names),
        "uncertainty": (unsure_channels, unsure_type, UNCERTAINTY_CHANNELS),
        "labels": (1, np.dtype(np.uint32), ()),
        "attention": (len(spec.image_classes), np.dtype(np.float32), spec.image_classes),
        "restored": (restored_channels, restored_type, info.channel_names),
    }
    return outputs[output]


def _least_confidence(ensemble: Ensemble, given: float | None) -> float | None:
    """Return the smallest confidence of an object in labels; None where the models predict none."""
    if ensemble.instances:
        return ensemble.min_confidence if given is None else given
    if given is not None:
        raise ConfigError(
            f"min_confidence has no meaning for {ensemble.name}, which was trained without instances.", "Leave it out."
        )
    return None


def _command(
    options: SegmentOptions,
    ensemble: Ensemble,
    info: ImageInfo,
    plan: ExecutionPlan | None,
    left_out: Mapping[str, float | None],
) -> str:
    """Return the command that makes an output again."""
    words = ["unetkit", "segment", Path(info.name).name, "RESULT", "--model"]
    words += [short_name(segmenter.name) for segmenter in ensemble.segmenters]
    given = {
        **given_fields(options.read),
        **_planned(plan),
        **{name: True for name in METHOD_FIELDS if getattr(options.tiling, name)},
        **_zoomed(options, ensemble),
        **({"directions": options.tiling.directions} if options.tiling.directions > 1 else {}),
        **given_fields(options.write),
        **{name: value for name, value in left_out.items() if value is not None},
    }
    return shell.join(words + option_words({name: given[name] for name in given if name not in NO_PIXELS}))


def _zoomed(options: SegmentOptions, ensemble: Ensemble) -> dict[str, Any]:
    """Return the zoom, unless the image is seen as it is by models that never see it otherwise."""
    zoom = options.tiling.zoom
    return {} if zoom == "auto" or (zoom == 1 and ensemble.object_diameter is None) else {"zoom": f"{zoom:g}"}


def _planned(plan: ExecutionPlan | None) -> dict[str, Any]:
    if plan is None:
        return {}
    return {name: getattr(plan, name) for name in PLAN_FIELDS} | {"device": str(plan.device)}
