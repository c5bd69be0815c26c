"""What spoils training without being an error: masks off their images, copies, odd labels, poor pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from unetkit.io.masks.meaning import CUT
from unetkit.planning.agreement import AS_IT_IS, Agreement
from unetkit.planning.duplicates import find_copies
from unetkit.planning.look import Look
from unetkit.planning.measure import IGNORE_VALUE, MOST_CLASSES, Facts, are_numbers, is_class_range, numbers_pieces

CONCLUSIVE_AGREEMENT = 6.0
"""Least agreement, in the best position, at which a comparison of mask and image is conclusive."""

CLEARLY_BETTER_FACTOR = 2.0
"""A position is clearly better if its agreement is larger by at least this factor, and by the margin below."""

CLEARLY_BETTER_MARGIN = 4.0
"""Least difference, in standard deviations, between the agreement of a clearly better position and another."""

SYSTEMATIC_SHARE = 0.5
"""A fault in more than this share of the conclusive images is reported as one of the whole data set."""

SMALLEST_SHIFT = 3
"""Smallest shift that is reported, in pixels: people draw with smaller ones."""

UNRELATED_AGREEMENT = 4.0
"""A mask that agrees less than this with its image may belong to another image."""

GOOD_AGREEMENT = 12.0
"""Unrelated masks are looked for only where the median agreement is at least this."""

FAINT_CONTRAST = 0.6
"""A mask is unrelated only if its foreground differs from its background by less than this, in standard deviations.
Outlines drawn with a generous margin miss the edges, but hold the objects."""

TINY_SET_IMAGES = 10
"""A set of fewer images than this is tiny."""

SMALL_IMAGE_SHARE = 0.5
"""An image of less than this share of the crop is mostly reflection."""

SATURATED_SHARE = 0.25
"""An image is overexposed if at least this share of its foreground is at the top of the range."""

FULL_MASK_SHARE = 0.95
"""A mask with at least this share of foreground has hardly any background."""

INVERTED_PIECE_SHARE = 0.5
"""A mask may be inverted if one piece of its foreground covers at least this share of the image."""

INVERTED_HOLES = 3
"""Fewest holes in the foreground of an inverted mask."""

INVERTED_LARGEST_SHARE = 0.9
"""Least share of the foreground in one piece, for an inverted mask whose objects are not numbered."""

SHOWN_FILES = 3
"""Most files that a warning names."""


@dataclass(frozen=True)
class Concern:
    """Something to look into before training.

    Attributes:
        kind: Which check found it, in one word.
        problem: What is wrong, without the full stop.
        names: The files or pages.
        remedy: One sentence that says what to do.
    """

    kind: str
    problem: str
    names: tuple[str, ...]
    remedy: str

    @property
    def text(self) -> str:
        """All of it, naming the first files only."""
        named = ", ".join(self.names[:SHOWN_FILES])
        more = f" and {len(self.names) - SHOWN_FILES} more" if len(self.names) > SHOWN_FILES else ""
        return f"{self.problem}{f' ({named}{more})' if named else ''}. {self.remedy}"


def find_concerns(
    looks: Sequence[Look], facts: Facts, crop: Sequence[int], held_out: Sequence[bool], seen: Collection[str] = ()
) -> list[Concern]:
    """Check a data set.

    Args:
        looks: All images, those to validate on among them.
        facts: What they are like together.
        crop: Pixels of the crops along each axis.
        held_out: Whether each image is one to validate on.
        seen: Digests of the images that the model to start from was trained on.

    Returns:
        What was found, the gravest first.
    """
    return [
        *_misplaced(looks),
        *_copies(looks, held_out),
        *_known(looks, held_out, seen),
        *_taken(looks),
        *_odd_labels(looks, facts),
        *_odd_foreground(looks, facts),
        *_poor_pixels(looks),
        *_little_data(looks, facts, crop),
    ]


def _misplaced(looks: Sequence[Look]) -> Iterator[Concern]:
    """Find masks that fit better when they are turned, mirrored or moved."""
    conclusive = [(look, look.agreement) for look in looks if look.agreement and _is_conclusive(look.agreement)]
    if not conclusive:
        return
    turned = [(look, best) for look, agreement in conclusive if (best := _better_orientation(agreement)) is not None]
    remedy = "Look at one of them on top of its image, and write the masks anew, {0}."
    how, count = Counter(best for _, best in turned).most_common(1)[0] if turned else ("", 0)
    if count > SYSTEMATIC_SHARE * len(conclusive):
        names = tuple(look.name for look, best in turned if best == how)
        problem = f"{count} of {len(conclusive)} masks fit their images clearly better when they are {how}"
        yield Concern("turned", problem, names, remedy.format(how))
    elif turned:
        names = tuple(f"{look.name} {best}" for look, best in turned)
        problem = f"{_masks(len(names), 'fits its image', 'fit their images')} clearly better when turned or mirrored"
        yield Concern("turned", problem, names, remedy.format("as said in brackets"))
    moved = [
        (look, agreement.shift)
        for look, agreement in conclusive
        if _better_orientation(agreement) is None and _is_shifted(agreement)
    ]
    if len(moved) > SYSTEMATIC_SHARE * len(conclusive):
        y, x = (round(float(value)) for value in np.median([shift for _, shift in moved], axis=0))
        problem = f"{len(moved)} of {len(conclusive)} masks fit their images clearly better when they are moved"
        where = f"by about {y:+} pixels along Y and {x:+} along X"
        yield Concern("moved", f"{problem} {where}", tuple(look.name for look, _ in moved), remedy.format("moved so"))
    elif moved:
        names = tuple(f"{look.name} by {y:+}, {x:+}" for look, (y, x) in moved)
        problem = f"{_masks(len(names), 'fits its image', 'fit their images')} clearly better when moved (Y, X)"
        yield Concern("moved", problem, names, remedy.format("moved so"))
    scores = [agreement.scores[AS_IT_IS] for _, agreement in conclusive]
    if np.median(scores) >= GOOD_AGREEMENT:
        reported = {look.name for look, _ in (*turned, *moved)}
        unrelated = [
            look.name
            for look in looks
            if look.agreement and _is_unrelated(look, look.agreement) and look.name not in reported
        ]
        if unrelated:
            problem = f"{_masks(len(unrelated), 'does', 'do')} not follow the edges in the image"
            yield Concern("strange", problem, tuple(unrelated), "Check that each is the mask of the image of its name.")


def _is_conclusive(agreement: Agreement) -> bool:
    return max(agreement.shifted, *agreement.scores.values()) >= CONCLUSIVE_AGREEMENT


def _is_unrelated(look: Look, agreement: Agreement) -> bool:
    return agreement.scores[AS_IT_IS] < UNRELATED_AGREEMENT and abs(look.contrast or 0) < FAINT_CONTRAST


def _clearly(better: float, than: float) -> bool:
    return (
        better >= CONCLUSIVE_AGREEMENT
        and better >= CLEARLY_BETTER_FACTOR * than
        and better >= than + CLEARLY_BETTER_MARGIN
    )


def _better_orientation(agreement: Agreement) -> str | None:
    """Return the orientation that fits clearly better, if there is one and no shift explains it as well."""
    best = max(agreement.scores, key=lambda name: agreement.scores[name])
    score = agreement.scores[best]
    return best if _clearly(score, agreement.scores[AS_IT_IS]) and score > agreement.shifted else None


def _is_shifted(agreement: Agreement) -> bool:
    far = float(np.hypot(*agreement.shift)) >= SMALLEST_SHIFT
    return far and _clearly(agreement.shifted, agreement.scores[AS_IT_IS])


def _copies(looks: Sequence[Look], held_out: Sequence[bool]) -> Iterator[Concern]:
    """Find images that are there twice."""
    copies = find_copies(looks)
    alike = "the same image, or nearly (turned, rescaled or compressed again)"
    named = [(f"{looks[one].name} = {looks[other].name}", held_out[one] != held_out[other]) for one, other in copies]
    leaks = tuple(name for name, leaking in named if leaking)
    if leaks:
        yield Concern(
            "leak",
            f"{len(leaks)} times {alike} is both trained on and validated on, which flatters the scores",
            leaks,
            "Delete one of each, or name images to validate on yourself (data.val).",
        )
    within = tuple(name for name, leaking in named if not leaking)
    if within:
        remedy = "Delete one of each, unless their masks differ on purpose."
        yield Concern("copies", f"{len(within)} times {alike} is there twice", within, remedy)


def _known(looks: Sequence[Look], held_out: Sequence[bool], seen: Collection[str]) -> Iterator[Concern]:
    """Find validation images that the model to start from was trained on."""
    known = tuple(look.name for look, held in zip(looks, held_out, strict=True) if held and look.digest in seen)
    if known:
        yield Concern(
            "known",
            f"{_images(len(known), 'is', 'are')} to validate on, but the model that training starts from was trained "
            "on them, which flatters the scores",
            known,
            "Name other images to validate on (data.val), or an encoder to start from random weights (model.encoder).",
        )


def _taken(looks: Sequence[Look]) -> Iterator[Concern]:
    """Report how masks were read where their files leave a doubt."""
    for kind in dict.fromkeys(look.meaning.kind for look in looks if look.meaning.taken):
        if kind in ("full", "unlabelled"):  # the share of the foreground, or the user, says what follows
            continue
        alike = [look for look in looks if look.meaning.kind == kind and look.meaning.taken]
        names = tuple(look.name for look in alike)
        taken = alike[0].meaning.taken
        remedy = "If that is wrong, save them as PNG or TIFF of one channel, 0 for background."
        yield Concern(kind, taken, names, "Correct them if that is not meant." if kind == "drawn" else remedy)


def _odd_labels(looks: Sequence[Look], facts: Facts) -> Iterator[Concern]:
    """Find label values that are probably read wrongly; those of annotations are known."""
    if any(look.drawn for look in looks):
        return
    marked = [look for look in looks if look.values and look.meaning.kind not in CUT]
    plain = tuple(look.name for look in looks if look.values and not numbers_pieces(look))
    numbering = [look for look in marked if len(look.values) > 1]
    if facts.kind == "instances" and plain:
        yield Concern(
            "unnumbered",
            f"{_masks(len(plain), 'does', 'do')} not number the objects, as others do: each connected part of the "
            "foreground is taken for one object there",
            plain,
            "Number the objects in these masks too if any of them touch.",
        )
        marked = [look for look in marked if numbers_pieces(look)]
    elif facts.kind == "binary" and plain and 0 < len(numbering) < len(plain) and are_numbers(numbering):
        yield Concern(
            "numbered",
            f"{_masks(len(numbering), 'numbers its', 'number their')} objects, but {len(plain)} others do not: all "
            "numbers are taken for foreground",
            tuple(look.name for look in numbering),
            "Number the objects in all masks to learn objects that touch.",
        )
    values = {value for look in marked for value in look.values}
    if IGNORE_VALUE in values and len(values) > 1 and not any(MOST_CLASSES < value < IGNORE_VALUE for value in values):
        others = ", ".join(map(str, sorted(values - {IGNORE_VALUE})[:5]))
        names = tuple(look.name for look in marked if IGNORE_VALUE in look.values)
        yield Concern(
            "mixed",
            f"The masks hold 255 beside {others}: with 2 classes all of these are foreground",
            names,
            "If 255 marks what nobody has annotated, set data.ignore: 255 (--data.ignore 255; --ignore 255 in `plan`). "
            "If it means foreground, write 255 (or 1) everywhere.",
        )
    elif is_class_range(values) and facts.kind != "binary":
        listed = ", ".join(map(str, sorted(values)[:5]))
        classes = facts.kind == "classes"
        if classes or max(values) < SHOWN_FILES + 1:
            taken, other = ("classes", "objects") if classes else ("numbers of objects", "classes")
            key = "2" if classes else str(max(values) + 1)
            yield Concern(
                "ambiguous",
                f"The labels {listed}{' ...' if len(values) > 5 else ''} are taken for {taken}",
                (),
                f"If they are {other}, set model.classes: {key}.",
            )


def _odd_foreground(looks: Sequence[Look], facts: Facts) -> Iterator[Concern]:
    """Find masks that are empty, full or inverted."""
    empty = tuple(look.name for look in looks if not look.values)
    if empty:
        yield Concern(
            "empty",
            f"{_masks(len(empty), 'is', 'are')} empty",
            empty,
            "That is right where there is nothing to find; remove images that nobody has annotated.",
        )
    inverted = tuple(look.name for look in looks if _is_inverted(look, facts))
    if inverted:
        yield Concern(
            "inverted",
            f"{_masks(len(inverted), 'looks', 'look')} inverted: one piece of foreground around many holes",
            inverted,
            "In a mask 0 is background: invert the masks if the holes are the objects.",
        )
    drawn = [
        look for look in looks if look.annotated == 1 and look.name not in inverted
    ]  # strokes may well be in objects
    full = tuple(look.name for look in drawn if look.foreground >= FULL_MASK_SHARE)
    if full:
        yield Concern(
            "full",
            f"{_masks(len(full), 'is', 'are')} foreground nearly everywhere",
            full,
            "Check that 0 is the background in them.",
        )


def _is_inverted(look: Look, facts: Facts) -> bool:
    """Whether one piece of foreground surrounds much else; masks of classes may rightly look so."""
    if facts.kind == "classes" or look.largest < INVERTED_PIECE_SHARE:
        return False
    if facts.kind == "instances":
        return look.pieces + look.holes > INVERTED_HOLES
    return look.holes >= INVERTED_HOLES and look.largest >= INVERTED_LARGEST_SHARE * look.foreground


def _poor_pixels(looks: Sequence[Look]) -> Iterator[Concern]:
    """Find images that are constant or overexposed."""
    constant = tuple(look.name for look in looks if look.constant)
    if constant:
        yield Concern(
            "constant",
            f"{_images(len(constant), 'is', 'are')} all one value",
            constant,
            "Remove them, or export them again.",
        )
    bright = tuple(look.name for look in looks if look.saturated >= SATURATED_SHARE and not look.constant)
    if bright:
        yield Concern(
            "saturated",
            f"{_images(len(bright), 'is', 'are')} overexposed: a quarter of the foreground or more is at the top of "
            "the range",
            bright,
            "Take them again with less exposure, or export them without stretching the contrast.",
        )


def _little_data(looks: Sequence[Look], facts: Facts, crop: Sequence[int]) -> Iterator[Concern]:
    """Find out whether images are too few or too small."""
    if facts.images < TINY_SET_IMAGES:
        yield Concern(
            "tiny",
            f"{_images(facts.images, 'is', 'are')} very few: scores on so few mean little, and others may look "
            "different",
            (),
            "Annotate more, at best from other samples and days.",
        )
    small = tuple(
        look.name
        for look in looks
        if any(length < SMALL_IMAGE_SHARE * side for length, side in zip(look.size, crop, strict=True))
    )
    if small:
        sides = " x ".join(map(str, crop)) if len(set(crop)) > 1 else f"{crop[0]}"
        yield Concern(
            "small",
            f"{_images(len(small), 'is', 'are')} much smaller than the crop of {sides} pixels, which is filled by "
            "reflection",
            small,
            "Set a smaller data.crop, or cut fewer pieces from the originals.",
        )


def _masks(count: int, one: str, many: str) -> str:
    return f"{count} mask {one}" if count == 1 else f"{count} masks {many}"


def _images(count: int, one: str, many: str) -> str:
    return f"{count} image {one}" if count == 1 else f"{count} images {many}"
