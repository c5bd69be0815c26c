"""A model that is quick to convert, and models that look as if they came from a file."""

from __future__ import annotations

import torch
from torch import nn

from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec


def make_layers() -> Segmenter:
    """Return a model of three layers: converting and quantising it takes seconds less than a U-Net."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        layers = [nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1)]
    spec = ModelSpec("resnet18", depth=3, decoder_channels=(8, 8, 8), halo=16)
    return Segmenter(spec, nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])).eval()


def as_from_a_file(segmenter: Segmenter, sha256: str) -> None:
    """Give a model a hash, and weights that nothing has changed since they were loaded."""
    segmenter.load_state_dict({name: tensor.clone() for name, tensor in segmenter.state_dict().items()}, assign=True)
    segmenter.sha256 = sha256
