"""What a worker keeps between tasks: a model, open images. Each is made once, and dropped in order of use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

T = TypeVar("T")

MOST_KEPT = 4
"""Largest number of things of one kind that a worker keeps where no task uses them."""

device = threading.Lock()
"""Held while the network runs, so that a worker with several threads computes one block at a time."""


def leave(_: object) -> None:
    """Close nothing: what is dropped needs no closing."""


def kept(key: Hashable, make: Callable[[], T], close: Callable[[T], None] = leave, most: int = MOST_KEPT) -> T:
    """Return what was made for a key in this process; make it where there is nothing yet.

    Several threads that ask for one key at a time wait for the one that makes it. What a task has asked for stays open
    until that task ends, even if others are asked for meanwhile.

    >>> kept(("model", "a.safetensors"), lambda: [1]) is kept(("model", "a.safetensors"), lambda: [2])
    True

    Args:
        key: What it is. Of a tuple, the first item is its kind.
        make: Makes it. An error is raised here, and nothing is kept.
        close: Called with it when it is dropped.
        most: Largest number of this kind that is kept; the one that was asked for longest ago is dropped first.
    """
    return cast(T, _shelf.get(key, make, close, most))


def drop_all() -> None:
    """Drop all that no task uses now."""
    _shelf.drop_all()


@contextmanager
def in_task() -> Iterator[None]:
    """Hold open what is asked for in this thread, until the block ends."""
    before = getattr(_thread, "held", None)
    held: list[_Slot] = []
    _thread.held = held
    try:
        yield
    finally:
        _thread.held = before
        _shelf.release(held)


class _Slot:
    """A place on the shelf: one thing, and who uses it."""

    def __init__(self, close: Callable[[Any], None], most: int) -> None:
        self.lock = threading.Lock()
        self.close = close
        self.most = most
        self.users = 0
        self.filled = False
        self.thing: Any = None


class _Shelf:
    """All that a process keeps, in order of use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots: OrderedDict[Hashable, _Slot] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any], close: Callable[[Any], None], most: int) -> Any:
        held: list[_Slot] | None = getattr(_thread, "held", None)
        with self._lock:
            slot = self._slots.setdefault(key, _Slot(close, most))
            self._slots.move_to_end(key)
            slot.users += 1
        try:
            with slot.lock:
                if not slot.filled:
                    slot.thing, slot.filled = make(), True
            if held is not None:
                with self._lock:
                    slot.users += 1
                held.append(slot)
            return slot.thing
        finally:
            with self._lock:
                slot.users -= 1
                if not slot.filled and not slot.users:
                    self._slots.pop(key, None)
            self._drop(_kind(key), most)

    def release(self, held: list[_Slot]) -> None:
        """End the use of slots, and drop what is too much by now."""
        with self._lock:
            for slot in held:
                slot.users -= 1
            kinds = {_kind(key): slot.most for key, slot in self._slots.items() if slot in held}
        for kind, most in kinds.items():
            self._drop(kind, most)

    def drop_all(self) -> None:
        with self._lock:
            kinds = {_kind(key) for key in self._slots}
        for kind in kinds:
            self._drop(kind, 0)

    def _drop(self, kind: Hashable, most: int) -> None:
        """Drop the oldest of a kind that nobody uses, until at most `most` of the kind are left."""
        dropped = []
        with self._lock:
            keys = [key for key in self._slots if _kind(key) == kind]
            for key in keys[: max(0, len(keys) - most)]:
                if not self._slots[key].users:
                    dropped.append(self._slots.pop(key))
        for slot in dropped:
            slot.close(slot.thing)


def _kind(key: Hashable) -> Hashable:
    return key[0] if isinstance(key, tuple) and key else key


_thread = threading.local()
_shelf = _Shelf()
