"""A file that `unetkit fit` or `unetkit pretrain` wrote."""

from __future__ import annotations

from pathlib import Path

from unetkit.models.model_file import read_spec
from unetkit.models.segmenter import Segmenter, load_network
from unetkit.models.spec import ModelSpec


def describe(path: Path) -> ModelSpec:
    """Return the description in a model file; see `read_spec`."""
    return read_spec(path)


def load(path: Path) -> Segmenter:
    """Load a model file; see `load_network`."""
    return load_network(path)
