"""A network that unetkit did not build, as one of unetkit's: normalised windows in, logits out."""

from __future__ import annotations

from typing import Any, NoReturn

from torch import Tensor, nn
from torch.nn.functional import pad

from unetkit.foundation.errors import ModelError
from unetkit.models.foreign import ForeignSpec
from unetkit.models.spec import ModelSpec
from unetkit.models.steps import to_logits


class ForeignNetwork(nn.Module):
    """Maps normalised windows (N, C, ...) to logits of the same size, whatever the axes of the network itself.

    Args:
        core: The network, in evaluation mode: a tensor in; a tensor, several, or a dictionary of them out.
        spec: What it takes and gives.
    """

    def __init__(self, core: nn.Module, spec: ForeignSpec) -> None:
        super().__init__()
        self.core = core
        self.spec = spec

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (N, network_channels, ...) of normalised windows (N, C, ...).

        Windows that are smaller than the network takes are reflected at their far ends.

        Raises:
            ModelError: The windows are larger than the only size that the network takes, or its output is of another
                size.
        """
        size = tuple(pixels.shape[2:])
        core_input = self.to_core(pixels)
        return self.from_core(pick_output(self.core(core_input), self.spec.output), size)

    def to_core(self, pixels: Tensor) -> Tensor:
        """Return windows (N, C, ...) in the axes and at least the size that the network takes."""
        filled = fill_up(pixels, self.spec)
        axes = self.spec.input_axes
        if "c" not in axes:
            filled = filled[:, :1]
        ordered = filled.permute(permutation("bc" + spatial_axes(pixels.dim() - 2), with_channels(axes)))
        return ordered if "c" in axes else ordered[0]

    def from_core(self, output: Tensor, size: tuple[int, ...]) -> Tensor:
        """Return logits (N, network_channels, *size) of an output of the network."""
        axes = self.spec.output_axes
        output = output if "c" in axes else output[None]
        ordered = output.permute(permutation(with_channels(axes), "bc" + spatial_axes(output.dim() - 2)))
        if any(its < own for its, own in zip(ordered.shape[2:], size, strict=True)):
            raise ModelError(
                f"The output of the network is {tuple(ordered.shape[2:])} pixels large for a window of {size}.",
                "Use a model whose output has the size of its input.",
            )
        cut = ordered[:, :, *[slice(0, length) for length in size]]
        return to_logits(cut, self.spec)


def spatial_axes(count: int) -> str:
    """Return the names of so many axes of space: "yx" or "zyx"."""
    return "zyx"[-count:]


def permutation(given: str, wanted: str) -> tuple[int, ...]:
    """Return how axes in one order are put in another, see `Tensor.permute`."""
    return tuple(given.index(axis) for axis in wanted)


def with_channels(axes: str) -> str:
    """Return axes with one for channels in front, where there is none."""
    return axes if "c" in axes else f"c{axes}"


def pick_output(outputs: Any, which: str | int | None) -> Tensor:
    """Return one of the outputs of a network: a tensor, or one in a sequence or a dictionary, by name or number."""
    while isinstance(outputs, (tuple, list, dict)):
        if isinstance(outputs, dict) and which in outputs:
            outputs = outputs[which]
        elif isinstance(outputs, dict):
            outputs = list(outputs.values())[which if isinstance(which, int) else 0]
        else:
            outputs = outputs[which if isinstance(which, int) else 0]
    picked: Tensor = outputs
    return picked


def fill_up(pixels: Tensor, spec: ForeignSpec) -> Tensor:
    """Reflect windows (N, C, ...) at their far ends up to a size that the network takes."""
    missing = []
    for length, least, stride in zip(pixels.shape[2:], spec.smallest, spec.stride, strict=True):
        more = max(length - least, 0)
        if spec.fixed and more:
            raise ModelError(
                f"The network takes windows of {' x '.join(map(str, spec.smallest))} pixels only, not of "
                f"{' x '.join(map(str, pixels.shape[2:]))}.",
                "Leave --tile out, and do not ask for --verify-seams, which looks at larger windows.",
            )
        missing.append(least + -(-more // stride) * stride - length)
    for axis, count in enumerate(missing, start=2):
        while count > 0:  # a reflection is at most as long as the window
            step = min(count, max(pixels.shape[axis] - 1, 1))
            ends = [0, 0] * (pixels.dim() - 1 - axis) + [0, step] + [0, 0] * (axis - 2)
            mode = "reflect" if pixels.shape[axis] > 1 else "replicate"
            pixels = pad(pixels, ends, mode=mode)
            count -= step  # noqa: PLW2901
    return pixels


def refuse_to_build(spec: ModelSpec) -> NoReturn:
    """Raise a ModelError: a network of others comes from its file alone."""
    kind = spec.foreign.kind if spec.foreign else "another program"
    raise ModelError(f"A network of {kind} cannot be built from its description.", "Use unetkit.load_model.")
