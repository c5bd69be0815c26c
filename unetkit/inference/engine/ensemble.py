"""One or several models that predict together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, cast, get_args

from unetkit.foundation.errors import ConfigError, ModelError
from unetkit.inference.engine.forward import Kind
from unetkit.inference.tiling.grid import PerAxis, one_if_equal, per_axis, round_up
from unetkit.inference.tiling.options import Output, OutputOptions
from unetkit.io.base.contracts import ImageSource
from unetkit.io.views.neighbours import NeighbourSource
from unetkit.models.builtin_models import short_name
from unetkit.models.sampling import ValidNeighbours, ValidSource
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.postprocess.choice import Choice
from unetkit.zoo.opening import load_model
from unetkit.zoo.references import model_files

Models = Segmenter | str | Path | Sequence[Segmenter | str | Path]
"""One or several models: loaded, or as `unetkit.load_model` takes them, or folders of runs."""


@dataclass(frozen=True)
class Ensemble:
    """Models for the same images and classes; the mean of their probabilities counts.

    Attributes:
        segmenters: The models.
        owned: Whether nobody else uses them, so that they may be changed to save memory.
    """

    segmenters: tuple[Segmenter, ...]
    owned: bool = False

    @property
    def specs(self) -> tuple[ModelSpec, ...]:
        """The descriptions of the models."""
        return tuple(segmenter.spec for segmenter in self.segmenters)

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return self.specs[0].in_channels

    @property
    def planes(self) -> int:
        """Neighbouring planes that the networks see at once."""
        return self.specs[0].planes

    @property
    def inputs(self) -> int:
        """Channels that the networks take: those of the images, for each of the planes."""
        return self.specs[0].network_inputs

    @property
    def middle(self) -> slice:
        """Which of the channels that the networks take are those of the plane that is predicted."""
        return self.specs[0].middle

    def see(self, source: ImageSource) -> ImageSource:
        """Return an image as the networks see it: with the neighbours of each plane, where they take any."""
        if self.planes == 1:
            return source
        if isinstance(source, ValidSource):
            return ValidNeighbours(source, self.planes, self.channels)
        return NeighbourSource(source, self.planes, self.channels)

    @property
    def classes(self) -> int:
        """Channels of the output: one for foreground/background, else one for each class; those of a restored image."""
        spec = self.specs[0]
        return spec.in_channels if spec.task == "reconstruction" else spec.out_channels

    @property
    def instances(self) -> bool:
        """Whether the models separate touching objects."""
        return self.specs[0].instances

    @property
    def choice(self) -> Choice | None:
        """How objects are chosen: as the first model does it, if all models choose; None if not."""
        choices = [spec.choice for spec in self.specs]
        return None if None in choices else choices[0]

    @property
    def object_diameter(self) -> float | None:
        """Diameter of objects, in pixels, that images are enlarged to; None if the models do not agree on any."""
        wanted = {spec.object_diameter for spec in self.specs}
        return wanted.pop() if len(wanted) == 1 else None

    def kind(self, write: OutputOptions) -> Kind:
        """Return what is predicted for an output of pixels; labels are made of it afterwards.

        Raises:
            ConfigError: The models predict no such thing, or it is none that is predicted tile by tile.
        """
        output = write.output
        self.check_output(output)
        if output == "labels":
            if write.close is not None and (self.instances or self.classes > 1):
                why = "separates touching objects by itself" if self.instances else "has several classes"
                raise ConfigError(f"close has no meaning for {self.name}, which {why}.", "Leave it out.")
            return "heights" if self.instances or write.close is not None else "mask"
        if output not in get_args(Kind):
            raise ConfigError(
                f"The output '{output}' is of whole images.", "Use unetkit.segment, which writes it to a file."
            )
        return cast(Kind, output)

    def check_output(self, output: Output) -> None:
        """Raise a ConfigError unless the models give an output."""
        spec = self.specs[0]
        if output in ("classes", "attention"):
            if not spec.image_classes:
                raise ConfigError(
                    f"{self.name} does not classify whole images.",
                    "Use a model that was trained with data.image_labels and model.image_classes.",
                )
        elif output == "restored":
            if spec.task != "reconstruction":
                raise ConfigError(
                    f"{self.name} does not restore images.", "Use a model that `unetkit pretrain` trained."
                )
        elif spec.task == "classification":
            names = ", ".join(spec.image_classes)
            raise ConfigError(
                f"{self.name} was trained on labels of whole images alone and predicts no {output}.",
                f"Ask for a table of the probability of {names} in each image: "
                f"unetkit segment IMAGES classes.csv --output classes --model {self.name}",
            )
        elif spec.task == "reconstruction":
            raise ConfigError(
                f"{self.name} restores images and predicts no masks: `unetkit pretrain` trained it.",
                "Ask for the restored image (--output restored), or train from it (unetkit fit --model.weights).",
            )

    @property
    def dims(self) -> int:
        """Axes of what the models see at once."""
        return self.specs[0].dims

    @property
    def stride(self) -> PerAxis:
        """The largest stride along each axis; those of the models divide it."""
        return one_if_equal(tuple(map(max, zip(*(spec.strides for spec in self.specs), strict=True))))

    @property
    def halo(self) -> PerAxis:
        """The largest halo, along each axis where they differ, a multiple of the stride."""
        largest = map(max, zip(*(per_axis(spec.halo, self.dims) for spec in self.specs), strict=True))
        margin = max(spec.margin for spec in self.specs)
        strides = per_axis(self.stride, self.dims)
        return one_if_equal(
            tuple(round_up(max(halo, margin), stride) for halo, stride in zip(largest, strides, strict=True))
        )

    @property
    def foreign(self) -> tuple[str, ...]:
        """Kinds of the networks that unetkit did not build, see `ForeignSpec.kind`."""
        return tuple(dict.fromkeys(spec.foreign.kind for spec in self.specs if spec.foreign is not None))

    def fixed_tiles(self, given: PerAxis | None) -> list[PerAxis]:
        """Return the one size of tiles that networks of a fixed size take; nothing where they take any.

        Args:
            given: Size that the user chose.

        Raises:
            ConfigError: It is larger, or the networks have different sizes.
        """
        sizes = {spec.foreign.smallest for spec in self.specs if spec.foreign is not None and spec.foreign.fixed}
        if not sizes:
            return []
        size = min(sizes)
        sides = size if given is None else per_axis(given, self.dims)
        if len(sizes) > 1 or any(side > length for side, length in zip(sides, size, strict=True)):
            raise ConfigError(
                f"{self.name} takes windows of {' x '.join(map(str, size))} pixels only.",
                "Leave --tile out, and use models of one size together.",
            )
        return [one_if_equal(size) if given is None else given]

    @property
    def threshold(self) -> float:
        """The mean of the thresholds."""
        return sum(spec.threshold for spec in self.specs) / len(self.specs)

    @property
    def min_confidence(self) -> float:
        """The mean of the lowest confidences of an object."""
        return sum(spec.min_confidence for spec in self.specs) / len(self.specs)

    def image_threshold(self, given: float | None) -> float:
        """Return the probability from which an image shows its one class, or the last of two: the mean of the models'.

        Args:
            given: The user's threshold instead; None for the models'.

        Raises:
            ConfigError: It is given, but there are more classes, of which the most probable one counts.
        """
        if given is not None and len(self.specs[0].image_classes) > 2:
            raise ConfigError(
                f"{self.name} has more than two image classes, of which the most probable one counts.",
                "Leave threshold out.",
            )
        return sum(spec.image_threshold for spec in self.specs) / len(self.specs) if given is None else given

    def smallest_object(self, pixel_size_um: tuple[float, ...] | None) -> int:
        """Return the smallest size of an object in an image, in pixels; 0 if it is not known.

        It is the smallest size of all models. Where the pixels of the image and of the model's training images
        have a known size, it is the same area in both.

        Args:
            pixel_size_um: Size of the pixels (y, x) that the models see, in micrometres.
        """

        def in_image(spec: ModelSpec) -> float:
            if pixel_size_um is None or spec.pixel_size_um is None:
                return spec.smallest_object
            return spec.smallest_object * prod(spec.pixel_size_um) / prod(pixel_size_um)

        return round(min(map(in_image, self.specs)))

    @property
    def name(self) -> str:
        """The names of the models."""
        return ", ".join(short_name(segmenter.name) for segmenter in self.segmenters)

    @property
    def sha256(self) -> str:
        """The hash of the model file; of several, the hash of their hashes; "" if one never was a file."""
        hashes = [segmenter.sha256 for segmenter in self.segmenters]
        if len(hashes) == 1 or not all(hashes):
            return hashes[0] if len(hashes) == 1 else ""
        return hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def gather_models(models: Models) -> Ensemble:
    """Load what is not loaded yet; a folder stands for every model.safetensors below it, such as one for each fold.

    Raises:
        ModelError: A file cannot be used, there is no model, or the models are not for the same images and classes.
    """
    single = isinstance(models, (Segmenter, str, Path)) or not isinstance(models, Iterable)
    several: list[Any] = [models] if single else list(cast(Iterable[Any], models))
    for one in several:
        if not isinstance(one, (Segmenter, str, Path)):
            raise ModelError(
                f"A {type(one).__name__} is no model of unetkit.",
                "Give one from unetkit.load_model, the path of a model file, or the name of a built-in model.",
            )
    if not several:
        raise ModelError("There is no model.", "Give at least one.")
    owned = not any(isinstance(model, Segmenter) for model in several)
    found = [one for model in several for one in ([model] if isinstance(model, Segmenter) else model_files(model))]
    ensemble = Ensemble(tuple(one if isinstance(one, Segmenter) else load_model(one) for one in found), owned)
    first = ensemble.segmenters[0]
    for other in ensemble.segmenters[1:]:
        for name in ("task", "in_channels", "dims", "planes", "classes", "instances", "image_classes", "residual"):
            mine, its = getattr(first.spec, name), getattr(other.spec, name)
            if mine != its:
                raise ModelError(
                    f"{other.name} has {name} {its}, but {first.name} has {mine}.",
                    "Give models that were trained for the same kind of images and masks.",
                )
    return ensemble
