"""How an exported graph is used without unetkit: what it takes, and the lines that run it."""

from __future__ import annotations

from unetkit.models.spec import ModelSpec
from unetkit.models.statistics import BRIGHT_BACKGROUND_MEAN
from unetkit.sharing.graphs import takes_raw


def describe_input(spec: ModelSpec) -> str:
    """Return what a graph takes and gives, for people."""
    axes = "depth, height, width" if spec.dims == 3 else "height, width"
    strides = " x ".join(map(str, spec.strides)) if len(set(spec.strides)) > 1 else str(spec.stride)
    raw = "raw pixels" if takes_raw(spec) else f"normalised pixels, {formula(spec)}"
    size = "" if spec.object_diameter is None else f" Objects should be about {spec.object_diameter:g} pixels across."
    return (
        f"In: {raw}, float32 (batch, {spec.network_inputs}, {axes}), sizes in multiples of {strides}.{size} "
        f"Out: {outputs(spec)}, float32 (batch, {spec.network_channels}, {axes})."
    )


def outputs(spec: ModelSpec) -> str:
    """Return what the channels of a graph's output are."""
    if spec.task == "reconstruction":
        return "the restored image, normalised"
    mask = "probability of foreground" if spec.classes == 2 else "probability of each class, the background first"
    return f"{mask}, then the distance map of the objects" if spec.instances else mask


def formula(spec: ModelSpec) -> str:
    """Return the formula with which unetkit normalises each image for a model."""
    how = spec.normalization
    together = spec.in_channels == 3 if how.channelwise is None else not how.channelwise
    measured = "over all channels together" if together else "of each channel"
    if how.method == "mean_std":
        text = "(pixels - mean) / standard deviation"
    else:
        text = f"(pixels - p{how.low:g}) / (p{how.high:g} - p{how.low:g}), with percentiles"
    text = f"{text} of the whole image, {measured}"
    if how.bright_background == "invert":
        ends = "that" if how.method == "percentile" else f"(pixels - p{how.low:g}) / (p{how.high:g} - p{how.low:g})"
        inverted = "1 minus that" if how.method == "percentile" else "its negative"
        text += (
            f"; {inverted} where the background is bright: where the mean of {ends}, clipped to 0 and 1, is above "
            f"{BRIGHT_BACKGROUND_MEAN:g}"
        )
    return text


def lines_to_run(spec: ModelSpec, runs: tuple[str, str], result: str) -> str:
    """Return five lines of Python that run a graph.

    Args:
        spec: The model.
        runs: The lines that import the runtime and load the file, which is called FILE.
        result: The line that makes `probabilities` of `pixels`.
    """
    imports, loading = runs
    size = ", ".join(str(8 * stride) for stride in spec.strides)
    what = "raw pixels" if takes_raw(spec) else "normalised pixels"
    made = f"pixels = np.zeros((1, {spec.network_inputs}, {size}), np.float32)  # your {what}"
    if spec.classes > 2:
        mask = "mask = probabilities[0].argmax(0)"
    elif spec.task == "reconstruction":
        mask = "restored = probabilities[0]"
    else:
        mask = f"mask = probabilities[0, 0] >= {spec.threshold:g}"
    return "\n".join([imports, loading, made, result, mask])
