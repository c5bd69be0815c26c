"""Set images aside for validation, so that training never sees them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unetkit.data.pairs import Pair
from unetkit.errors import DataError


def split_fraction(pairs: Sequence[Pair], fraction: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Set a fraction of the images aside, at least one unless it is 0.

    Files are chosen at random, and all planes of a file go together. Of a single stack a run of neighbouring pages is
    chosen: pages side by side are almost the same, and scattered ones would flatter the result.

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
    files = list(dict.fromkeys(pair.image for pair in pairs))
    count = len(files) if len(files) > 1 else len(pairs)
    if count < 2:
        raise DataError(
            f"{pairs[0].image} is the only image, so none can be set aside for validation.",
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


def check_apart(train: Sequence[Pair], val: Sequence[Pair]) -> None:
    """Raise a DataError if an image is in both."""
    trained = {(pair.image.resolve(), pair.image_plane) for pair in train}
    shared = [pair.name for pair in val if (pair.image.resolve(), pair.image_plane) in trained]
    if shared:
        more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
        raise DataError(
            f"{len(shared)} of the images to validate on {'is' if len(shared) == 1 else 'are'} also trained on: "
            f"{', '.join(shared[:3])}{more}.",
            "Take them out of one of the two (data.pages and data.val_pages select pages of a stack).",
        )
