"""What several threads ask for at the same time is made once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

from numpy.typing import NDArray


class KeyLocks:
    """A lock for each key, which is there as long as somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._locks: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()

    @contextmanager
    def hold(self, key: Hashable) -> Iterator[None]:
        """Hold the lock of a key while the block runs."""
        with self._guard:
            lock = self._locks.setdefault(key, Lock())
        with lock:
            yield


class ArrayCache:
    """The arrays that were asked for last.

    Args:
        max_bytes: Bound of what is kept; a larger array is given and not kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._arrays: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._guard = Lock()
        self._locks = KeyLocks()

    def get(self, key: Hashable, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return the array of a key, which is made where it is not kept. An error of `make` passes through."""
        with self._locks.hold(key):
            with self._guard:
                found = self._arrays.get(key)
                if found is not None:
                    self._arrays.move_to_end(key)
                    return found
            made = make()
            self._keep(key, made)
            return made

    def _keep(self, key: Hashable, made: NDArray[Any]) -> None:
        if made.nbytes > self._max_bytes:
            return
        with self._guard:
            self._arrays[key] = made
            self._bytes += made.nbytes
            while self._bytes > self._max_bytes:
                self._bytes -= self._arrays.popitem(last=False)[1].nbytes
