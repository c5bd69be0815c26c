"""What only a user can say of a model that goes to others: plain data that a command's help imports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SaidOptions:
    """What is said of an exported model.

    Args:
        license: Licence of the weights, by its SPDX name, for example CC-BY-4.0. Only you know it: it has no default.
        authors: Who made the model, each with what is known in brackets: "Ada Lovelace (University of London, @ada,
            0000-0001-2345-6789)".
        cite: What else is to be cited, each with its DOI or address at the end: "Our paper 2026, 10.1234/abcd".
        title: Name of the model, letters, digits, spaces, _ + - ( ); by default that of its file.
        about: What the model is for, in a sentence or two.
        tags: Words to find it by, beside those that follow from the model.
        training_data: Data set that it was trained on: its address (https://...), or its name on bioimage.io.
        cover: Image like those it was trained on, best a validation image: a part of it becomes the test and the cover
            of a package. By default a drawn one.
    """

    license: str | None = None
    authors: list[str] | None = None
    cite: list[str] | None = None
    title: str | None = None
    about: str | None = None
    tags: list[str] | None = None
    training_data: str | None = None
    cover: Path | None = None


NOTHING_SAID = SaidOptions()
"""Nothing is said yet."""
