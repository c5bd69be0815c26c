"""The parts of a network by the names of its weights; the steps of a decoder are counted from its output."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

DECODER = "decoder"
"""Part of a network that makes features of full resolution from those of the encoder."""

DECODER_STEP = re.compile(r"decoder\.(blocks|ups)\.(\d+)\.")
"""Pattern of a decoder step in the name of a weight. Steps are counted from the deepest."""


def part_of(key: str) -> str:
    """Return the part of the network that a weight belongs to: encoder, decoder, segmentation_head."""
    return key.partition(".")[0]


def unit_of(key: str) -> str:
    """Return the part that a weight belongs to, each step of the decoder being one."""
    step = DECODER_STEP.match(key)
    return part_of(key) if step is None else step[0].rstrip(".")


def count_from_output(sources: Mapping[str, str], own: Collection[str]) -> dict[str, str]:
    """Rename the decoder's steps of a network of another depth so that the last ones have the same number."""
    shift = _steps(own) - _steps(sources)
    renamed = {}
    for key, source in sources.items():
        step = DECODER_STEP.match(key)
        if step is not None and shift:
            number = int(step[2]) + shift
            place = f"decoder.{step[1]}.{number}." if number >= 0 else f"decoder.{step[1]}.deeper{-number}."
            renamed[place + key[step.end() :]] = source
        else:
            renamed[key] = source
    return renamed


def _steps(keys: Collection[str]) -> int:
    """Return the number of the decoder's steps."""
    return max((int(step[2]) + 1 for key in keys if (step := DECODER_STEP.match(key))), default=0)


def last_step(keys: Collection[str]) -> str:
    """Return the unit of the last step of the decoder."""
    return f"decoder.blocks.{_steps(keys) - 1}"
