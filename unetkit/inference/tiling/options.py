"""The user's choices of how an image is cut, predicted and written: plain data that a command's help imports."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from unetkit.backends.info import Precision
from unetkit.backends.registry import BackendName, backend_names, backends_in, is_known
from unetkit.foundation.errors import ConfigError, closest
from unetkit.inference.tiling.object_options import NO_OBJECTS, ObjectOptions
from unetkit.io.base.read_options import WHOLE, ReadOptions

Output = Literal["mask", "probabilities", "uncertainty", "labels", "classes", "attention", "restored"]
"""Kinds of results."""

OUTPUTS_WITHOUT_MASK: dict[str, tuple[str, ...]] = {
    "classes": ("pyramid", "resume", "output_grid"),
    "attention": ("threshold", "resume", "output_grid"),
    "restored": ("threshold", "report"),
    "uncertainty": ("threshold",),
}
"""Outputs that are not made of a mask, each with the choices that have no meaning for it."""

SEEN_ALL_AROUND = ("mask", "labels", "probabilities", "uncertainty")
"""Outputs that three directions of a volume can have."""

INTO_IMAGES = ("mask", "labels")
"""Outputs that can lie inside of an OME-Zarr image, as one of its labels."""

NAME = re.compile(r"(?!__)\w[\w. +@=-]*")
"""Pattern of the names that labels in an image may have: those that all file systems and Zarr take."""

Compression = Literal["auto", "none", "deflate", "lzw", "zstd"]
Layout = Literal["auto", "tiles", "strips"]
OutputGrid = Literal["input", "model"]

MEMORY_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
"""Bytes in a unit of memory, as Slurm and Docker count them."""


@dataclass(frozen=True)
class TilingOptions:
    """How images are cut and predicted.

    Args:
        tile: Largest window that the network sees at once, in pixels, a multiple of the encoder's stride: one number,
            or one for each axis, such as 32,128,128 (z,y,x); "auto" takes what is fastest within the memory.
        halo: Context around the part of a tile that is kept, in pixels, one number or one for each axis; by default the
            one measured for the model.
        batch: Tiles that go through the network together; "auto" is 1 on a CPU and what memory allows on a GPU.
        device: "auto" (CUDA, else MPS, else CPU) or a torch device such as "cpu" or "cuda:1".
        backend: What runs the network. "auto" times those that are installed, once for each model and machine, unless
            the input is too small for that to pay. Other packages may add backends with names of their own.
        precision: Arithmetic of the network. "auto" is fp32, and bf16 (or fp16) on CUDA. int8 needs OpenVINO and
            calibrates itself on the input. If it changes more than 2 mask pixels in 1,000, fp32 is used.
        memory: Largest memory to use, for example "1GB": of the process on a CPU, of the device on a GPU. By default
            2GB on a CPU, and most of the free memory on a GPU.
        zoom: How many pixels, along each axis, a model of planes sees for one of the image, 0.1 to 10. Results are put
            back to the pixels of the image. "auto" shrinks images whose objects are far larger than those that the
            model was trained to see, and for labels enlarges those whose objects are smaller, up to 2, if the model
            knows their size, as the built-in model does, and no pixel size is given: objects are measured in a first
            pass over parts of the image.
        tta: Predict each tile in its 8 flips and rotations and take the mean: slower, a little better.
        directions: 3 sees a volume with a model of planes in three directions, XY, XZ and YZ, and takes the mean of the
            probabilities; voxels are resampled so that planes look alike in all of them, and the output is in the
            voxels of the image.
        skip_empty: Leave out tiles that are surely empty: as even as the image's background, also at low resolution.
    """

    tile: int | Literal["auto"] | str | Sequence[int] = "auto"
    halo: int | str | Sequence[int] | None = None
    batch: int | Literal["auto"] = "auto"
    device: str = "auto"
    backend: Literal["auto", BackendName] | str = "auto"
    precision: Literal["auto", Precision] = "auto"
    memory: str | None = None
    zoom: float | Literal["auto"] = "auto"
    tta: bool = False
    directions: int = 1
    skip_empty: bool = False

    def __post_init__(self) -> None:
        if self.backend != "auto" and not is_known(self.backend):
            known = ("auto", *backend_names())
            raise ConfigError(f"backend: '{self.backend}' is not possible.", closest(self.backend, known))
        _check_choice("precision", self.precision, ("auto", *get_args(Precision)))
        if self.tile != "auto":
            object.__setattr__(self, "tile", _parse_sizes("tile", self.tile))
        if self.halo is not None:
            object.__setattr__(self, "halo", _parse_sizes("halo", self.halo))
        if self.batch != "auto" and (not isinstance(self.batch, int) or self.batch < 1):
            raise ConfigError(f"batch: {self.batch} is not possible.", "Use 1 or more, or 'auto'.")
        if self.directions not in (1, 3):
            raise ConfigError(f"directions: {self.directions} is not possible.", "Use 1 or 3.")
        if self.memory is not None:
            parse_memory(self.memory)
        if self.zoom != "auto" and not (isinstance(self.zoom, float | int) and 0.1 <= self.zoom <= 10):
            raise ConfigError(f"zoom: {self.zoom} is not possible.", "Use a number from 0.1 to 10, or 'auto'.")
        if self.precision == "int8" and self.backend not in ("auto", *(able := backends_in("int8"))):
            remedy = f"Use --backend {' or '.join(able)}."
            raise ConfigError(f"The backend {self.backend} does not compute in int8.", remedy)

    @property
    def given_tile(self) -> int | tuple[int, ...] | None:
        """The size of the tiles, None if it is left open."""
        return None if self.tile == "auto" else cast(int | tuple[int, ...], self.tile)

    @property
    def given_halo(self) -> int | tuple[int, ...] | None:
        """The context around what is kept, None if it is left open."""
        return cast(int | tuple[int, ...] | None, self.halo)

    @property
    def memory_bytes(self) -> int | None:
        """The bound in bytes, None if there is none."""
        return None if self.memory is None else parse_memory(self.memory)


@dataclass(frozen=True)
class OutputOptions:
    """What is written.

    Args:
        output: "mask" is 0 background and 255 foreground, or class numbers where there are more classes.
            "probabilities" is float32. "uncertainty" is float32 from 0 (sure) to 1 (all classes equally likely): the
            entropy of the probabilities, and with several models or tta a second channel, by how much these differ; a
            folder also gets uncertainty.csv, which names the images to annotate next. "labels" gives each object a
            number of its own, through all planes of a stack. "classes" is a table (.csv) of models that classify whole
            images: a line for each image, with the probability of each image class and the predicted class. "attention"
            shows where such models looked, float32 from 0 to 1, with a channel for each image class. "restored" is the
            image without noise, in its own range and type, of models that `unetkit pretrain` made.
        threshold: Foreground probability, 0 to 1, from which a pixel is foreground; by default the model's. For the
            output "classes" the probability from which an image shows the one class, or the last of two.
        split: For labels: separate touching objects by a watershed on the distance to the background. A model with
            `instances` separates them by itself, and needs no split.
        close: For labels: keep regions apart where the border between them has a gap, such as neurons where a membrane
            is faint: the probability falls there by this much below the lower of their peaks, 0 to 1. For models
            without `instances`.
        min_size: For labels: leave out objects of fewer pixels, 0 for none; by default the smallest size in the model's
            training images.
        min_confidence: For labels of a model with `instances`: leave out objects of a lower confidence, 0 to 1, 0 for
            none; by default the model's. The confidence is the peak of the distance map, 1 for the objects in training.
            Of a model that has learnt to choose objects, a lower number also keeps more of those that it would not.
        pyramid: Add sub-resolutions for viewers such as QuPath, OpenSlide and napari.
        compression: Compression of a TIFF: "none", "deflate", "lzw" or "zstd"; "auto" is deflate. Programs such as
            libvips, and ImageJ without Bio-Formats, do not read zstd.
        layout: Layout of a TIFF: "strips", which ImageJ without Bio-Formats needs, or "tiles", which viewers of large
            images need. "auto" is strips up to 4096 x 4096 pixels, and tiles for larger images and pyramids.
        overwrite: Replace existing outputs, each when the new one is complete. Without resume, unfinished outputs of an
            earlier run are replaced too.
        resume: Continue where an earlier run of the same command was stopped, and leave out complete outputs. Without
            it, an unfinished output of the same command is continued too.
        name: Name of a mask or labels inside of an OME-Zarr image, where the output is the image itself; by default
            "mask" or "labels".
        output_grid: Pixels in which the output comes where `pixel_size` resamples the image: "input" are those of the
            image at full resolution, to which classes and labels are put back by the nearest pixel and probabilities
            linearly; "model" are those that the model sees. By default "input" for volumes and "model" for planes.
        report: Page (.html) that shows all images with the outlines of what was found, counts and histograms of areas.
    """

    output: Output = "mask"
    threshold: float | None = None
    split: bool = False
    close: float | None = None
    min_size: int | None = None
    min_confidence: float | None = None
    pyramid: bool = False
    compression: Compression = "auto"
    layout: Layout = "auto"
    overwrite: bool = False
    resume: bool = False
    name: str | None = None
    output_grid: OutputGrid | None = None
    report: Path | None = None

    def __post_init__(self) -> None:
        if isinstance(self.report, str):  # from Python
            object.__setattr__(self, "report", Path(self.report))
        _check_choice("output", self.output, get_args(Output))
        for name in OUTPUTS_WITHOUT_MASK.get(self.output, ()):
            if getattr(self, name) not in (None, False):
                raise ConfigError(f"{name} has no meaning for the output '{self.output}'.", "Leave it out.")
        _check_choice("compression", self.compression, get_args(Compression))
        _check_choice("layout", self.layout, get_args(Layout))
        if self.output_grid is not None:
            _check_choice("output_grid", self.output_grid, get_args(OutputGrid))
        if self.pyramid and self.layout == "strips":
            raise ConfigError("A pyramid is not stored in strips.", "Leave out layout, or pyramid.")
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise ConfigError(f"threshold: {self.threshold:g} is not possible.", "Use a number between 0 and 1.")
        self._check_objects()
        if self.name is not None and self.output not in INTO_IMAGES:
            raise ConfigError(f"name has no meaning for the output '{self.output}'.", "Only masks and labels have one.")
        if self.name is not None and not NAME.fullmatch(self.name):
            raise ConfigError(f"name: '{self.name}' is not possible.", "Use letters, digits, '_', '-' and '.'.")

    def _check_objects(self) -> None:
        if self.close is not None and not 0 < self.close < 1:
            raise ConfigError(f"close: {self.close:g} is not possible.", "Use a number between 0 and 1.")
        if self.close is not None and self.split:
            raise ConfigError("split and close are two ways to separate objects.", "Leave one of them out.")
        if self.min_size is not None and self.min_size < 0:
            raise ConfigError(f"min_size: {self.min_size} is not possible.", "Use a number of pixels, or 0 for none.")
        if self.min_confidence is not None and not 0 <= self.min_confidence <= 1:
            raise ConfigError(f"min_confidence: {self.min_confidence:g} is not possible.", "Use a number from 0 to 1.")
        for name in ("split", "close", "min_size", "min_confidence"):
            if getattr(self, name) and self.output != "labels":
                raise ConfigError(
                    f"{name} has no meaning for the output '{self.output}'.", "Use --output labels with it."
                )


def _parse_sizes(name: str, given: int | str | Sequence[int]) -> int | tuple[int, ...]:
    """Return one number, or one for each axis.

    Raises:
        ConfigError: They are no whole numbers.
    """
    several = given.split(",") if isinstance(given, str) else given if isinstance(given, Sequence) else [given]
    parts = [int(one) if isinstance(one, str) and one.strip().lstrip("-").isdecimal() else one for one in several]
    numbers = tuple(one for one in parts if type(one) is int)
    if not parts or len(numbers) < len(parts) or (name == "tile" and min(numbers) < 1):
        more = ", or 'auto'." if name == "tile" else "."
        raise ConfigError(
            f"{name}: {given} is not possible.",
            f"Use a number, or one for each axis, such as 32,128,128{more}",
        )
    return numbers[0] if len(numbers) == 1 else numbers


def parse_memory(text: str) -> int:
    """Return the bytes in a text such as "1GB", "800 MB" or "1.5G".

    Raises:
        ConfigError: It is no amount of memory.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", str(text), re.IGNORECASE)
    size = 0 if found is None else int(float(found[1]) * MEMORY_UNITS[found[2].upper()])
    if not size:
        raise ConfigError(f"memory: '{text}' is no amount of memory.", "Write it like 1GB or 800MB.")
    return size


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name}: '{value}' is not possible.", f"Use {', '.join(choices[:-1])} or {choices[-1]}.")


DEFAULT_TILING = TilingOptions()
"""All choices left open."""

DEFAULT_OUTPUT = OutputOptions()
"""A mask, with the model's threshold."""


@dataclass(frozen=True)
class SegmentOptions:
    """All choices of a user for a run of `segment`.

    Attributes:
        read: What is read of the images.
        tiling: How they are cut and predicted.
        write: What is written.
        objects: What is written of each object.
    """

    read: ReadOptions = WHOLE
    tiling: TilingOptions = DEFAULT_TILING
    write: OutputOptions = DEFAULT_OUTPUT
    objects: ObjectOptions = NO_OBJECTS

    def __post_init__(self) -> None:
        for name in (*self.objects.asked, *(("ring",) if self.objects.ring else ())):
            if self.write.output != "labels":
                raise ConfigError(
                    f"{name} has no meaning for the output '{self.write.output}'.", "Use --output labels with it."
                )
        if self.tiling.directions > 1:
            self._check_directions()
        if self.tiling.zoom not in ("auto", 1) and (self.read.pixel_sizes or self.tiling.directions > 1):
            given = "a pixel size" if self.read.pixel_sizes else "several directions"
            raise ConfigError(f"zoom has no meaning with {given}, which say how images are seen.", "Leave it out.")
        if self.tiling.zoom not in ("auto", 1) and self.write.output in ("classes", "attention"):
            raise ConfigError(f"zoom has no meaning for the output '{self.write.output}'.", "Leave it out.")
        if self.write.output_grid is not None and not self.read.pixel_sizes:
            raise ConfigError("output_grid has no meaning for images that are not resampled.", "Give a pixel size too.")
        if self.objects.ring and not {"table", "geojson"} & {*self.objects.asked}:
            raise ConfigError("ring has no meaning without measurements.", "Use --table or --geojson with it.")

    def _check_directions(self) -> None:
        if self.write.output not in SEEN_ALL_AROUND:
            raise ConfigError(
                f"directions has no meaning for the output '{self.write.output}'.",
                f"Use it with {', '.join(SEEN_ALL_AROUND[:-1])} or {SEEN_ALL_AROUND[-1]}.",
            )
        if self.write.close is not None:
            raise ConfigError("Gaps in borders are not closed in three directions.", "Leave close out.")
        if self.write.min_confidence is not None:
            raise ConfigError("Objects that are found in three directions have no confidence.", "Leave it out.")
        if self.write.output_grid == "model":
            raise ConfigError("Each of the three directions has pixels of its own.", "Leave output_grid out.")
