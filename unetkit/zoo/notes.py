"""What a model of another program cannot say of itself: a YAML file of the same name beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from unetkit.foundation.errors import ModelError, UnetkitError
from unetkit.models.normalization import Normalization

Activation = Literal["auto", "none", "sigmoid", "softmax"]
"""How the output becomes probabilities: seen from its values, not at all, or by one of the functions."""


@dataclass(frozen=True)
class ModelNotes:
    """What is known of a model; whatever is left out is taken from its file or found by trying it.

    Attributes:
        stride: Sizes of windows are multiples of it, along each axis or along all.
        halo: Context around a tile in pixels, along each axis or along all; else it is measured on the first image.
        output: Name of the output that is used.
        channels: Channels of the output that are used, from 0: one for foreground/background, two of background and
            foreground, or one for each class.
        activation: How the output becomes probabilities.
        normalization: How raw pixels become the input of the graph, as `data.normalization` of a training.
        threshold: Foreground probability from which a pixel is foreground, 0 to 1.
        pixel_size_um: Size of the pixels that it was trained on, in micrometres: y, x or z, y, x.
        class_names: Names of the classes, the background first.
    """

    stride: tuple[int, ...] | None = None
    halo: tuple[int, ...] | None = None
    output: str | None = None
    channels: tuple[int, ...] | None = None
    activation: Activation = "auto"
    normalization: Normalization | None = None
    threshold: float = 0.5
    pixel_size_um: tuple[float, ...] | None = None
    class_names: tuple[str, ...] = field(default_factory=tuple)


def notes_path(graph: Path) -> Path:
    """Return where the notes on a graph are, if there are any."""
    return graph.with_suffix(".yaml")


def read_notes(graph: Path) -> ModelNotes:
    """Read the notes on a graph; empty ones if there is no file.

    Raises:
        ModelError: The file is no YAML, has a key that there is not, or a value of another kind.
    """
    path = notes_path(graph)
    if not path.is_file():
        return ModelNotes()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(ModelNotes, "notes")
    remedy = f"It may have {', '.join(ModelNotes.__dataclass_fields__)}."
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if not isinstance(content, dict):
            raise ModelError(f"{path} holds no keys with values.", remedy)
        notes: ModelNotes = parser.instantiate(parser.parse_object({"notes": content})).notes
    except (ArgumentError, yaml.YAMLError, UnicodeDecodeError, OSError, UnetkitError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{path}, which describes {graph.name}, cannot be understood ({reason}).", remedy) from error
    return notes
