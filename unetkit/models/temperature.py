"""A temperature within the weights of a model: probabilities say how often they are right, on every runtime."""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn

from unetkit.models.segmenter import Segmenter

HEAD = "segmentation_head"
"""Part of a network whose last convolution gives the logits."""


@torch.no_grad()
def divide_logits(segmenter: Segmenter, temperature: float) -> None:
    """Divide the logits of the mask by a temperature, in place (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    The last convolution is linear, so its weights and biases are divided. What is exported, put on a backend or turned
    into int8 then has the temperature in it. A distance map, whose channel follows those of the mask, stays as it is.

    Args:
        segmenter: A model of masks that unetkit built.
        temperature: Above 1 for a model that is too sure, below 1 for one that is too unsure.
    """
    head = segmenter.network.get_submodule(HEAD)
    last = [part for part in head.modules() if isinstance(part, (nn.Conv2d, nn.Conv3d))][-1]
    for values in chain([last.weight], [] if last.bias is None else [last.bias]):
        values[: segmenter.spec.out_channels] /= temperature
