"""A name, a path or an address to a model's file or folder on this machine. It imports no PyTorch."""

from __future__ import annotations

from pathlib import Path

from unetkit.foundation.errors import ModelError, closest
from unetkit.foundation.names import check_local
from unetkit.models.builtin_models import builtin_names, builtin_path
from unetkit.models.model_file import MODEL_FILE
from unetkit.zoo.kinds import kind_of

HUGGING_FACE, BIOIMAGEIO = "hf:", "bioimageio:"
"""Beginnings of addresses: `hf:owner/name[@revision]`, `bioimageio:NICKNAME`."""


def is_address(model: str | Path) -> bool:
    """Return whether a model is named by an address, from which it is fetched once and then kept."""
    return _text(model).startswith((HUGGING_FACE, BIOIMAGEIO))


def _text(model: str | Path) -> str:
    return model.as_posix() if isinstance(model, Path) else model


def find_model(model: str | Path) -> Path:
    """Return the file or folder of a model.

    Args:
        model: The name of a built-in model, a path, or an address: `hf:owner/name[@revision]`, `bioimageio:NICKNAME`.

    Raises:
        ModelError: There is no such model, or it cannot be fetched.
    """
    if is_address(model):
        return _fetch(_text(model))
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


def model_files(model: str | Path) -> list[Path]:
    """Return the files and packages that stand for one or several models, in the order of their names.

    Args:
        model: See `find_model`; or a folder, which stands for every model.safetensors below it, such as one for each
            fold.

    Raises:
        ModelError: There is no such model, or none below the folder.
    """
    path = find_model(model)
    if not path.is_dir() or kind_of(path) is not None:
        return [path]
    files = sorted(path.rglob(MODEL_FILE))
    if not files:
        raise ModelError(f"There is no {MODEL_FILE} in {path} or below it.", "Give the folder of a run, or its model.")
    return files


def _fetch(address: str) -> Path:
    """Return what an address stands for on this machine: fetched now, or kept from before."""
    if address.startswith(HUGGING_FACE):
        from unetkit.fetching.hugging_face import fetch_model

        return fetch_model(address.removeprefix(HUGGING_FACE))
    from unetkit.zoo.bioimageio_address import fetch_package

    return fetch_package(address.removeprefix(BIOIMAGEIO))
