"""The description of a package of bioimage.io, read by bioimageio.spec, in format 0.5 whatever its own is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from unetkit.foundation.errors import ModelError

if TYPE_CHECKING:
    from bioimageio.spec.model import v0_5

INSTALL = "pip install unetkit[bioimageio]"
"""Command that installs what reads descriptions."""


def need_library() -> None:
    """Raise a ModelError unless bioimageio.spec is installed."""
    if find_spec("bioimageio") is None or find_spec("bioimageio.spec") is None:
        raise ModelError("Packages of bioimage.io need bioimageio.spec.", f"Run `{INSTALL}`.")


@contextmanager
def quiet() -> Iterator[None]:
    """Let bioimageio.spec look up nothing beside what it was asked for, and log nothing."""
    from bioimageio.spec import ValidationContext
    from loguru import logger

    logger.disable("bioimageio")
    try:
        with ValidationContext(perform_io_checks=False, log_warnings=False, progressbar=False):
            yield
    finally:
        logger.enable("bioimageio")


def read_description(source: Path | str, name: str) -> v0_5.ModelDescr:
    """Return a description in format 0.5. One of a file is read without any look at a network.

    Args:
        source: The file, or a nickname of bioimage.io, which is looked up there.
        name: What it is called in messages.

    Raises:
        ModelError: It cannot be read, or is of no model.
    """
    from bioimageio.spec import InvalidDescr, load_description
    from bioimageio.spec.model import v0_5

    if isinstance(source, Path):
        _check_references(source)
    try:
        with quiet():
            read: Any = load_description(source, format_version="latest", perform_io_checks=False)
    except Exception as error:  # of any kind, as a description may be anything
        raise _unreadable(name, str(error), source) from error
    if isinstance(read, InvalidDescr):
        raise _unreadable(name, read.get_reason() or "", source)
    if not isinstance(read, v0_5.ModelDescr):
        raise ModelError(f"{name} is of bioimage.io, but it is no model: {read.type}.", "Give a model.")
    return read


def _check_references(description: Path) -> None:
    """Refuse a description that refers to another model, which would be looked up in a network."""
    with suppress(OSError, ValueError, yaml.YAMLError, AttributeError, TypeError, KeyError):
        content = yaml.safe_load(description.read_text("utf-8"))
        if any(tensor.get("output_of") for tensor in content["inputs"]):
            raise ModelError(
                f"The input of {description} is the output of another model.", "Use a model that takes images."
            )


def _unreadable(name: str, reason: str, source: Path | str) -> ModelError:
    lines = " ".join(line.strip() for line in reason.splitlines() if line.strip())[:300]
    if isinstance(source, str):
        return ModelError(
            f"The package {name} could not be had from bioimage.io ({lines}).",
            "Check the nickname and the network; or download its .zip elsewhere, and give that file.",
        )
    return ModelError(f"The description of {name} cannot be read ({lines}).", "Download or correct the package.")
