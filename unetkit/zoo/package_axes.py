"""Axes of the tensors of a package of bioimage.io: their order, and the sizes of windows that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bioimageio.spec.model import v0_5

from unetkit.foundation.errors import ModelError

SPACES = ("yx", "zyx")
"""Axes of planes and of volumes."""

USUAL_SIDE = 256
"""Side of a window in pixels where the package leaves it open, but a window must have one size."""

MICROMETRES = {
    **{"angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "centimeter": 1e4},
    **{"decimeter": 1e5, "meter": 1e6, "picometer": 1e-6, "inch": 25400.0},
}
"""Units of length in micrometres."""

Tensor = v0_5.InputTensorDescr | v0_5.OutputTensorDescr


@dataclass(frozen=True)
class Sizes:
    """Sizes of the windows that a network takes, along each axis of space; see `ForeignSpec`."""

    smallest: tuple[int, ...]
    stride: tuple[int, ...]
    fixed: bool


def axis_letters(tensor: Tensor) -> str:
    """Return the axes of a tensor in their order: "b", "c", "z", "y", "x".

    Raises:
        ModelError: It has other axes, or no batch.
    """
    letters = "".join(_letter(axis, tensor) for axis in tensor.axes)
    space = "".join(sorted(set(letters) - set("bc"), reverse=True))
    if "b" not in letters or space not in SPACES or len(set(letters)) != len(letters):
        names = ", ".join(str(axis.id) for axis in tensor.axes)
        raise ModelError(
            f"The axes of '{tensor.id}' are {names}.",
            "unetkit needs a batch, y and x, and can take z and channels: use a model with these axes.",
        )
    return letters


def space_axes(tensor: Tensor) -> dict[str, v0_5.SpaceAxisBase]:
    """Return the axes of space of a tensor by their letters, in the order z, y, x."""
    found = {_letter(axis, tensor): axis for axis in tensor.axes if isinstance(axis, v0_5.SpaceAxisBase)}
    return {letter: found[letter] for letter in "zyx" if letter in found}


def channel_names(tensor: Tensor) -> tuple[str, ...]:
    """Return the names of the channels of a tensor; one of no name where it has no axis of channels."""
    found = next((axis for axis in tensor.axes if isinstance(axis, v0_5.ChannelAxis)), None)
    return ("",) if found is None else tuple(map(str, found.channel_names))


def window_sizes(tensor: v0_5.InputTensorDescr) -> Sizes:
    """Return the sizes of windows.

    Where only some of them are free, or one follows from another, windows have one size.

    Raises:
        ModelError: A size follows from another tensor.
    """
    axes = space_axes(tensor)
    sizes = [axis.size for axis in axes.values()]  # type: ignore[attr-defined]  # inputs have all
    if all(isinstance(size, v0_5.ParameterizedSize) for size in sizes):
        return Sizes(tuple(size.min for size in sizes), tuple(size.step for size in sizes), fixed=False)
    chosen = {axis.id: _one_size(axis, tensor) for axis in axes.values()}
    size = tuple(chosen[axis.id] for axis in axes.values())
    return Sizes(size, tuple(map(grid_of, size)), fixed=True)


def grid_of(length: int) -> int:
    """Return the stride for a window of one size, whose grid cannot be seen: a power of two that divides it often."""
    return next(step for step in (32, 16, 8, 4, 2, 1) if step == 1 or (length % step == 0 and 8 * step <= length))


def whole_strides(halo: tuple[int, ...], sizes: Sizes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return a halo in whole strides, and strides so fine that windows of one size keep something between the halos.

    Raises:
        ModelError: The halo fills the windows.
    """
    found = []
    for pixels, length, step in zip(halo, sizes.smallest, sizes.stride, strict=True):
        stride = step
        while sizes.fixed and stride > 1 and length - 2 * (-(-pixels // stride) * stride) < stride:
            stride //= 2
        whole = -(-pixels // stride) * stride
        if sizes.fixed and length <= 2 * whole:
            raise ModelError(
                f"Its halo of {pixels} pixels leaves nothing of windows of {length} pixels.", "Correct the package."
            )
        found.append((whole, stride))
    return tuple(whole for whole, _ in found), tuple(stride for _, stride in found)


def size_that_differs(output: v0_5.OutputTensorDescr, given: v0_5.InputTensorDescr) -> str | None:
    """Return how an output has another size than an input, in words; None where it has the same."""
    own, wanted = space_axes(output), space_axes(given)
    axis_letters(output)  # which refuses axes that unetkit has not
    if own.keys() != wanted.keys():
        return f"has the axes {', '.join(own) or 'none of space'}"
    for letter, axis in own.items():
        size, source = axis.size, wanted[letter]  # type: ignore[attr-defined]  # outputs have all
        if not isinstance(size, v0_5.SizeReference):
            if size != source.size:  # type: ignore[attr-defined]
                length = f"{size} pixels" if isinstance(size, int) else "a size of its own"
                return f"has {length} along {letter}"
            continue
        direct = (size.tensor_id, size.axis_id) == (given.id, source.id)
        if axis.scale != source.scale or not (direct or _follows(size, source)):
            return f"has another scale than the input along {letter}"
        if size.offset and direct:
            return f"has {abs(size.offset)} pixels {'more' if size.offset > 0 else 'fewer'} along {letter}"
    return None


def pixel_size(tensor: v0_5.InputTensorDescr) -> tuple[float, ...] | None:
    """Return the size of a pixel in micrometres; None where it is not stated for all axes."""
    axes = space_axes(tensor).values()
    if any(axis.unit not in MICROMETRES for axis in axes):
        return None
    return tuple(float(axis.scale) * MICROMETRES[str(axis.unit)] for axis in axes)


def halo_of(output: v0_5.OutputTensorDescr) -> tuple[int, ...] | None:
    """Return the halo of an output; None where it is not stated for all axes."""
    halos = [getattr(axis, "halo", None) for axis in space_axes(output).values()]
    known = tuple(halo for halo in halos if halo)
    return known if len(known) == len(halos) else None


def _letter(axis: object, tensor: Tensor) -> str:
    if isinstance(axis, v0_5.BatchAxis):
        return "b"
    if isinstance(axis, v0_5.ChannelAxis):
        return "c"
    name = str(getattr(axis, "id", axis))
    if isinstance(axis, v0_5.SpaceAxisBase) and name in "zyx":
        return name
    raise ModelError(
        f"'{tensor.id}' has the axis '{name}', which is none of batch, channel, z, y and x.",
        "Use a model of planes or volumes.",
    )


def _one_size(axis: v0_5.SpaceAxisBase, tensor: v0_5.InputTensorDescr) -> int:
    """Return one size for an axis of an input."""
    size = axis.size  # type: ignore[attr-defined]  # inputs have it
    if isinstance(size, int):
        return size
    if isinstance(size, v0_5.ParameterizedSize):
        return int(size.min + max(-(-(USUAL_SIDE - size.min) // size.step), 0) * size.step)
    by_id: Mapping[object, v0_5.SpaceAxisBase] = {one.id: one for one in space_axes(tensor).values()}
    source = by_id.get(size.axis_id)
    if size.tensor_id != tensor.id or source is None or isinstance(source.size, v0_5.SizeReference):  # type: ignore[attr-defined]
        raise ModelError(
            f"The size of '{tensor.id}' along {axis.id} follows from '{size.tensor_id}'.", "Use a model of one image."
        )
    return int(_one_size(source, tensor) * source.scale / axis.scale + size.offset)


def _follows(size: v0_5.SizeReference, source: v0_5.SpaceAxisBase) -> bool:
    """Return whether a size is that of an axis of the input, as both follow from the same axis in the same way."""
    own = source.size  # type: ignore[attr-defined]
    return isinstance(own, v0_5.SizeReference) and own == size
