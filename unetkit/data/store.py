"""Images and masks in memory: each decoded once, as far as there is room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, TypeVar

from numpy.typing import NDArray

from unetkit.data.loading import Decoded, decode, read_labels, read_pixels
from unetkit.data.on_disk import OnDisk, bytes_of, look_on_disk
from unetkit.data.pairs import Pair
from unetkit.foundation.threads import map_in_threads
from unetkit.io.base.contracts import Window
from unetkit.io.masks.meaning import Meaning
from unetkit.models.sampling import Holes

Seen = TypeVar("Seen")


class ImageStore:
    """Decoded images and masks; those for which there is no room are read from disk for each use.

    Planning and training can share one, so that a file is decoded once for both.

    Args:
        cache_bytes: Room for decoded images and masks.
    """

    def __init__(self, cache_bytes: int = 0) -> None:
        self._kept: dict[Pair, Decoded] = {}
        self._free = cache_bytes

    def resize(self, cache_bytes: int) -> None:
        """Change the room; images that do not fit are dropped, the last first."""
        self._free = cache_bytes - sum(decoded.nbytes for decoded in self._kept.values())
        while self._free < 0:
            self._free += self._kept.popitem()[1].nbytes

    def keeps(self, pair: Pair) -> bool:
        """Return whether an image and its mask are in memory."""
        return pair in self._kept

    def visit(
        self,
        pairs: Sequence[Pair],
        look: Callable[[Decoded], Seen],
        large: Callable[[OnDisk], Seen] | None = None,
    ) -> list[Seen]:
        """Decode each image and mask that is not in memory, and keep it if there is room.

        Args:
            pairs: Where they are.
            look: Called with each, several at a time.
            large: Called in place of it with volumes for which there is no room, which are not decoded then; by default
                they are decoded like the others, and not kept.

        Returns:
            What `look` returned, in the order of `pairs`.

        Raises:
            ImageError: A file that cannot be read, or NaN or infinite pixels.
            DataError: A mask that is not one plane of labels.
        """
        lock = Lock()  # local: a store travels to worker processes, a lock cannot

        def see(pair: Pair) -> Seen:
            needed = 0 if large is None or pair.depth is None or self.keeps(pair) else bytes_of(pair)
            with lock:
                room = needed <= self._free
                self._free -= needed * room
            if large is not None and not room:
                return large(look_on_disk(pair))
            decoded = self.load(pair)
            result = look(decoded)
            with lock:
                self._free += needed
                self._keep(decoded.without_sample())
            return result

        return map_in_threads(see, pairs)

    def load(self, pair: Pair) -> Decoded:
        """Return an image and its mask from memory, or else decode them; do not change them.

        Raises:
            ImageError: A file that cannot be read, or NaN or infinite pixels.
            DataError: A mask that is not one plane of labels.
        """
        return self._kept.get(pair) or decode(pair)

    def read_pixels(self, pair: Pair, window: Window | None, holes: Holes | None) -> NDArray[Any]:
        """Return raw pixels (C, ...) of a window, or of the whole image; do not change them.

        Args:
            pair: Where the image is.
            window: The window, None for the whole.
            holes: Pixels of the image without data, as found when it was first read.
        """
        kept = self._kept.get(pair)
        if kept is None:
            return read_pixels(pair, window, holes)
        return kept.pixels if window is None else kept.pixels[:, *window]

    def read_labels(self, pair: Pair, window: Window | None, meaning: Meaning) -> NDArray[Any] | None:
        """Return the labels (...) of a window, or of the whole mask; None without a mask. Do not change them.

        Args:
            pair: Where the mask is.
            window: The window, None for the whole.
            meaning: What its values mean, as decided when it was first read.
        """
        kept = self._kept.get(pair)
        if kept is None:
            return read_labels(pair, window, meaning)[0]
        return kept.labels if window is None or kept.labels is None else kept.labels[window]

    def _keep(self, decoded: Decoded) -> None:
        if decoded.pair not in self._kept and decoded.nbytes <= self._free:
            self._free -= decoded.nbytes
            self._kept[decoded.pair] = decoded
