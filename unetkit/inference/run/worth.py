"""Which images of a folder are most worth annotating next: a table, the least sure one first."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from unetkit.foundation.atomic import check_target, partial_file
from unetkit.inference.checks.uncertain_fields import Field

WORTH_NAME = "uncertainty.csv"
"""Name of the table in the folder of the outputs."""

NAMED = 3
"""How many images are logged."""

COLUMNS = ("plane", "y_px", "x_px", "height_px", "width_px")


def check_worth(folder: Path, *, overwrite: bool) -> None:
    """Check that the table can be written.

    Raises:
        OutputError: It exists and may not be replaced.
    """
    if folder.is_dir():
        check_target(folder / WORTH_NAME, overwrite)


def write_worth(folder: Path, fields: Mapping[Path, Field], log: Callable[[str], None]) -> None:
    """Write the table of images with their least sure fields, and log the first ones.

    The columns are image, uncertainty (0 to 1, the mean entropy of the field), spread where several models or
    orientations were predicted, and the place of the field.

    Args:
        folder: Folder of the outputs.
        fields: The least sure field of each image.
        log: Called with a sentence.

    Raises:
        OutputError: It cannot be written.
    """
    ranked = sorted(fields.items(), key=lambda item: (-item[1].means[0], str(item[0])))
    several = len(ranked[0][1].means) > 1
    path = folder / WORTH_NAME
    with (
        partial_file(path) as partial,
        partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image", "uncertainty", *(["spread"] if several else []), *COLUMNS])
        for image, field in ranked:
            place = (field.plane, field.top, field.left, *field.size)
            table.writerow([image, *(f"{mean:.6f}" for mean in field.means), *place])
    log(f"{path}: annotate {_names([image for image, _ in ranked])} next, of which the models are least sure.")


def _names(images: Sequence[Path]) -> str:
    names = [image.name for image in images[:NAMED]]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
