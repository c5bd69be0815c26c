"""Patch and batch of a network of volumes, and whether it checkpoints, from the voxels and the memory at hand.

A patch has the proportions that make it a cube in micrometres, as far as the volumes go; it then shrinks along the axis
on which it covers most of them until it fits, as in nnU-Net (Isensee et al. 2021,
https://doi.org/10.1038/s41592-020-01008-z).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, log2, prod

from unetkit.models.pooling import FEWEST_VOXELS, Pooling, pooling_for, strides_of
from unetkit.models.spec import ModelSpec
from unetkit.planning.choice import Choice
from unetkit.planning.machine import Machine
from unetkit.planning.memory import HALF_PRECISION_FACTOR, StepMemory, measure_step, room_of

PATCH_VOXELS = {"cpu": 48**3, "gpu": 128**3}
"""Voxels of the largest patch. On a GPU it is what nnU-Net has at most for 8 GB; a processor has time for less."""

SMALLEST_BATCH, LARGEST_BATCH = 2, 8
"""Fewest and most patches in a batch. Batch norm needs two; more are taken where small volumes leave room."""

CHECKPOINT_SHARE = 0.5
"""Blocks compute again what gradients need where the patch would be smaller than this share of the largest without."""


@dataclass(frozen=True)
class Patch:
    """What a network of volumes is trained on at a time.

    Attributes:
        size: Voxels (z, y, x).
        batch: Patches in a batch.
        pooling: That of the network.
        checkpointing: Whether blocks compute again what gradients need.
        memory: Memory of a step.
    """

    size: tuple[int, ...]
    batch: int
    pooling: Pooling
    checkpointing: bool
    memory: StepMemory


def choose_patch(
    spec: ModelSpec, size: Sequence[int], voxel: Sequence[float], machine: Machine, given: Sequence[int] | None = None
) -> Patch:
    """Choose the patch for volumes of a size.

    Args:
        spec: The network, with any pooling.
        size: Median of the volumes' sizes (z, y, x).
        voxel: Size of a voxel, in any unit.
        machine: What it is trained on.
        given: The patch, if it is given.
    """
    most = PATCH_VOXELS["gpu" if machine.gpu else "cpu"]
    patch = tuple(given) if given else first_patch(size, voxel, spec.depth, most)
    pooling = pooling_for(voxel, spec.depth, patch)
    factor = HALF_PRECISION_FACTOR if machine.trains_in_bfloat16(3) else 1.0
    each = {again: measure_step(replace(spec, pooling=pooling), patch, checkpointing=again) for again in (False, True)}

    def largest(memory: StepMemory) -> float:
        """Return the most voxels of which a batch of two fits."""
        return (room_of(machine) - memory.weights) / (SMALLEST_BATCH * memory.kept * factor / prod(patch))

    checkpointing = largest(each[False]) < CHECKPOINT_SHARE * prod(patch)
    memory, whole = each[checkpointing], prod(patch)
    while given is None and prod(patch) > largest(memory) and (smaller := shrink(patch, size, strides_of(pooling))):
        patch = smaller
    pooling = pooling_for(voxel, spec.depth, patch)
    memory = replace(memory, kept=memory.kept * prod(patch) // whole)
    fits = (room_of(machine) - memory.weights) / (memory.kept * factor)
    batch = int(max(min(fits, most * SMALLEST_BATCH / prod(patch), LARGEST_BATCH), SMALLEST_BATCH))
    return Patch(patch, batch, pooling, checkpointing, memory)


def first_patch(size: Sequence[int], voxel: Sequence[float], depth: int, most: int) -> tuple[int, ...]:
    """Return a patch of at most so many voxels: a cube in micrometres, as far as the volumes go.

    Args:
        size: Median of the volumes' sizes (z, y, x).
        voxel: Size of a voxel, in any unit.
        depth: Levels of the network.
        most: Most voxels.

    Example:
        >>> first_patch((300, 300, 300), (1, 1, 1), 4, 64**3), first_patch((27, 512, 512), (50, 4, 4), 4, 64**3)
        ((64, 64, 64), (12, 144, 144))
    """
    edge = (most * prod(voxel)) ** (1 / 3)
    wanted = [edge / one for one in voxel]
    for _ in wanted:  # what an axis does not need goes to the others
        short = [length < side for length, side in zip(size, wanted, strict=True)]
        if not any(short):
            break
        sides = [float(length) if cut else side for length, side, cut in zip(size, wanted, short, strict=True)]
        others = [axis for axis, cut in enumerate(short) if not cut]
        grown = (most / prod(sides)) ** (1 / len(others)) if others else 1.0
        wanted = [side * grown if axis in others else side for axis, side in enumerate(sides)]
    free = strides_of(pooling_for(voxel, depth))
    able = [2 ** max(floor(log2(max(side, 1) / FEWEST_VOXELS)), 0) for side in wanted]  # strides that leave 4 voxels
    strides = [min(pair) for pair in zip(free, able, strict=True)]
    if max(strides) < max(free):  # small volumes are extended: every level halves an axis
        strides = [full if full == max(free) else one for one, full in zip(strides, free, strict=True)]
    patch = tuple(_multiple(side, stride, length) for side, stride, length in zip(wanted, strides, size, strict=True))
    while prod(patch) > most and (smaller := shrink(patch, size, strides)):
        patch = smaller
    return patch


def shrink(patch: tuple[int, ...], size: Sequence[int], strides: Sequence[int]) -> tuple[int, ...] | None:
    """Return a patch that is a stride shorter along the axis on which it covers most of the volumes.

    Returns:
        None where all axes are as short as the network's deepest features allow.
    """
    able = [axis for axis, side in enumerate(patch) if side - strides[axis] >= FEWEST_VOXELS * min(strides[axis], 8)]
    if not able:
        return None
    longest = max(able, key=lambda axis: (patch[axis] / size[axis], patch[axis]))
    return tuple(side - strides[axis] if axis == longest else side for axis, side in enumerate(patch))


def patch_choices(patch: Patch, voxel: Sequence[float] | None, size: Sequence[int]) -> list[Choice]:
    """Return the settings of a patch, with their reasons."""
    edges = patch.size if voxel is None else [count * one for count, one in zip(patch.size, voxel, strict=True)]
    shape = " x ".join(f"{edge:.3g}" for edge in edges)
    whole = " x ".join(map(str, size))
    unit = "voxels" if voxel is None else "µm"
    why = f"{shape} {unit}, of volumes of {whole} voxels: what there is memory and time for"
    memory = patch.memory.of(patch.batch) / 2**30
    found = [
        Choice("data.crop", list(patch.size), why),
        Choice("data.batch_size", patch.batch, f"it takes about {memory:.1f} GiB of memory"),
    ]
    if patch.checkpointing:
        found.append(Choice("model.checkpointing", True, "a patch of this size would not fit into the memory without"))
    return found


def _multiple(side: float, step: int, longest: float) -> int:
    """Round to a multiple of a step, at least one; up where that is no more than what covers a volume."""
    near = max(round(side / step), 1) * step
    return int(min(near, ceil(longest / step) * step))
