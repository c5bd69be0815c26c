"""The names of weights: those of torchvision, timm, smp and training programs, as a network of unetkit has them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from unetkit.models.parts import DECODER_STEP

WRAPPERS = (
    *("module.", "model.", "network.", "net.", "segmenter.", "averaged.", "_orig_mod.", "encoder.", "backbone."),
    *("encoder_q.", "base_encoder.", "teacher."),
)
"""Prefixes that programs put before the names of weights."""

TIMM_STAGE = re.compile(r"^(stem|stages)\.")
"""First part of names in timm's networks; in the encoders that smp makes of them an underscore follows it."""


def own_name(key: str, own: Collection[str]) -> str:
    """Return the network's name for a weight of a file; another one if the network has no such weight.

    Args:
        key: Name in the file.
        own: Names of the network's weights.
    """
    name = key.replace(".module.", ".")  # of a part that was trained on several devices
    while True:
        if found := next((one for one in _candidates(name) if one in own), None):
            return found
        if DECODER_STEP.match(name):  # of a deeper or shallower network
            return name
        shorter = next((name.removeprefix(prefix) for prefix in WRAPPERS if name.startswith(prefix)), None)
        if shorter is None:
            return f"encoder.{name}"
        name = shorter


def _candidates(name: str) -> Iterator[str]:
    """Yield what a name may be called in a network: a whole one, an encoder, smp's wrapper of timm's, pure VGG."""
    flat = TIMM_STAGE.sub(r"\1_", name)
    yield name
    yield f"encoder.{name}"
    yield f"encoder.model.{flat}"
    yield f"encoder.{name.removeprefix('_')}"  # pretrainedmodels' VGG
    yield f"encoder.features.{name}"
