"""Set images aside for validation, so that training never sees them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unetkit.data.pairs import Pair
from unetkit.foundation.errors import ConfigError, DataError


def split_fraction(pairs: Sequence[Pair], fraction: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Set a fraction of the images aside, at least one unless it is 0.

    Files are chosen at random, and all planes of a file go together. Of a single stack a run of neighbouring pages is
    chosen: pages side by side are almost the same, and scattered ones would flatter the result. So it is with the
    planes of a single volume.

    Args:
        pairs: All pairs.
        fraction: Share of the images to validate on, from 0 to below 1.
        seed: Another seed chooses others.

    Returns:
        Pairs to train on and pairs to validate on, each in their order.

    Raises:
        DataError: There is only one image.
    """
    if fraction == 0:
        return list(pairs), []
    if len(pairs) == 1 and pairs[0].depth is not None and pairs[0].depth[1] - pairs[0].depth[0] > 1:
        return _split_volume(pairs[0], fraction, seed)
    files = list(dict.fromkeys(pair.image for pair in pairs))
    count = len(files) if len(files) > 1 else len(pairs)
    if count < 2:
        raise DataError(
            f"{pairs[0].image} is the only {pairs[0].what}, so none can be set aside for validation.",
            "Give images to validate on (data.val), or set data.val: 0.",
        )
    held = min(max(1, round(fraction * count)), count - 1)
    rng = np.random.default_rng(seed)
    if len(files) > 1:
        names = {files[index] for index in rng.permutation(count)[:held]}
        chosen = [pair.image in names for pair in pairs]
    else:
        start = int(rng.integers(count - held + 1))
        chosen = [start <= index < start + held for index in range(count)]
    return (
        [pair for pair, held_out in zip(pairs, chosen, strict=True) if not held_out],
        [pair for pair, held_out in zip(pairs, chosen, strict=True) if held_out],
    )


def _split_volume(pair: Pair, fraction: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Set a run of neighbouring planes of a volume aside; what is left on either side is none, or no thinner."""
    assert pair.depth is not None
    first, stop = pair.depth
    held = min(max(1, round(fraction * (stop - first))), stop - first - 1)
    starts = [
        start
        for start in range(first, stop - held + 1)
        if all(left == 0 or left >= held for left in (start - first, stop - start - held))
    ]
    start = int(np.random.default_rng(seed).choice(starts or [first]))
    rest = [(first, start), (start + held, stop)]
    return [pair.slab(*ends) for ends in rest if ends[0] < ends[1]], [pair.slab(start, start + held)]


def cut_for_folds(pairs: Sequence[Pair], folds: int) -> list[Pair]:
    """Cut each volume into as many slabs of neighbouring planes as there are folds, where there are fewer files."""
    if len({pair.image for pair in pairs}) >= folds:
        return list(pairs)
    return [part for pair in pairs for part in _cut(pair, folds)]


def _cut(pair: Pair, parts: int) -> list[Pair]:
    """Cut a volume into slabs that differ by at most one plane; into single planes where it has fewer."""
    if pair.depth is None:
        return [pair]
    first, stop = pair.depth
    runs = [run for run in np.array_split(np.arange(first, stop), parts) if len(run)]
    return [pair] if len(runs) == 1 else [pair.slab(int(run[0]), int(run[-1]) + 1) for run in runs]


def split_folds(
    pairs: Sequence[Pair], digests: Sequence[str], folds: int, fold: int, seed: int
) -> tuple[list[int], list[int]]:
    """Split the images into folds for cross-validation, and set one of them aside.

    Files are dealt out at random, and all planes of a file go together. Where there are fewer files than folds, such as
    one stack, each fold is a run of neighbouring pages (or planes of a volume): pages side by side are almost the same,
    and scattered ones would flatter the result. Images with the same pixels are always in the same fold.

    Args:
        pairs: All pairs.
        digests: Hash of the pixels of each image.
        folds: Number of folds, 2 or more. Their numbers of files (or pages), copies not counted, differ by at most 1.
        fold: The fold to validate on, from 0 to `folds` - 1.
        seed: Another seed deals the files out differently; runs of pages are always the same.

    Returns:
        Indices of the pairs to train on and of those to validate on, in their order. The folds do not overlap, and
        together they are all pairs.

    Raises:
        DataError: There are fewer different images than folds.
    """
    by_file: dict[object, list[int]] = {}
    for index, pair in enumerate(pairs):
        by_file.setdefault(pair.image, []).append(index)
    whole_files = len(by_file) >= folds
    units = list(by_file.values()) if whole_files else [[index] for index in range(len(pairs))]
    copies: dict[tuple[str, ...], list[int]] = {}
    for unit in units:
        copies.setdefault(tuple(digests[index] for index in unit), []).extend(unit)
    different = list(copies.values())
    if len(different) < folds:
        what = f"{pairs[0].what}{'s' * (len(different) != 1)}"
        raise DataError(
            f"{len(different)} different {what} cannot be split into {folds} folds.",
            f"Set data.folds to {len(different)} or less." if len(different) > 1 else "Give more images.",
        )
    order = np.random.default_rng(seed).permutation(len(different)) if whole_files else np.arange(len(different))
    held = {index for unit in np.array_split(order, folds)[fold] for index in different[unit]}
    return [index for index in range(len(pairs)) if index not in held], sorted(held)


def fold_uses(pairs: Sequence[Pair], digests: Sequence[str], folds: int, seed: int) -> list[str]:
    """Return the number of the fold that each image is in, as text; see `split_folds`."""
    uses = [""] * len(pairs)
    for fold in range(folds):
        for index in split_folds(pairs, digests, folds, fold, seed)[1]:
            uses[index] = str(fold)
    return uses


def check_validation(val: float | str) -> None:
    """Raise a ConfigError if the share of the images to validate on is not possible."""
    if not isinstance(val, str) and not 0 <= val < 1:
        raise ConfigError(f"data.val: {val:g} is not possible.", "Use a fraction below 1, 0 for none, or a folder.")


def check_folds(folds: int | None, fold: int | str | None, val: float | str, val_pages: str | None) -> None:
    """Raise a ConfigError unless the settings of validation, named as in `SegmentationData`, go together."""
    check_validation(val)
    if folds is None:
        if fold is not None:
            raise ConfigError(f"data.fold: {fold} has no meaning without folds.", "Give their number too (data.folds).")
        return
    if folds < 2:
        raise ConfigError(f"data.folds: {folds} is not possible.", "Use 2 or more.")
    if isinstance(fold, int) and not 0 <= fold < folds:
        raise ConfigError(f"data.fold: {fold} is not possible.", f"Use a number from 0 to {folds - 1}, or all.")
    if isinstance(val, str) or val_pages is not None:
        name = "val" if isinstance(val, str) else "val_pages"
        raise ConfigError(
            f"data.{name} has no meaning with data.folds: each fold is validated on in its turn.",
            f"Leave data.{name} or data.folds out.",
        )


def check_one_fold(fold: int | str | None) -> None:
    """Raise a ConfigError if the data of all folds are asked for at once."""
    if fold == "all":
        raise ConfigError(
            "data.fold: all stands for several runs, and this is one.",
            "Give the number of a fold; `unetkit fit` and training.cross_validation run all of them.",
        )


def check_apart(train: Sequence[Pair], val: Sequence[Pair]) -> None:
    """Raise a DataError if an image is both to train on and to validate on."""
    trained: dict[Path, list[Pair]] = {}
    for pair in train:
        trained.setdefault(pair.image.resolve(), []).append(pair)
    shared = [pair.name for pair in val if any(map(pair.shares_with, trained.get(pair.image.resolve(), [])))]
    if shared:
        more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
        raise DataError(
            f"{len(shared)} of the {val[0].what}s to validate on {'is' if len(shared) == 1 else 'are'} also trained "
            f"on: {', '.join(shared[:3])}{more}.",
            "Remove them from one of the two (data.pages and data.val_pages select pages of a stack).",
        )
