"""Which output of a package of bioimage.io is used, and which of its channels."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from bioimageio.spec.model import v0_5

from unetkit.foundation.errors import ModelError
from unetkit.models.foreign import Step
from unetkit.zoo.package_axes import channel_names, size_that_differs
from unetkit.zoo.package_files import PackageFiles

FOREGROUND = ("foreground", "mask", "cell", "cells", "nucleus", "nuclei", "object", "objects", "segmentation")
"""Words in the names of channels of foreground, the likeliest first."""

BACKGROUND = {"background", "bg"}
"""Words in the names of channels of background: where there is one, the channels are classes."""


SLACK = 1e-3
"""How far values may lie beyond 0 and 1 and still count as probabilities."""


def choose_output(outputs: Sequence[v0_5.OutputTensorDescr], given: v0_5.InputTensorDescr, files: PackageFiles) -> int:
    """Return the number of the output that is used: the first of the size of the input that holds probabilities.

    Raises:
        ModelError: There is none; what each of them is instead is named.
    """
    reasons = []
    for number, output in enumerate(outputs):
        try:
            reason = size_that_differs(output, given) or _no_probability(output, files)
        except ModelError as error:
            reason = f"has other axes ({error.problem})"
        if reason is None:
            return number
        reasons.append(f"'{output.id}' {reason}")
    raise ModelError(
        f"No output holds a probability for each pixel of the input: {', '.join(reasons)}.",
        "Use a model that gives probabilities, of the size of its input.",
    )


def choose_channels(output: v0_5.OutputTensorDescr, after: Sequence[Step]) -> tuple[int, ...]:
    """Return the channels that are used: all if they are classes, else one of foreground.

    They are classes if one is named as background, or if the postprocessing is a softmax. Background comes first.
    """
    names = [set(re.findall(r"[a-z]+", name.lower())) for name in channel_names(output)]
    background = next((number for number, words in enumerate(names) if words & BACKGROUND), None)
    if len(names) > 1 and (background is not None or any(step.name == "softmax" for step in after)):
        first = background or 0
        return (first, *(number for number in range(len(names)) if number != first))
    named = (number for wanted in FOREGROUND for number, words in enumerate(names) if wanted in words)
    return (next(named, 0),)


def class_names(output: v0_5.OutputTensorDescr, channels: Sequence[int]) -> tuple[str, ...]:
    """Return names of the mask values; none where the package has only numbers for them."""
    names = [channel_names(output)[number] for number in channels]
    if any(not name or name.lower().startswith("channel") for name in names):
        return ()
    return tuple(names) if len(names) > 1 else ("background", names[0])


def _no_probability(output: v0_5.OutputTensorDescr, files: PackageFiles) -> str | None:
    """Return why the values of an output are none between 0 and 1, in words; None where they may be.

    A description need not state their range. Then its example shows it.
    """
    steps = [step for step in output.postprocessing if step.id != "ensure_dtype"]
    if steps and steps[-1].id not in ("clip", "scale_linear"):
        return None  # it makes probabilities, or is one that is refused by name
    data = output.data if isinstance(output.data, Sequence) else [output.data]
    for one in data:
        low, high = one.range
        if (high is not None and high > 1) or (low is not None and low < 0):
            return f"holds values from {low} to {high}"
        if isinstance(one, v0_5.IntervalOrRatioDataDescr) and "int" in one.type:
            return "holds whole numbers"
    if (seen := _example_range(output, files)) is not None and not -SLACK <= seen[0] <= seen[1] <= 1 + SLACK:
        return f"holds values from {seen[0]:.3g} to {seen[1]:.3g} in its example"
    return None


def _example_range(output: v0_5.OutputTensorDescr, files: PackageFiles) -> tuple[float, float] | None:
    """Return the smallest and the largest value of the example of an output; None where it cannot be read."""
    source = None if output.test_tensor is None else output.test_tensor.source
    if source is None or "://" in str(source):
        return None
    try:
        example = np.load(files.file(str(getattr(source, "path", source))), allow_pickle=False)
        return float(example.min()), float(example.max())
    except (ModelError, OSError, ValueError, EOFError, AttributeError):
        return None
