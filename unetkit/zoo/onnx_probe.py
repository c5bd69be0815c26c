"""What can be found out of a graph of ONNX by looking at its sizes and by running it on noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from unetkit.foundation.errors import ModelError, closest
from unetkit.models.foreign_network import permutation
from unetkit.models.onnx_graph import OnnxGraph
from unetkit.zoo.notes import ModelNotes

STRIDES = (1, 2, 4, 8, 16, 32, 64)
"""Strides that are tried."""

TRIED_SIZE = {2: 192, 3: 64}
"""About how large the windows are that are tried, along each axis."""

USUAL_STRIDE = 32
"""Largest stride that is taken for a graph of a fixed size, whose grid cannot be seen."""

FIXED_STRIDES = 8
"""Least number of strides in a fixed size, so that a quarter of it can be halo."""

LARGEST_CHANNELS = 32
"""Largest number of channels that an axis may have to count as one of channels."""

ROUNDING = 1e-3
"""Largest difference from 1 of the sum of probabilities."""


@dataclass(frozen=True)
class Probe:
    """What a graph takes and gives.

    Attributes:
        channels: Channels of its input.
        out_channels: Channels of the output that is used.
        output: Name of this output.
        stride: Sizes of windows are multiples of it along each axis.
        smallest: Size of the smallest window, or of the only one.
        fixed: Whether windows have this size and no other.
        input_axes: Order of the axes of its input, see `ForeignSpec`.
        output_axes: Order of the axes of its output.
        activation: What has to be done to make probabilities of its output.
        exclusive: Whether the channels of its output are classes, of which each pixel has one.
    """

    channels: int
    out_channels: int
    output: str
    stride: tuple[int, ...]
    smallest: tuple[int, ...]
    fixed: bool
    input_axes: str
    output_axes: str
    activation: Literal["none", "sigmoid", "softmax"]
    exclusive: bool


def probe(graph: OnnxGraph, notes: ModelNotes) -> Probe:
    """Find out what a graph takes and gives.

    Raises:
        ModelError: It takes no images, or gives nothing of their size.
    """
    axes, channels = _input_axes(graph)
    shape = dict(zip(axes, graph.input_shape, strict=True))
    spatial = axes.replace("b", "").replace("c", "")
    known = [length if isinstance(length, int) and length > 0 else None for length in map(shape.get, spatial)]
    fixed = all(known)
    if fixed:
        size = tuple(length for length in known if length)
        outputs, stride = _run(graph, axes, channels, size), tuple(map(_largest_divisor, size))
    elif any(known):
        raise ModelError(
            f"{graph.path} takes images of {known} pixels, where None is any size.",
            "Export it with all sizes free, or with all sizes fixed.",
        )
    else:
        stride, size, outputs = _find_stride(graph, axes, channels, notes)
    name, output_axes = _choose_output(graph, notes, outputs, size)
    output = outputs[name].transpose(permutation(output_axes, "bc" + spatial))
    return Probe(
        channels=channels,
        out_channels=output.shape[1],
        output=name,
        stride=stride,
        smallest=size if fixed else stride,
        fixed=fixed,
        input_axes=axes,
        output_axes=output_axes,
        activation=_activation_of(output),
        exclusive=_are_exclusive(output),
    )


def _input_axes(graph: OnnxGraph) -> tuple[str, int]:
    """Return the order of the axes of a graph's input, and its number of channels."""
    shape = graph.input_shape
    if len(shape) not in (4, 5):
        raise ModelError(
            f"{graph.path} takes arrays of {len(shape)} axes, shape {list(shape)}.",
            "Give a graph that takes images: batch, channels, height and width; or volumes, with depth before height.",
        )
    spatial = "yx" if len(shape) == 4 else "zyx"
    first, last = shape[1], shape[-1]
    if isinstance(last, int) and 0 < last <= LARGEST_CHANNELS and not (isinstance(first, int) and first <= last):
        return f"b{spatial}c", last
    if isinstance(first, int) and first > 0:
        return f"bc{spatial}", first
    raise ModelError(
        f"{graph.path} does not say how many channels it takes: its input has the shape {list(shape)}.",
        "Export it with a fixed number of channels.",
    )


def _noise(axes: str, channels: int, size: tuple[int, ...]) -> torch.Tensor:
    """Return an image of noise with mean 0 and deviation 1, in the order of the axes."""
    noise = np.random.default_rng(0).standard_normal((1, channels, *size)).astype(np.float32)
    return torch.from_numpy(noise).permute(permutation("bc" + "zyx"[-len(size) :], axes))


def _run(graph: OnnxGraph, axes: str, channels: int, size: tuple[int, ...]) -> dict[str, NDArray[np.float32]]:
    """Run a graph on noise.

    Raises:
        ModelError: It cannot be run on this size.
    """
    try:
        return {name: output.numpy() for name, output in graph(_noise(axes, channels, size)).items()}
    except Exception as error:  # ONNX Runtime's errors share no class but Exception
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{graph.path} cannot be run on {' x '.join(map(str, size))} pixels ({reason}).",
            f"Say the sizes that it takes in {graph.path.with_suffix('.yaml').name} (stride).",
        ) from error


def _find_stride(
    graph: OnnxGraph, axes: str, channels: int, notes: ModelNotes
) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, NDArray[np.float32]]]:
    """Return the smallest stride with which an odd multiple of it is a size that the graph takes and gives back.

    A graph may take sizes that its own grid does not divide; then the halo that is measured later shows it.
    """
    dims = len(axes) - 2
    given = notes.stride and (notes.stride * dims if len(notes.stride) == 1 else notes.stride)
    tried = [given] if given else [(step,) * dims for step in STRIDES]
    error: ModelError | None = None
    for stride in tried:
        size = tuple((TRIED_SIZE[dims] // step // 2 * 2 + 1) * step for step in stride)
        try:
            outputs = _run(graph, axes, channels, size)
        except ModelError as failed:
            error = failed
            continue
        if any(_axes_of(output, size) for output in outputs.values()):
            least = _deepest(graph, axes, channels, dims)
            return tuple(max(step, least) for step in stride), size, outputs
    raise error or ModelError(
        f"No output of {graph.path} has the size of its input.", "Give a graph that predicts a mask of the same size."
    )


def _deepest(graph: OnnxGraph, axes: str, channels: int, dims: int) -> int:
    """Return by how much the features of a graph are reduced where they are smallest; 1 where that cannot be seen."""
    try:
        import onnx
    except ImportError:
        return 1
    side = 8 * max(STRIDES)
    sizes = {"b": 1, "c": channels, **dict.fromkeys("zyx", side)}
    model = onnx.load(graph.path, load_external_data=False)
    value = next(one for one in model.graph.input if one.name == graph.input_name)
    for dimension, axis in zip(value.type.tensor_type.shape.dim, axes, strict=True):
        dimension.ClearField("dim_param")
        dimension.dim_value = sizes[axis]
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError, MemoryError):
        return 1
    shapes = [[one.dim_value for one in value.type.tensor_type.shape.dim] for value in inferred.graph.value_info]
    # Sides of 1 are means over the whole image, as in squeeze and excitation.
    sides = [min(shape[2:]) for shape in shapes if len(shape) == dims + 2 and min(shape[2:]) > 1]
    return max((side // one for one in sides if one <= side), default=1)


def _axes_of(output: NDArray[np.float32], size: tuple[int, ...]) -> str | None:
    """Return the order of the axes of an output of the size of the input; None for one of another size."""
    spatial = "zyx"[-len(size) :]
    if output.ndim != len(size) + 2:
        return None
    if output.shape[2:] == size:
        return f"bc{spatial}"
    return f"b{spatial}c" if output.shape[1:-1] == size else None


def _choose_output(
    graph: OnnxGraph, notes: ModelNotes, outputs: dict[str, NDArray[np.float32]], size: tuple[int, ...]
) -> tuple[str, str]:
    """Return the name of the output that is used, and the order of its axes: the first of the size of the input.

    Raises:
        ModelError: There is none, or not the one that the notes name.
    """
    if notes.output is not None and notes.output not in outputs:
        raise ModelError(f"{graph.path} has no output '{notes.output}'.", closest(notes.output, outputs))
    for name in [notes.output] if notes.output else outputs:
        if axes := _axes_of(outputs[name], size):
            return name, axes
    shapes = ", ".join(f"{name} {list(output.shape)}" for name, output in outputs.items())
    raise ModelError(
        f"No output of {graph.path} has the size of its input, {' x '.join(map(str, size))}: {shapes}.",
        "Give a graph that predicts a mask of the same size.",
    )


def _activation_of(output: NDArray[np.float32]) -> Literal["none", "sigmoid", "softmax"]:
    """Return what makes probabilities of an output (1, C, ...): nothing where all values lie between 0 and 1."""
    if output.min() >= 0 and output.max() <= 1 + ROUNDING:
        return "none"
    return "sigmoid" if output.shape[1] == 1 else "softmax"


def _are_exclusive(output: NDArray[np.float32]) -> bool:
    """Return whether several channels (1, C, ...) are probabilities that add up to 1, or none that lie in 0 to 1."""
    several = output.shape[1] > 1
    return several and (_activation_of(output) == "softmax" or bool(np.abs(output.sum(1) - 1).max() <= ROUNDING))


def _largest_divisor(length: int) -> int:
    """Return the stride of a graph of a fixed size: the largest power of two that divides it often enough."""
    most = max(min(USUAL_STRIDE, length // FIXED_STRIDES), 1)
    return max(step for step in STRIDES if step <= most and length % step == 0)
