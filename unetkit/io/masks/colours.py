"""Masks in colours, with or without a palette: which colour is background, and what the others mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import DataError
from unetkit.io.masks.rules import ByCode, Nearest, Rule, Table
from unetkit.io.masks.values import MaskValues, to_rgb

COLOUR_NAMES = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "red": (255, 0, 0),
    "green": (0, 200, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "orange": (255, 150, 0),
    "purple": (110, 0, 110),
    "brown": (140, 70, 20),
    "pink": (255, 170, 190),
}

DARK, BRIGHT = 32, 223
"""A colour is black if red, green and blue are at most the first, and white if they are at least the second."""

NEAR_COLOURS = 48
"""Two colours can be one, blurred or compressed, if red, green and blue differ by at most this."""

LEAST_COLOUR_SHARE = 0.0005
"""Least share of a mask's pixels that a main colour has."""

MOST_CONSIDERED_COLOURS = 256
"""How many colours are compared at most."""

MOST_BLURRED_COLOURS = 8
"""How many colours a mask with blurred borders may have."""

LEAST_COVERED_SHARE = 0.6
"""Least share of a mask's pixels that have one of its main colours; the others are blur."""

LEAST_SOLID_SHARE = 0.25
"""Least share of a solid colour's pixels with the same colour to the right and below; blur and thin lines have less."""

SOLID_PER_BLURRED = 5
"""A mask without blur has at least this many solid colours for each other colour."""

MOST_NUMBERED_COLOURS = 4096
"""How many colours a mask may have that gives each object its own."""

SHOWN_COLOURS = 6
"""How many colours a message names."""


def read_palette(palette: bytes, used: NDArray[np.integer]) -> tuple[str, Rule]:
    """Decide what the numbers of a mask with a palette mean.

    Args:
        palette: Red, green, blue and alpha of each number.
        used: The numbers in the mask, in order.

    Returns:
        A sentence on what was chosen, empty if there is no doubt, and the rule.
    """
    entries = len(palette) // 4
    colours = np.zeros((max(256, entries), 4), np.int32)
    colours[:, 3] = 255
    colours[:entries] = np.frombuffer(palette, np.uint8).reshape(-1, 4)
    labels = np.arange(len(colours), dtype=np.int32)
    rgb, clear = colours[:, :3], colours[:, 3] < 128
    if clear[used].any() and not clear[used].all():
        return "The transparent colour of the palette is background", Table(_without(labels, clear, len(used)))
    different = np.unique(rgb[:entries], axis=0)
    if len(different) != 2 or not (_is_black(different[0]) and _is_white(different[1])):
        different = np.unique(rgb[used], axis=0)
    if len(different) == 2:
        background = different[find_background(different)]
        table = (rgb != background).any(axis=1).astype(np.int32)
        if not table[0] and _is_black(background):
            return "", Table(labels)
        other = different[(different != background).any(axis=1)][0]
        what = f"{name_colour(other)} is foreground, {name_colour(background)} is background"
        return f"The mask has a palette of two colours and is read by them: {what}", Table(table)
    if len(used) == 1 and _is_black(rgb[used[0]]):
        return "", Table(np.where(labels == used[0], 0, labels))
    return _number_palette(rgb, used, labels)


def is_plain_palette(palette: bytes) -> bool:
    """Return whether a palette shows each number as the grey of the same value."""
    colours = np.frombuffer(palette, np.uint8).reshape(-1, 4)
    greys = np.arange(len(colours))[:, None]
    return bool(len(colours) > 2 and (colours[:, :3] == greys).all() and (colours[:, 3] == 255).all())


def _without(labels: NDArray[np.int32], clear: NDArray[np.bool_], used: int) -> NDArray[np.int32]:
    """Return labels with 0 for the transparent numbers; an opaque 0 gets a number of its own."""
    if used == 2:
        return (~clear).astype(np.int32)
    labels = labels.copy()
    labels[0] = 0 if clear[0] else len(labels)
    labels[clear] = 0
    return labels


def _number_palette(rgb: NDArray[np.int32], used: NDArray[np.integer], labels: NDArray[np.int32]) -> tuple[str, Rule]:
    """Return sentence and rule for a palette of many colours: its numbers are the labels."""
    taken = "The mask has a palette of many colours: its numbers are the labels"
    black = [int(number) for number in used if _is_black(rgb[number])]
    first = name_colour(rgb[0])
    if len(black) == 1 and black[0] and not _is_white(rgb[0]):
        labels = labels.copy()
        labels[0], labels[black[0]] = black[0], 0
        swapped = f"but {black[0]} (black) is background, and 0 ({first}) takes its number"
        return f"{taken}, {swapped}", Table(labels)
    return f"{taken}, 0 ({first}) is background", Table(labels)


def read_colours(found: MaskValues, name: str, *, lossy: bool) -> tuple[str, Rule]:
    """Decide what the colours of a mask mean.

    Args:
        found: Its colours.
        name: What to call it in messages.
        lossy: Whether compression has changed them.

    Returns:
        A sentence on what was chosen, and the rule.

    Raises:
        DataError: There are as many colours as in a picture.
    """
    codes, shares = found.values.astype(np.int32), found.counts / int(found.counts.sum())
    rgb = to_rgb(codes)
    solid = found.solid >= LEAST_SOLID_SHARE * found.counts
    flat = not lossy and found.complete and (~solid).sum() * SOLID_PER_BLURRED <= solid.sum()
    main = np.arange(len(codes)) if flat or len(codes) == 2 else _main_colours(rgb, shares, solid)
    covered = shares[main].sum() >= LEAST_COVERED_SHARE
    background = main[find_background(rgb[main], shares[main])]
    others = [place for place in main[np.argsort(-shares[main], kind="stable")] if place != background]
    listed, behind = _list([rgb[place] for place in others]), name_colour(rgb[background])
    labels = (main != background).astype(np.int32)
    if len(main) == 1 and covered:
        return f"The mask has one colour, {behind}: all of it is background", Nearest(codes[main], labels)
    if len(main) == 2 and covered:
        taken = f"The mask has two colours: {listed} is foreground, {behind} is background"
        return taken, Nearest(codes[main], labels)
    taken = f"The mask has {len(main)} colours: {behind} is background, all others ({listed}) are foreground"
    if flat and len(main) <= MOST_NUMBERED_COLOURS:
        return f"{taken}, each with a number of its own", ByCode(int(codes[background]))
    if covered and len(main) <= MOST_BLURRED_COLOURS:
        return f"{taken} without numbers, since their borders are blurred", Nearest(codes[main], labels)
    many = "more than " if not found.complete else ""
    raise DataError(
        f"{name} has {many}{len(codes):,} colours, as a picture has and a mask has not; the most frequent are "
        f"{_list(list(rgb[main]))}.",
        "Give the mask of the image: one channel with 0 for background and a number for each class or object.",
    )


def find_background(rgb: NDArray[np.int32], shares: NDArray[np.float64] | None = None) -> int:
    """Return the place of the background among colours (n, 3).

    It is black if there is black, else white if there is white, else the darker one of two, else the most frequent.
    """
    black = np.flatnonzero([_is_black(colour) for colour in rgb])
    white = np.flatnonzero([_is_white(colour) for colour in rgb])
    for found in (black, white):
        if found.size:
            return int(found[0])
    return int(np.argmax(shares)) if shares is not None and len(rgb) > 2 else int(np.argmin(rgb.sum(axis=1)))


def name_colour(rgb: NDArray[np.int32]) -> str:
    """Return the name of a colour, with its red, green and blue unless it is black or white."""
    near = {name: int(((rgb - np.array(known)) ** 2).sum()) for name, known in COLOUR_NAMES.items()}
    name = min(near, key=near.__getitem__)
    numbers = ", ".join(map(str, rgb.tolist()))
    if name in ("black", "white") and near[name] <= 3 * DARK**2:
        return name
    return f"{name} ({numbers})" if near[name] <= 3 * 40**2 else f"({numbers})"


def _main_colours(rgb: NDArray[np.int32], shares: NDArray[np.float64], solid: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the places of the main colours, of which the others are blurs; the most frequent comes first."""
    order = np.argsort(-shares, kind="stable")
    main = [int(order[0])]
    for place in order[solid[order] & (shares[order] >= LEAST_COLOUR_SHARE)][:MOST_CONSIDERED_COLOURS]:
        if np.abs(rgb[main] - rgb[place]).max(axis=1).min() > NEAR_COLOURS:
            main.append(int(place))
    if len(main) == 1:  # thin lines are nowhere solid
        main += [int(place) for place in order if np.abs(rgb[main[0]] - rgb[place]).max() > NEAR_COLOURS][:1]
    return np.array(main, np.intp)


def _list(colours: list[NDArray[np.int32]]) -> str:
    more = f" and {len(colours) - SHOWN_COLOURS} more" if len(colours) > SHOWN_COLOURS else ""
    return ", ".join(name_colour(colour) for colour in colours[:SHOWN_COLOURS]) + more


def _is_black(colour: NDArray[np.int32]) -> bool:
    return bool(colour.max() <= DARK)


def _is_white(colour: NDArray[np.int32]) -> bool:
    return bool(colour.min() >= BRIGHT)
