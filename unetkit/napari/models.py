"""The models that the widget offers: those that are built in, and the files that were used before."""

from __future__ import annotations

from pathlib import Path

from unetkit.foundation.json_cache import read_cache, write_cache
from unetkit.foundation.user_cache import user_cache
from unetkit.models.builtin_models import builtin_names

MOST_RECENT = 8
"""Most model files that are remembered."""

USUAL_STEM = "model"
"""Stem of the model file in the folder of a run, whose name says more."""


def list_models() -> list[tuple[str, str]]:
    """Return label and name or path of each model: the built-in ones, then those used before, the last one first."""
    choices = [(f"{name} (built in)", name) for name in builtin_names()]
    for path in map(Path, recent_models()):
        label = model_name(path)
        if label in dict(choices):
            label = f"{label} in {path.parent}"
        choices.append((label, str(path)))
    return choices


def model_name(path: Path) -> str:
    """Return what to call a model file.

    >>> model_name(Path("runs/cells-1/model.safetensors")), model_name(Path("nuclei.safetensors"))
    ('cells-1', 'nuclei')
    """
    return path.parent.name if path.stem == USUAL_STEM and path.parent.name else path.stem


def recent_models() -> list[str]:
    """Return the model files that were used before and are still there, the last one first."""
    known = read_cache(_file())
    return [one for one in known if isinstance(one, str) and Path(one).is_file()] if isinstance(known, list) else []


def remember(path: Path) -> None:
    """Note that a model file was used."""
    known = str(path.resolve())
    write_cache(_file(), [known, *(one for one in recent_models() if one != known)][:MOST_RECENT])


def _file() -> Path:
    return user_cache() / "napari_models.json"
