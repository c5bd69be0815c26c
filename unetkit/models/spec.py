"""ModelSpec: everything about a model but its weights, as plain data that goes to JSON and back."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from unetkit.foundation.errors import ConfigError, ModelError, closest
from unetkit.models.architectures import DECODER_CHANNELS, DEFAULT_ENCODER, FOREIGN, Architecture, architecture_info
from unetkit.models.encoders import PLANE_ENCODERS, smp_name
from unetkit.models.foreign import ForeignSpec
from unetkit.models.normalization import Normalization
from unetkit.models.pooling import Pooling, strides_of
from unetkit.postprocess.choice import Choice

FORMAT_VERSION = 1
"""Version of the JSON in a model file. It is raised when an older unetkit could misread the file.

A new field needs no new version: an older unetkit refuses the file, and a file without the field gets its default.
"""

Padding = Literal["same", "valid"]
"""Whether the convolutions of the plain U-Net pad their input with zeros, or not at all."""

DEFAULT_CONFIDENCE = 0.5
"""Lowest confidence of an object, until it is chosen on the validation images at the end of a run.

`benchmarks/instances.py` chose it on validation images of the 2018 Data Science Bowl.
"""

LARGEST_CLASSES = 256
"""Largest number of classes. Masks are uint8, so class numbers are 0 to 255."""


@dataclass(frozen=True)
class TrainingImages:
    """Statistics of the raw pixels of the training images, to notice an image that is unlike them.

    Args:
        dtypes: Types of the pixels, for example ("uint8", "uint16").
        low: Low end of the values of each channel, over all images.
        high: High end of the values of each channel, over all images.
        contrast: Difference between the high and the low end of each channel in the image where it is smallest.
        digests: Hash of the pixels of each image with a mask, also of the model that training started from.
    """

    dtypes: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    contrast: tuple[float, ...]
    digests: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelSpec:
    """A model without its weights.

    Attributes:
        arch: "unet" has an encoder as its contracting path; "plain_unet" is the network of Ronneberger et al. 2015.
        encoder: Name of the network in the contracting path, of those in `unetkit.models.encoders`.
        in_channels: Channels of the images that the model takes.
        classes: Number of mask values, the background included: 2 is foreground/background and has one output channel.
        depth: Number of times that the encoder halves the resolution, 3 to 5.
        decoder_channels: Channels of the expanding path from the deepest block up, one for each level of `depth`.
        base_channels: Channels of the first convolutions of "plain_unet"; doubled at each halving of the resolution.
        padding: Padding of the convolutions of "plain_unet": "valid" uses no zeros, as in the paper; "same" is faster.
        batch_norm: Whether the convolutions of "plain_unet" are followed by batch norm.
        task: "segmentation" predicts masks. "reconstruction" is a network that `unetkit pretrain` trained: from a
            damaged copy of an image it predicts the image. It is a start for `fit` and predicts no masks.
            "classification" was trained on labels of whole images alone. It has an encoder and an image head only.
        residual: Whether a network of the task "reconstruction" predicts the difference to its input, not the image
            (Zhang et al. 2017, https://arxiv.org/abs/1608.03981). Then no detail has to go through the network.
        instances: Whether the network also separates touching objects. The last channel of its output is then a
            distance map, 0 to 1, with a peak in every object.
        image_classes: Names of the classes of whole images, if they are classified: one class that is there or not, or
            several of which one is there.
        image_size: Side of the square (or cube) to which whole images are resized for classification, or one number for
            each axis; 0 without image classes.
        image_head_hidden: Units of a hidden layer between the encoder's features and the image classes; 0 for none.
        image_head_dropout: Share of the values before the last layer that is dropped in training, 0 to below 1.
        image_threshold: Probability, 0 to 1, from which an image shows its one image class, or the last of two. With
            more than two, the most probable one counts.
        normalization: How raw pixels become network input.
        threshold: Foreground probability, 0 to 1, from which a pixel is foreground.
        smallest_object: Smallest object in labels, in pixels of the size of those of the training images, unless the
            user sets another size; 0 for none.
        object_diameter: Diameter, in pixels, of the objects as the network saw them in training, if images were
            enlarged so that their small objects are of this size: `segment` then does so too, and shrinks images with
            far larger ones. It is that of a disk with the median area of the objects of an image. None if images were
            seen as they are.
        min_confidence: Of a model with instances, the lowest confidence, 0 to 1, of an object in labels, unless the
            user sets another one. The confidence is the peak of the distance map, 1 for the objects in training.
        halo: Context around a tile, in pixels, at which tiling changes fewer than 1 mask pixel in 10,000; one number,
            or one for each axis where they differ.
        halo_error: Share of mask pixels that the halo was measured to change; None if it was not measured.
        channel_names: Names of the input channels, if known.
        class_names: Names of the mask values, if given.
        pixel_size_um: Size of a pixel (y, x), or of a voxel (z, y, x) where `dims` is 3, of the training images in
            micrometres, if known.
        training_images: Statistics of the pixels of the training images, if known.
        training: Data, settings and result of the training; free form, for people.
        unetkit_version: Version that wrote the file.
        dims: Axes of what the network sees at once: 2 for planes, 3 for volumes.
        planes: Neighbouring planes that a network of planes sees at once, an odd number; it predicts the middle one.
        pooling: Of a network of volumes, by how much each level of `depth` reduces the resolution along z, y and x, the
            first level first: 1 or 2. Empty for a network of planes, which halves both axes each time.
        foreign: Of a network that unetkit did not build (arch "foreign"), what it takes and gives.
        choice: How objects are chosen among watershed regions of planes and their joins, where that was learnt; None
            where saddles of a fixed depth decide.
    """

    encoder: str = DEFAULT_ENCODER
    in_channels: int = 1
    classes: int = 2
    depth: int = 5
    decoder_channels: tuple[int, ...] = DECODER_CHANNELS
    arch: Architecture | Literal["foreign"] = "unet"
    base_channels: int = 64
    padding: Padding = "same"
    batch_norm: bool = False
    task: Literal["segmentation", "reconstruction", "classification"] = "segmentation"
    residual: bool = False
    instances: bool = False
    image_classes: tuple[str, ...] = ()
    image_size: int | tuple[int, ...] = 0
    image_head_hidden: int = 0
    image_head_dropout: float = 0.2
    image_threshold: float = 0.5
    normalization: Normalization = field(default_factory=Normalization)
    threshold: float = 0.5
    smallest_object: int = 0
    object_diameter: float | None = None
    min_confidence: float = DEFAULT_CONFIDENCE
    halo: int | tuple[int, ...] = 128
    halo_error: float | None = None
    channel_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    pixel_size_um: tuple[float, ...] | None = None
    training_images: TrainingImages | None = None
    training: dict[str, Any] = field(default_factory=dict)
    unetkit_version: str = ""
    dims: Literal[2, 3] = 2
    planes: int = 1
    pooling: Pooling = ()
    foreign: ForeignSpec | None = None
    choice: Choice | None = None

    def __post_init__(self) -> None:
        self._check_architecture()
        if not 3 <= self.depth <= 5:
            raise ConfigError(f"An encoder depth of {self.depth} is not possible.", "Use a depth of 3, 4 or 5.")
        if "decoder_channels" not in architecture_info(self.arch).unused and len(self.decoder_channels) != self.depth:
            raise ConfigError(
                f"{len(self.decoder_channels)} decoder_channels do not fit an encoder depth of {self.depth}.",
                f"Give {self.depth} numbers, for example {list(DECODER_CHANNELS[-self.depth :])}.",
            )
        self._check_axes()
        self._check_image_classes()
        if self.residual and self.task != "reconstruction":
            raise ConfigError("residual is for networks that restore images.", "Leave it out.")
        if self.instances and self.classes > 2:
            raise ConfigError(
                f"instances: true is not possible for {self.classes} classes.",
                "Use classes: 2, or leave instances out.",
            )
        if self.in_channels < 1:
            raise ConfigError(f"in_channels: {self.in_channels} is not possible.", "Use 1 or more, or 'auto'.")
        if self.classes < 2:
            raise ConfigError(
                f"classes: {self.classes} is not possible.",
                "Count the background too: classes: 2 is foreground and background.",
            )
        if self.classes > LARGEST_CLASSES:
            raise ConfigError(
                f"classes: {self.classes} is not possible, a mask of uint8 holds {LARGEST_CLASSES}.",
                "Merge classes, or count only foreground and background.",
            )
        for values in (self.normalization.center, self.normalization.scale, self.normalization.clip):
            if values is not None and len(values) != self.in_channels:
                raise ConfigError(
                    f"The normalization has values for {len(values)} channels, the model has {self.in_channels}.",
                    "Give one center, scale and clip for each channel.",
                )
        seen = self.training_images
        if seen is not None and {len(values) for values in (seen.low, seen.high, seen.contrast)} != {self.in_channels}:
            raise ConfigError(
                f"The training images have values for other channels than the {self.in_channels} of the model.",
                "Give one low, one high and one contrast for each channel.",
            )
        if self.object_diameter is not None and (self.object_diameter <= 0 or not self.instances or self.dims == 3):
            raise ConfigError(
                f"object_diameter: {self.object_diameter:g} is not possible.",
                "Give a number above 0, for a model of planes with instances, or leave it out.",
            )
        self._check_thresholds()

    def _check_thresholds(self) -> None:
        """Raise a ConfigError unless what is compared with probabilities is one."""
        for name in ("threshold", "image_threshold"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name):g} is not possible.", "Use a number between 0 and 1.")
        if not 0 <= self.min_confidence <= 1:
            raise ConfigError(f"min_confidence: {self.min_confidence:g} is not possible.", "Use a number from 0 to 1.")

    def _check_architecture(self) -> None:
        """Raise a ConfigError unless the architecture exists, and no setting is given that only another one has."""
        unused = architecture_info(self.arch).unused
        if (self.arch == FOREIGN) != (self.foreign is not None):
            raise ConfigError(f"arch: {self.arch} does not go with foreign.", "Give both, or neither.")
        if self.padding not in get_args(Padding):
            raise ConfigError(f"There is no padding '{self.padding}'.", closest(self.padding, get_args(Padding)))
        smp_name(self.encoder)
        if self.base_channels < 1:
            raise ConfigError(f"base_channels: {self.base_channels} is not possible.", "Use 1 or more.")
        given = next((name for name, default in unused.items() if getattr(self, name) != default), None)
        if given is not None:
            raise ConfigError(f"{given} has no meaning for arch: {self.arch}.", f"Leave {given} out, or change arch.")

    def _check_axes(self) -> None:
        """Raise a ConfigError unless the axes, the planes and the pooling go together."""
        if self.dims not in (2, 3):
            raise ConfigError(f"dims: {self.dims} is not possible.", "Use 2 for planes or 3 for volumes.")
        if self.planes < 1 or self.planes % 2 == 0:
            raise ConfigError(f"planes: {self.planes} is not possible.", "Use an odd number: 1, 3, 5 or 7.")
        if self.dims == 3 and not architecture_info(self.arch).has_volumes:
            raise ConfigError(f"There is no {self.arch} for dims: 3.", "Use arch: unet, or dims: 2.")
        if self.dims == 3 and self.encoder in PLANE_ENCODERS:
            raise ConfigError(f"The encoder {self.encoder} is for planes only.", "Use a ResNet, or dims: 2.")
        if self.planes > 1 and self.dims == 3:
            raise ConfigError("planes has no meaning for dims: 3, which sees whole volumes.", "Leave planes out.")
        if self.planes > 1 and (self.task != "segmentation" or self.image_classes):
            raise ConfigError("Several planes at once are for masks alone.", "Use planes: 1, or leave it out.")
        fits = all(len(level) == 3 and set(level) <= {1, 2} and max(level) == 2 for level in self.pooling)
        built = self.depth if self.dims == 3 and self.foreign is None else 0
        if len(self.pooling) != built or not fits:
            raise ConfigError(
                f"The pooling {self.pooling} does not go with dims: {self.dims} and depth: {self.depth}.",
                "For dims: 3 give three numbers, 1 or 2, for each level of depth; for dims: 2 leave it out.",
            )

    def _check_image_classes(self) -> None:
        """Raise a ConfigError unless the image classes go with the rest."""
        if self.image_head_hidden < 0:
            raise ConfigError(f"image_head_hidden: {self.image_head_hidden} is not possible.", "Use 0 or more.")
        if not 0 <= self.image_head_dropout < 1:
            problem = f"image_head_dropout: {self.image_head_dropout:g} is not possible."
            raise ConfigError(problem, "Use 0 or a number below 1.")
        if self.image_classes and not architecture_info(self.arch).has_encoder:
            raise ConfigError(f"image_classes are not possible for {self.arch}.", "Use arch: unet.")
        if self.task == "classification" and not self.image_classes:
            raise ConfigError("A model of whole images needs image_classes.", "Name at least one.")
        sides = self.image_sides
        fits = len(sides) == self.dims and not any(a % b for a, b in zip(sides, self.strides, strict=False))
        if (min(sides, default=0) > 0) != bool(self.image_classes) or not fits:
            raise ConfigError(
                f"An image_size of {self.image_size} does not go with {len(self.image_classes)} image_classes.",
                f"Give both or neither, and a multiple of {self.stride} pixels.",
            )

    @property
    def image_sides(self) -> tuple[int, ...]:
        """Size to which whole images are resized for classification, along each axis."""
        return (self.image_size,) * self.dims if isinstance(self.image_size, int) else self.image_size

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels of the input for one pixel of the deepest features, along each axis that the network sees.

        Tiles and crops are multiples of them.
        """
        if self.foreign is not None:
            return self.foreign.stride
        if self.dims == 2:
            return (2**self.depth,) * 2
        return strides_of(self.pooling)

    @property
    def stride(self) -> int:
        """The largest of `strides`; the others divide it."""
        return max(self.strides)

    @property
    def network_inputs(self) -> int:
        """Channels that the network takes: those of the image, for each of its planes one after the other."""
        return self.in_channels * self.planes

    @property
    def middle(self) -> slice:
        """Which of the channels that the network takes are those of the plane that it predicts."""
        first = self.planes // 2 * self.in_channels
        return slice(first, first + self.in_channels)

    @property
    def margin(self) -> int:
        """Context that the network needs around what it predicts, in pixels; 0 where convolutions pad their input."""
        return 6 * self.stride - 4 if self.padding == "valid" else 0

    @property
    def out_channels(self) -> int:
        """Channels of the mask's probabilities: one for foreground/background, else one for each class."""
        return 1 if self.classes == 2 else self.classes

    @property
    def network_channels(self) -> int:
        """Channels of the network's output: those of the mask, then the distance map where there are instances.

        For the task "reconstruction" they are those of the image, for "classification" one for each image class.
        """
        if self.task == "segmentation":
            return self.out_channels + self.instances
        return self.in_channels if self.task == "reconstruction" else len(self.image_classes)

    def to_json(self) -> str:
        """Return the spec as JSON, its format version included."""
        return json.dumps({"format_version": FORMAT_VERSION, **dataclasses.asdict(self)})

    @classmethod
    def from_json(cls, text: str, name: str) -> ModelSpec:
        """Read a spec written by `to_json`.

        Args:
            text: The JSON.
            name: Where it comes from, for messages.

        Raises:
            ModelError: It is not a spec, or one that a newer unetkit wrote.
        """
        remedy = "Give a model.safetensors that `unetkit fit` wrote."
        try:
            values = json.loads(text)
            version = values.pop("format_version")
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelError(f"{name} is not a unetkit model: its description cannot be read.", remedy) from error
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise ModelError(
                f"{name} was written by a newer unetkit ({values.get('unetkit_version', 'unknown')}): its format is "
                f"{version}, this version reads up to {FORMAT_VERSION}.",
                "Upgrade with `pip install --upgrade unetkit`.",
            )
        try:
            values["normalization"] = Normalization(**_tuples(values["normalization"]))
            if values.get("foreign") is not None:
                raise ModelError(f"{name} describes a network of another program, which is no file of unetkit.", remedy)
            if (seen := values.get("training_images")) is not None:
                values["training_images"] = TrainingImages(**_tuples(seen))
            if (choice := values.get("choice")) is not None:
                values["choice"] = Choice(**_tuples(choice))
            return cls(**_tuples(values))
        except ConfigError as error:
            raise ModelError(f"{name} describes a model that is not possible. {error.problem}", remedy) from error
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{name} is not a unetkit model: its description cannot be understood ({error}).", remedy
            ) from error


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples: turn its lists back into them."""

    def of_lists(value: Any) -> Any:
        return tuple(map(of_lists, value)) if isinstance(value, list) else value

    return {key: of_lists(value) for key, value in values.items()}
