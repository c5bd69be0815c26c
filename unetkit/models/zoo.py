"""Built-in models, by name. They lie in the package, in `models/builtin/NAME.safetensors`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from unetkit.foundation.errors import ModelError, closest
from unetkit.foundation.names import check_local

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


def find_model(model: str | Path) -> Path:
    """Return the file of a model that is given by the name of a built-in one, or by its path.

    Raises:
        ModelError: There is no such model.
    """
    path = Path(model)
    if (builtin := builtin_path(model)) is not None:
        return builtin
    if len(path.parts) == 1 and not path.suffix and not path.exists():
        names = builtin_names()
        known = closest(str(model), names) if names else "This installation has none."
        raise ModelError(
            f"There is no built-in model '{model}', nor a file of that name.",
            f"{known} Or give a model.safetensors that `unetkit fit` wrote.",
        )
    check_local(path)
    if not path.exists():
        raise ModelError(f"There is no model file {path}.", "Give a model.safetensors that `unetkit fit` wrote.")
    return path


def short_name(path: str) -> str:
    """Return what to call the model of a file: the name of a built-in one, else the file's name."""
    file = Path(path)
    return file.stem if file.parent == builtin_folder() else file.name
