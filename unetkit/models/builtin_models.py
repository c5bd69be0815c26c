"""Built-in models, by name. They lie in the package, in `models/builtin/NAME.safetensors`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

DEFAULT_MODEL = "nuclei"
"""Model where none is named."""

DEFAULT_NOTE = f"No model is named: the built-in model '{DEFAULT_MODEL}' is used."
"""Message where no model is named."""

MODEL_SUFFIX = ".safetensors"
"""Suffix of a model file."""


def builtin_folder() -> Path:
    """Return the folder of the built-in models; it need not exist."""
    return Path(str(files("unetkit") / "models" / "builtin"))


def builtin_names() -> list[str]:
    """Return the names of the built-in models, sorted."""
    return sorted(path.stem for path in builtin_folder().glob(f"*{MODEL_SUFFIX}"))


def builtin_path(name: str | Path) -> Path | None:
    """Return the file of a built-in model, None if there is no such model.

    Args:
        name: A bare name, for example "nuclei". A file of that name is meant by "./nuclei" or with its suffix.
    """
    return builtin_folder() / f"{name}{MODEL_SUFFIX}" if str(name) in builtin_names() else None


def short_name(path: str) -> str:
    """Return what to call the model of a file: the name of a built-in one, else the file's name."""
    file = Path(path)
    return file.stem if file.parent == builtin_folder() else file.name
