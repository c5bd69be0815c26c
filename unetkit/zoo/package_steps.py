"""Pre- and postprocessing of a package of bioimage.io as steps of unetkit.

What is measured is measured on the raw image, whatever steps come before. The specification does not say so, but
bioimageio.core does it, and packages are tested with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from bioimageio.spec.model import v0_5

from unetkit.foundation.errors import ModelError
from unetkit.models.foreign import MEASURED, Step
from unetkit.zoo.package_axes import Tensor

LIMITS = {
    **{f"uint{bits}": (0.0, 2.0**bits - 1) for bits in (8, 16, 32, 64)},
    **{f"int{bits}": (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
}
"""Smallest and largest value of whole numbers."""

REMEDY = "Use a model without it, or run it with the program that made it."


def to_steps(descriptions: Sequence[Any], tensor: Tensor) -> tuple[Step, ...]:
    """Return the steps of a tensor.

    Args:
        descriptions: Its preprocessing or postprocessing.
        tensor: The tensor.

    Raises:
        ModelError: One of them is none that unetkit knows; it is named.
    """
    steps: list[Step] = []
    for description in descriptions:
        steps += _to_steps(description, tensor)
    measured = [step for step in steps if step.name in MEASURED]
    if measured and isinstance(tensor, v0_5.OutputTensorDescr):
        raise ModelError(
            f"The postprocessing of '{tensor.id}' measures the output of the whole image, which tiles do not have.",
            REMEDY,
        )
    if len(measured) > 1:
        raise ModelError(f"The preprocessing of '{tensor.id}' measures the image {len(measured)} times.", REMEDY)
    return tuple(steps)


def _to_steps(one: Any, tensor: Tensor) -> list[Step]:
    """Return the steps, at most one, for one description."""
    if (convert := CONVERTERS.get(type(one))) is None:
        raise _refusal(str(one.id), tensor)
    reference = getattr(one.kwargs, "reference_tensor", None)
    if reference is not None and reference != tensor.id:
        raise _refusal(f"{one.id} by the values of '{reference}'", tensor)
    return convert(one, tensor)


def _cast(one: v0_5.EnsureDtypeDescr, tensor: Tensor) -> list[Step]:
    """Return the step that makes such numbers as a type holds."""
    if (dtype := one.kwargs.dtype) in LIMITS:
        low, high = LIMITS[dtype]
        return [Step("truncate", low=low, high=high)]
    if dtype == "bool":
        raise _refusal("ensure_dtype of bool", tensor)
    return []


def _binarize(one: v0_5.BinarizeDescr, tensor: Tensor) -> list[Step]:
    return [Step("binarize", offset=_along(one, one.kwargs.threshold, tensor))]


def _clip(one: v0_5.ClipDescr, tensor: Tensor) -> list[Step]:
    if one.kwargs.min_percentile is not None or one.kwargs.max_percentile is not None:
        raise _refusal("clip by percentiles", tensor)
    low, high = one.kwargs.min, one.kwargs.max
    return [Step("clip", low=-math.inf if low is None else low, high=math.inf if high is None else high)]


def _scale(one: v0_5.ScaleLinearDescr, tensor: Tensor) -> list[Step]:
    gain, offset = (_along(one, values, tensor) for values in (one.kwargs.gain, one.kwargs.offset))
    return [Step("linear", gain=gain, offset=offset)]


def _fixed(one: v0_5.FixedZeroMeanUnitVarianceDescr, tensor: Tensor) -> list[Step]:
    mean, std = (_along(one, values, tensor) for values in (one.kwargs.mean, one.kwargs.std))
    offset = tuple(-center / scale for center, scale in zip(mean, std, strict=True))
    return [Step("linear", gain=tuple(1 / scale for scale in std), offset=offset)]


def _standardize(one: v0_5.ZeroMeanUnitVarianceDescr, tensor: Tensor) -> list[Step]:
    return [Step("standardize", channelwise=_by_channel(one, tensor), epsilon=one.kwargs.eps, raw=True)]


def _range(one: v0_5.ScaleRangeDescr, tensor: Tensor) -> list[Step]:
    low, high = one.kwargs.min_percentile, one.kwargs.max_percentile
    return [Step("range", low=low, high=high, channelwise=_by_channel(one, tensor), epsilon=one.kwargs.eps, raw=True)]


def _softmax(one: v0_5.SoftmaxDescr, tensor: Tensor) -> list[Step]:
    if one.kwargs.axis != channel_axis(tensor):
        raise _refusal(f"softmax along '{one.kwargs.axis}'", tensor)
    return [Step("softmax")]


CONVERTERS: dict[type, Callable[[Any, Tensor], list[Step]]] = {
    v0_5.EnsureDtypeDescr: _cast,
    v0_5.BinarizeDescr: _binarize,
    v0_5.ClipDescr: _clip,
    v0_5.ScaleLinearDescr: _scale,
    v0_5.FixedZeroMeanUnitVarianceDescr: _fixed,
    v0_5.ZeroMeanUnitVarianceDescr: _standardize,
    v0_5.ScaleRangeDescr: _range,
    v0_5.SigmoidDescr: lambda *_: [Step("sigmoid")],
    v0_5.SoftmaxDescr: _softmax,
}
"""What makes a step of each description. What is not here is refused by its name."""


def cast_remark(descriptions: Sequence[Any], tensor: v0_5.InputTensorDescr) -> tuple[str, ...]:
    """Return a sentence on images whose pixels the preprocessing cuts off, if it makes whole numbers of them first."""
    first = descriptions[0] if descriptions else None
    if not isinstance(first, v0_5.EnsureDtypeDescr) or first.kwargs.dtype not in LIMITS:
        return ()
    low, high = LIMITS[first.kwargs.dtype]
    return (
        f"The model takes {first.kwargs.dtype} for '{tensor.id}': decimals are cut off, and pixels below {low:.0f} or "
        f"above {high:.0f} count as these.",
    )


def channel_axis(tensor: Tensor) -> str | None:
    """Return the name of the axis of channels; None where there is none."""
    return next((str(axis.id) for axis in tensor.axes if isinstance(axis, v0_5.ChannelAxis)), None)


def _along(one: Any, values: float | Sequence[float], tensor: Tensor) -> tuple[float, ...]:
    """Return one number for all channels, or one for each."""
    axis = getattr(one.kwargs, "axis", None)
    numbers = tuple(map(float, values)) if isinstance(values, Sequence) else (float(values),)
    if axis is not None and axis != channel_axis(tensor):
        raise _refusal(f"{one.id} along '{axis}'", tensor)
    channels = next((axis.size for axis in tensor.axes if isinstance(axis, v0_5.ChannelAxis)), 1)
    if len(numbers) not in (1, channels):
        raise ModelError(
            f"{one.id} of '{tensor.id}' has {len(numbers)} values for {channels} channels.", "Correct the package."
        )
    return numbers


def _by_channel(one: Any, tensor: Tensor) -> bool:
    """Return whether each channel is measured by itself, on all of its pixels."""
    if one.kwargs.axes is None:
        return False
    together = set(map(str, one.kwargs.axes))
    apart = [axis.id for axis in tensor.axes if isinstance(axis, v0_5.SpaceAxisBase) and str(axis.id) not in together]
    if apart:
        raise _refusal(f"{one.id} for each place along '{apart[0]}'", tensor)
    return channel_axis(tensor) not in together


def _refusal(what: str, tensor: Tensor) -> ModelError:
    kind = "preprocessing" if isinstance(tensor, v0_5.InputTensorDescr) else "postprocessing"
    return ModelError(f"The {kind} of '{tensor.id}' needs {what}, which unetkit has not.", REMEDY)
