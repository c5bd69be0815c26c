"""Masks in colours whose meaning the user gives: a table with a colour for each class."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ConfigError, DataError
from unetkit.io.base.contracts import ImageInfo
from unetkit.io.base.stored import Encoding
from unetkit.io.masks.colours import name_colour
from unetkit.io.masks.ignored import IGNORED
from unetkit.io.masks.meaning import Meaning
from unetkit.io.masks.values import split_alpha, to_codes, to_light, to_rgb

BACKGROUND, IGNORE = "background", "ignore"
"""Names with a meaning: label 0, and pixels that nobody has annotated. Black is background unless it has a name."""

REMEDY = (
    'Give a name and a colour for each class, such as tumour: "#ff0000"; or a .csv with the columns name and color.'
)

SHOWN = 3
"""How many unknown colours a message names."""


@dataclass(frozen=True)
class ColorTable:
    """The colour of each class.

    Attributes:
        names: Names of the classes from 1 on.
        codes: The colours, see `to_codes`, in order.
        labels: The label of each of these colours.
    """

    names: tuple[str, ...]
    codes: tuple[int, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ByTable:
    """Each colour has its label.

    Attributes:
        palette: (n,) the code of each stored number, where the mask has a palette.
        table: The colours and their labels.
    """

    palette: NDArray[np.int32] | None
    table: ColorTable

    def __call__(self, channels: NDArray[Any], /) -> NDArray[Any]:
        """Look up pixels (C, h, w)."""
        codes = codes_of(channels, self.palette)
        places = np.searchsorted(self.table.codes, codes)
        return np.array(self.table.labels, np.int32)[np.minimum(places, len(self.table.labels) - 1)]


def read_color_table(given: Mapping[str, Any] | str | Path) -> ColorTable:
    """Return the table that a user gave.

    Args:
        given: Colours by name, in the order of the classes: "#ff0000", a name of CSS such as "red", or [255, 0, 0];
            or a file with them: .yaml, .json, or .csv with the columns name and color.

    Raises:
        ConfigError: It cannot be read, or two names have the same colour.
    """
    pairs = list(given.items()) if isinstance(given, Mapping) else _read_file(Path(given))
    names: list[str] = []
    labels: dict[int, int] = {}
    for name, color in pairs:
        code = _parse(str(name), color)
        if code in labels:
            raise ConfigError(f"data.colors: '{name}' has the colour of another name.", "Give each its own.")
        if str(name).lower() == BACKGROUND:
            labels[code] = 0
        elif str(name).lower() == IGNORE:
            labels[code] = IGNORED
        else:
            names.append(str(name))
            labels[code] = len(names)
    if not names:
        raise ConfigError("data.colors names no class.", REMEDY)
    if 0 not in labels.values():
        labels.setdefault(0, 0)
    codes = sorted(labels)
    return ColorTable(tuple(names), tuple(codes), tuple(labels[code] for code in codes))


def decide_by_table(bands: Iterable[NDArray[Any]], info: ImageInfo, table: ColorTable) -> Meaning:
    """Return what the colours of a mask mean by a table; what is transparent is background.

    Args:
        bands: Pixels (C, h, w) of the mask as they are stored.
        info: Description of the mask.
        table: The table.

    Raises:
        DataError: Pixels have other colours.
    """
    encoding = info.encoding
    palette = _palette(encoding)
    unknown: dict[int, int] = {}
    for band in bands:
        channels, opaque = split_alpha(to_light(band, encoding), encoding)
        if channels.dtype.kind != "u" or len(channels) not in (1, 3):
            raise DataError(
                f"{info.name} has {len(channels)} channels of {channels.dtype}, and no colours.",
                "Give masks in colours (PNG or TIFF of 8 bits), or leave out data.colors.",
            )
        codes = codes_of(channels, palette)
        found, counts = np.unique(codes if opaque is None else codes[opaque], return_counts=True)
        for code, count in zip(found.tolist(), counts.tolist(), strict=True):
            if code not in table.codes:
                unknown[code] = unknown.get(code, 0) + count
    if unknown:
        raise _unknown_colors(unknown, info, table)
    classes = np.arange(len(table.names) + 1, dtype=np.int32)
    return Meaning("named", "", encoding, ByTable(palette, table), class_of=classes)


def codes_of(channels: NDArray[Any], palette: NDArray[np.int32] | None) -> NDArray[np.int32]:
    """Return the codes (h, w) of the colours of pixels (1 or 3, h, w): grey has three equal ones."""
    if palette is not None:
        codes: NDArray[np.int32] = palette[channels[0]]
        return codes
    return to_codes(channels if len(channels) == 3 else np.repeat(channels, 3, axis=0))


def _unknown_colors(unknown: Mapping[int, int], info: ImageInfo, table: ColorTable) -> DataError:
    order = sorted(unknown, key=lambda code: -unknown[code])
    shown = ", ".join(f"{name_colour(to_rgb(np.array(code)))}: {unknown[code]:,} pixels" for code in order[:SHOWN])
    more = f" and {len(order) - SHOWN} more colours" if len(order) > SHOWN else ""
    lossy = " JPEG and smooth borders change colours: save masks as PNG, without smoothing."
    return DataError(
        f"{info.name} has colours that data.colors does not name ({shown}{more}).",
        f"Add them, as '{BACKGROUND}' or '{IGNORE}' if they are no class ({', '.join(table.names)})."
        + (lossy if info.encoding.lossy or len(order) > SHOWN else ""),
    )


def _palette(encoding: Encoding) -> NDArray[np.int32] | None:
    """Return the code of each number of a palette (256,); transparent ones are black."""
    if not encoding.palette:
        return None
    entries = np.frombuffer(encoding.palette, np.uint8).reshape(-1, 4).astype(np.int32)
    codes = np.zeros(max(256, len(entries)), np.int32)
    codes[: len(entries)] = np.where(entries[:, 3] < 128, 0, to_codes(entries[:, :3].T.astype(np.uint8)))
    return codes


def _parse(name: str, color: Any) -> int:
    """Return the code of a colour."""
    from PIL import ImageColor

    try:
        rgb = ImageColor.getrgb(color) if isinstance(color, str) else tuple(color)
        if len(rgb) not in (3, 4) or not all(isinstance(one, int) and 0 <= one <= 255 for one in rgb):
            raise ValueError("three numbers from 0 to 255")
    except (TypeError, ValueError) as error:
        raise ConfigError(f"data.colors: '{name}' has '{color}', which is no colour.", REMEDY) from error
    return (int(rgb[0]) << 16) | (int(rgb[1]) << 8) | int(rgb[2])


def _read_file(path: Path) -> Sequence[tuple[Any, Any]]:
    """Return names and colours of a file."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".csv":
            rows = [
                {str(key).strip().lower(): value for key, value in row.items()}
                for row in csv.DictReader(text.splitlines())
            ]
            return [(row["name"].strip(), (row.get("color") or row["colour"]).strip()) for row in rows]
        content = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
        if not isinstance(content, Mapping):
            raise ValueError("no names with colours")
        return list(content.items())
    except (OSError, ValueError, KeyError, AttributeError, csv.Error, yaml.YAMLError) as error:
        what = f"{error.strerror}" if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise ConfigError(f"data.colors: {path} cannot be read ({what}).", REMEDY) from error
