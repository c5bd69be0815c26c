"""What goes into a model and what comes out, as bioimage.io describes it: axes, sizes, halo, normalisation, values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bioimageio.spec.model import v0_5

from unetkit.foundation.errors import ConfigError
from unetkit.models.model_file import hash_file
from unetkit.models.spec import ModelSpec
from unetkit.sharing.graphs import takes_raw

REMEDY = "Give --fixed: the values of one image are then part of the model."


def smallest_sizes(spec: ModelSpec) -> tuple[int, ...]:
    """Return the smallest size along each axis: the smallest multiple of the stride that is more than two halos."""
    return tuple(2 * halo // stride * stride + stride for halo, stride in zip(halos(spec), spec.strides, strict=True))


def halos(spec: ModelSpec) -> tuple[int, ...]:
    """Return the halo along each axis."""
    return (spec.halo,) * spec.dims if isinstance(spec.halo, int) else spec.halo


def input_channels(spec: ModelSpec) -> list[str]:
    """Return a name for each channel that the network takes; of a model of several planes, for each of each plane."""
    names = list(spec.channel_names) or _default_channels(spec.in_channels)
    if spec.planes == 1:
        return names
    middle = spec.planes // 2
    return [f"{name}, plane {plane - middle:+d}" for plane in range(spec.planes) for name in names]


def output_channels(spec: ModelSpec) -> list[str]:
    """Return a name for each channel of the output."""
    names = list(spec.class_names)
    if spec.classes == 2:
        return [names[1] if names else "foreground", *(["distance"] if spec.instances else [])]
    return names or ["background", *(f"class {number}" for number in range(1, spec.classes))]


def describe_input(spec: ModelSpec, test: Path, sample: Path) -> v0_5.InputTensorDescr:
    """Return the description of the input.

    Args:
        spec: The model.
        test: The file of the test tensor.
        sample: The same as an image that people can open.

    Raises:
        ConfigError: The normalisation is none that the format can state.
    """
    space = [
        v0_5.SpaceInputAxis(
            id=v0_5.AxisId(axis),
            size=v0_5.ParameterizedSize(min=least, step=stride),
            unit=None if scale is None else "micrometer",
            scale=1.0 if scale is None else scale,
        )
        for axis, least, stride, scale in zip(
            _space(spec), smallest_sizes(spec), spec.strides, _scales(spec), strict=True
        )
    ]
    return v0_5.InputTensorDescr(
        id=v0_5.TensorId("image"),
        description="Raw pixels of the image." if spec.planes == 1 else "Raw pixels of a plane and its neighbours.",
        axes=[v0_5.BatchAxis(), v0_5.ChannelAxis(channel_names=input_channels(spec)), *space],
        test_tensor=describe_file(test),
        sample_tensor=describe_file(sample),
        data=v0_5.IntervalOrRatioDataDescr(type="float32"),
        preprocessing=[] if takes_raw(spec) else normalisation_steps(spec),
    )


def describe_output(spec: ModelSpec, test: Path, sample: Path) -> v0_5.OutputTensorDescr:
    """Return the description of the output: probabilities of the size of the input."""
    space: list[v0_5.SpaceOutputAxis | v0_5.SpaceOutputAxisWithHalo] = []
    for axis, halo, scale in zip(_space(spec), halos(spec), _scales(spec), strict=True):
        same = v0_5.SizeReference(tensor_id=v0_5.TensorId("image"), axis_id=v0_5.AxisId(axis))
        unit, size = (None, 1.0) if scale is None else ("micrometer", scale)
        if halo:
            space.append(
                v0_5.SpaceOutputAxisWithHalo(
                    id=v0_5.AxisId(axis),
                    size=same,
                    halo=halo,
                    unit=unit,  # type: ignore[arg-type]  # one of its words
                    scale=size,
                )
            )
        else:
            space.append(v0_5.SpaceOutputAxis(id=v0_5.AxisId(axis), size=same, unit=unit, scale=size))  # type: ignore[arg-type]
    about = "Probability of each class, which add up to 1."
    if spec.classes == 2:
        about = "Probability of the foreground."
    if spec.instances:
        about = "Probability of the foreground, and a distance map with a peak in every object."
    return v0_5.OutputTensorDescr(
        id=v0_5.TensorId("probabilities"),
        description=about,
        axes=[v0_5.BatchAxis(), v0_5.ChannelAxis(channel_names=output_channels(spec)), *space],
        test_tensor=describe_file(test),
        sample_tensor=describe_file(sample),
        data=v0_5.IntervalOrRatioDataDescr(type="float32", range=(0.0, 1.0)),
    )


def describe_file(path: Path) -> v0_5.FileDescr:
    """Return the description of a file, with its hash."""
    return v0_5.FileDescr(source=path, sha256=v0_5.Sha256(hash_file(path)))


def normalisation_steps(spec: ModelSpec) -> list[v0_5.PreprocessingDescr]:
    """Return the steps that normalise each image by itself, as the format states them.

    Raises:
        ConfigError: The format cannot state it.
    """
    how = spec.normalization
    if spec.planes > 1:
        raise ConfigError(
            "The values that normalise a plane are measured on it alone, not on its neighbours, which a package of "
            "bioimage.io cannot state.",
            REMEDY,
        )
    together = spec.in_channels == 3 if how.channelwise is None else not how.channelwise
    axes = [v0_5.AxisId(axis) for axis in (*(("channel",) if together else ()), *_space(spec))]
    if how.method == "mean_std":
        return [v0_5.ZeroMeanUnitVarianceDescr(kwargs=v0_5.ZeroMeanUnitVarianceKwargs(axes=axes))]
    if how.high <= 1 or how.low >= 100:
        raise ConfigError(f"A package cannot state the percentiles {how.low:g} and {how.high:g}.", REMEDY)
    return [
        v0_5.ScaleRangeDescr(kwargs=v0_5.ScaleRangeKwargs(axes=axes, min_percentile=how.low, max_percentile=how.high))
    ]


def _space(spec: ModelSpec) -> str:
    return "zyx"[-spec.dims :]


def _scales(spec: ModelSpec) -> tuple[float | None, ...]:
    """Return the size of a pixel along each axis in micrometres, None where it is not known."""
    sizes = spec.pixel_size_um
    return (None,) * spec.dims if sizes is None else tuple(exact_scale(size) for size in sizes)


def exact_scale(size: float) -> float:
    """Return a pixel size with which sizes of axes are computed exactly.

    The size of an output axis is `size * scale / scale`, rounded down. With many scales, such as 0.325, some sizes lose
    a pixel by that. With a scale of float32 the product is exact.
    """
    return float(np.float32(size))


def _default_channels(count: int) -> list[str]:
    if count == 1:
        return ["intensity"]
    return ["red", "green", "blue"] if count == 3 else [f"channel {number}" for number in range(count)]
