"""From a picture and choices to new layers, without Qt. PyTorch is imported only here, when something is segmented."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from math import prod
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unetkit.foundation.errors import UnetkitError, explain
from unetkit.inference.tiling.options import Output
from unetkit.napari.layers import Picture
from unetkit.napari.models import model_name
from unetkit.napari.torch_beside_opengl import load_torch
from unetkit.zoo.references import find_model

if TYPE_CHECKING:
    from unetkit.models.segmenter import Segmenter

MOVED = {"y": ("centroid_y", "bbox_top", "bbox_bottom"), "x": ("centroid_x", "bbox_left", "bbox_right")}
"""Columns of places, by the axis along which a region moves them."""


@dataclass(frozen=True)
class Choices:
    """What a user chose in the widget.

    Attributes:
        model: Name of a built-in model, or path of a model file.
        output: "labels", "mask", "probabilities", "uncertainty" or "restored".
        measure: Whether the objects of labels are measured.
        min_size: See `unetkit.predict_tiled`.
        tiling: Other arguments of `unetkit.predict_tiled` that were chosen: halo, tile, device, tta.
    """

    model: str = "nuclei"
    output: Output = "labels"
    measure: bool = True
    min_size: int | None = None
    tiling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NewLayer:
    """A layer to add: its data, the arguments of napari's layer, and its kind."""

    data: NDArray[Any]
    arguments: Mapping[str, Any]
    kind: Literal["image", "labels"]


@dataclass(frozen=True)
class Outcome:
    """What came of a run: layers and a sentence about them, or an error of the user's."""

    layers: tuple[NewLayer, ...] = ()
    message: str = ""
    error: UnetkitError | None = None


class StoppedError(Exception):
    """The user stopped the run."""


class Run:
    """One run, to be called in a thread of its own; the other attributes may be read meanwhile.

    Args:
        picture: What is segmented.
        choices: How.

    Attributes:
        stopped: Says whether the run is to stop. It does so within a tile.
        stage: What it does at present.
        done: Share of the pixels that are predicted, 0 to 1.
    """

    def __init__(self, picture: Picture, choices: Choices) -> None:
        self.picture = picture
        self.choices = choices
        self.stopped: Callable[[], bool] = lambda: False
        self.stage = "Loading PyTorch"
        self.done = 0.0

    def __repr__(self) -> str:
        return f"segmentation of {self.picture.name}"

    def __call__(self) -> Outcome:
        """Segment the picture. Nothing is left of a run that is stopped."""
        try:
            return self._segment()
        except UnetkitError as error:
            return Outcome(error=error)
        except OSError as error:  # of a file that the layer is read from
            return Outcome(error=UnetkitError(*explain(error)))
        except MemoryError:
            problem = f"The memory is too small for the {self.choices.output} of {self.picture.name}."
            return Outcome(error=UnetkitError(problem, "Choose a region or a plane, or use `unetkit segment`."))
        except StoppedError:
            return Outcome()

    def check(self) -> None:
        """Raise a StoppedError if the run is to stop."""
        if self.stopped():
            raise StoppedError

    def _begin(self, stage: str) -> None:
        self.check()
        self.stage = stage

    def _segment(self) -> Outcome:
        start = perf_counter()
        load_torch()
        from unetkit.inference.array import choose_axes, predict_plane, predict_tiled

        self._begin("Loading the model")
        path = find_model(self.choices.model)
        model = load_kept(path, path.stat().st_mtime_ns)
        axes = self.picture.axes(model.spec.in_channels, choose_axes)
        part, own = self.picture.part(axes, self.check)
        depth = self.picture.depth(axes) if model.spec.planes > 1 else None
        total = prod(size for size, axis in zip(part.shape, own, strict=True) if axis not in "CS")

        def advance(pixels: int) -> None:
            self.check()
            self.done += pixels / total

        self._begin("Segmenting")
        choices = self.choices
        smallest: dict[str, Any] = {"min_size": choices.min_size} if choices.output == "labels" else {}
        options = {"output": choices.output, "progress": advance, **smallest, **choices.tiling}
        if depth is None or self.picture.shown is None:
            result = predict_tiled(part, model, axes=own, **options)
        else:  # a model that sees the neighbours of the plane that is shown
            stack, with_depth = self.picture.part(axes, self.check, whole=depth)
            result = predict_plane(stack, model, self.picture.shown[depth], axes=with_depth, **options)
        self._begin("Measuring")
        layers = self._layers(result, axes, model)
        table = {}
        if choices.output == "labels" and choices.measure:
            table = {"features": measure_objects(result, part, own, self.picture, model.spec.dims)}
        self.check()
        seconds = perf_counter() - start
        count = int(result.max())
        what = f"{count} object{'s' if count != 1 else ''} in " if choices.output == "labels" else ""
        return Outcome(
            tuple(NewLayer(one.data, {**one.arguments, **table}, one.kind) for one in layers),
            f"{what}{seconds:.1f} s",
        )

    def _layers(self, result: NDArray[Any], axes: str, model: Segmenter) -> list[NewLayer]:
        """Return the layers of a result, one for each class where there are several."""
        picture, output = self.picture, self.choices.output
        planes = 0 if picture.shown is not None else sum(axis not in "CSYX" for axis in axes)
        names = _names(output, model)
        parts = [result] if result.ndim == planes + 2 else list(np.moveaxis(result, planes, 0))
        kind: Literal["image", "labels"] = "labels" if output in ("labels", "mask") else "image"
        about = {"model": model.name, "sha256": model.sha256, "output": output, "unetkit": version("unetkit")}
        layers = []
        for number, part in enumerate(parts):
            data, place = picture.place(part, axes)
            what = names[number] if len(parts) <= len(names) else f"{names[0]} {number}"
            looks = {} if output in ("labels", "mask", "restored") else _LOOKS
            called = {"name": f"{what} of {picture.name}", "metadata": {"unetkit": about}}
            layers.append(NewLayer(data, {**place, **called, **looks}, kind))
        return layers


_LOOKS = {"contrast_limits": (0, 1), "colormap": "inferno", "opacity": 0.6}
"""How values from 0 to 1 are shown over the image."""


@lru_cache(maxsize=1)
def load_kept(path: Path, _changed: int) -> Segmenter:
    """Return a model, the last one again if its file has not changed: it stays on its backend."""
    from unetkit.zoo.opening import load_model

    return load_model(path)


def _names(output: Output, model: Segmenter) -> tuple[str, ...]:
    """Return what to call the layers of an output."""
    name = model_name(Path(model.name))
    if output == "labels":
        return (name,)
    if output == "probabilities" and model.spec.class_names and model.spec.out_channels > 1:
        return tuple(f"{name} probability of {one}" for one in model.spec.class_names)
    if output == "uncertainty":
        return (f"{name} uncertainty", f"{name} spread")
    return (f"{name} {'probability' if output == 'probabilities' else output}",)


def measure_objects(
    labels: NDArray[Any], pixels: Any, axes: str, picture: Picture, dims: Literal[2, 3] = 2
) -> pd.DataFrame:
    """Return the features of a labels layer: row i is about label i, as napari has it.

    So row 0 is the background's. Its cells are NaN, which napari leaves out where it shows what is under the mouse.

    Args:
        labels: (planes ..., height, width), numbered from 1 on without gaps.
        pixels: The part of the image that they are of.
        axes: The axes of `pixels`.
        picture: The image; places are given in its pixels.
        dims: 3 where the labels are of volumes, which are measured in voxels.
    """
    from unetkit.io.base.arrays import ArraySource
    from unetkit.measuring.array import measure_array
    from unetkit.objects.channel_names import name_channels

    columns = measure_array(
        labels,
        pixels,
        axes="".join(axis for axis in axes if axis not in "CS"),
        image_axes=axes,
        channel_names=name_channels(ArraySource(pixels, axes).info),
        dims=dims,
        pixel_size_um=picture.pixel_size_um if dims == 2 else None,
    )
    sizes = picture.pixel_size_um or (1.0, 1.0)
    for axis, part, size in zip("yx", picture.box, sizes, strict=True):
        for name in columns:
            if name.startswith(MOVED[axis]):
                columns[name] = columns[name] + part.start * (size if name.endswith("_um") else 1)
    table = pd.DataFrame(columns).set_index("label").reindex(range(int(labels.max()) + 1))
    truths = [name for name, column in columns.items() if column.dtype == np.bool_]
    return table.assign(**{name: table[name].eq(True) for name in truths})
