"""The forms in which models are exported, by a table. It imports no PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from unetkit.foundation.errors import ConfigError
from unetkit.sharing.options import Format, SharingOptions
from unetkit.sharing.said import SaidOptions

if TYPE_CHECKING:
    from unetkit.models.segmenter import Segmenter

Write = Callable[["Segmenter", Path, SharingOptions, SaidOptions], list[str]]
"""Writes a model to a file or folder that does not exist yet, and returns sentences on it for people."""


@dataclass(frozen=True)
class Form:
    """One form of exported models.

    Attributes:
        name: Name of the form, as in `--format NAME`.
        about: What it is, for people.
        suffixes: Endings of its files, the usual one first; none for a folder.
        home: Module whose function `write` is a `Write`. It is imported when a model is written.
        takes: Options that have a meaning for it: "fixed", "half", "check", "smp_layout", "said".
    """

    name: Format
    about: str
    suffixes: tuple[str, ...]
    home: str
    takes: frozenset[str]

    def write(self, segmenter: Segmenter, path: Path, sharing: SharingOptions, said: SaidOptions) -> list[str]:
        """Write a model; see `Write`."""
        written: list[str] = import_module(self.home).write(segmenter, path, sharing, said)
        return written


FORMS: tuple[Form, ...] = (
    Form("onnx", "a graph of ONNX", (".onnx",), "unetkit.sharing.onnx_form", frozenset({"fixed", "half", "check"})),
    Form(
        "torchscript",
        "a program of TorchScript",
        (".pt", ".torchscript", ".ts"),
        "unetkit.sharing.torchscript_form",
        frozenset({"fixed", "half", "check"}),
    ),
    Form(
        "bioimageio",
        "a package of bioimage.io",
        (".zip",),
        "unetkit.sharing.bioimageio_form",
        frozenset({"fixed", "check", "said"}),
    ),
    Form(
        "huggingface",
        "a folder for the Hugging Face Hub",
        (),
        "unetkit.sharing.hugging_face_form",
        frozenset({"half", "check", "smp_layout", "said"}),
    ),
)
"""All forms."""


def form_for(result: Path, name: Format | None) -> Form:
    """Return the form of a result: the one that is named, or that of its suffix.

    Raises:
        ConfigError: None is named and the suffix is that of none; or the suffix is that of another form.
    """
    names = ", ".join(form.name for form in FORMS)
    by_suffix = next((form for form in FORMS if result.suffix.lower() in form.suffixes), None)
    if name is None:
        if by_suffix is None:
            raise ConfigError(f"{result} does not say how the model is exported.", f"Give --format: {names}.")
        return by_suffix
    form = next((form for form in FORMS if form.name == name), None)
    if form is None:
        raise ConfigError(f"There is no format '{name}' of models.", f"Use {names}.")
    if form.suffixes and result.suffix.lower() not in form.suffixes:
        raise ConfigError(
            f"{result} is no name for {form.about}.", f"Give one that ends in {' or '.join(form.suffixes)}."
        )
    if not form.suffixes and by_suffix is not None:
        raise ConfigError(f"{result} is no name for {form.about}.", "Give the name of a folder.")
    return form


def check_options(form: Form, sharing: SharingOptions, said: SaidOptions) -> None:
    """Raise a ConfigError for an option that has no meaning for a form."""
    given = [name for name in ("fixed", "half", "check", "smp_layout") if getattr(sharing, name)]
    if said != SaidOptions():
        given.append("said")
    for name in given:
        if name not in form.takes:
            able = ", ".join(other.name for other in FORMS if name in other.takes)
            what = "What is said of the model has" if name == "said" else f"{name} has"
            raise ConfigError(f"{what} no meaning for {form.about}.", f"Leave it out, or use --format {able}.")
