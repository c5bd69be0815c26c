"""How the images of a run were divided, kept in its checkpoint, so that a resumed run validates on the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from unetkit.foundation.errors import DataError

TRAIN, VAL = "train", "val"
"""Uses of an image. Where there are folds, its use is the number of its fold instead."""

SPLIT_REMEDY = (
    "Put the images back as they were; or start a new run, from the best model of this one (model.weights) if its "
    "validation images are still not trained on."
)


class Use(NamedTuple):
    """An image and what it is used for.

    Attributes:
        name: Its name.
        digest: Hash of its pixels, see `hash_pixels`.
        use: `TRAIN`, `VAL` or the number of its fold.
    """

    name: str
    digest: str
    use: str


def found_uses(found: Sequence[Use]) -> list[str]:
    """Return the uses as they were found."""
    return [image.use for image in found]


@dataclass(frozen=True)
class KeptSplit:
    """How images were divided.

    Attributes:
        uses: What each was used for.
    """

    uses: tuple[Use, ...]

    def apply(self, found: Sequence[Use], *, named: bool = False) -> tuple[list[str], list[str]]:
        """Divide images as they were.

        An image with the same pixels keeps its use, whatever its name is now. New ones are trained on.

        Args:
            found: The images that there are, divided as if the run were new.
            named: Whether the images to validate on are named, not chosen.

        Returns:
            The use of each image, and sentences on what is new, gone or changed.

        Raises:
            DataError: The images to validate on are not the same, or have been trained on, or folds are not the same.
        """
        by_name = {use.name: use for use in self.uses}
        by_digest: dict[str, str] = {}
        for use in self.uses:
            if by_digest.get(use.digest) != TRAIN:
                by_digest[use.digest] = use.use
        uses: list[str] = []
        new: list[str] = []
        changed: list[str] = []
        for image in found:
            old = by_name.get(image.name)
            if old is not None and old.digest == image.digest:
                uses.append(old.use)
            elif image.digest in by_digest:
                uses.append(by_digest[image.digest])
            else:
                (new if old is None else changed).append(image.name)
                uses.append(image.use if named else TRAIN if old is None else old.use)
        digests, names = {image.digest for image in found}, {image.name for image in found}
        gone = [use for use in self.uses if use.digest not in digests and use.name not in names]
        self._check(found, uses, {"new": new, "changed": changed}, gone, named=named)
        groups = [("trained on from here on", "new", new), ("trained on as they are now", "changed", changed)]
        lines = [f"{_list(names)} {kind} since the run was begun, and {what}." for what, kind, names in groups if names]
        if gone:
            lines.append(
                f"{_list([use.name for use in gone])} gone since the run was begun, and not trained on any more."
            )
        return uses, lines

    def _check(
        self,
        found: Sequence[Use],
        uses: Sequence[str],
        other: dict[str, list[str]],
        gone: Sequence[Use],
        *,
        named: bool,
    ) -> None:
        """Raise a DataError if scores would not be comparable with those so far, or too good."""
        if any(use.use not in (TRAIN, VAL) for use in self.uses):
            differ = [(kind, names) for kind, names in {**other, "gone": [use.name for use in gone]}.items() if names]
            if differ:
                raise DataError(
                    f"The folds are not those that the run was begun with: {_list(differ[0][1])} {differ[0][0]}.",
                    SPLIT_REMEDY,
                )
            return
        if named:
            for image, use in zip(found, uses, strict=True):
                if image.use != use:
                    raise DataError(
                        f"{image.name} is to be {_doing(image.use)}, but was {_doing(use)} until now.", SPLIT_REMEDY
                    )
        unknown = {name for names in other.values() for name in names}
        missing = [use.name for use in gone if use.use == VAL]
        missing += [image.name for image, use in zip(found, uses, strict=True) if use == VAL and image.name in unknown]
        if missing:
            raise DataError(
                f"The images to validate on are not those that the run was begun with: {_list(missing)} gone, new or "
                "changed, so its scores would not compare with those so far.",
                SPLIT_REMEDY,
            )


def _doing(use: str) -> str:
    return "trained on" if use == TRAIN else "validated on"


def _list(names: Sequence[str]) -> str:
    """Name the first few images, with the verb that follows."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} {'is' if len(names) == 1 else 'are'}"
