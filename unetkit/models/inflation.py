"""Networks of planes become networks of volumes: each layer gets an axis more, and names and channels stay.

So there are as many networks of volumes as of planes, and they start from the weights of planes. Inflating is of
Carreira and Zisserman 2017 (I3D, https://arxiv.org/abs/1705.07750); that an axis is neither pooled nor seen along
while its voxels are longer than wide is nnU-Net's (Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn

from unetkit.models.pooling import Pooling, fine_axes

Triple = tuple[int, int, int]
"""One number for each axis: z, y, x."""


class BatchNormAct3d(nn.BatchNorm3d):
    """Batch norm of volumes, then an activation: timm's `BatchNormAct2d` with an axis more.

    Args:
        flat: The layer of planes.
    """

    def __init__(self, flat: BatchNormAct2d) -> None:
        super().__init__(flat.num_features, flat.eps, flat.momentum, flat.affine, flat.track_running_stats)
        self.drop = flat.drop
        self.act = flat.act

    def forward(self, features: Tensor) -> Tensor:
        """Normalise features (N, C, d, h, w), and apply the activation."""
        activated: Tensor = self.act(self.drop(super().forward(features)))
        return activated


def inflate(network: nn.Module, pooling: Pooling, channels: int) -> None:
    """Make a network of volumes of one of planes, in place.

    A layer that halves both axes of a plane halves those of its level in `pooling`. A kernel is as long along each axis
    where the voxel is fine (see `fine_axes`), 1 elsewhere; so is the 7 x 7 kernel of a ResNet's first layer: where the
    voxel is about a cube, it sees as far along z as along y and x, and takes the weights of planes as they are. The
    weights are drawn anew, with the spread that a plane's have for as many inputs.

    Args:
        network: A network whose layers have square kernels; its levels halve both axes.
        pooling: Factors along (z, y, x) of each level.
        channels: Channels that the network takes.
    """
    for name, level in list(_find_levels(network, channels, len(pooling)).items()):
        flat = network.get_submodule(name)
        kind = next((kind for kind in KINDS if isinstance(flat, kind)), None)
        if kind is not None:
            network.set_submodule(name, KINDS[kind](flat, pooling, level))


def _find_levels(network: nn.Module, channels: int, depth: int) -> dict[str, int]:
    """Return for each layer that runs the level of what it takes; they are seen by running it on an empty plane."""
    side = 2 << depth
    levels: dict[str, int] = {}
    names = {module: name for name, module in network.named_modules() if not list(module.children())}
    names |= {module: name for name, module in network.named_modules() if isinstance(module, BatchNormAct2d)}

    def watch(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(inputs[0], Tensor) and inputs[0].dim() == 4:
            levels[names[module]] = (side // inputs[0].shape[-1]).bit_length() - 1

    hooks = [module.register_forward_pre_hook(watch) for module in names]
    training = network.training
    with torch.no_grad():
        network.eval()(torch.zeros(1, channels, side, side))
    network.train(training)
    for hook in hooks:
        hook.remove()
    return levels


def _convolution(flat: nn.Conv2d, pooling: Pooling, level: int) -> nn.Conv3d:
    fine = fine_axes(pooling, level)
    volume = nn.Conv3d(
        flat.in_channels,
        flat.out_channels,
        _triple(flat.kernel_size[0] if long else 1 for long in fine),
        stride=_strides(flat.stride, pooling, level),
        padding=_triple(int(flat.padding[0]) if long else 0 for long in fine),
        dilation=flat.dilation[0],
        groups=flat.groups,
        bias=flat.bias is not None,
    )
    shorter = (flat.weight[0].numel() / volume.weight[0].numel()) ** 0.5
    with torch.no_grad():
        nn.init.normal_(volume.weight).mul_(flat.weight.std(correction=0) * shorter)
    volume.bias = flat.bias
    return volume


def _batch_norm(flat: nn.BatchNorm2d, pooling: Pooling, level: int) -> nn.BatchNorm3d:  # noqa: ARG001
    if isinstance(flat, BatchNormAct2d):
        return BatchNormAct3d(flat)
    return nn.BatchNorm3d(flat.num_features, flat.eps, flat.momentum, flat.affine, flat.track_running_stats)


def _max_pool(flat: nn.MaxPool2d, pooling: Pooling, level: int) -> nn.MaxPool3d:
    stride = _strides(flat.stride, pooling, level)
    return nn.MaxPool3d(*_only_where_halved(flat, stride), ceil_mode=flat.ceil_mode)


def _average_pool(flat: nn.AvgPool2d, pooling: Pooling, level: int) -> nn.AvgPool3d:
    stride = _strides(flat.stride, pooling, level)
    return nn.AvgPool3d(*_only_where_halved(flat, stride), flat.ceil_mode, flat.count_include_pad)


def _only_where_halved(flat: nn.MaxPool2d | nn.AvgPool2d, stride: Triple) -> tuple[Triple, Triple, Triple]:
    """Return kernel, stride and padding of a pool of volumes. It leaves the axes alone that it does not halve."""
    kernel = _triple(_side(flat.kernel_size) if factor == 2 else 1 for factor in stride)
    return kernel, stride, _triple(_side(flat.padding) if factor == 2 else 0 for factor in stride)


def _strides(flat: int | Sequence[int], pooling: Pooling, level: int) -> Triple:
    """Return the stride of a layer of volumes for that of a layer of planes."""
    return _triple(pooling[level]) if _side(flat) == 2 else (1, 1, 1)


def _side(size: int | Sequence[int]) -> int:
    """Return the one number of a square."""
    return size if isinstance(size, int) else size[0]


def _triple(numbers: Iterable[int]) -> Triple:
    z, y, x = numbers
    return z, y, x


KINDS: dict[type[nn.Module], Callable[[Any, Pooling, int], nn.Module]] = {
    nn.Conv2d: _convolution,
    nn.BatchNorm2d: _batch_norm,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
}
"""How each kind of layer is made of that of planes, for a pooling and the level of what it takes."""
